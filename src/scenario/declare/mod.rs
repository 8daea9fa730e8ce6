//! How a key is declared: once, with all that is to be known of it.
//!
//! A table of the file is a struct in [`table!`](macro@table): each field has its description, default and kind. From that come reading with every fault at
//! once, the schema, the reference page, the copy of a run and what `check` says.
//!
//! ```text
//! shape     what a value may look like, as data
//! kind      how a value is read: Kind (a value that knows), Value (a type that knows)
//! words     enums of words;  choice  a word, or a table with one key;  variants  keys that depend on a tag
//! table     structs of keys
//! numbers, texts, times, codes    the kinds that there are
//! ```

pub(crate) mod choice;
pub(crate) mod codes;
pub(crate) mod kind;
pub(crate) mod numbers;
pub(crate) mod shape;
pub(crate) mod table;
pub(crate) mod texts;
pub(crate) mod times;
pub(crate) mod urls;
pub(crate) mod variants;
pub(crate) mod words;
