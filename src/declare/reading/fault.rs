//! What is wrong with a scenario, all of it at once.
//!
//! In: faults with the span of the text that they are about. Out: the error that a user sees: file, line, snippet, the
//! value, what is allowed.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::secrets::masked;

/// Which kind of rule a fault breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// One of the file's form or of a key's value: the schema has it too.
    Value,
    /// One between keys, which a schema cannot say.
    Between,
    /// One of what the file refers to: the environment, other files.
    Elsewhere,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where in the text; an empty range at 0 where something is missing from the whole.
    pub span: Range<usize>,
    /// Which kind of rule it breaks.
    pub rule: Rule,
    /// What is wrong, in a sentence that names the key and the value.
    pub message: String,
    /// What is allowed, or how to mend it.
    pub help: String,
}

/// All faults of one text.
#[derive(Clone, PartialEq, Eq)]
pub struct Faults {
    /// The file's name.
    pub origin: String,
    /// The text, overrides applied.
    pub text: String,
    /// The faults, by place.
    pub faults: Vec<Fault>,
    /// Where the text has secrets, by what its keys say.
    pub hidden: Vec<Range<usize>>,
    /// Text that stands on a line of its own because of `--set`, to name its origin: (span, override).
    pub overridden: Vec<(Range<usize>, String)>,
}

/// So many faults are shown.
const MOST_SHOWN: usize = 100;

impl Faults {
    /// Renders the faults, coloured or plain: every one, or the first 100 where a file has more of them than anybody would read.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let source = masked(&self.without_secrets());
        let mut text = String::new();
        for fault in self.faults.iter().take(MOST_SHOWN) {
            let origin = self.origin_of(&fault.span);
            let snippet = Snippet::source(source.as_str()).path(origin.as_str()).fold(true).annotation(
                AnnotationKind::Primary.span(self.visible(&fault.span)).label(fault.help.as_str()),
            );
            let group = Level::ERROR.primary_title(fault.message.as_str()).element(snippet);
            text.push_str(&renderer.render(&[group]).to_string());
            text.push_str("\n\n");
        }
        let n = self.faults.len();
        text.push_str(&format!("{n} fault{} in {}", if n == 1 { "" } else { "s" }, self.origin));
        if n > MOST_SHOWN {
            text.push_str(&format!("; the first {MOST_SHOWN} are above"));
        }
        text
    }

    /// The text with its secrets starred out, byte for byte.
    fn without_secrets(&self) -> String {
        let mut bytes = self.text.as_bytes().to_vec();
        for span in &self.hidden {
            // Quotes stay, so that names and values are told from each other.
            let inside = span.start + 1..span.end.saturating_sub(1);
            if let Some(part) = bytes.get_mut(inside) {
                part.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*');
            }
        }
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// A span that can be pointed at: inside the text, on character boundaries.
    fn visible(&self, span: &Range<usize>) -> Range<usize> {
        let bound = |at: usize| {
            let mut at = at.min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (bound(span.start), bound(span.end));
        start..end.max(start)
    }

    fn origin_of(&self, span: &Range<usize>) -> String {
        let from_override =
            self.overridden.iter().find(|(range, _)| range.start <= span.start && span.end <= range.end);
        match from_override {
            Some((_, set)) => format!("{} with --set {set}", self.origin),
            None => self.origin.clone(),
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may hold secrets.
        f.debug_struct("Faults")
            .field("origin", &self.origin)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}
