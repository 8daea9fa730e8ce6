//! Values that are a word, a table with a single key, or something plain.
//!
//! In: the choices of a type. Out: its shape, and how it is read.

use crate::declare::reading::reader::{At, nearest};

use super::kind::Kind;
use super::shape::{FIRST, Key, Presence, Shape, TableShape, Word, line};

/// Reads a value for one choice.
type Read<T> = Box<dyn Fn(&At<'_>) -> Option<T>>;

/// The choices of a type.
pub(crate) struct Choices<T> {
    /// What a fault says is allowed.
    allowed: &'static str,
    words: Vec<(Word, T)>,
    keys: Vec<(Key, Read<T>)>,
    plain: Option<(Shape, Read<T>)>,
}

impl<T: Clone + 'static> Choices<T> {
    /// None yet. `allowed` is said of what is none of them.
    pub(crate) const fn new(allowed: &'static str) -> Self {
        Self { allowed, words: Vec::new(), keys: Vec::new(), plain: None }
    }

    /// A word.
    pub(crate) fn word(mut self, name: &'static str, about: &'static str, value: T) -> Self {
        self.words.push((Word { name, about }, value));
        self
    }

    /// A table with this key alone.
    pub(crate) fn key<K: Kind + 'static>(
        mut self,
        name: &'static str,
        about: &'static str,
        kind: K,
        meaning: impl Fn(K::Out) -> T + 'static,
    ) -> Self {
        let key =
            Key { name, about: line(about), shape: kind.shape(), presence: Presence::Required, since: FIRST };
        self.keys.push((key, Box::new(move |at| kind.read(at).map(&meaning))));
        self
    }

    /// A value that is neither.
    pub(crate) fn plain<K: Kind + 'static>(
        mut self,
        kind: K,
        meaning: impl Fn(K::Out) -> T + 'static,
    ) -> Self {
        self.plain = Some((kind.shape(), Box::new(move |at| kind.read(at).map(&meaning))));
        self
    }

    /// What a value may look like.
    pub(crate) fn shape(&self) -> Shape {
        let mut shapes = Vec::new();
        if !self.words.is_empty() {
            shapes.push(Shape::Words(self.words.iter().map(|(word, _)| *word).collect()));
        }
        shapes.extend(self.plain.iter().map(|(shape, _)| shape.clone()));
        let tables = self.keys.iter().map(|(key, _)| {
            let about = key.about.clone();
            Shape::Table(TableShape { about, keys: vec![key.clone()], ..TableShape::default() })
        });
        shapes.extend(tables);
        Shape::Either(shapes)
    }

    /// Reads a value.
    pub(crate) fn read(&self, at: &At<'_>) -> Option<T> {
        if let Some(table) = at.table().filter(|_| !self.keys.is_empty()) {
            let given: Vec<_> =
                self.keys.iter().filter_map(|(key, read)| Some((table.get(key.name)?, read))).collect();
            table.finish();
            return match given.as_slice() {
                [(at, read)] => read(at),
                _ => {
                    let message = format!("`{}` names {} choices", at.path, given.len());
                    at.fault(message, self.allowed);
                    None
                }
            };
        }
        let word = at.text().and_then(|text| self.words.iter().find(|(word, _)| word.name == text));
        match (word, &self.plain) {
            (Some((_, value)), _) => Some(value.clone()),
            (None, Some((_, read))) if at.text().is_none() || self.is_plain_text() => read(at),
            (None, _) => {
                let near = at.text().and_then(|text| nearest(text, self.words.iter().map(|(w, _)| w.name)));
                at.wrong(near.map_or_else(
                    || self.allowed.to_owned(),
                    |name| format!("did you mean \"{name}\"? Allowed: {}", self.allowed),
                ));
                None
            }
        }
    }

    fn is_plain_text(&self) -> bool {
        self.plain.as_ref().is_some_and(|(shape, _)| matches!(shape, Shape::Text(_)))
    }

    /// The word for a value.
    pub(crate) fn write(&self, value: &T) -> Option<String>
    where
        T: PartialEq,
    {
        self.words.iter().find(|(_, known)| known == value).map(|(word, _)| format!("\"{}\"", word.name))
    }
}
