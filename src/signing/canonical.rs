//! What is signed of a request (AWS Signature Version 4, "canonical request").
//!
//! In: the parts of a request. Out: the text whose digest is signed.

use super::digests::{hex, push_encoded, sha256, urlencode};

/// Names and values of a query, decoded, in their order.
pub type Query = Vec<(Vec<u8>, Vec<u8>)>;

/// The parts of a request that are signed.
#[derive(Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, as it stands in the request: it is encoded once more, as all services but S3 have it.
    pub path: &'a str,
    /// The query, but for the signature.
    pub query: Query,
    /// The headers that are signed: names in lower case, in their order; values.
    pub headers: Vec<(String, String)>,
    /// SHA-256 of the body, in hexadecimal digits.
    pub body_hash: String,
}

impl Request<'_> {
    /// The text whose digest is signed.
    pub(super) fn canonical(&self) -> String {
        self.canonical_of(&normalized(self.path))
    }

    /// The same, with this path.
    pub(super) fn canonical_of(&self, path: &str) -> String {
        let mut text = format!("{}\n", self.method);
        for byte in path.bytes() {
            if byte == b'/' { text.push('/') } else { push_encoded(&mut text, byte) }
        }
        text.push('\n');
        text.push_str(&canonical_query(&self.query));
        text.push('\n');
        for (name, value) in &self.headers {
            text.push_str(name);
            text.push(':');
            let mut words = value.split_ascii_whitespace();
            text.extend(words.next());
            words.for_each(|word| text.extend([" ", word]));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.signed_headers());
        text.push('\n');
        text.push_str(&self.body_hash);
        text
    }

    /// The names of the headers that are signed.
    pub(super) fn signed_headers(&self) -> String {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.join(";")
    }
}

/// The digest of a body that is empty.
pub(super) fn empty_hash() -> String {
    hex(&sha256(b""))
}

fn canonical_query(query: &[(Vec<u8>, Vec<u8>)]) -> String {
    let mut pairs: Vec<(String, String)> =
        query.iter().map(|(name, value)| (urlencode(name), urlencode(value))).collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// The query in a text. `+` is a blank, as forms have it.
pub(super) fn read_query(text: &str) -> Query {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |byte: Option<&u8>| (*byte? as char).to_digit(16).map(|digit| digit as u8);
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2)));
        let (byte, length) = match (byte, escaped) {
            (b'%', Some((high, low))) => (high << 4 | low, 3),
            (b'+', _) => (b' ', 1),
            _ => (*byte, 1),
        };
        decoded.push(byte);
        at += length;
    }
    decoded
}

/// A path without empty segments, `.` and `..` (RFC 3986 §5.2.4).
fn normalized(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn queries_are_read_as_forms_are() {
        let texts = |text: &str| -> Vec<(String, String)> {
            let text_of = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            read_query(text).into_iter().map(|(name, value)| (text_of(name), text_of(value))).collect()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(texts("a=b+c&&d&%41=%2fx%zz%4"), [pair("a", "b c"), pair("d", ""), pair("A", "/x%zz%4")]);
        assert_eq!(canonical_query(&read_query("b=2&a=%20&b=1&c")), "a=%20&b=1&b=2&c=");
    }

    proptest! {
        #[test]
        fn what_is_canonical_reads_back_as_itself(text in "[a-c=&%+é0-9]{0,40}", path in "[/.a]{0,20}") {
            let once = canonical_query(&read_query(&text));
            prop_assert_eq!(canonical_query(&read_query(&once)), once);
            let once = normalized(&path);
            prop_assert_eq!(normalized(&once), once);
        }
    }
}
