//! Fields that another file writes where a function of their struct could say it.
//!
//! In: files. Out: each struct whose `pub(…)` field is assigned to, or changed by a method of a collection, in a file that neither
//! imports it and does not extend it. A heuristic: a field is known by its name.

use std::collections::BTreeSet;

use crate::files::{RustFile, Token, code};
use crate::imports::{Imports, imports};
use crate::modules::Modules;

/// Methods that change what they are called on.
const CHANGES: [&str; 14] = [
    "push",
    "push_back",
    "push_front",
    "push_str",
    "pop",
    "pop_front",
    "insert",
    "remove",
    "clear",
    "extend",
    "retain",
    "truncate",
    "drain",
    "append",
];

/// Types whose methods those are; a type of our own has functions that say what they do.
const COLLECTIONS: [&str; 9] =
    ["Vec", "VecDeque", "HashMap", "HashSet", "BTreeMap", "BTreeSet", "BinaryHeap", "String", "Option"];

/// A field that others may write.
struct Field {
    owner: String,
    name: String,
    is_collection: bool,
    file: String,
    /// The folder or file within which it may be written.
    within: String,
}

/// A struct that another file writes: the file, then the struct.
pub(crate) type Written = (String, String);

/// The structs that other files write.
pub(crate) fn written_elsewhere(files: &[RustFile]) -> BTreeSet<Written> {
    let read: Vec<(&str, Vec<Token>)> =
        files.iter().map(|file| (file.path.as_str(), code(&file.text))).collect();
    let mut fields = Vec::new();
    for (file, code) in &read {
        each_struct(code, &mut |owner, body| {
            let shared = body.windows(5).filter(|field| is_shared_field(field));
            fields.extend(shared.map(|field| Field {
                owner: owner.to_owned(),
                name: field[2].word().unwrap().to_owned(),
                is_collection: field[4].word().is_some_and(|name| COLLECTIONS.contains(&name)),
                file: (*file).to_owned(),
                within: within(file, field[1].group('(').unwrap()),
            }));
        });
    }
    let imports = imports(&Modules::of(files));
    read.iter()
        .filter(|(file, _)| imports.contains_key(*file))
        .flat_map(|(file, code)| written_by(file, code, &fields, &imports))
        .collect()
}

/// What this file writes of others.
fn written_by(file: &str, code: &[Token], fields: &[Field], imports: &Imports) -> Vec<Written> {
    let mut own = BTreeSet::new();
    each_struct(code, &mut |owner, body| {
        own.insert(owner.to_owned());
        own.extend(
            body.windows(2)
                .filter(|two| two[1].is_sign(':'))
                .filter_map(|two| Some(two[0].word()?.to_owned())),
        );
    });
    let extended = extended_types(code);
    let mut written = Names::default();
    writes(code, &mut written);
    let of_others = fields.iter().filter(|field| {
        file.starts_with(&field.within)
            && imports[file].contains(&field.file)
            && (written.assigned.contains(&field.name)
                || field.is_collection && written.changed.contains(&field.name))
            && !own.contains(&field.name)
            && !extended.contains(&field.owner)
    });
    of_others.map(|field| (file.to_owned(), field.owner.clone())).collect()
}

/// Where a field may be written that is shown as `pub(super)`, `pub(in crate::a::b)` or `pub(crate)`: the beginning of the paths there.
fn within(file: &str, shown: &[Token]) -> String {
    let words: Vec<&str> = shown.iter().filter_map(Token::word).collect();
    match words.as_slice() {
        ["in", "crate", path @ ..] => format!("src/{}", path.join("/")),
        ["super"] => {
            let module = file.strip_suffix("/mod.rs").unwrap_or(file);
            module.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned()
        }
        _ => String::new(),
    }
}

/// `pub(…) name:`
fn is_shared_field(tokens: &[Token]) -> bool {
    tokens[0].is_word("pub")
        && tokens[1].group('(').is_some()
        && tokens[2].word().is_some()
        && tokens[3].is_sign(':')
}

/// Calls `visit` with the name and the fields of each struct.
fn each_struct(code: &[Token], visit: &mut impl FnMut(&str, &[Token])) {
    for (at, token) in code.iter().enumerate() {
        if let Token::Group(_, inner) = token {
            each_struct(inner, visit);
        }
        let (true, Some(name)) = (token.is_word("struct"), code.get(at + 1).and_then(Token::word)) else {
            continue;
        };
        let ends =
            |token: &&Token| token.is_sign(';') || token.group('{').is_some() || token.group('(').is_some();
        if let Some(body) = code[at..].iter().find(ends).and_then(|body| body.group('{')) {
            visit(name, body);
        }
    }
}

/// The types that a file has methods for.
fn extended_types(code: &[Token]) -> BTreeSet<String> {
    let mut types = BTreeSet::new();
    for (at, _) in code.iter().enumerate().filter(|(_, token)| token.is_word("impl")) {
        let head = code[at..].iter().take_while(|token| token.group('{').is_none());
        types.extend(head.filter_map(Token::word).map(str::to_owned));
    }
    types
}

/// The names of the fields that are written, by how.
#[derive(Default)]
struct Names {
    assigned: BTreeSet<String>,
    /// By a method of a collection.
    changed: BTreeSet<String>,
}

/// Adds the names of the fields that are written.
fn writes(code: &[Token], names: &mut Names) {
    for (at, token) in code.iter().enumerate() {
        if let Token::Group(_, inner) = token {
            writes(inner, names);
        }
        if let [dot, Token::Word(name), after @ ..] = &code[at..] {
            let after = match after {
                [index, rest @ ..] if index.group('[').is_some() => rest,
                _ => after,
            };
            if dot.is_sign('.') && is_assignment(after) {
                names.assigned.insert(name.clone());
            }
            if dot.is_sign('.') && is_change(after) {
                names.changed.insert(name.clone());
            }
        }
    }
}

/// `=`, `+=` and their like; not `==` and `=>`.
fn is_assignment(after: &[Token]) -> bool {
    match after {
        [first, second, ..] if first.is_sign('=') => !second.is_sign('=') && !second.is_sign('>'),
        [Token::Sign('+' | '-' | '*' | '/' | '%' | '|' | '&' | '^'), second, ..] => second.is_sign('='),
        _ => false,
    }
}

fn is_change(after: &[Token]) -> bool {
    match after {
        [dot, Token::Word(method), arguments, ..] => {
            dot.is_sign('.') && CHANGES.contains(&method.as_str()) && arguments.group('(').is_some()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(writer: &str) -> Vec<Written> {
        let owner = "pub struct Queue { pub(super) waiting: Vec<u8>, pub(super) count: u64, pub(super) line: Line, pub open: bool, own: u8 }";
        let writer = format!("use super::queue::Queue; {writer}");
        let root = "mod queue; mod writer;";
        let files = [("src/lib.rs", root), ("src/queue.rs", owner), ("src/writer.rs", &writer)];
        let files = files.map(|(path, text)| RustFile { path: path.to_owned(), text: text.to_owned() });
        written_elsewhere(&files).into_iter().collect()
    }

    #[test]
    fn what_another_file_writes_is_found_and_what_it_reads_is_not() {
        let found = [("src/writer.rs".to_owned(), "Queue".to_owned())];
        for text in [
            "q.count += 1",
            "q.count = 2",
            "self.q.waiting.push(3)",
            "q.waiting[0] = 1",
            "{ (q.waiting.clear()) }",
        ] {
            assert_eq!(written(&format!("fn f() {{ {text}; }}")), found, "{text}");
        }
        for text in [
            "q.count == 2",
            "match x { _ if q.count => 1 }",
            "q.waiting.len()",
            "q.line.push(3)",
            "q.count + 1",
            "q.open = true",
        ] {
            assert_eq!(written(&format!("fn f() {{ {text}; }}")), [], "{text}");
        }
    }

    #[test]
    fn a_field_is_written_where_it_can_be_seen() {
        let words =
            |text: &str| text.split("::").map(|word| Token::Word(word.to_owned())).collect::<Vec<_>>();
        let within = |file, shown| within(file, &words(shown));
        assert_eq!(within("src/a/b.rs", "super"), "src/a");
        assert_eq!(within("src/a/b/mod.rs", "super"), "src/a");
        assert_eq!(within("src/a/b.rs", "in::crate::c::d"), "src/c/d");
        assert_eq!(within("src/a/b.rs", "crate"), "");
    }

    #[test]
    fn a_type_may_be_written_where_its_methods_are_and_a_name_of_ones_own_is_ones_own() {
        assert_eq!(written("impl Queue { fn f(&mut self) { self.count = 1; } }"), []);
        assert_eq!(written("struct Mine { count: u64 } fn f(m: &mut Mine) { m.count = 1; }"), []);
    }
}
