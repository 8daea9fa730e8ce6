//! A line of a page of metrics: Prometheus' text format 0.0.4, OpenMetrics 1.0, and names in quotes as Prometheus 3 writes them.
//!
//! In: a line's bytes. Out: a sample's name, labels and value; or that it says nothing, or is none of such a page. Timestamps and exemplars are passed
//! over. No crate that reads the format does so line by line with bounded memory.

use std::borrow::Cow;

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub enum Line<'l> {
    /// A comment, or nothing.
    Silent,
    /// A sample.
    Sample {
        /// The metric's name.
        name: Cow<'l, str>,
        /// Its labels, in their order.
        labels: Vec<(Cow<'l, str>, Cow<'l, str>)>,
        /// Its value.
        value: f64,
    },
}

/// Reads a line without its end; `None` where it is none of a page of metrics.
#[must_use]
pub fn parse_line(line: &[u8]) -> Option<Line<'_>> {
    let text = std::str::from_utf8(line).ok()?.trim_matches([' ', '\t', '\r']);
    if text.is_empty() || text.starts_with('#') {
        return Some(Line::Silent);
    }
    let name_end = text.find(['{', ' ', '\t']).unwrap_or(text.len());
    let (name, rest) = text.split_at(name_end);
    if !name.chars().all(is_name_char) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut name = Cow::Borrowed(name);
    let (labels, rest) = match rest.trim_start_matches([' ', '\t']).strip_prefix('{') {
        Some(inside) => parse_labels(inside, &mut name)?,
        None => (Vec::new(), rest),
    };
    if name.is_empty() || !rest.starts_with([' ', '\t']) {
        return None;
    }
    let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
    let value: f64 = words.next()?.parse().ok()?;
    match words.next() {
        // A timestamp, or the sign before an exemplar.
        Some(word) if word != "#" && word.parse::<f64>().is_err() => None,
        _ => Some(Line::Sample { name, labels, value }),
    }
}

const fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':')
}

/// Labels, each with its value.
type Labels<'l> = Vec<(Cow<'l, str>, Cow<'l, str>)>;

/// Reads labels up to their brace, and a name in quotes among them; answers with what is behind the brace.
fn parse_labels<'l>(mut rest: &'l str, name: &mut Cow<'l, str>) -> Option<(Labels<'l>, &'l str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let label = match rest.strip_prefix('"') {
            Some(inside) => {
                let (label, behind) = parse_quoted(inside)?;
                rest = behind;
                label
            }
            None => {
                let end = rest.find(|c| !is_name_char(c)).filter(|end| *end > 0)?;
                let (label, behind) = rest.split_at(end);
                rest = behind;
                Cow::Borrowed(label)
            }
        };
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.strip_prefix('=') {
            Some(behind) => {
                let inside = behind.trim_start_matches([' ', '\t']).strip_prefix('"')?;
                let (value, behind) = parse_quoted(inside)?;
                rest = behind;
                labels.push((label, value));
            }
            None if name.is_empty() => *name = label,
            None => return None,
        }
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if rest.starts_with('}') => {}
            None => return None,
        }
    }
}

/// Reads a text up to its closing quote; answers with it and what is behind the quote.
fn parse_quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let plain = text.find(['"', '\\'])?;
    if text[plain..].starts_with('"') {
        return Some((Cow::Borrowed(&text[..plain]), &text[plain + 1..]));
    }
    let mut value = text[..plain].to_owned();
    let mut characters = text[plain..].char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((Cow::Owned(value), &text[plain + at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                c @ ('"' | '\\') => value.push(c),
                // As Prometheus reads it: the backslash stands for itself.
                c => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Name, labels and value of a sample, for a comparison.
    fn sample(line: &str) -> Option<(String, String, f64)> {
        match parse_line(line.as_bytes())? {
            Line::Silent => Some((String::new(), String::new(), 0.0)),
            Line::Sample { name, labels, value } => {
                let labels: Vec<String> =
                    labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                Some((name.into_owned(), labels.join("|"), value))
            }
        }
    }

    #[test]
    fn lines_are_read_as_prometheus_reads_them() {
        let rows = [
            ("up 1", Some(("up", "", 1.0))),
            ("up\t1\r", Some(("up", "", 1.0))),
            ("  up   1.5e3  1395066363000 ", Some(("up", "", 1_500.0))),
            ("a:b_c{} -1", Some(("a:b_c", "", -1.0))),
            ("a{x=\"1\",y=\"2\",} 3", Some(("a", "x=1|y=2", 3.0))),
            ("a { x = \"1\" , y=\"2\" } 3", Some(("a", "x=1|y=2", 3.0))),
            ("a{x=\"q\\\"b\\\\n\\nz}, #\"} 4", Some(("a", "x=q\"b\\n\nz}, #", 4.0))),
            ("a{x=\"\\d\"} 4", Some(("a", "x=\\d", 4.0))),
            ("a{x=\"ü\"} +Inf", Some(("a", "x=ü", f64::INFINITY))),
            ("a_bucket{le=\"0.1\"} 8 # {trace_id=\"x y\"} 0.05 1.6", Some(("a_bucket", "le=0.1", 8.0))),
            ("a_total 17.0 1520879607.789 # {t=\"K\"} 9.8", Some(("a_total", "", 17.0))),
            ("{\"my.metric\",x=\"1\"} 5", Some(("my.metric", "x=1", 5.0))),
            ("{\"my.metric\", \"my label\"=\"1\"} 5", Some(("my.metric", "my label=1", 5.0))),
            ("# HELP up says", Some(("", "", 0.0))),
            ("# EOF", Some(("", "", 0.0))),
            ("", Some(("", "", 0.0))),
            ("<html>", None),
            ("{\"error\":\"x\"}", None),
            ("up", None),
            ("up one", None),
            ("up 1 two", None),
            ("1up 1", None),
            ("a{x=1} 1", None),
            ("a{x=\"1\" 1", None),
            ("a{x=\"1} 1", None),
            ("a{x=\"1\"}1", None),
            ("a{x=\"1\"y=\"2\"} 1", None),
            ("a{\"b\"} 1", None),
            ("{x=\"1\"} 1", None),
            ("a-b 1", None),
        ];
        for (line, expected) in rows {
            let expected = expected.map(|(name, labels, value)| (name.to_owned(), labels.to_owned(), value));
            assert_eq!(sample(line), expected, "{line}");
        }
        assert!(sample("a NaN").is_some_and(|(_, _, value)| value.is_nan()));
        assert_eq!(parse_line(b"a{x=\"\xff\"} 1"), None, "no UTF-8");
    }

    fn quoted(text: &str) -> String {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse_line(&line);
        }

        #[test]
        fn nor_one_that_is_nearly_right(line in "[a{}\"\\\\=, #1eENn.\t]{0,40}") {
            let _ = parse_line(line.as_bytes());
        }

        #[test]
        fn what_is_written_is_read_back(name in "[a-z_:][a-z0-9_:]{0,9}", label in "[^\r]{0,20}", value in any::<f64>()) {
            let line = format!("{name}{{x={}}} {value}", quoted(&label));
            let expected = Line::Sample {
                name: name.as_str().into(),
                labels: vec![("x".into(), label.as_str().into())],
                value,
            };
            let read = parse_line(line.as_bytes());
            prop_assert!(value.is_nan() || read == Some(expected), "{} {:?}", line, read);
        }
    }
}
