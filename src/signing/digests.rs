//! Digests and their encodings.
//!
//! In: bytes. Out: bytes, or texts.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::{digest, hmac};

/// SHA-256 of bytes (FIPS 180-4).
#[must_use]
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

/// SHA-512 of bytes.
#[must_use]
pub fn sha512(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA512, bytes).as_ref().to_vec()
}

/// HMAC by SHA-256 (RFC 2104).
#[must_use]
pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes).as_ref().to_vec()
}

/// HMAC by SHA-512.
#[must_use]
pub fn hmac_sha512(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, key), bytes).as_ref().to_vec()
}

/// Bytes in hexadecimal digits, lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Bytes of hexadecimal digits.
#[must_use]
pub fn of_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}

/// Bytes in base64 (RFC 4648 §4).
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes in base64 as URLs and JWTs have it, without padding (RFC 4648 §5).
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What stands in base64, of either alphabet, padded or not.
#[must_use]
pub fn of_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    let bare = &text[..text.len() - text.iter().rev().take_while(|byte| **byte == b'=').count()];
    STANDARD_NO_PAD.decode(bare).or_else(|_| URL_SAFE_NO_PAD.decode(bare)).ok()
}

/// Bytes as they may stand in a URL: all but letters, digits and `-_.~` as `%XX` (RFC 3986 §2.3).
#[must_use]
pub fn urlencode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        push_encoded(&mut text, *byte);
    }
    text
}

/// One byte of them.
pub(super) fn push_encoded(text: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        text.push(byte as char);
    } else {
        let _ = write!(text, "%{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digests_are_those_that_are_published() {
        // FIPS 180-4's examples; RFC 4231 §4.3.
        assert_eq!(hex(&sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(hex(&sha512(b"abc")).starts_with("ddaf35a193617abacc417349ae204131"));
        let (key, text) = (b"Jefe", b"what do ya want for nothing?");
        assert_eq!(
            hex(&hmac_sha256(key, text)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert!(hex(&hmac_sha512(key, text)).starts_with("164b7a7bfcf819e2e395fbe73b56e0a3"));
        assert_eq!(urlencode("a b/ü+~".as_bytes()), "a%20b%2F%C3%BC%2B~");
        assert_eq!((base64(b"\xff\xfe").as_str(), base64url(b"\xff\xfe").as_str()), ("//4=", "__4"));
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back_and_no_text_makes_it_panic(bytes: Vec<u8>, text in ".{0,30}") {
            prop_assert_eq!(of_hex(&hex(&bytes)), Some(bytes.clone()));
            prop_assert_eq!(of_base64(base64(&bytes).as_bytes()), Some(bytes.clone()));
            prop_assert_eq!(of_base64(base64url(&bytes).as_bytes()), Some(bytes));
            let _ = (of_hex(&text), of_base64(text.as_bytes()));
        }
    }
}
