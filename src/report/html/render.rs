//! A page becomes one self-contained file.
//!
//! In: a page. Out: HTML that asks nobody for anything: style and scripts are in it, and its Content-Security-Policy allows no others (CSP Level 3:
//! `default-src 'none'`, and the SHA-256 of each). Every text is escaped: by the template, and in the data by [`data_json`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use sha2::{Digest as _, Sha256};

use super::page::{Block, Page};
use super::plot::Plot;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const LIVE: &str = include_str!("live.js");
const UPLOT: &str = include_str!("vendor/uPlot.iife.min.js");
const UPLOT_STYLE: &str = include_str!("vendor/uPlot.min.css");
const UPLOT_LICENCE: &str = include_str!("vendor/uPlot-LICENSE");

/// A page that cannot be made: a fault of this program.
#[derive(Debug, thiserror::Error)]
#[error("the page cannot be made: {0}")]
pub struct RenderError(#[from] minijinja::Error);

/// The file of a page.
///
/// # Errors
/// [`RenderError`] when the template does not fit the page.
pub fn render_page(page: &Page) -> Result<String, RenderError> {
    let policy = format!("default-src 'none'; {}", own_sources(&[UPLOT, SCRIPT]));
    render(page, &policy, "")
}

/// The page of a run under way, which is told of the run by whoever serves it.
///
/// # Errors
/// [`RenderError`] when the template does not fit the page.
pub(super) fn render_live(page: &Page) -> Result<String, RenderError> {
    render(page, &live_policy(), LIVE)
}

/// The policy of the page of a run under way, which may ask who served it. It fits the run's report, too, which is opened from there.
#[must_use]
pub fn live_policy() -> String {
    format!("default-src 'none'; connect-src 'self'; {}", own_sources(&[UPLOT, SCRIPT, LIVE]))
}

/// What of a policy names these scripts and the style, and nothing else.
fn own_sources(scripts: &[&str]) -> String {
    let scripts: Vec<String> = scripts.iter().map(|script| format!("'{}'", hash_source(script))).collect();
    let style = hash_source(&style());
    format!("script-src {}; style-src '{style}'; base-uri 'none'; form-action 'none'", scripts.join(" "))
}

fn style() -> String {
    [UPLOT_STYLE, STYLE].join("\n")
}

/// The file of a page, with another script where it is of a run under way.
fn render(page: &Page, policy: &str, live: &str) -> Result<String, RenderError> {
    let mut environment = Environment::empty();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_template("page.html", TEMPLATE)?;
    let template = environment.get_template("page.html")?;
    let html = template.render(context! {
        page => Value::from(Serde(page)),
        policy => policy,
        style => Value::from_safe_string(style()),
        uplot => Value::from_safe_string(UPLOT.to_owned()),
        licence => UPLOT_LICENCE,
        script => Value::from_safe_string(SCRIPT.to_owned()),
        live => Value::from_safe_string(live.to_owned()),
        data => Value::from_safe_string(data_json(page)),
    })?;
    Ok(html)
}

/// How a policy names a script or style by its text.
fn hash_source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

/// The page's plots as JSON for a `<script>` element: nothing in it can end the element or open a comment in it, whatever a name holds.
fn data_json(page: &Page) -> String {
    let blocks = page.sections.iter().flat_map(|section| &section.blocks);
    let plots: Vec<&Plot> = blocks
        .filter_map(|block| if let Block::Plots { plots } = block { Some(plots) } else { None })
        .flatten()
        .collect();
    // Plots hold numbers and texts: they are always JSON.
    let json = serde_json::to_string(&plots).unwrap_or_else(|_| "[]".to_owned());
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            // In JSON these stand in texts only, where an escape says the same.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", character as u32));
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::page::{BarRow, Bars, Figure, Section};
    use super::super::plot::{Axis, Mark, PlotKind, Series, Unit};
    use super::super::table::Table;
    use super::super::tone::Tone;
    use super::*;

    const EVIL: &str = "</script><script>alert(1)</script>\u{2028}<!--\" onload='x'&";

    /// A page of which every text is `text`.
    fn page(text: &str) -> Page {
        let own = || text.to_owned();
        let x = Axis::Even { from: 0.0, step: 1.0, count: 1 };
        let mut plot = Plot::new("plot", text, PlotKind::Time, x, text, Unit::Us).noted(text);
        plot.series.push(Series::new(text, 0, vec![Some(1.0)]));
        plot.marks.push(Mark::vertical(0.5, text));
        let mut table = Table::new(text, &[text]);
        table.row_in(Tone::Bad, vec![own()]);
        let mut section = Section::new("section", text, text);
        let figure = Figure { name: own(), value: own(), detail: own(), tone: Tone::Bad };
        section.push(Block::Verdict { tone: Tone::Bad, title: own(), reasons: vec![own()] });
        section.push(Block::Note { tone: Tone::Warning, text: own() });
        section.push(Block::Figures { figures: vec![figure] });
        section.push(Block::Facts { facts: vec![(own(), own())] });
        section.push(Block::Plots { plots: vec![plot] });
        let row = BarRow::new(text, own(), &[1.0, 3.0], |_, _| own());
        section.push(Block::Bars(Bars { parts: vec![own(), own()], rows: vec![row] }));
        section.push(Block::Table(table));
        section.push(Block::Source { title: own(), text: own() });
        Page { title: own(), subtitle: own(), sections: vec![section], footer: own() }
    }

    #[test]
    fn no_text_becomes_markup() {
        let html = render_page(&page(EVIL)).unwrap();
        assert!(!html.contains(EVIL) && !html.contains("<script>alert"), "as markup or in the data");
        let harmless = render_page(&page("text")).unwrap();
        for tag in ["<script", "</script", "<!--", "<table", "<figure", "<svg", "<rect"] {
            assert_eq!(html.matches(tag).count(), harmless.matches(tag).count(), "{tag}");
        }
        let texts: Vec<&str> = html.matches("alert(1)").collect();
        assert!(texts.len() > 15, "every text is there: {}", texts.len());
    }

    #[test]
    fn the_data_is_json_that_says_the_same() {
        let json = data_json(&page(EVIL));
        assert!(!json.contains(['<', '>', '&', '\u{2028}']));
        let data: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(data[0]["title"], EVIL);
        assert_eq!(data[0]["series"][0]["name"], EVIL);
    }

    #[test]
    fn the_policy_names_what_is_in_the_file_and_nothing_else() {
        let html = render_page(&page("text")).unwrap();
        let between = |text: &str, open: &str, close: &str| -> Vec<String> {
            let parts = text.split(open).skip(1);
            parts.map(|part| part.split(close).next().unwrap().to_owned()).collect()
        };
        let scripts = between(&html, "<script>", "</script>");
        let styles = between(&html, "<style>", "</style>");
        assert_eq!((scripts.len(), styles.len()), (2, 1));
        let policy = between(&html, "Content-Security-Policy\" content=\"", "\"")[0]
            .replace("&#x27;", "'")
            .replace("&#x2f;", "/");
        for text in scripts.iter().chain(&styles) {
            assert!(policy.contains(&hash_source(text)), "{policy}: {}", &text[..40.min(text.len())]);
        }
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        for outward in ["src=\"", "href=\"http", "@import", "url(", " style=\"", " onclick"] {
            let own = html.replace(UPLOT, "");
            assert!(!own.contains(outward), "{outward}");
        }
    }
}
