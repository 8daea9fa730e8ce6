//! The kinds of values that there are, each with its bounds and its faults.

pub(crate) mod codes;
pub(crate) mod credential;
pub(crate) mod numbers;
pub(crate) mod rule;
pub(crate) mod templates;
pub(crate) mod texts;
pub(crate) mod times;
pub(crate) mod urls;
