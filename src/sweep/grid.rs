//! The grid of a sweep: every combination of the values of its keys.
//!
//! In: `KEY=VALUE,VALUE,…`, once for each key. Out: points, each a value for each key, the last key's changing fastest. Keys that change together are
//! written with a plus between them, and so are their values: `groups.0.clients+groups.1.clients=90+10,50+50`.

use crate::declare::tells_secret;

/// The largest number of points.
pub const MOST_POINTS: usize = 10_000;

/// A key of the scenario, or several that change together, and the values that they take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// The dotted paths as written, as `groups.0.reconnect.backoff.max` or `groups.0.clients+groups.1.clients`.
    pub key: String,
    /// The values as written.
    pub values: Vec<String>,
    /// Whether they would tell a secret. Nothing is shown of such.
    is_secret: bool,
    /// For each value, the keys with what each is set to, as TOML or plain text.
    settings: Vec<Vec<(String, String)>>,
}

/// Why there is no grid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GridError {
    /// A key stands twice.
    #[error("--over names {0} twice: give all its values at once, as {0}=1s,5s")]
    Twice(String),
    /// A key's values are secret.
    #[error(
        "--over {0}: a sweep shows the values that it takes, and here they would tell a secret. Refer to variables: {{ env = \"A\" }},{{ env = \"B\" }}"
    )]
    Secret(String),
    /// There are too many points.
    #[error("{0} points are more than a sweep may have ({MOST_POINTS}): sweep fewer keys or values at once")]
    TooMany(u128),
}

/// The points of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// The keys.
    pub axes: Vec<Axis>,
}

/// Parses `KEY=VALUE,VALUE,…`. Commas inside quotes, brackets and braces belong to a value.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_axis(text: &str) -> Result<Axis, String> {
    let allowed = "write it as KEY=VALUE,VALUE, as groups.0.reconnect.backoff.max=1s,5s,30s";
    let (key, values) = text.split_once('=').ok_or(allowed)?;
    let values: Vec<String> = split(values, ',')?.into_iter().map(|value| value.trim().to_owned()).collect();
    let keys: Vec<&str> = split(key, '+')?.into_iter().map(str::trim).collect();
    if keys.iter().any(|key| key.is_empty()) || values.iter().any(String::is_empty) {
        return Err(allowed.to_owned());
    }
    if values.iter().any(|value| keys.iter().any(|key| tells_secret(key, value))) {
        return Ok(Axis {
            key: key.trim().to_owned(),
            values: Vec::new(),
            is_secret: true,
            settings: Vec::new(),
        });
    }
    let mut settings = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        if values[..index].contains(value) {
            return Err(format!("the value {value} stands twice"));
        }
        // A plus belongs to the value of a single key.
        let parts = if keys.len() > 1 { split(value, '+')? } else { vec![value.as_str()] };
        if parts.len() != keys.len() {
            return Err(format!("{value} has {} parts for {} keys: {key}", parts.len(), keys.len()));
        }
        let pairs = keys.iter().zip(parts).map(|(key, part)| ((*key).to_owned(), part.trim().to_owned()));
        settings.push(pairs.collect());
    }
    Ok(Axis { key: key.trim().to_owned(), values, is_secret: false, settings })
}

/// Splits at the separators that are in no quotes, brackets or braces.
fn split(text: &str, separator: char) -> Result<Vec<&str>, String> {
    let (mut depth, mut quote, mut from) = (0_usize, None, 0);
    let mut values = Vec::new();
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(letter),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => {
                depth = depth.checked_sub(1).ok_or_else(|| format!("{letter} closes nothing in {text}"))?;
            }
            (None, _) if letter == separator && depth == 0 => {
                values.push(&text[from..at]);
                from = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    if depth > 0 || quote.is_some() {
        return Err(format!("a bracket or a quote is not closed in {text}"));
    }
    values.push(&text[from..]);
    Ok(values)
}

impl Grid {
    /// The grid over `axes`.
    ///
    /// # Errors
    /// [`GridError`] when values would tell a secret, a key stands twice or there are too many points.
    pub fn new(axes: Vec<Axis>) -> Result<Self, GridError> {
        if let Some(axis) = axes.iter().find(|axis| axis.is_secret) {
            return Err(GridError::Secret(axis.key.clone()));
        }
        let keys: Vec<&String> =
            axes.iter().flat_map(|axis| axis.settings.iter().take(1).flatten().map(|(key, _)| key)).collect();
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].contains(key) {
                return Err(GridError::Twice((*key).clone()));
            }
        }
        let count = axes.iter().fold(1_u128, |count, axis| count.saturating_mul(axis.values.len() as u128));
        if count > MOST_POINTS as u128 { Err(GridError::TooMany(count)) } else { Ok(Self { axes }) }
    }

    /// How many points there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.axes.iter().map(|axis| axis.values.len()).product()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The points, each the index of a value for each key.
    pub fn points(&self) -> impl Iterator<Item = Vec<usize>> + '_ {
        (0..self.len()).map(|number| {
            let mut rest = number;
            let mut point: Vec<usize> = Vec::with_capacity(self.axes.len());
            for axis in self.axes.iter().rev() {
                point.push(rest % axis.values.len());
                rest /= axis.values.len();
            }
            point.reverse();
            point
        })
    }

    /// What a point sets each key to.
    #[must_use]
    pub fn overrides(&self, point: &[usize]) -> Vec<(String, String)> {
        self.axes.iter().zip(point).flat_map(|(axis, index)| axis.settings[*index].iter().cloned()).collect()
    }

    /// A point as written: for each axis its key and its value.
    pub fn written<'g>(&'g self, point: &'g [usize]) -> impl Iterator<Item = (&'g str, &'g str)> {
        self.axes.iter().zip(point).map(|(axis, index)| (axis.key.as_str(), axis.values[*index].as_str()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn axis(text: &str) -> Axis {
        parse_axis(text).unwrap()
    }

    #[test]
    fn values_that_would_tell_a_secret_make_no_grid() {
        for text in [
            "groups.0.token.client_secret=hush,hash",
            "groups.0.token.client_secret=hush,hush",
            "groups.0.clients+groups.0.token.client_secret=1+hush",
            "groups.0.token={grant=\"fixed\",token=\"hush\"}",
        ] {
            let axis = axis(text);
            assert!(!format!("{axis:?}").contains("hush"), "{axis:?}");
            let refused = Grid::new(vec![axis]).unwrap_err();
            assert!(matches!(&refused, GridError::Secret(key) if text.starts_with(key)), "{refused}");
        }
        let references = axis("groups.0.token.client_secret={ env = \"A\" },{ env = \"B\" }");
        assert_eq!(Grid::new(vec![references]).unwrap().len(), 2);
    }

    #[test]
    fn values_may_be_tables_and_lists() {
        let parsed = axis(r#"groups.0.reconnect.backoff={kind="none"}, { kind = "full", base = "1s" } ,x"#);
        assert_eq!(parsed.key, "groups.0.reconnect.backoff");
        assert_eq!(parsed.values, [r#"{kind="none"}"#, r#"{ kind = "full", base = "1s" }"#, "x"]);
        assert_eq!(axis("a=[1,2],[3]").values, ["[1,2]", "[3]"]);
        assert_eq!(axis(r#"a="x,y",z"#).values, [r#""x,y""#, "z"]);
        let both = axis("a.x + b=90+10, 5+{c=1+1}");
        assert_eq!(both.values, ["90+10", "5+{c=1+1}"]);
        assert_eq!(both.settings[1], [("a.x".into(), "5".into()), ("b".into(), "{c=1+1}".into())]);
        assert_eq!(axis("skew=+30s,-30s").values, ["+30s", "-30s"]);
        for wrong in
            ["a+b=1", "a+=1+2", "a+b=1+2+3", "a", "=1", "a=", "a=1,,2", "a=1,1", "a={b=1", "a=1]", "a=\"x"]
        {
            assert!(parse_axis(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_combination_is_a_point_and_the_last_key_changes_fastest() {
        let grid = Grid::new(vec![axis("a=1,2"), axis("b=x,y,z")]).unwrap();
        let points: Vec<Vec<usize>> = grid.points().collect();
        assert_eq!(points, [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]);
        assert_eq!(grid.overrides(&points[4]), [("a".into(), "2".into()), ("b".into(), "y".into())]);
        assert_eq!(Grid::new(vec![axis("a=1"), axis("a=2")]), Err(GridError::Twice("a".into())));
        assert_eq!(Grid::new(vec![axis("b+a=1+2"), axis("a=2")]), Err(GridError::Twice("a".into())));
        let many = (0..9).map(|n| axis(&format!("k{n}=0,1,2,3,4,5,6,7,8,9"))).collect();
        assert_eq!(Grid::new(many), Err(GridError::TooMany(1_000_000_000)));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = parse_axis(&text);
        }
    }
}
