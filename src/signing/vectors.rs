//! The signatures that AWS publishes.
//!
//! In: the test suite of AWS Signature Version 4, as `vectors.json` has it. Out: whether ours are the same, in headers and in queries.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::Deserialize;

use super::canonical::{Request, empty_hash, read_query};
use super::checking::read_presented;
use super::digests::{hex, sha256};
use super::presenting::{ALGORITHM, Credentials, Purpose, sign_headers_of, sign_query_of};

/// 2015-08-30T12:36:00Z.
const AT: u64 = 1_440_938_160;
const LIFE: u64 = 3_600;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[derive(Deserialize)]
struct Suite {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    request: String,
    normalize: bool,
    sign_body: bool,
    session_token: Option<String>,
    omit_session_token: bool,
    header_canonical: String,
    header_signature: String,
    query_canonical: String,
    query_signature: String,
}

/// A request of the suite: method, path, query, headers by name, body.
struct Parts<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: BTreeMap<String, String>,
    body: &'a str,
}

fn parts(text: &str) -> Parts<'_> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let first = lines.next().unwrap();
    let (method, rest) = first.split_once(' ').unwrap();
    let (target, _) = rest.rsplit_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = BTreeMap::<String, String>::new();
    let mut last = String::new();
    for line in lines {
        if line.starts_with(' ') {
            headers.get_mut(&last).unwrap().push_str(line);
            continue;
        }
        let (name, value) = line.split_once(':').unwrap();
        last = name.to_ascii_lowercase();
        let all = headers.entry(last.clone()).or_default();
        *all = if all.is_empty() { value.to_owned() } else { format!("{},{}", all.trim(), value.trim()) };
    }
    Parts { method, path, query, headers, body }
}

fn credentials(case: &Case) -> Credentials {
    Credentials {
        access_key: "AKIDEXAMPLE".to_owned(),
        secret_key: SecretString::from(SECRET),
        session_token: case.session_token.clone().map(SecretString::from),
    }
}

fn request<'a>(parts: &Parts<'a>, case: &Case, more: &[(&str, String)]) -> Request<'a> {
    let mut headers = parts.headers.clone();
    headers.extend(more.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
    let body_hash = if case.sign_body { hex(&sha256(parts.body.as_bytes())) } else { empty_hash() };
    Request {
        method: parts.method,
        path: parts.path,
        query: read_query(parts.query),
        headers: headers.into_iter().collect(),
        body_hash,
    }
}

#[test]
fn signatures_are_those_that_aws_publishes() {
    let suite: Suite = serde_json::from_str(include_str!("vectors.json")).unwrap();
    assert_eq!(suite.cases.len(), 38);
    let mut signed = 0;
    for case in &suite.cases {
        let parts = parts(&case.request);
        let purpose = Purpose {
            service: "service".to_owned(),
            region: "us-east-1".to_owned(),
            signs_session_token: !case.omit_session_token,
        };
        let credentials = credentials(case);
        let hash: Vec<(&str, String)> = case
            .sign_body
            .then(|| ("x-amz-content-sha256", hex(&sha256(parts.body.as_bytes()))))
            .into_iter()
            .collect();
        if !case.normalize {
            let with_date = [hash, vec![("x-amz-date", "20150830T123600Z".to_owned())]].concat();
            let canonical = request(&parts, case, &with_date).canonical_of(parts.path);
            assert_eq!(canonical, case.header_canonical, "{}", case.name);
            continue;
        }
        signed += 1;
        // In headers.
        let sent = sign_headers_of(request(&parts, case, &hash), &credentials, &purpose, AT);
        let authorization = &sent.last().unwrap().1;
        assert!(authorization.starts_with(ALGORITHM));
        assert!(
            authorization.ends_with(&format!("Signature={}", case.header_signature)),
            "{}: {authorization}",
            case.name
        );
        let all = request(&parts, case, &[hash.clone(), sent.clone()].concat());
        let header =
            |name: &str| all.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        let presented = read_presented(parts.query, header).ok().unwrap();
        let secret = SecretString::from(SECRET);
        let headers = presented.headers(header).unwrap();
        let shown = Request { headers, ..request(&parts, case, &[]) };
        assert_eq!(shown.canonical(), case.header_canonical, "{}", case.name);
        assert!(presented.is_of(shown, &secret, &purpose), "{}", case.name);
        // In the query.
        let query = sign_query_of(request(&parts, case, &[]), &credentials, &purpose, (AT, LIFE));
        assert!(
            query.contains(&format!("X-Amz-Signature={}", case.query_signature)),
            "{}: {query}",
            case.name
        );
        let presented = read_presented(&query, header).ok().unwrap();
        let mut shown = Request { headers: presented.headers(header).unwrap(), ..request(&parts, case, &[]) };
        assert!(
            presented.is_of(Request { ..request(&parts, case, &[]) }, &secret, &purpose),
            "{}",
            case.name
        );
        shown.query = read_query(&query);
        shown.query.retain(|(name, _)| {
            name != b"X-Amz-Signature" && (purpose.signs_session_token || name != b"X-Amz-Security-Token")
        });
        assert_eq!(shown.canonical(), case.query_canonical, "{}", case.name);
    }
    assert_eq!(signed, 31);
}
