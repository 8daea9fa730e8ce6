//! Close codes and statuses.
//!
//! In: numbers, and lists and ranges of them. Out: codes, or faults.

use crate::declare::kind::Kind;
use crate::declare::reading::reader::At;
use crate::declare::shape::{Shape, TextShape, Word};

use super::numbers::{Int, List, int, list};

/// The codes that an endpoint may send (RFC 6455 §7.4, IANA's registry).
const SENT: [(u16, u16); 3] = [(1000, 1003), (1007, 1013), (3000, 4999)];
/// A range of codes, or one, as a text.
const RANGE: &str = "^ *[1-4][0-9]{3} *(- *[1-4][0-9]{3} *)?$";

/// A close code that an endpoint may send.
pub(crate) struct SentCode;

/// A close code that an endpoint may send.
pub(crate) const fn sent_code() -> SentCode {
    SentCode
}

impl Kind for SentCode {
    type Out = u16;

    fn shape(&self) -> Shape {
        Shape::Integer(SENT.map(|(first, last)| (first.into(), last.into())).to_vec())
    }

    fn read(&self, at: &At<'_>) -> Option<u16> {
        let code = int::<u16>(1000..=4999).read(at)?;
        if SENT.iter().any(|(first, last)| (*first..=*last).contains(&code)) {
            return Some(code);
        }
        let help = "1000-1003, 1007-1013 and 3000-4999 may be sent (RFC 6455 §7.4)";
        at.fault(format!("`{}` is {code}, which never stands in a close frame", at.path), help);
        None
    }

    fn write(&self, out: &u16) -> Option<String> {
        Some(out.to_string())
    }
}

/// A status that says no.
pub(crate) fn refusing_status() -> Int<u16> {
    int(400..=599)
}

/// Statuses that say no.
pub(crate) fn refusing_statuses() -> List<Int<u16>> {
    list(refusing_status(), "a list of numbers from 400 to 599 is needed")
}

/// Any statuses.
pub(crate) fn statuses() -> List<Int<u16>> {
    list(int(100..=599), "a list of numbers from 100 to 599 is needed")
}

/// `"any"`, or a list of close codes; 1005 and 1006 are codes here too (RFC 6455 §7.1.5).
pub(crate) struct CodesOrAny;

/// `"any"`, or a list of close codes.
pub(crate) const fn codes_or_any() -> CodesOrAny {
    CodesOrAny
}

fn codes() -> List<Int<u16>> {
    list(int(1000..=4999), "\"any\" or a list of numbers from 1000 to 4999 is needed")
}

impl Kind for CodesOrAny {
    type Out = Option<Vec<u16>>;

    fn shape(&self) -> Shape {
        let any = Word { name: "any", about: "Any of them." };
        Shape::Either(vec![Shape::Words(vec![any]), codes().shape()])
    }

    fn read(&self, at: &At<'_>) -> Option<Option<Vec<u16>>> {
        if at.text() == Some("any") {
            return Some(None);
        }
        codes().read(at).map(Some)
    }

    fn write(&self, out: &Option<Vec<u16>>) -> Option<String> {
        match out {
            Some(list) => codes().write(list),
            None => Some("\"any\"".to_owned()),
        }
    }
}

/// A close code, or a range of them: its first and last.
pub(crate) struct CodeRange;

impl CodeRange {
    fn text_shape() -> TextShape {
        TextShape {
            patterns: vec![RANGE.into()],
            examples: &["3500-3999", "4000"],
            ..TextShape::plain("code_range")
        }
    }
}

impl Kind for CodeRange {
    type Out = (u16, u16);

    fn shape(&self) -> Shape {
        Shape::Either(vec![Shape::Integer(vec![(1000, 4999)]), Shape::Text(Self::text_shape())])
    }

    fn read(&self, at: &At<'_>) -> Option<(u16, u16)> {
        let range = match at.text() {
            Some(text) if Self::text_shape().fits(text) => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                first.trim().parse().ok().zip(last.trim().parse().ok())
            }
            Some(_) => None,
            None => at.integer().and_then(|code| u16::try_from(code).ok()).map(|code| (code, code)),
        };
        let range = range.map(|(first, last): (u16, u16)| (first.min(last), first.max(last)));
        let range = range.filter(|(first, last)| 1000 <= *first && *last <= 4999);
        if range.is_none() {
            at.wrong(RANGES);
        }
        range
    }

    fn write(&self, (first, last): &(u16, u16)) -> Option<String> {
        Some(if first == last { first.to_string() } else { format!("\"{first}-{last}\"") })
    }
}

/// Said of what is no list of ranges.
const RANGES: &str = "close codes and ranges of them are needed, as [1000, \"3500-3999\"]";

/// A list of close codes and ranges of them: `[1000, "3500-3999"]`.
pub(crate) const fn code_ranges() -> List<CodeRange> {
    list(CodeRange, RANGES)
}
