//! Names that Kubernetes and Slurm accept.
//!
//! In: what the user wrote. Out: a label, or the sentence that says what is allowed.

use super::error::LaunchError;

/// The longest DNS label (RFC 1123 §2.1).
const MOST_LABEL: usize = 63;
/// The longest DNS name.
const MOST_NAME: usize = 253;

/// A DNS label made of `text`: lower case, `-` for what no label has; `None` where nothing is left.
pub(super) fn label_of(text: &str) -> Option<String> {
    let plain = |one: char| if one.is_ascii_alphanumeric() { one.to_ascii_lowercase() } else { '-' };
    let label: String = text.chars().map(plain).collect();
    let label = label.trim_matches('-').chars().take(MOST_LABEL).collect::<String>();
    let label = label.trim_end_matches('-').to_owned();
    (!label.is_empty()).then_some(label)
}

/// Whether it is a DNS label.
pub(super) fn is_label(text: &str) -> bool {
    let is_one = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MOST_LABEL).contains(&text.len())
        && text.bytes().all(is_one)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Refuses what is no name of an object of Kubernetes: a DNS name.
pub(super) fn check_object(option: &'static str, text: &str) -> Result<(), LaunchError> {
    let is_name = text.len() <= MOST_NAME && text.split('.').all(is_label);
    let allowed = "names in Kubernetes have lower-case letters, digits, `-` and `.`, a letter or digit first and last of each part";
    if is_name { Ok(()) } else { Err(LaunchError::Name { option, text: text.to_owned(), allowed }) }
}

/// Refuses what is no name of a namespace: a DNS label.
pub(super) fn check_namespace(option: &'static str, text: &str) -> Result<(), LaunchError> {
    let allowed =
        "a namespace has lower-case letters, digits and `-`, a letter or digit first and last, 63 at most";
    if is_label(text) { Ok(()) } else { Err(LaunchError::Name { option, text: text.to_owned(), allowed }) }
}

/// Refuses what is no single word of `also` and letters and digits.
pub(super) fn check_word(
    option: &'static str,
    text: &str,
    also: &str,
    allowed: &'static str,
) -> Result<(), LaunchError> {
    let is_one = |one: char| one.is_ascii_alphanumeric() || also.contains(one);
    let is_word = !text.is_empty() && !text.starts_with('-') && text.chars().all(is_one);
    if is_word { Ok(()) } else { Err(LaunchError::Name { option, text: text.to_owned(), allowed }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_made_and_known() {
        for (text, label) in [
            ("Nightly_7", Some("nightly-7")),
            ("-a.b-", Some("a-b")),
            ("___", None),
            ("", None),
            ("\u{fc}ber", Some("ber")),
        ] {
            assert_eq!(label_of(text).as_deref(), label, "{text}");
            assert!(label.is_none_or(is_label), "{text}");
        }
        assert_eq!(label_of(&"x".repeat(80)).map(|label| label.len()), Some(63));
        for text in ["A", "a_b", "a.b", "-a", "a-", "", &"x".repeat(64)] {
            assert!(!is_label(text), "{text}");
        }
        assert!(check_object("--x", "a.b-c").is_ok() && check_object("--x", "a..b").is_err());
        assert!(check_word("--x", "r/i:1", "/:", "").is_ok() && check_word("--x", "-r", "-", "").is_err());
    }
}
