//! What a value may be, in words for people.
//!
//! In: shapes. Out: text, as the reference page has it.

use crate::declare::shape::{Hold, Shape, TableShape, TextShape};

/// What a value may be, in a few words.
pub(crate) fn in_words(shape: &Shape) -> String {
    match shape {
        Shape::Boolean => "`true` or `false`".to_owned(),
        Shape::Integer(ranges) => integer_in_words(ranges),
        Shape::Number { least, above, most } => {
            let from = if *above { "above" } else { "from" };
            let to = if *above { "and up to" } else { "to" };
            format!("number {from} {least} {to} {most}")
        }
        Shape::Text(text) => text_in_words(text),
        Shape::Words(words) => one_of(words.iter().map(|word| format!("`\"{}\"`", word.name))),
        Shape::List { of, least, most, .. } => list_in_words(of, *least, *most),
        Shape::Map(rows) => match rows.as_slice() {
            [(name, value)] => format!("table of {} and {}", name_in_words(name), in_words(value)),
            _ => "table".to_owned(),
        },
        Shape::Table(table) => table_in_words(table),
        Shape::Either(shapes) => one_of(shapes.iter().map(in_words)),
    }
}

fn integer_in_words(ranges: &[(u64, u64)]) -> String {
    let range = |(least, most): &(u64, u64)| match *most {
        most if most >= u64::MAX / 2 => format!("from {least}"),
        most => format!("{least} to {most}"),
    };
    format!("whole number, {}", one_of(ranges.iter().map(range)))
}

fn text_in_words(text: &TextShape) -> String {
    let name = name_in_words(text);
    let is_known =
        ["duration", "duration above zero", "rate", "share", "share above zero"].contains(&name.as_str());
    let example = text.examples.first().filter(|example| !is_known && !example.contains('`'));
    let example =
        example.map_or_else(String::new, |example| format!(" as `\"{}\"`", example.replace('"', "'")));
    match text.hold {
        Hold::Never => format!("{name}{example}"),
        _ => format!("{name}{example}, or a reference: `{{ env = \"NAME\" }}`, `{{ file = \"path\" }}`"),
    }
}

/// What a text is called.
fn name_in_words(text: &TextShape) -> String {
    match text.name {
        "text_or_reference" | "text_with_something_in_it" => "text".to_owned(),
        "ws_url" | "ws_url_template" => "WebSocket URL".to_owned(),
        "http_url" => "HTTP URL".to_owned(),
        "template" | "variable" | "header_template" => "text with variables".to_owned(),
        "pace" => "rate".to_owned(),
        "interval" | "duration_above_zero" => "duration above zero".to_owned(),
        "share_above_zero" => "share above zero".to_owned(),
        "header_name_that_is_free" => "header name".to_owned(),
        "inner_JSON_Pointer" => "JSON Pointer".to_owned(),
        name => name.replace('_', " "),
    }
}

fn list_in_words(of: &Shape, least: usize, most: Option<usize>) -> String {
    let count = match (least, most) {
        (least, Some(most)) if least == most => format!(" of {least}"),
        (0, None) => String::new(),
        (least, None) => format!(" of {least} or more"),
        (least, Some(most)) => format!(" of {least} to {most}"),
    };
    match of {
        Shape::Table(_) => format!("list{count} of tables"),
        other => format!("list{count}, each: {}", in_words(other)),
    }
}

/// A table with one key says it all; others have a place of their own.
fn table_in_words(table: &TableShape) -> String {
    match table.keys.as_slice() {
        [key] if table.variants.is_empty() => format!("`{{ {} = … }}` ({})", key.name, in_words(&key.shape)),
        _ => "table".to_owned(),
    }
}

fn one_of(ways: impl Iterator<Item = String>) -> String {
    let ways: Vec<String> = ways.collect();
    match ways.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    }
}
