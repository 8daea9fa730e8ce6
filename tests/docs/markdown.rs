//! What the checks need to know of Markdown: fenced blocks, links, anchors, code spans, tables, sections.

use std::collections::BTreeSet;

/// A fenced block: what stands behind the opening fence, its text, and the line of that fence.
#[derive(Debug, Clone)]
pub(crate) struct Fence {
    pub(crate) info: String,
    pub(crate) body: String,
    pub(crate) line: usize,
}

impl Fence {
    /// The language: what comes before the first comma.
    pub(crate) fn language(&self) -> &str {
        self.info.split(',').next().unwrap_or_default()
    }

    /// Whether the block is marked with this word behind its language.
    pub(crate) fn is_marked(&self, word: &str) -> bool {
        self.info.split(',').skip(1).any(|mark| mark.trim() == word)
    }
}

/// Splits a page into its fenced blocks and the rest, whose line numbers stay.
fn split(text: &str) -> (Vec<Fence>, Vec<String>) {
    let mut fences = Vec::new();
    let mut prose = Vec::new();
    let mut open: Option<Fence> = None;
    for (at, line) in text.lines().enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        match open.as_mut() {
            Some(_) if is_fence => fences.extend(open.take()),
            Some(fence) => {
                fence.body.push_str(line);
                fence.body.push('\n');
            }
            None if is_fence => {
                let info = line.trim_start().trim_start_matches('`').trim().to_owned();
                open = Some(Fence { info, body: String::new(), line: at + 1 });
            }
            None => {
                prose.push(line.to_owned());
                continue;
            }
        }
        prose.push(String::new());
    }
    assert!(open.is_none(), "a fence is never closed: {open:?}");
    (fences, prose)
}

/// The fenced blocks of a page.
pub(crate) fn fences(text: &str) -> Vec<Fence> {
    split(text).0
}

/// A page without its fenced blocks, line by line.
pub(crate) fn prose(text: &str) -> Vec<String> {
    split(text).1
}

/// The code spans of a line, without their backticks.
pub(crate) fn code_spans(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// A line without its code spans.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("")
}

/// The targets of a page's links and images, each with its line. Those that name a reference are resolved; a reference that is
/// defined nowhere is a fault.
pub(crate) fn links(text: &str) -> Result<Vec<(usize, String)>, String> {
    let lines = prose(text);
    let mut found = Vec::new();
    let mut defined = BTreeSet::new();
    let mut used = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some((name, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            defined.insert(name.to_owned());
            found.push((at + 1, target.trim().to_owned()));
        }
        let line = without_code(line);
        for (behind, _) in line.match_indices("](") {
            let target = &line[behind + 2..];
            let end = target.find(')').ok_or(format!("line {}: a link does not end", at + 1))?;
            found.push((at + 1, target[..end].to_owned()));
        }
        for (behind, _) in line.match_indices("][") {
            let name = &line[behind + 2..];
            let end = name.find(']').ok_or(format!("line {}: a reference does not end", at + 1))?;
            used.push((at + 1, name[..end].to_owned()));
        }
    }
    match used.iter().find(|(_, name)| !defined.contains(name)) {
        Some((line, name)) => Err(format!("line {line}: the reference [{name}] is defined nowhere")),
        None => Ok(found),
    }
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
pub(crate) fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in prose(text).iter().filter(|line| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|n| format!("{slug}-{n}")).find(|slug| !found.contains(slug));
        found.insert(if found.contains(&slug) { again.unwrap_or_default() } else { slug });
    }
    found
}

/// The text between the heading of this title, of any level, and the next heading.
pub(crate) fn section<'a>(text: &'a str, title: &str) -> Option<&'a str> {
    let heading = format!("# {title}\n");
    let begin = text.find(&heading)? + heading.len();
    let rest = &text[begin..];
    let mut end = 0;
    let mut in_fence = false;
    for line in rest.split_inclusive('\n') {
        in_fence ^= line.starts_with("```");
        if line.starts_with('#') && !in_fence {
            break;
        }
        end += line.len();
    }
    Some(&rest[..end])
}

/// The first cells of all rows of a page's tables, heads left out.
pub(crate) fn first_cells(text: &str) -> Vec<String> {
    let lines = prose(text);
    let mut cells = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let is_head = lines.get(at + 1).is_some_and(|next| next.starts_with("|-") || next.starts_with("|:-"));
        if line.starts_with("| ") && !is_head {
            cells.push(line.trim_start_matches("| ").split(" |").next().unwrap_or_default().to_owned());
        }
    }
    cells
}

/// The code spans of the first cells of a page's tables: what the tables are about.
pub(crate) fn keys(text: &str) -> BTreeSet<String> {
    let cells = first_cells(text);
    cells.iter().flat_map(|cell| code_spans(cell)).map(str::to_owned).collect()
}
