//! An override of a scenario's key, as it is typed.

/// Splits `KEY=VALUE`.
pub(super) fn parse_override(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write it as KEY=VALUE, as groups.0.clients=200".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_split_at_the_first_equals_sign() {
        assert_eq!(parse_override("a.b=c=d"), Ok(("a.b".into(), "c=d".into())));
        assert!(parse_override("=x").is_err());
        assert!(parse_override("x").is_err());
    }
}
