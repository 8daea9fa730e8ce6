//! What is made from the shapes of keys for others to read.

mod in_words;
pub(crate) mod reference;
pub(crate) mod schema;
