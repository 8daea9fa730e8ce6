//! The project's Rust files, and a file as tokens.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A Rust file: its path relative to the project, and its text.
pub(crate) struct RustFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The Rust files below these folders of the project, by path.
pub(crate) fn rust_files(folders: &[&str]) -> Vec<RustFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = folders.iter().flat_map(|folder| paths_below(&root.join(folder))).collect();
    paths.sort();
    let read = |path: PathBuf| RustFile {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
    };
    paths.into_iter().map(read).collect()
}

fn paths_below(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.extend(paths_below(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            paths.push(path);
        }
    }
    paths
}

/// A piece of code. Groups are kept apart from what stands around them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Word(String),
    Sign(char),
    Group(char, Vec<Token>),
    Literal,
}

impl Token {
    pub(crate) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    pub(crate) fn is_sign(&self, sign: char) -> bool {
        *self == Self::Sign(sign)
    }

    pub(crate) fn group(&self, opening: char) -> Option<&[Token]> {
        match self {
            Self::Group(own, inner) if *own == opening => Some(inner),
            _ => None,
        }
    }
}

/// The code of a file without its tests; comments are none.
pub(crate) fn code(text: &str) -> Vec<Token> {
    without_tests(&tokens(text.parse::<TokenStream>().unwrap()))
}

fn tokens(stream: TokenStream) -> Vec<Token> {
    let token = |tree| match tree {
        TokenTree::Ident(word) => Token::Word(word.to_string()),
        TokenTree::Punct(sign) => Token::Sign(sign.as_char()),
        TokenTree::Literal(_) => Token::Literal,
        TokenTree::Group(group) => {
            let opening = match group.delimiter() {
                Delimiter::Parenthesis => '(',
                Delimiter::Brace => '{',
                Delimiter::Bracket => '[',
                Delimiter::None => ' ',
            };
            Token::Group(opening, tokens(group.stream()))
        }
    };
    stream.into_iter().map(token).collect()
}

/// Leaves out whatever stands under `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut rest = tokens;
    while let Some((first, after)) = rest.split_first() {
        if let Some(item) = after_test_mark(rest) {
            rest = after_item(item);
            continue;
        }
        kept.push(match first {
            Token::Group(opening, inner) => Token::Group(*opening, without_tests(inner)),
            other => other.clone(),
        });
        rest = after;
    }
    kept
}

/// What stands behind `#[cfg(test)]`, where that is next.
fn after_test_mark(tokens: &[Token]) -> Option<&[Token]> {
    let [mark, attribute, rest @ ..] = tokens else { return None };
    let is_test = match attribute.group('[')? {
        [cfg, condition] => cfg.is_word("cfg") && condition.group('(')?.first()?.is_word("test"),
        _ => false,
    };
    (mark.is_sign('#') && is_test).then_some(rest)
}

/// What stands behind an item, or behind the field, variant or arm that is next.
fn after_item(mut tokens: &[Token]) -> &[Token] {
    const ITEMS: [&str; 14] = [
        "use",
        "mod",
        "fn",
        "const",
        "static",
        "struct",
        "enum",
        "impl",
        "trait",
        "type",
        "async",
        "unsafe",
        "pub",
        "macro_rules",
    ];
    while let [mark, attribute, rest @ ..] = tokens {
        if !mark.is_sign('#') || attribute.group('[').is_none() {
            break;
        }
        tokens = rest;
    }
    let is_item = tokens.first().and_then(Token::word).is_some_and(|word| ITEMS.contains(&word));
    let is_use = tokens.iter().take(3).any(|token| token.is_word("use"));
    let ends = |token: &Token| {
        token.is_sign(';') || !is_use && token.group('{').is_some() || !is_item && token.is_sign(',')
    };
    let end = tokens.iter().position(ends).map_or(tokens.len(), |at| at + 1);
    &tokens[end..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_no_code() {
        let text = "
            use a::b; // use a::comment
            #[cfg(test)] pub(crate) use x::{y, z};
            #[cfg(test)] mod tests;
            #[cfg(test)] #[allow(unused)] fn f<A, B>() -> A { g() }
            struct S { #[cfg(test)] only: u8, kept: u8 }
            #[cfg(test)] mod more { fn h() {} }
            fn last() {}";
        assert_eq!(code(text), tokens("use a::b; struct S { kept: u8 } fn last() {}".parse().unwrap()));
    }
}
