//! An override of a scenario's key, and a duration, as they are typed.

use std::time::Duration;

use crate::units::parse_duration;

/// Splits `KEY=VALUE`.
pub(super) fn parse_override(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write it as KEY=VALUE, as groups.0.clients=200".to_owned()),
    }
}

/// A seed.
pub(super) fn parse_seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("write a whole number from 0 to {}, as --seed 42", u64::MAX))
}

/// A duration above zero, of a day at most.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("it must be above 0".to_owned()),
        Ok(duration) if duration > Duration::from_secs(24 * 60 * 60) => Err("24h is the most".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_whole_number() {
        assert_eq!(parse_seed("42"), Ok(42));
        for text in ["x", "-1", "1.5", ""] {
            let fault = parse_seed(text).unwrap_err();
            assert_eq!(fault, "write a whole number from 0 to 18446744073709551615, as --seed 42", "{text}");
        }
    }

    #[test]
    fn overrides_are_split_at_the_first_equals_sign() {
        assert_eq!(parse_override("a.b=c=d"), Ok(("a.b".into(), "c=d".into())));
        assert!(parse_override("=x").is_err());
        assert!(parse_override("x").is_err());
    }
}
