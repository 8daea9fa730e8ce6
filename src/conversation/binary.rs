//! Binary messages that hold values: MessagePack, one a message, or each with its length before it.
//!
//! In: bytes, or JSON. Out: the messages in them; the JSON's values as bytes.

use crate::scenario::keys::{Binary, BinaryFormat, LengthPrefix};

/// Bytes of a length: more would be no length of a message.
const LONGEST_LENGTH: usize = 5;

/// The messages that stand in a binary message. What is cut off is left out.
pub(super) fn parts(rules: Option<Binary>, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let prefix = rules.map_or(LengthPrefix::None, |rules| rules.length);
    let mut rest = Some(bytes);
    std::iter::from_fn(move || match prefix {
        LengthPrefix::None => rest.take(),
        LengthPrefix::VarInt => {
            let (length, behind) = var_int(rest.take()?)?;
            let message = behind.get(..length)?;
            rest = behind.get(length..).filter(|rest| !rest.is_empty());
            Some(message)
        }
    })
}

/// The length that stands there, and what is behind it.
fn var_int(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().take(LONGEST_LENGTH).position(|byte| byte & 0x80 == 0)? + 1;
    let length =
        bytes[..end].iter().rev().fold(0_usize, |length, byte| length << 7 | usize::from(byte & 0x7f));
    Some((length, &bytes[end..]))
}

/// The values of a JSON text, as these rules want them written.
///
/// # Errors
/// The text is no JSON.
pub fn write_binary(rules: Binary, json: &str) -> Result<Vec<u8>, serde_json::Error> {
    let value: serde_json::Value = serde_json::from_str(json)?;
    let BinaryFormat::MessagePack = rules.format;
    // Writing into memory does not fail, and every value of JSON has its form.
    let message = rmp_serde::to_vec(&value).map_err(serde::ser::Error::custom)?;
    if rules.length == LengthPrefix::None {
        return Ok(message);
    }
    let mut bytes = Vec::with_capacity(message.len() + LONGEST_LENGTH);
    let mut left = message.len();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes.extend(message);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIGNALR: Binary = Binary { format: BinaryFormat::MessagePack, length: LengthPrefix::VarInt };

    #[test]
    fn several_messages_stand_in_one_and_what_is_cut_off_is_none() {
        let each = |bytes: &'static [u8]| parts(Some(SIGNALR), bytes).collect::<Vec<_>>();
        assert_eq!(each(b"\x02\x91\x06\x01\xc0"), [b"\x91\x06".as_slice(), b"\xc0"]);
        assert_eq!(each(b"\x02\x91\x06\x05\xc0"), [b"\x91\x06".as_slice()]);
        assert_eq!(each(b"\xff\xff\xff\xff\xff\x01\xc0"), Vec::<&[u8]>::new());
        assert_eq!(each(b""), Vec::<&[u8]>::new());
        assert_eq!(parts(None, b"\x02\x91").collect::<Vec<_>>(), [b"\x02\x91"]);
        // The example of the hub protocol: an invocation.
        let invocation = write_binary(SIGNALR, r#"[1,{},null,"Send",[42]]"#).unwrap();
        assert_eq!(invocation, b"\x0b\x95\x01\x80\xc0\xa4Send\x91\x2a");
        assert!(write_binary(SIGNALR, "[1").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in prop::collection::vec("[a-z]{0,300}", 1..5), length in any::<bool>()) {
            let rules = Binary { length: if length { LengthPrefix::VarInt } else { LengthPrefix::None }, ..SIGNALR };
            let texts: Vec<String> = texts.into_iter().take(if length { 5 } else { 1 }).collect();
            let bytes: Vec<u8> = texts.iter().flat_map(|text| write_binary(rules, &format!("{text:?}")).unwrap()).collect();
            let read: Vec<String> = parts(Some(rules), &bytes).map(|part| rmp_serde::from_slice(part).unwrap()).collect();
            prop_assert_eq!(read, texts);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(parts(Some(SIGNALR), &bytes).count() <= bytes.len());
        }
    }
}
