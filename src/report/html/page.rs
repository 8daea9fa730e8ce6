//! A page: sections of blocks, from top to bottom. Every page of the project is made of these.
//!
//! In: what a report has to say, as plain text and numbers. Out: types that [`super::render`] turns into one self-contained file. Texts are
//! plain: whatever they hold is escaped when they are rendered, so a name or a reason from a server may stand in any of them.

use serde::Serialize;

use super::plot::Plot;
use super::table::Table;
use super::tone::Tone;

/// A page.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// Its title, also that of the window.
    pub title: String,
    /// A line under it: what was run, when.
    pub subtitle: String,
    /// The sections, in order.
    pub sections: Vec<Section>,
    /// The last line: which program made it.
    pub footer: String,
}

/// A section: a heading and what stands under it.
#[derive(Debug, Clone, Serialize)]
pub struct Section {
    /// Its anchor: letters, digits and dashes, unique in the page.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// A sentence under the heading: what is measured, from when to when; may be empty.
    pub lead: String,
    /// What stands in it.
    pub blocks: Vec<Block>,
}

/// A part of a section.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "block", rename_all = "snake_case")]
pub enum Block {
    /// The answer, large, with its reasons.
    Verdict {
        /// Whether it is good news.
        tone: Tone,
        /// Two words.
        title: String,
        /// A sentence each.
        reasons: Vec<String>,
    },
    /// A sentence with a mark in front.
    Note {
        /// How it is to be taken; [`Tone::Plain`] says why there is nothing to see.
        tone: Tone,
        /// The sentence.
        text: String,
    },
    /// Large numbers, each with what it is.
    Figures {
        /// The numbers.
        figures: Vec<Figure>,
    },
    /// Names and values in two columns.
    Facts {
        /// Name and value.
        facts: Vec<(String, String)>,
    },
    /// Plots beside each other, where there is room.
    Plots {
        /// The plots.
        plots: Vec<Plot>,
    },
    /// Parts of a whole, a bar for each row.
    Bars(Bars),
    /// A table.
    Table(Table),
    /// A text as it is, folded away.
    Source {
        /// What it is.
        title: String,
        /// The text.
        text: String,
    },
}

/// A large number.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// The number, for people.
    pub value: String,
    /// What it is seen against; may be empty.
    pub detail: String,
    /// Whether it is as it should be.
    pub tone: Tone,
}

/// Rows of bars, each split into parts.
#[derive(Debug, Clone, Serialize)]
pub struct Bars {
    /// What the parts are called, in the order in which they stand; their colours are those of a plot's series of the same index.
    pub parts: Vec<String>,
    /// The rows.
    pub rows: Vec<BarRow>,
}

/// A bar.
#[derive(Debug, Clone, Serialize)]
pub struct BarRow {
    /// Whose it is.
    pub name: String,
    /// What the whole is, for people.
    pub whole: String,
    /// The parts.
    pub parts: Vec<BarPart>,
}

/// A part of a bar.
#[derive(Debug, Clone, Serialize)]
pub struct BarPart {
    /// Index into [`Bars::parts`].
    pub part: usize,
    /// Where it begins, per mille of the whole.
    pub from: f64,
    /// How wide it is, per mille of the whole.
    pub width: f64,
    /// What it is, for people.
    pub label: String,
}

impl Section {
    /// A section without blocks.
    #[must_use]
    pub fn new(id: &str, title: &str, lead: &str) -> Self {
        Self { id: id.to_owned(), title: title.to_owned(), lead: lead.to_owned(), blocks: Vec::new() }
    }

    /// Adds a block.
    pub fn push(&mut self, block: Block) {
        self.blocks.push(block);
    }

    /// Adds a sentence that says why there is nothing to see.
    pub fn absent(&mut self, text: &str) {
        self.push(Block::Note { tone: Tone::Plain, text: text.to_owned() });
    }

    /// Adds plots that have something to show; where none has, the sentence `otherwise`.
    pub fn plots_or(&mut self, plots: Vec<Plot>, otherwise: &str) {
        let plots: Vec<Plot> = plots.into_iter().filter(|plot| !plot.is_empty()).collect();
        if plots.is_empty() {
            return self.absent(otherwise);
        }
        self.push(Block::Plots { plots });
    }
}

impl BarRow {
    /// A bar whose parts are `values` of one unit, named by `label`; a part without value is left out.
    #[must_use]
    pub fn new(name: &str, whole: String, values: &[f64], label: impl Fn(usize, f64) -> String) -> Self {
        let sum: f64 = values.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let (mut from, mut parts) = (0.0, Vec::new());
        for (part, value) in values.iter().enumerate().filter(|(_, value)| **value > 0.0) {
            let width = 1_000.0 * value / sum;
            parts.push(BarPart { part, from, width, label: label(part, value / sum) });
            from += width;
        }
        Self { name: name.to_owned(), whole, parts }
    }
}
