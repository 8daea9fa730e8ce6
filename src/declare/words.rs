//! Enums of words.
//!
//! In: an enum whose variants have words. Out: the enum, its names, how it is read.

use crate::declare::reading::reader::{At, nearest};

use super::kind::Kind;
use super::shape::{Shape, Word};

/// A word that a key may have beside those of its own type: whoever reads the table takes it before. Told to the keys of that table.
#[derive(Debug, Clone)]
pub(crate) struct AlsoAllowed {
    /// The key's dotted path.
    pub(crate) path: String,
    /// The word.
    pub(crate) word: &'static str,
}

/// Reads one of some words.
pub(crate) fn read_word<T: Copy>(at: &At<'_>, words: &[(Word, T)]) -> Option<T> {
    let also = at.reading.told::<AlsoAllowed>().filter(|also| also.path == at.path);
    let names = || words.iter().map(|(word, _)| word.name).chain(also.as_ref().map(|also| also.word));
    let list = names().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let Some(text) = at.text() else {
        at.wrong(format!("one of {list} is needed"));
        return None;
    };
    if let Some((_, value)) = words.iter().find(|(word, _)| word.name == text) {
        return Some(*value);
    }
    let near = nearest(text, names());
    at.wrong(near.map_or_else(
        || format!("one of {list} is needed"),
        |name| format!("did you mean \"{name}\"? Allowed: {list}"),
    ));
    None
}

/// Declares an enum each of whose variants is a word in the file.
macro_rules! words {
    (
        $(#[doc = $about:literal])+
        $(#[derive($($derive:ident),+)])?
        pub enum $Name:ident {
            $( $(#[doc = $doc:literal])+ $Variant:ident = $word:literal, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq $($(, $derive)+)?)]
        pub enum $Name {
            $( #[doc = concat!("`\"", $word, "\"`:")] $(#[doc = $doc])+ $Variant, )+
        }

        impl $Name {
            /// Every one of them.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$Variant),+];

            /// The word that files and reports use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $word,)+
                }
            }

        }

        impl $crate::declare::words::Worded for $Name {
            const WORDS: &'static [($crate::declare::shape::Word, Self)] = &[
                $((
                    $crate::declare::shape::Word { name: $word, about: concat!($($doc),+) },
                    Self::$Variant,
                ),)+
            ];
        }

        impl $crate::declare::kind::Value for $Name {
            fn shape() -> $crate::declare::shape::Shape {
                $crate::declare::shape::Shape::Words(
                    <Self as $crate::declare::words::Worded>::WORDS.iter().map(|(word, _)| *word).collect(),
                )
            }

            fn read(at: &$crate::declare::reading::reader::At<'_>) -> Option<Self> {
                $crate::declare::words::read_word(
                    at,
                    <Self as $crate::declare::words::Worded>::WORDS,
                )
            }

            fn write(&self) -> Option<String> {
                Some(format!("\"{}\"", self.name()))
            }
        }
    };
}
pub(crate) use words;

/// A type each of whose values is a word.
pub(crate) trait Worded: Copy + PartialEq + 'static {
    /// The words.
    const WORDS: &'static [(Word, Self)];
}

/// One of some of a type's words.
pub(crate) struct SomeOf<T: 'static>(&'static [T]);

/// One of some of a type's words.
pub(crate) const fn some_of<T: Worded>(which: &'static [T]) -> SomeOf<T> {
    SomeOf(which)
}

impl<T: Worded> SomeOf<T> {
    fn words(&self) -> Vec<(Word, T)> {
        T::WORDS.iter().filter(|(_, value)| self.0.contains(value)).copied().collect()
    }
}

impl<T: Worded> Kind for SomeOf<T> {
    type Out = T;

    fn shape(&self) -> Shape {
        Shape::Words(self.words().into_iter().map(|(word, _)| word).collect())
    }

    fn read(&self, at: &At<'_>) -> Option<T> {
        read_word(at, &self.words())
    }
}

/// One of some texts that are shipped, each with its name.
pub(crate) struct Shipped(&'static [(&'static str, &'static str)]);

/// One of some texts that are shipped, by its name. What it is about stands behind the colon in its first line.
pub(crate) const fn shipped(texts: &'static [(&'static str, &'static str)]) -> Shipped {
    Shipped(texts)
}

impl Shipped {
    fn words(&self) -> Vec<(Word, (&'static str, &'static str))> {
        let about = |text: &'static str| {
            text.lines().next().and_then(|line| line.split_once(": ")).map_or("", |(_, about)| about)
        };
        self.0.iter().map(|(name, text)| (Word { name, about: about(text) }, (*name, *text))).collect()
    }
}

impl Kind for Shipped {
    /// Its name and its text.
    type Out = (&'static str, &'static str);

    fn shape(&self) -> Shape {
        Shape::Words(self.words().into_iter().map(|(word, _)| word).collect())
    }

    fn read(&self, at: &At<'_>) -> Option<Self::Out> {
        read_word(at, &self.words())
    }
}
