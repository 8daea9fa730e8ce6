//! Text and tables within 80 columns.
//!
//! In: sentences, rows of cells. Out: lines that a terminal does not wrap. A table that is too wide loses its longest cells to lines of their own, then becomes
//! several tables, one below the other. No cell is left out; only long names are shortened.

use std::collections::BTreeMap;

use crate::units::wrapped;

use super::aligned::aligned;

/// The longest line, in characters.
pub(super) const WIDTH: usize = 80;
/// The longest name in a table that is too wide.
const MOST_NAME: usize = 24;
/// The longest cell that keeps its column in a table that is too wide.
const MOST_CELL: usize = 16;
/// Where the cells begin that have lines of their own.
const HANG: usize = 6;
/// Columns that name a row.
const NAMES: [&str; 8] = ["group", "kind", "from", "request", "exchange", "stream", "outage", "series"];

/// `text` in lines of at most [`WIDTH`] characters: the first begins with `mark`, the others with `hang` spaces. A word that is longer is broken.
pub(super) fn folded(mark: &str, text: &str, hang: usize) -> Vec<String> {
    let room = WIDTH - mark.chars().count().max(hang).min(WIDTH / 2);
    let is_long = |word: &str| word.chars().nth(room).is_some();
    if !text.split_whitespace().any(is_long) {
        return wrapped(mark, text, hang, WIDTH);
    }
    let letters = |word: &str| word.chars().collect::<Vec<char>>();
    let parts = text.split_whitespace().flat_map(|word| {
        letters(word).chunks(room).map(|part| part.iter().collect()).collect::<Vec<String>>()
    });
    wrapped(mark, &parts.collect::<Vec<String>>().join(" "), hang, WIDTH)
}

/// A table in lines of at most [`WIDTH`] characters; the first row is the header.
pub(super) fn fitted(rows: &[Vec<String>]) -> String {
    if rows.len() < 2 || widest(&aligned(rows)) <= WIDTH {
        return aligned(rows);
    }
    let header = &rows[0];
    let names = header.iter().take_while(|title| NAMES.contains(&title.as_str())).count().clamp(1, 3);
    let rows = with_short_names(rows, names);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize, from: usize| {
        let cells = rows.iter().skip(from).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (kept, apart): (Vec<usize>, Vec<usize>) =
        (names..columns).partition(|column| width(*column, 1) <= MOST_CELL);
    let of_names = (0..names).map(|column| width(column, 0) + 2).sum::<usize>();
    let mut blocks: Vec<Vec<usize>> = vec![Vec::new()];
    let mut taken = of_names;
    for column in kept {
        let own = width(column, 0) + 2;
        if taken + own > WIDTH && blocks.last().is_some_and(|block| !block.is_empty()) {
            blocks.push(Vec::new());
            taken = of_names;
        }
        taken += own;
        if let Some(block) = blocks.last_mut() {
            block.push(column);
        }
    }
    let mut text = String::new();
    for (at, block) in blocks.iter().enumerate() {
        let picked: Vec<Vec<String>> = rows.iter().map(|row| picked(row, names, block)).collect();
        let is_last = at + 1 == blocks.len();
        for (row, line) in rows.iter().zip(aligned(&picked).lines()) {
            text.push_str(line);
            text.push('\n');
            let is_header = std::ptr::eq(row, &rows[0]);
            for column in apart.iter().filter(|_| is_last && !is_header) {
                text.push_str(&cell_apart(header, row, *column));
            }
        }
    }
    text
}

fn picked(row: &[String], names: usize, block: &[usize]) -> Vec<String> {
    (0..names)
        .chain(block.iter().copied())
        .map(|column| row.get(column).cloned().unwrap_or_default())
        .collect()
}

/// A long cell, below its row.
fn cell_apart(header: &[String], row: &[String], column: usize) -> String {
    let empty = String::new();
    let (title, cell) = (header.get(column).unwrap_or(&empty), row.get(column).unwrap_or(&empty));
    if cell.is_empty() || cell == "-" {
        return String::new();
    }
    let lines = folded(&" ".repeat(HANG), &format!("{title}: {cell}"), HANG + 2);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The rows with long names shortened: what is cut is in their middle, and no two become the same.
fn with_short_names(rows: &[Vec<String>], names: usize) -> Vec<Vec<String>> {
    let mut rows = rows.to_vec();
    for column in 0..names {
        let mut short: BTreeMap<String, String> = BTreeMap::new();
        for row in rows.iter_mut().skip(1) {
            let Some(cell) = row.get_mut(column) else { continue };
            if let Some(known) = short.get(cell) {
                known.clone_into(cell);
                continue;
            }
            let mut own = shortened(cell, MOST_NAME);
            let mut number = 2;
            while short.values().any(|other| *other == own) {
                let sign = format!("~{number}");
                own = shortened(cell, MOST_NAME - sign.len()) + &sign;
                number += 1;
            }
            short.insert(std::mem::replace(cell, own.clone()), own);
        }
    }
    rows
}

/// `text`, or its beginning and its end, `most` characters in all.
fn shortened(text: &str, most: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= most {
        return text.to_owned();
    }
    let head = most / 2;
    let tail = most - head - 1;
    letters[..head].iter().chain(['…'].iter()).chain(&letters[letters.len() - tail..]).collect()
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str) -> Vec<Vec<String>> {
        text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_table_that_fits_stays_as_it_is() {
        let rows = rows("group|ok|causes\na|1|403 stale_token 12");
        assert_eq!(fitted(&rows), aligned(&rows));
    }

    #[test]
    fn long_cells_get_lines_of_their_own_and_the_rest_stands_in_several_tables() {
        let long = "w ".repeat(45);
        let wide = rows(&format!("group|ok|not ok\na|1|{}\nb|2|-", long.trim()));
        insta::assert_snapshot!(fitted(&wide), @r"
          group  ok
          a       1
              not ok: w w w w w w w w w w w w w w w w w w w w w w w w w w w w w w w w w
                w w w w w w w w w w w w
          b       2
        ");
        let columns = ["one million calls", "12,345,678", "99.9 s"].repeat(3).join("|");
        let wide = rows(&format!("group|{}\nname|{columns}", "title|".repeat(9).trim_end_matches('|')));
        let text = fitted(&wide);
        assert!(widest(&text) <= WIDTH, "{text}");
        assert_eq!(text.matches("one million calls").count(), 3, "{text}");
        assert_eq!(text.matches("12,345,678").count(), 3, "{text}");
    }

    #[test]
    fn long_names_stay_apart() {
        let name = |end: &str| format!("{}{end}", "a-very-long-name-of-a-group-".repeat(2));
        let wide = rows(&format!(
            "group|{}\n{}|1\n{}|2\n{}|3",
            "x".repeat(60),
            name("first-the-end-of-it"),
            name("other-the-end-of-it"),
            name("first-the-end-of-it")
        ));
        let text = fitted(&wide);
        let names: Vec<&str> = text
            .lines()
            .filter(|line| line.contains('…'))
            .filter_map(|l| l.split_whitespace().next())
            .collect();
        assert_eq!(
            names,
            ["a-very-long-…e-end-of-it", "a-very-long…-end-of-it~2", "a-very-long-…e-end-of-it"]
        );
    }

    #[test]
    fn sentences_break_words_that_no_line_holds() {
        let lines = folded("  ", &format!("short {}", "x".repeat(200)), 4);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:?}");
        assert_eq!(lines.concat().matches('x').count(), 200);
    }

    proptest! {
        #[test]
        fn no_table_is_wider_and_none_loses_a_number(
            counts in prop::collection::vec(prop::collection::vec(0_u64..20_000_000_000, 12), 1..5),
            name in "[a-z-]{1,64}",
        ) {
            let mut rows = vec![vec!["group".to_owned()]];
            rows[0].extend((0..12).map(|column| format!("column {column}")));
            for (at, counts) in counts.iter().enumerate() {
                let cells = counts.iter().map(|count| crate::units::format_count(*count));
                rows.push([format!("{name}{at}")].into_iter().chain(cells).collect());
            }
            let text = fitted(&rows);
            prop_assert!(widest(&text) <= WIDTH, "{}", text);
            for cell in rows.iter().skip(1).flat_map(|row| &row[1..]) {
                prop_assert!(text.contains(cell.as_str()), "{} in {}", cell, text);
            }
        }
    }
}
