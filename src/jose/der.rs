//! The little of DER (X.690) that keys need.
//!
//! In: bytes. Out: the same in another wrapping, or what is wrapped.

/// P-256 as PKCS#8 has it before the key: version 0, id-ecPublicKey, prime256v1.
const P256: &[u8] =
    b"\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
/// P-384: version 0, id-ecPublicKey, secp384r1.
const P384: &[u8] = b"\x02\x01\x00\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;

/// An EC key as SEC1 has it (RFC 5915), as PKCS#8 (RFC 5208) has one on P-256, or else on P-384.
pub(super) fn sec1_in_pkcs8(sec1: &[u8], is_p256: bool) -> Vec<u8> {
    let mut inside = if is_p256 { P256 } else { P384 }.to_vec();
    inside.extend(wrapped(OCTET_STRING, sec1));
    wrapped(SEQUENCE, &inside)
}

fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut all = vec![tag];
    match length {
        [] => all.push(0),
        [short] if *short < 0x80 => all.push(*short),
        _ => {
            all.push(0x80 | length.len() as u8);
            all.extend(length);
        }
    }
    all.extend(content);
    all
}

/// An RSA key's two numbers, each without sign, as an `RSAPublicKey` (RFC 8017 appendix A.1.1).
pub(super) fn rsa_public(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let bytes = &bytes[zeros..];
        let needs_zero = bytes.first().is_none_or(|first| *first >= 0x80);
        wrapped(INTEGER, &[if needs_zero { &[0][..] } else { &[] }, bytes].concat())
    };
    wrapped(SEQUENCE, &[number(modulus), number(exponent)].concat())
}

/// The two numbers of an `RSAPublicKey`, without signs.
pub(super) fn rsa_numbers(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (inside, _) = read(key, SEQUENCE)?;
    let (modulus, rest) = read(inside, INTEGER)?;
    let (exponent, _) = read(rest, INTEGER)?;
    let bare = |number| <[u8]>::strip_prefix(number, &[0]).unwrap_or(number);
    Some((bare(modulus), bare(exponent)))
}

/// The public key in a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7), as ring takes it.
pub(super) fn key_in_spki(spki: &[u8]) -> Option<&[u8]> {
    let (inside, _) = read(spki, SEQUENCE)?;
    let (_, rest) = read(inside, SEQUENCE)?;
    let (bits, _) = read(rest, BIT_STRING)?;
    bits.strip_prefix(&[0])
}

/// What a value of that tag holds, and what follows it.
fn read(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if length.len() > 4 {
            return None;
        }
        (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_are_written_as_der_has_them() {
        assert_eq!(wrapped(4, b"")[..], [4, 0]);
        assert_eq!(wrapped(4, &[7; 127])[..2], [4, 127]);
        assert_eq!(wrapped(4, &[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(wrapped(4, &[7; 300])[..4], [4, 0x82, 1, 44]);
    }

    proptest! {
        #[test]
        fn what_is_wrapped_is_read_and_no_bytes_make_it_panic(content: Vec<u8>, other: Vec<u8>) {
            let whole = wrapped(SEQUENCE, &content);
            prop_assert_eq!(read(&whole, SEQUENCE), Some((content.as_slice(), &[][..])));
            let _ = key_in_spki(&other);
        }
    }
}
