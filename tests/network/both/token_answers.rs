//! Token requests and answers that are not those of RFC 6749.

use resurge::sample::Outcome;
use tempfile::TempDir;

use super::{Case, compare};

#[test]
fn both_drivers_write_and_read_token_requests_alike() {
    let token = |more: &str| {
        format!("[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\non_reconnect = \"fetch\"\n{more}")
    };
    let error = Some((Outcome::TokenError, None));
    let nested = "token_body = '{\"d\":{\"t\":\"{token}\",\"scope\":\"{scope}\"},\"until\":{expires_at}}'\n";
    let places = "token_pointer = \"/d/t\"\nexpires_pointer = \"/until\"\n";
    let json = "token_request = \"json\"\n";
    let cases = [
        Case::new("json", json, &token("body = \"json\"\n"), None),
        Case::new("form-to-json", json, &token(""), error),
        Case::new("json-to-form", "", &token("body = \"json\"\n"), error),
        Case::new("either", "token_request = \"either\"\n", &token("body = \"json\"\n"), None),
        Case::new("nested", nested, &token(places), None),
        Case::new("not-found", nested, &token(""), error),
        Case::new("another-pointer", "", &token("token_pointer = \"/id_token\"\n"), error),
        Case::new(
            "no-life",
            "token_body = '{\"access_token\":\"{token}\"}'\ntoken_life = \"1s\"\n",
            &token(""),
            None,
        ),
        Case::new(
            "a-text-that-is-no-life",
            "token_body = '{\"access_token\":\"{token}\",\"expires_in\":\"soon\"}'\n",
            &token(""),
            error,
        ),
        Case::new(
            "refreshed",
            "refresh_tokens = { life = \"1h\" }\ntoken_body = '{\"access_token\":\"{token}\",\"refresh_token\":\"{refresh_token}\"}'\n",
            &token("grant = \"refresh_token\"\n"),
            None,
        ),
    ];
    compare(&TempDir::new().unwrap(), &cases);
}
