//! A page of metrics, read as it comes.
//!
//! In: the series that are wanted, the page in pieces of any size. Out: for each series the numbers that match, each with what tells it from the others.
//! Only a line that is cut in two is kept, and what matches.

use std::borrow::Cow;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use super::line::{Line, parse_line};

/// The longest line.
const LONGEST_LINE: usize = 64 * 1024;
/// Most lines that may match a series.
const MOST_MATCHES: usize = 10_000;

/// Which lines of a page are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The metric's name.
    pub metric: String,
    /// What labels must be; an empty value: the label is not there.
    pub labels: Vec<(String, String)>,
}

/// The numbers that match a selector: what tells a line from the others of the metric, and its value. Those that are infinite or no number are left out.
pub type Found = Vec<(u64, f64)>;

/// Reads a page.
#[derive(Debug)]
pub struct PageReader<'s> {
    selectors: &'s [Selector],
    found: Vec<Found>,
    /// A line whose end has not come yet.
    line: Vec<u8>,
    has_sample: bool,
    has_nonsense: bool,
    fault: Option<String>,
}

impl<'s> PageReader<'s> {
    /// A reader that looks for these.
    #[must_use]
    pub fn new(selectors: &'s [Selector]) -> Self {
        let found = vec![Found::new(); selectors.len()];
        Self { selectors, found, line: Vec::new(), has_sample: false, has_nonsense: false, fault: None }
    }

    /// Takes in a piece of the page.
    pub fn take(&mut self, mut piece: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', piece) {
            let (rest, behind) = (&piece[..end], &piece[end + 1..]);
            if self.line.is_empty() {
                self.read(rest);
            } else {
                self.keep(rest);
                let line = std::mem::take(&mut self.line);
                self.read(&line);
                self.line = line;
                self.line.clear();
            }
            piece = behind;
        }
        self.keep(piece);
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.line.len() + piece.len() > LONGEST_LINE {
            self.fault.get_or_insert_with(|| format!("a line has more than {LONGEST_LINE} bytes"));
            self.line.clear();
        } else {
            self.line.extend_from_slice(piece);
        }
    }

    /// What was found for each selector, once the page is over.
    ///
    /// # Errors
    /// Why there is nothing, for people: it is no page of metrics, or one that cannot be read.
    pub fn finish(mut self) -> Result<Vec<Found>, String> {
        let last = std::mem::take(&mut self.line);
        self.read(&last);
        match self.fault {
            _ if self.has_nonsense && !self.has_sample => Err("what came is no page of metrics".to_owned()),
            Some(fault) => Err(fault),
            None => Ok(self.found),
        }
    }

    fn read(&mut self, line: &[u8]) {
        let name =
            &line[..line.iter().position(|byte| matches!(byte, b'{' | b' ' | b'\t')).unwrap_or(line.len())];
        // Names in quotes stand within the braces; a line that is indented is rare.
        let may_be = name.is_empty() || self.selectors.iter().any(|wanted| wanted.metric.as_bytes() == name);
        if !may_be && self.has_sample {
            return;
        }
        match parse_line(line) {
            Some(Line::Sample { name, labels, value }) => {
                self.has_sample = true;
                self.pick(&name, labels, value);
            }
            Some(Line::Silent) => {}
            None if may_be && !name.is_empty() => {
                let name = String::from_utf8_lossy(name).into_owned();
                self.fault.get_or_insert_with(|| format!("a line of {name} cannot be read"));
            }
            None => self.has_nonsense = true,
        }
    }

    fn pick(&mut self, name: &str, mut labels: Vec<(Cow<'_, str>, Cow<'_, str>)>, value: f64) {
        if !value.is_finite() {
            return;
        }
        let selectors =
            self.selectors.iter().zip(&mut self.found).filter(|(wanted, _)| wanted.metric == name);
        labels.sort_unstable();
        let mut hasher = DefaultHasher::new();
        labels.hash(&mut hasher);
        let which = hasher.finish();
        for (_, found) in selectors.filter(|(wanted, _)| wanted.takes(&labels)) {
            if found.len() < MOST_MATCHES {
                found.push((which, value));
            } else {
                self.fault.get_or_insert_with(|| {
                    format!("more than {MOST_MATCHES} lines of {name} match: name labels that they must have")
                });
            }
        }
    }
}

impl Selector {
    fn takes(&self, labels: &[(Cow<'_, str>, Cow<'_, str>)]) -> bool {
        let value_of = |name: &str| {
            labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value.as_ref())
        };
        self.labels.iter().all(|(name, value)| value_of(name) == value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn select(metric: &str, labels: &[(&str, &str)]) -> Selector {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Selector { metric: metric.to_owned(), labels }
    }

    fn read(selectors: &[Selector], page: &[u8], piece: usize) -> Result<Vec<Vec<f64>>, String> {
        let mut reader = PageReader::new(selectors);
        page.chunks(piece).for_each(|piece| reader.take(piece));
        let found = reader.finish()?;
        Ok(found.iter().map(|found| found.iter().map(|(_, value)| *value).collect()).collect())
    }

    const PAGE: &str = "# TYPE c gauge\nc{state=\"idle\"} 3\nc{state=\"active\"} 4\nc{state=\"active\",db=\"x\"} NaN\nother{state=\"idle\"} 9\n\nc_total 7\n{\"c.d\",state=\"idle\"} 8\nlast 5";

    #[test]
    fn what_is_wanted_is_found_in_whatever_pieces_it_comes() {
        let selectors = [
            select("c", &[]),
            select("c", &[("state", "active")]),
            select("c", &[("state", "active"), ("db", "")]),
            select("c.d", &[]),
            select("last", &[]),
            select("gone", &[]),
        ];
        let expected = vec![vec![3.0, 4.0], vec![4.0], vec![4.0], vec![8.0], vec![5.0], vec![]];
        for piece in [1, 2, 7, 64, 10_000] {
            assert_eq!(read(&selectors, PAGE.as_bytes(), piece).as_ref(), Ok(&expected), "{piece}");
        }
    }

    #[test]
    fn what_is_no_page_is_told() {
        let long = format!("c{{x=\"{}\"}} 1\n", "x".repeat(LONGEST_LINE));
        let many: String = (0..=MOST_MATCHES).map(|n| format!("c{{x=\"{n}\"}} 1\n")).collect();
        let rows = [
            ("<html>\n<body>c 1</body>\n", Err("what came is no page of metrics")),
            ("{\"status\":\"error\"}", Err("what came is no page of metrics")),
            ("c{x=\"1} 2\n", Err("a line of c cannot be read")),
            ("a 1\nc one\n", Err("a line of c cannot be read")),
            (long.as_str(), Err("a line has more than 65536 bytes")),
            (many.as_str(), Err("more than 10000 lines of c match: name labels that they must have")),
            ("", Ok(0)),
            ("# EOF\n", Ok(0)),
            ("c 1\nd one\n", Ok(1)),
            ("c 1", Ok(1)),
        ];
        for (page, expected) in rows {
            let found = read(&[select("c", &[])], page.as_bytes(), 1_000).map(|found| found[0].len());
            assert_eq!(found, expected.map_err(str::to_owned), "{}", &page[..page.len().min(40)]);
        }
    }

    #[test]
    fn a_line_is_told_from_others_by_its_labels_in_any_order() {
        let selectors = [select("c", &[])];
        let which = |page: &str| {
            let mut reader = PageReader::new(&selectors);
            reader.take(page.as_bytes());
            reader.finish().unwrap()[0][0].0
        };
        assert_eq!(which("c{a=\"1\",b=\"2\"} 1"), which("c{b=\"2\",a=\"1\"} 5"));
        assert_ne!(which("c{a=\"1\"} 1"), which("c{b=\"1\"} 1"));
    }

    proptest! {
        #[test]
        fn no_page_makes_it_panic_and_pieces_make_no_difference(page in "([a-c {}\"=\\\\#1]|\n){0,80}", piece in 1_usize..9) {
            let selectors = [select("a", &[]), select("b", &[("a", "")])];
            prop_assert_eq!(read(&selectors, page.as_bytes(), piece), read(&selectors, page.as_bytes(), 1_000));
        }
    }
}
