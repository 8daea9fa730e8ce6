//! What is kept of a step's answer.
//!
//! In: the step's rules, its answer. Out: variables filled, or that something is not there.

use http::HeaderMap;
use http::header::SET_COOKIE;
use url::Url;

use crate::sample::RequestAnswer;
use crate::scenario::keys::SaveFrom;

use super::cookies::{Jar, pair_of};
use super::variables::{LONGEST_VALUE, Variables, value_at};

/// The answer of a step, at the end of all redirects.
pub(super) struct StepAnswer<'a> {
    pub(super) status: u16,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// What the answers on the way had set, from the first on.
    pub(super) cookies: &'a [String],
    /// Where it came from.
    pub(super) url: &'a Url,
}

/// Fills `variables`.
///
/// # Errors
/// What the request came to where a value is not there.
pub(super) fn save(
    wanted: &[(String, SaveFrom)],
    answer: &StepAnswer<'_>,
    jar: Option<&Jar>,
    variables: &mut Variables,
) -> Result<(), RequestAnswer> {
    if wanted.is_empty() {
        return Ok(());
    }
    let reads_json = wanted.iter().any(|(_, from)| matches!(from, SaveFrom::Pointer(_)));
    let json = if reads_json {
        Some(serde_json::from_slice(answer.body).map_err(|_| RequestAnswer::NotJson)?)
    } else {
        None
    };
    let reads_text = wanted.iter().any(|(_, from)| matches!(from, SaveFrom::Regex(_)));
    let text = if reads_text { String::from_utf8_lossy(answer.body) } else { "".into() };
    let mut all = Ok(());
    for (name, from) in wanted {
        let value = match from {
            SaveFrom::Pointer(pointer) => json.as_ref().and_then(|json| value_at(json, pointer)),
            SaveFrom::Header(name) => header(answer.headers, name),
            SaveFrom::Cookie(name) => cookie(answer, jar, name),
            SaveFrom::Regex(pattern) => pattern.find(&text).map(str::to_owned),
            SaveFrom::Status => Some(answer.status.to_string()),
        };
        match value.filter(|value| value.len() <= LONGEST_VALUE) {
            Some(value) => variables.set(name, value),
            None => all = Err(RequestAnswer::NoValue),
        }
    }
    all
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// What the answer or one on the way to it set last; else what the client has of that name.
fn cookie(answer: &StepAnswer<'_>, jar: Option<&Jar>, name: &str) -> Option<String> {
    let set = answer.cookies.iter().rev().filter_map(|line| pair_of(line));
    let mut set = set.filter(|(other, value)| *other == name && !value.is_empty());
    set.next().map(|(_, value)| value.to_owned()).or_else(|| jar?.value(answer.url, name))
}

/// The `Set-Cookie` lines of an answer.
pub(super) fn cookie_lines(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(SET_COOKIE).into_iter().filter_map(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::keys::Pattern;

    #[test]
    fn values_come_from_wherever_the_step_says() {
        let pattern = |text: &str| SaveFrom::Regex(Pattern::new(text).unwrap());
        let page = "<form><input type=hidden name=\"csrf\" value=\"t0k/en=\"></form>";
        let headers = HeaderMap::from_iter([("X-Request".parse().unwrap(), "r1".parse().unwrap())]);
        let cookies = ["sid=old; Path=/".to_owned(), "sid=new".to_owned(), "gone=; Max-Age=0".to_owned()];
        let url: Url = "http://a.example/".parse().unwrap();
        let jar = Jar::default();
        jar.take(&url, "held=h", 1);
        let rows: [(SaveFrom, &str, Result<&str, RequestAnswer>); 11] = [
            (SaveFrom::Status, page, Ok("201")),
            (SaveFrom::Header("x-request".to_owned()), page, Ok("r1")),
            (SaveFrom::Header("X-None".to_owned()), page, Err(RequestAnswer::NoValue)),
            (SaveFrom::Cookie("sid".to_owned()), page, Ok("new")),
            (SaveFrom::Cookie("held".to_owned()), page, Ok("h")),
            (SaveFrom::Cookie("gone".to_owned()), page, Err(RequestAnswer::NoValue)),
            (pattern("name=\"csrf\" value=\"([^\"]+)\""), page, Ok("t0k/en=")),
            (pattern("(?:zz)(x)?|csrf()"), page, Ok("")),
            (pattern("(nothing)"), page, Err(RequestAnswer::NoValue)),
            (SaveFrom::Pointer("/a".to_owned()), "{\"a\":1}", Ok("1")),
            (SaveFrom::Pointer("/a".to_owned()), page, Err(RequestAnswer::NotJson)),
        ];
        for (from, body, expected) in rows {
            let answer = StepAnswer {
                status: 201,
                headers: &headers,
                body: body.as_bytes(),
                cookies: &cookies,
                url: &url,
            };
            let mut variables = Variables::default();
            let wanted = [("v".to_owned(), from)];
            let saved = save(&wanted, &answer, Some(&jar), &mut variables);
            assert_eq!(saved.map(|()| variables.get("v").unwrap()), expected, "{wanted:?}");
        }
    }
}
