//! The modules of a crate: what each defines, and what its names mean.
//!
//! In: files. Out: for a path as it stands in a module's code, the file that defines what it names.

use std::collections::BTreeMap;

use crate::files::{RustFile, Token, code};

/// A module's path from the crate's root.
pub(crate) type ModulePath = Vec<String>;

/// A name that `use` brings into a module.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    /// Its name here; `None` for everything in it.
    pub(crate) name: Option<String>,
    /// What it is, as it stands there.
    pub(crate) path: Vec<String>,
    pub(crate) is_public: bool,
}

/// A module: a file's, or one within a file.
#[derive(Debug, Default)]
pub(crate) struct Module {
    pub(crate) file: String,
    pub(crate) items: Vec<String>,
    pub(crate) imports: Vec<Import>,
    /// Its code, but for `use` and the modules within.
    pub(crate) body: Vec<Token>,
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    Module(ModulePath),
    /// An item, and the file that defines it.
    Item(String),
}

/// Every module of a crate.
#[derive(Debug, Default)]
pub(crate) struct Modules(BTreeMap<ModulePath, Module>);

impl Modules {
    /// The modules of the crate whose root is `src/lib.rs`, its tests left out.
    pub(crate) fn of(files: &[RustFile]) -> Self {
        let by_path: BTreeMap<&str, &RustFile> =
            files.iter().map(|file| (file.path.as_str(), file)).collect();
        let mut modules = Self::default();
        modules.read(&by_path, "src/lib.rs", "src", Vec::new());
        modules
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ModulePath, &Module)> {
        self.0.iter()
    }

    pub(crate) fn has(&self, module: &[String]) -> bool {
        self.0.contains_key(module)
    }

    fn read(&mut self, files: &BTreeMap<&str, &RustFile>, path: &str, folder: &str, at: ModulePath) {
        let Some(file) = files.get(path) else { return };
        self.add(files, path, folder, at, &code(&file.text));
    }

    fn add(
        &mut self,
        files: &BTreeMap<&str, &RustFile>,
        file: &str,
        folder: &str,
        at: ModulePath,
        code: &[Token],
    ) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut rest = code;
        while let Some((first, after)) = rest.split_first() {
            if first.is_word("use") {
                let end = after.iter().position(|token| token.is_sign(';')).unwrap_or(after.len());
                let is_public = take_visibility(&mut module.body);
                read_use(&after[..end], &mut Vec::new(), is_public, &mut module.imports);
                rest = &after[end..];
                continue;
            }
            if let ("mod", Some(name), Some(next)) =
                (first.word().unwrap_or(""), word_at(after, 0), after.get(1))
            {
                take_visibility(&mut module.body);
                let child: ModulePath = at.iter().cloned().chain([name.to_owned()]).collect();
                let own = format!("{folder}/{name}");
                match next.group('{') {
                    Some(inner) => self.add(files, file, &own, child, inner),
                    None => {
                        self.read(files, &format!("{own}.rs"), &own, child.clone());
                        self.read(files, &format!("{own}/mod.rs"), &own, child);
                    }
                }
                rest = &after[2..];
                continue;
            }
            if let Some(name) = item_name(first, after) {
                module.items.push(name.to_owned());
            }
            module.body.push(first.clone());
            rest = after;
        }
        self.0.insert(at, module);
    }

    /// What a path means that stands in the code of `at`; `None` for what is not of this crate.
    pub(crate) fn resolve(&self, at: &[String], path: &[String]) -> Option<Meaning> {
        self.resolve_within(at, path, 12)
    }

    fn resolve_within(&self, at: &[String], path: &[String], depth: u8) -> Option<Meaning> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.walk(Vec::new(), rest, depth),
            "self" => self.walk(at.to_vec(), rest, depth),
            "super" => {
                let ups = path.iter().take_while(|word| *word == "super").count();
                let up = at.len().checked_sub(ups)?;
                self.walk(at[..up].to_vec(), &path[ups..], depth)
            }
            name => {
                let meaning = self.lookup(at, name, rest.is_empty(), depth)?;
                self.go_on(meaning, rest, depth)
            }
        }
    }

    fn walk(&self, at: ModulePath, path: &[String], depth: u8) -> Option<Meaning> {
        let Some((first, rest)) = path.split_first() else { return Some(Meaning::Module(at)) };
        let file = self.0.get(&at)?.file.clone();
        // What a macro has made stands in no list.
        let meaning = self.lookup(&at, first, rest.is_empty(), depth).unwrap_or(Meaning::Item(file));
        self.go_on(meaning, rest, depth)
    }

    fn go_on(&self, meaning: Meaning, rest: &[String], depth: u8) -> Option<Meaning> {
        match meaning {
            Meaning::Module(module) => self.walk(module, rest, depth),
            item => Some(item),
        }
    }

    /// What a name means in a module: with nothing behind it, rather a function than the module of that name.
    fn lookup(&self, at: &[String], name: &str, is_last: bool, depth: u8) -> Option<Meaning> {
        let depth = depth.checked_sub(1)?;
        let module = self.0.get(at)?;
        let child: ModulePath = at.iter().cloned().chain([name.to_owned()]).collect();
        let is_module = self.0.contains_key(&child);
        if is_module && !is_last {
            return Some(Meaning::Module(child));
        }
        if module.items.iter().any(|item| item == name) {
            return Some(Meaning::Item(module.file.clone()));
        }
        let mut named = module.imports.iter().filter(|import| import.name.as_deref() == Some(name));
        if let Some(import) = named.next() {
            return self.resolve_within(at, &import.path, depth);
        }
        if is_module {
            return Some(Meaning::Module(child));
        }
        let globs = module.imports.iter().filter(|import| import.name.is_none());
        globs.filter_map(|glob| self.resolve_within(at, &glob.path, depth)).find_map(
            |meaning| match meaning {
                Meaning::Module(module) if module != at => self.lookup(&module, name, is_last, depth),
                _ => None,
            },
        )
    }
}

fn word_at(tokens: &[Token], at: usize) -> Option<&str> {
    tokens.get(at).and_then(Token::word)
}

/// Takes back a `pub` or `pub(…)` that was read last: it belongs to what is next. Answers whether there was one.
fn take_visibility(body: &mut Vec<Token>) -> bool {
    let length = match body.as_slice() {
        [.., last] if last.is_word("pub") => 1,
        [.., last, scope] if last.is_word("pub") && scope.group('(').is_some() => 2,
        _ => 0,
    };
    body.truncate(body.len() - length);
    length > 0
}

/// The name of the item that begins here.
fn item_name<'t>(first: &Token, after: &'t [Token]) -> Option<&'t str> {
    match first.word()? {
        "struct" | "enum" | "fn" | "trait" | "type" | "static" | "union" => word_at(after, 0),
        "const" => word_at(after, 0).filter(|name| !["fn", "unsafe", "async"].contains(name)),
        "macro_rules" => word_at(after, 1),
        _ => None,
    }
}

/// The names that the tree of a `use` brings.
fn read_use(tree: &[Token], prefix: &mut Vec<String>, is_public: bool, found: &mut Vec<Import>) {
    let depth = prefix.len();
    let mut rest = tree;
    loop {
        match rest {
            [sign, after @ ..] if sign.is_sign(':') => rest = after,
            [Token::Group('{', inner), ..] => {
                for branch in inner.split(|token| token.is_sign(',')) {
                    read_use(branch, prefix, is_public, found);
                }
                break;
            }
            [sign, ..] if sign.is_sign('*') => {
                found.push(Import { name: None, path: prefix.clone(), is_public });
                break;
            }
            [Token::Word(word), after @ ..] => {
                if word != "self" || prefix.is_empty() {
                    prefix.push(word.clone());
                }
                if after.first().is_some_and(|token| token.is_sign(':')) {
                    rest = after;
                    continue;
                }
                let name = match after {
                    [renamed, name, ..] if renamed.is_word("as") => name.word(),
                    _ => prefix.last().map(String::as_str),
                };
                let name = name.map(str::to_owned);
                found.extend(name.map(|name| Import { name: Some(name), path: prefix.clone(), is_public }));
                break;
            }
            _ => break,
        }
    }
    prefix.truncate(depth);
}
