//! Values that may hold a secret: their `Debug` shows none.
//!
//! In: a value. Out: the value, behind a type that prints what everybody may see of it.

use std::fmt::{Debug, Formatter, Result};
use std::ops::Deref;

use url::Url;

/// A value that may hold a secret. It is used as the value itself; printed, it shows what everybody may see.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Hidden<T>(T);

impl<T> Hidden<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Hidden<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Hidden<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What everybody may see of a value.
pub trait Shown {
    /// What is printed.
    fn shown(&self) -> String;
}

impl Shown for String {
    /// That it is there.
    fn shown(&self) -> String {
        "…".to_owned()
    }
}

impl Shown for Vec<String> {
    /// A program without its arguments, which may hold what it shows to whom it asks.
    fn shown(&self) -> String {
        self.first().map_or_else(String::new, |program| format!("{program} …"))
    }
}

impl Shown for Url {
    /// The URL without user, password, query and fragment.
    fn shown(&self) -> String {
        bare_url(self)
    }
}

impl<T: Shown> Debug for Hidden<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&self.0.shown())
    }
}

/// A URL without user, password, query and fragment: any of them may be a credential.
#[must_use]
pub fn bare_url(url: &Url) -> String {
    let mut bare = url.clone();
    bare.set_query(None);
    bare.set_fragment(None);
    // A URL that cannot have them has none.
    let _ = (bare.set_username(""), bare.set_password(None));
    bare.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_url_has_no_place_for_a_credential() {
        let url = Url::parse("wss://me:pw@h.example:8/p?q=1#f").unwrap();
        assert_eq!(bare_url(&url), "wss://h.example:8/p");
    }
}
