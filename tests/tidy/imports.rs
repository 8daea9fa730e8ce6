//! Which file imports which.
//!
//! In: the modules of a crate. Out: edges from the file that names something to the file that defines it.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::Token;
use crate::modules::{Import, Meaning, Module, ModulePath, Modules};

/// For each file, the files that it needs.
pub(crate) type Imports = BTreeMap<String, BTreeSet<String>>;

/// The edges between the files of a crate.
pub(crate) fn imports(modules: &Modules) -> Imports {
    let mut found = Imports::new();
    for (at, module) in modules.iter() {
        let needed = found.entry(module.file.clone()).or_default();
        needed.extend(files_needed(modules, at, module));
        needed.remove(&module.file);
    }
    found
}

fn files_needed(modules: &Modules, at: &ModulePath, module: &Module) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    let mut need = |path: &[String]| {
        if let Some(Meaning::Item(file)) = modules.resolve(at, path) {
            needed.insert(file);
        }
    };
    for import in module.imports.iter().filter(|import| !is_re_export(modules, at, import)) {
        need(&import.path);
        if import.name.is_none() {
            need(&[import.path.as_slice(), &["*".to_owned()]].concat());
        }
    }
    each_path(&module.body, &mut need);
    needed
}

/// A folder that shows what its own files define needs none of them for that.
fn is_re_export(modules: &Modules, at: &ModulePath, import: &Import) -> bool {
    let first = import.path.iter().find(|word| *word != "self");
    import.is_public
        && first.is_some_and(|first| modules.has(&[at.as_slice(), std::slice::from_ref(first)].concat()))
}

/// Calls `visit` with every path that stands in the code.
pub(crate) fn each_path(tokens: &[Token], visit: &mut impl FnMut(&[String])) {
    let mut at = 0;
    while at < tokens.len() {
        if let Token::Group(_, inner) = &tokens[at] {
            each_path(inner, visit);
        }
        let path = path_at(tokens, at);
        // A name behind a dot is a field or a method; one with a colon behind it names a field.
        let is_member = at > 0 && tokens[at - 1].is_sign('.') && !(at > 1 && tokens[at - 2].is_sign('.'));
        let next = at + (3 * path.len()).saturating_sub(2);
        let is_value = path.len() == 1 && starts_low(&path[0]) && !is_called(tokens.get(next));
        if !path.is_empty() && !is_member && !is_value {
            visit(&path);
        }
        at = next.max(at + 1);
    }
}

fn starts_low(word: &str) -> bool {
    word.starts_with(|first: char| first.is_lowercase())
}

fn is_called(next: Option<&Token>) -> bool {
    next.is_some_and(|token| token.group('(').is_some() || token.is_sign('!'))
}

/// The words with `::` between them from `at` on.
fn path_at(tokens: &[Token], at: usize) -> Vec<String> {
    let mut path = Vec::new();
    let mut rest = &tokens[at..];
    while let [Token::Word(word), after @ ..] = rest {
        path.push(word.clone());
        match after {
            [first, second, next @ ..]
                if first.is_sign(':') && second.is_sign(':') && matches!(next, [Token::Word(_), ..]) =>
            {
                rest = next;
            }
            _ => break,
        }
    }
    path
}

/// Files that need each other, in whatever number of steps: each circle by path.
pub(crate) fn circles(imports: &Imports) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> =
        imports.keys().map(|file| (file, reachable(imports, file))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (file, reached) in &reach {
        if !reached.contains(*file) || circles.iter().any(|circle| circle.contains(*file)) {
            continue;
        }
        let back = |other: &&&String| reach.get(**other).is_some_and(|from_there| from_there.contains(*file));
        circles.push(reached.iter().filter(back).map(|other| (*other).clone()).collect());
    }
    circles
}

fn reachable<'i>(imports: &'i Imports, from: &String) -> BTreeSet<&'i String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = imports.get(from).into_iter().flatten().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(imports.get(file).into_iter().flatten());
        }
    }
    reached
}

/// A circle with the edges within it, for people.
pub(crate) fn in_words(circle: &BTreeSet<String>, imports: &Imports) -> String {
    let edges = circle.iter().map(|file| {
        let within: Vec<&str> = imports[file].intersection(circle).map(String::as_str).collect();
        format!("  {file} needs {}", within.join(", "))
    });
    edges.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::RustFile;

    fn imports_of(files: &[(&str, &str)]) -> Imports {
        let file =
            |(path, text): &(&str, &str)| RustFile { path: format!("src/{path}"), text: (*text).to_owned() };
        imports(&Modules::of(&files.iter().map(file).collect::<Vec<_>>()))
    }

    fn needs(imports: &Imports, file: &str) -> Vec<String> {
        imports[&format!("src/{file}")]
            .iter()
            .map(|needed| needed.trim_start_matches("src/").to_owned())
            .collect()
    }

    #[test]
    fn a_circle_is_found_and_a_chain_is_none() {
        let chain = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "pub struct B; fn f() -> crate::c::C { crate::c::C }"),
        ];
        let closed = imports_of(&[&chain[..], &[("c.rs", "pub struct C; use super::a::A;")]].concat());
        let circles_found = circles(&closed);
        assert_eq!(circles_found.len(), 1);
        assert_eq!(circles_found[0].iter().collect::<Vec<_>>(), ["src/a.rs", "src/b.rs", "src/c.rs"]);
        assert!(in_words(&circles_found[0], &closed).contains("src/b.rs needs src/c.rs"));
        let open = imports_of(
            &[&chain[..], &[("c.rs", "pub struct C; #[cfg(test)] mod tests { use super::a::A; }")]].concat(),
        );
        assert!(circles(&open).is_empty(), "tests may look at anything");
        assert_eq!(
            (needs(&open, "a.rs"), needs(&open, "b.rs")),
            (vec!["b.rs".to_owned()], vec!["c.rs".to_owned()])
        );
    }

    #[test]
    fn a_re_export_leads_to_the_file_that_defines_it() {
        let found = imports_of(&[
            ("lib.rs", "mod top; mod user; mod glob;"),
            (
                "top/mod.rs",
                "mod deep; mod sibling; pub use deep::{Item as Named, make}; pub struct Own; use sibling::Private;",
            ),
            ("top/deep/mod.rs", "mod leaf; pub use leaf::*;"),
            ("top/deep/leaf.rs", "pub struct Item; pub fn make() {}"),
            (
                "top/sibling.rs",
                "use super::Named; pub struct Private; fn f(own: super::Own) { super::make() }",
            ),
            ("user.rs", "use crate::top::{self, Named}; fn f() { top::make(); }"),
            ("glob.rs", "use crate::top::*; fn f(own: Own) {}"),
        ]);
        assert_eq!(needs(&found, "user.rs"), ["top/deep/leaf.rs"]);
        assert_eq!(needs(&found, "top/deep/mod.rs"), [""; 0], "a re-export is no need");
        assert_eq!(needs(&found, "top/sibling.rs"), ["top/deep/leaf.rs", "top/mod.rs"]);
        assert_eq!(needs(&found, "top/mod.rs"), ["top/sibling.rs"]);
        assert_eq!(needs(&found, "glob.rs"), ["top/mod.rs"]);
        assert_eq!(circles(&found).len(), 1, "a folder and its file need each other");
    }

    #[test]
    fn what_a_folder_shows_and_uses_itself_is_needed() {
        let shows = |body: &str| {
            let text = format!("mod noun; mod verb; pub use noun::Noun; pub use verb::verb; {body}");
            let found = imports_of(&[
                ("lib.rs", &text),
                ("noun.rs", "pub struct Noun;"),
                ("verb.rs", "pub fn verb() {}"),
            ]);
            needs(&found, "lib.rs")
        };
        assert_eq!(shows(""), [""; 0]);
        assert_eq!(shows("fn f(n: Noun) {}"), ["noun.rs"]);
        assert_eq!(shows("fn f() { vec![verb()]; }"), ["verb.rs"]);
        assert_eq!(shows("fn f(verb: u8) { x.verb(); }"), [""; 0], "a value's name");
    }

    #[test]
    fn modules_within_a_file_and_other_crates_are_told_apart() {
        let found = imports_of(&[
            ("lib.rs", "mod a; mod log;"),
            (
                "a.rs",
                "use std::log::X; mod inner { use super::super::log::Log; fn f() { std::mem::drop(1); } }",
            ),
            ("log.rs", "pub struct Log;"),
        ]);
        assert_eq!(needs(&found, "a.rs"), ["log.rs"]);
    }
}
