//! The functions that texts with variables may call.
//!
//! In: a function, its arguments as bytes. Out: bytes.

use crate::signing::digests;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Function {
    /// Its name.
    pub(super) name: &'static str,
    /// How it is called.
    pub(super) usage: &'static str,
    /// How many arguments it has before those that are joined.
    keys: usize,
    /// Whether all further arguments are joined to one; else there is just one.
    joins: bool,
    /// Whether it gives bytes, which no text can hold.
    pub(super) gives_bytes: bool,
}

const fn digest(name: &'static str, usage: &'static str, keys: usize) -> Function {
    Function { name, usage, keys, joins: true, gives_bytes: true }
}

const fn encoding(name: &'static str, usage: &'static str) -> Function {
    Function { name, usage, keys: 0, joins: false, gives_bytes: false }
}

/// All of them.
pub(super) const FUNCTIONS: [Function; 9] = [
    encoding("base64", "base64(bytes)"),
    Function { gives_bytes: true, ..encoding("base64_decode", "base64_decode(text)") },
    encoding("base64url", "base64url(bytes)"),
    encoding("hex", "hex(bytes)"),
    digest("hmac_sha256", "hmac_sha256(key, text, …)", 1),
    digest("hmac_sha512", "hmac_sha512(key, text, …)", 1),
    digest("sha256", "sha256(text, …)", 0),
    digest("sha512", "sha512(text, …)", 0),
    encoding("urlencode", "urlencode(text)"),
];

/// The function of that name.
pub(super) fn function(name: &str) -> Option<Function> {
    FUNCTIONS.into_iter().find(|function| function.name == name)
}

impl Function {
    /// Whether it can be called with so many arguments.
    pub(super) const fn takes(self, arguments: usize) -> bool {
        arguments == self.keys + 1 || (self.joins && arguments > self.keys)
    }

    /// Whether what it gives is no text, whatever it is given.
    pub(super) const fn is_digest(self) -> bool {
        self.joins
    }

    /// Whether bytes that are no text make no sense to it.
    pub(super) fn wants_text(self) -> bool {
        matches!(self.name, "urlencode" | "base64_decode")
    }

    /// What it gives for these arguments. What is no base64 decodes to nothing.
    pub(super) fn apply(self, arguments: &[Vec<u8>]) -> Vec<u8> {
        let (keys, texts) = arguments.split_at(self.keys.min(arguments.len()));
        let (key, text) = (keys.first().map_or(&[][..], Vec::as_slice), texts.concat());
        match self.name {
            "base64" => digests::base64(&text).into_bytes(),
            "base64_decode" => digests::of_base64(&text).unwrap_or_default(),
            "base64url" => digests::base64url(&text).into_bytes(),
            "hex" => digests::hex(&text).into_bytes(),
            "hmac_sha256" => digests::hmac_sha256(key, &text),
            "hmac_sha512" => digests::hmac_sha512(key, &text),
            "sha256" => digests::sha256(&text),
            "sha512" => digests::sha512(&text),
            _ => digests::urlencode(&text).into_bytes(),
        }
    }
}
