//! Signed handshakes and functions in texts, against the embedded target, whose counters must agree with the clients'.

use resurge::sample::{Cause, Metric, Outcome};
use resurge::scenario::load;
use tempfile::TempDir;

use crate::support::in_process::run_file;
use crate::token_lifecycles::assert_secret;

const TARGET: &str = r#"
duration = "5s"
[target]
kind = "embedded"
refusal_body = '{"message":"{message}"}'
idle_timeout = "2500ms"
[target.signatures]
service = "execute-api"
region = "eu-1"
keys = [
    { access_key_id = "AKID0", secret_access_key = "s3cret-of-0" },
    { access_key_id = "AKID1", secret_access_key = "s3cret-of-1", session_token = "s3cret-token/+=" },
]
"#;

fn group(name: &str, secret: &str, more: &str) -> String {
    format!(
        r#"
[[groups]]
name = "{name}"
clients = 4
token = {{ grant = "none" }}
[groups.reconnect]
backoff = {{ kind = "constant", base = "50ms" }}
max_attempts = 2
[groups.connect]
path = "/api/v2/analytics/events?b=%C3%A4+x&a=1"
[groups.connect.sign]
kind = "aws-sigv4"
service = "execute-api"
region = "eu-1"
access_key_id = "AKID0"
secret_access_key = {secret}
{more}
"#
    )
}

#[test]
fn the_target_takes_what_clients_sign_and_says_why_not() {
    let folder = TempDir::new().unwrap();
    // Every client has keys of its own; one of the two has no session token.
    let rows = "id,secret,token\nAKID0,s3cret-of-0,\nAKID1,s3cret-of-1,s3cret-token/+=\n";
    std::fs::write(folder.path().join("keys.csv"), rows).unwrap();
    let fed = "\"{secret}\"";
    let fed_by = "session_token = \"{token}\"\nfeeder = \"keys.csv\"";
    let keyed = |text: String| text.replace("access_key_id = \"AKID0\"", "access_key_id = \"{id}\"");
    let good = "\"s3cret-of-0\"";
    let text = [
        TARGET.to_owned(),
        keyed(group("fed", fed, fed_by)),
        keyed(group("fed-header", fed, &format!("{fed_by}\nsignature_in = \"header\""))),
        group("reuse", good, "expires = \"2s\"\non_reconnect = \"reuse\""),
        group("wrong-secret", "\"s3cret-of-nobody\"", ""),
        group("wrong-key", good, "").replace("AKID0", "AKID9"),
        group("wrong-region", good, "").replace("region = \"eu-1\"", "region = \"us-1\""),
        group("token-missing", "\"s3cret-of-1\"", "").replace("AKID0", "AKID1"),
        "[[groups]]\nname = \"unsigned\"\nclients = 4\ntoken = { grant = \"none\" }\nreconnect = { max_attempts = 2, backoff = { kind = \"none\" } }\n".to_owned(),
    ];
    let path = folder.path().join("signed.toml");
    std::fs::write(&path, text.concat()).unwrap();
    let model = run_file(&path, &[], folder.path().join("run")).model;
    assert!(model.reconciliation.as_ref().unwrap().is_exact(), "{:?}", model.reconciliation);
    assert_secret(&folder.path().join("run"), "s3cret");
    assert_secret(&folder.path().join("run"), "X-Amz-Signature");
    // (group, the causes of its refusals, whether its clients were ever let in)
    type Met = &'static [(Cause, &'static str)];
    let rows: [(&str, Met, bool); 8] = [
        ("fed", &[], true),
        ("fed-header", &[], true),
        ("reuse", &[(Cause::ExpiredToken, "Signature expired")], true),
        (
            "wrong-secret",
            &[(Cause::UnknownToken, "The request signature we calculated does not match")],
            false,
        ),
        (
            "wrong-key",
            &[(Cause::UnknownToken, "The security token included in the request is invalid")],
            false,
        ),
        ("wrong-region", &[(Cause::UnknownToken, "Credential should be scoped to")], false),
        (
            "token-missing",
            &[(Cause::UnknownToken, "The security token included in the request is invalid")],
            false,
        ),
        ("unsigned", &[(Cause::NoToken, "Missing Authentication Token")], false),
    ];
    let names: Vec<&str> = model.manifest.groups.iter().map(|group| group.name.as_str()).collect();
    for (name, causes, is_in) in rows {
        let tally = &model.totals[names.iter().position(|other| *other == name).unwrap()];
        let mut met: Vec<(Cause, String)> = tally
            .attempts
            .keys()
            .filter(|key| key.outcome == Outcome::Http403)
            .map(|key| (key.cause.unwrap(), key.answer.as_ref().unwrap().words.clone().unwrap().to_string()))
            .collect();
        met.dedup();
        let expected: Vec<(Cause, String)> =
            causes.iter().map(|(cause, words)| (*cause, (*words).to_owned())).collect();
        assert_eq!(met, expected, "{name}");
        assert_eq!(tally.outcome(Outcome::Ok) > 0, is_in, "{name}");
        let ages = tally.histograms.get(&Metric::TokenAge).map_or(0, |ages| ages.count());
        assert_eq!(ages > 0, name != "unsigned", "{name}: the age of a signature is told");
    }
}

#[test]
fn what_cannot_be_signed_or_called_is_told() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bad.toml");
    let fault = |text: &str| {
        std::fs::write(&path, text).unwrap();
        load(&path, &Vec::new(), None, &|_| None).map_or_else(|error| error.to_string(), |_| String::new())
    };
    let base = [TARGET, &group("g", "\"s3cret-of-0\"", "session_token = \"x\"")].concat();
    assert_eq!(fault(&base), "");
    let session = |text: &str| format!("{base}[groups.session]\nfirst_message = '{text}'\n");
    for (text, said) in [
        (base.replace("\"aws-sigv4\"", "\"aws-sigv3\""), "aws-sigv4"),
        (base.replace("region = \"eu-1\"\naccess", "region = \"eu/1\"\naccess"), "letters, digits"),
        (
            base.replace("service = \"execute-api\"\nregion = \"eu-1\"\naccess", "region = \"eu-1\"\naccess"),
            "has no `service`",
        ),
        (base.replace("\"x\"", "\"{gone}\""), "names {gone}, which nothing fills"),
        (base.replace("\"x\"", "\"\""), "is empty"),
        (base.replace("\"x\"", "\"x\"\nexpires = \"8d\""), "a week at most"),
        (base.replace("\"x\"", "\"x\"\nexpires = \"1500ms\""), "whole seconds"),
        (
            base.replace("\"x\"", "\"x\"\nexpires = \"1m\"\nsignature_in = \"header\""),
            "is for presigned URLs",
        ),
        (
            base.replace("[groups.connect]\n", "[groups.connect]\ntoken_in = { query = \"t\" }\n"),
            "would not be signed",
        ),
        (
            base.replace("\"x\"", "\"x\"\nsignature_in = \"header\"")
                .replace("[groups.connect]\n", "[groups.connect]\nheaders = { x-amz-date = \"now\" }\n"),
            "stands among `headers`",
        ),
        (
            base.replace("\"x\"", "\"x\"\nsignature_in = \"header\"")
                .replace("grant = \"none\"", "grant = \"fixed\", token = \"t\""),
            "would both be the header `Authorization`",
        ),
        (
            base.replace("[target.signatures]", "tickets = { life = \"1s\" }\n[target.signatures]"),
            "stands beside tickets",
        ),
        (
            base.replace("refusal_body = '{\"message\":\"{message}\"}'", "refusal_body = '{hex(message)}'"),
            "calls a function",
        ),
        (session("{hex(sha1(unix_ms))}"), "there is no function sha1"),
        (session("{hmac_sha256(unix_ms, now)}"), "gives bytes"),
        (session("{hex(hmac_sha256(unix_ms))}"), "cannot be called with 1 arguments"),
        (session("{hex(gone)}"), "names {gone}, which nothing fills"),
        (session("{hex(\"a\"}"), "does not end as a call does"),
    ] {
        let told = fault(&text);
        assert!(told.contains(said), "{said}:\n{told}\n{text}");
    }
    assert_eq!(fault(&session("{user(id: 1){name age}}{hex(sha256(now_iso))}")), "");
}
