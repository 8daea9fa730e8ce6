//! Tests of the keys of token requests, grants and tokens that clients sign: what `check` refuses, and where.

use super::*;

const BASE: &str = "duration = \"5s\"\n[target]\nkind = \"embedded\"\n[[groups]]\nname = \"g\"\nclients = 1\n[groups.token]\n";
const CLIENT: &str = "client_id = \"c\"\nclient_secret = \"hush\"\n";
const JWT: &str = "grant = \"jwt\"\nalgorithm = \"HS256\"\nkey = \"hush\"\n";

fn load_token(token: &str) -> Result<Loaded, ScenarioError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    std::fs::write(folder.path().join("rows.csv"), "name,number\n\"A \"\"B\"\"\",7\nC,x\n").unwrap();
    std::fs::write(&file, format!("{BASE}{token}")).unwrap();
    load(&file, &Vec::new(), None, &|name| (name == "SET").then(|| "from-env".to_owned()))
}

#[test]
fn good_tokens_are_taken_and_no_secret_is_shown() {
    let assertion = "{ algorithm = \"HS256\", key = { env = \"SET\" }, claims = '{}' }";
    let rows = [
        format!(
            "{CLIENT}params = {{ audience = \"a\", api_key = \"hush\", who = \"{{client}}-{{now}}\" }}\nbody = \"json\""
        ),
        format!("{CLIENT}auth = \"client_secret_jwt\""),
        format!("{CLIENT}dpop = {{ clock_skew = \"-5m\" }}"),
        "grant = \"password\"\nclient_id = \"c\"\nusername = \"u-{client}\"\npassword = \"hush\"".to_owned(),
        format!("grant = \"jwt_bearer\"\nassertion = {assertion}"),
        format!("grant = \"token_exchange\"\n{CLIENT}subject_jwt = {assertion}"),
        "grant = \"token_exchange\"\nsubject_token = { env = \"SET\" }".to_owned(),
        format!("{JWT}claims = '{{\"sub\":\"{{name}}\",\"nbf\":{{now}}}}'\nfeeder = \"rows.csv\""),
    ];
    for token in rows {
        let loaded = load_token(&token).unwrap_or_else(|error| panic!("{token}\n{error}"));
        let shown = format!("{:?}{}{}", loaded.scenario.groups, loaded.copy, describe(&loaded));
        assert!(!shown.contains("from-env") && !shown.contains("hush"), "{shown}");
    }
}

#[test]
fn each_bad_token_is_told_what_is_wrong_and_where() {
    // (keys, what is said of them, the line)
    let rows = [
        (format!("{CLIENT}params = {{ grant_type = \"x\" }}"), "the request itself sets grant_type", 10),
        (format!("{CLIENT}params = {{ audience = \"{{gone}}\" }}"), "names {gone}, which nothing fills", 10),
        (format!("{CLIENT}token_pointer = \"token\""), "it begins with `/`", 10),
        (format!("{CLIENT}auth = \"private_key_jwt\""), "needs client_assertion", 10),
        ("client_id = \"c\"".to_owned(), "client_credentials needs client_id and client_secret", 7),
        ("feeder = \"rows.csv\"".to_owned(), "it has no column client_id", 8),
        ("grant = \"password\"\nusername = \"u\"".to_owned(), "needs username and password", 7),
        ("grant = \"jwt_bearer\"".to_owned(), "needs assertion", 7),
        ("grant = \"token_exchange\"".to_owned(), "needs subject_token", 7),
        ("grant = \"jwt\"\nalgorithm = \"ES512\"\nkey = \"k\"\nclaims = '{}'".to_owned(), "did you mean", 9),
        (
            "grant = \"jwt\"\nalgorithm = \"RS256\"\nkey = \"hush\"\nclaims = '{}'".to_owned(),
            "it is no key in PEM",
            10,
        ),
        (format!("{CLIENT}dpop = \"yes\""), "true, false or a table is needed", 10),
        (format!("{CLIENT}dpop = {{ key = \"hush\" }}"), "it is no key in PEM", 10),
        (
            "grant = \"fixed\"\ntoken = \"hush\"\ndpop = true".to_owned(),
            "name the key to which the token is bound",
            10,
        ),
        (
            format!("{CLIENT}dpop = true\n[groups.connect]\ntoken_in = \"nowhere\""),
            "does not show them in the header",
            12,
        ),
        (
            format!("{CLIENT}certificate = {{ chain = \"hush\", key = \"hush\" }}"),
            "it has no BEGIN CERTIFICATE",
            10,
        ),
        (format!("{JWT}claims = '{{\"sub\":}}'"), "line 1, column 8: what stands there is no JSON", 11),
        (format!("{JWT}claims = '[1]'"), "is no JSON object", 11),
        (format!("{JWT}claims = '{{\"sub\":\"{{gone}}\"}}'"), "names {gone}, which nothing fills", 11),
        (format!("{JWT}claims = '{{}}'\nheader = 'x'"), "`groups.0.token.header` is no JSON object", 12),
        (
            format!("{JWT}claims = '{{\"n\":{{number}}}}'\nfeeder = \"rows.csv\""),
            "filled from row 2 is no JSON object",
            11,
        ),
    ];
    for (token, words, line) in rows {
        let told = load_token(&token).map(|_| ()).unwrap_err().to_string();
        assert!(told.contains(words) && !told.contains("hush"), "{token}\n{told}");
        assert!(told.contains(&format!("s.toml:{line}:")), "line {line}: {token}\n{told}");
    }
}

#[test]
fn each_bad_key_of_a_target_that_binds_tokens_is_told() {
    let rows = [
        ("token_signing = { algorithm = \"ES256\" }", "is for tokens that are JWTs"),
        ("token_format = \"jwt\"\ntoken_signing = { algorithm = \"RS256\" }", "no such key is made here"),
        (
            "token_format = \"jwt\"\ntoken_signing = { algorithm = \"ES256\", key = \"hush\" }",
            "it is no key in PEM",
        ),
        ("client_certificates = { required = true }", "is for a target with TLS"),
        ("tls = true\nclient_certificates = { authority = \"hush\" }", "it has no BEGIN CERTIFICATE"),
        ("clients = [{ id = \"c\", certificate = \"hush\" }]", "is no certificate"),
        ("clients = [{ id = \"c\" }]", "a client of the target has id, secret and scopes"),
        ("trusted = { jwks = \"hush\" }", "is no JWK Set"),
        ("trusted = { algorithm = \"HS256\" }", "the target needs algorithm and key"),
        ("dpop = { nonce = \"always\" }", "always"),
    ];
    for (keys, said) in rows {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.toml");
        let base = BASE.replace("kind = \"embedded\"", &format!("kind = \"embedded\"\n{keys}"));
        std::fs::write(&file, format!("{base}{CLIENT}")).unwrap();
        let Err(error) = load(&file, &Vec::new(), None, &|_| None) else { panic!("{keys}") };
        let text = error.to_string();
        assert!(text.contains(said) && !text.contains("hush"), "{keys}\n{text}");
    }
}

fn load_group(target: &str, group: &str) -> Result<Loaded, ScenarioError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    let text = format!(
        "duration = \"5s\"\n[target]\nkind = \"embedded\"\n{target}\n[[groups]]\nname = \"g\"\nclients = 1\n{group}"
    );
    std::fs::write(&file, text).unwrap();
    load(&file, &Vec::new(), None, &|_| None)
}

#[test]
fn what_nothing_fills_is_told_wherever_it_stands() {
    let token = |keys: &str| format!("[groups.token]\nclient_secret = \"s\"\n{keys}");
    let of_client = token("client_id = \"c\"");
    // (keys, what is said of them)
    let rows = [
        (token("client_id = \"user-{client}\""), "a feeder gives each client an id"),
        (
            token("client_id = \"c\"\nscopes = [\"tenant-{client}\"]"),
            "`groups.0.token.scopes.0` has {client} in it",
        ),
        (token("client_id = \"c\"\nheaders = { X-Who = \"{gone}\" }"), "names {gone}, which nothing fills"),
        (format!("{of_client}\n[groups.connect]\npath = \"/events/{{client}}\""), "write the whole URL"),
        (
            format!("{of_client}\n[groups.connect]\norigin = \"https://{{client}}.example\""),
            "give it as a header",
        ),
        (
            format!("{of_client}\n[groups.connect]\nsubprotocols = [\"{{token}}\"]"),
            "the token goes there by token_in",
        ),
        (
            format!("{of_client}\n[groups.connect]\ntoken_in = {{ first_message = \"{{token}} {{gone}}\" }}"),
            "names {gone}",
        ),
        (
            format!("{of_client}\n[groups.session]\nsend = {{ rate = \"1/s\", text = \"{{gone}}\" }}"),
            "names {gone}",
        ),
    ];
    for (group, said) in rows {
        let error = load_group("", &group).expect_err(&group).to_string();
        assert!(error.contains(said), "{group}\n{error}");
    }
    let filled = format!(
        "{}\n[groups.connect]\nurl = \"ws://{{address}}/events/{{client}}\"\ntoken_in = {{ first_message = '{{\"t\":\"{{token}}\",\"c\":{{client}}}}' }}\n[groups.session]\nsend = {{ rate = \"1/s\", text = '{{\"at\":{{unix_ms}},\"who\":{{client}}}}' }}\nkeep_alive = {{ text_every = \"1s\", text = \"{{client}}\" }}",
        token("client_id = \"c\"\nheaders = { X-Who = \"{client}-{now}\" }")
    );
    load_group("", &filled).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn what_cannot_be_meant_is_told() {
    let jwt = |more: &str| format!("[groups.token]\n{JWT}{more}");
    let signed = |call: &str| {
        format!("token = {{ grant = \"none\" }}\n[groups.connect]\nheaders = {{ X-Sign = '{{{call}}}' }}")
    };
    let step = "token = { grant = \"none\" }\n[[groups.prepare.steps]]\npath = \"/x\"\n";
    let set = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
    let both = format!("trusted = {{ key = \"hush\", jwks = '{set}' }}");
    let plain = "[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\n";
    // (target, group, what is said)
    let rows = [
        ("", jwt("claims = '{\"exp\":\"soon\"}'"), "has exp, which is no number"),
        ("", jwt("claims = '{\"nbf\":\"{now}\"}'"), "has nbf, which is no number"),
        ("", jwt("claims = '{}'\nheader = '{\"alg\":\"none\"}'"), "names another alg than `algorithm`"),
        (&both, plain.to_owned(), "stands beside a key"),
        ("", format!("{plain}token_pointer = \"/a~2b\""), "`~1` a `/`"),
        ("", format!("{step}save = {{ a = \"/a~\" }}"), "`~1` a `/`"),
        ("", format!("{step}save = {{ a = {{ cookie = \"a b\" }} }}"), "the name of a cookie has no spaces"),
        (
            "",
            signed("urlencode(hmac_sha256(\"k\", \"t\"))"),
            "urlencode takes a text, and hmac_sha256 gives bytes",
        ),
        ("", format!("{plain}[groups.connect]\ntls_resumption = \"per-client\""), "connects without TLS"),
    ];
    for (target, group, said) in rows {
        let error = load_group(target, &group).expect_err(&group).to_string();
        assert!(error.contains(said), "{target}\n{group}\n{error}");
    }
    for (target, group) in [
        ("", jwt("claims = '{\"exp\":{now}}'\nheader = '{\"alg\":\"HS256\"}'")),
        ("", format!("{plain}token_pointer = \"/a~1b~0\"")),
        ("", signed("urlencode(base64(hmac_sha256(\"k\", \"t\")))")),
        ("tls = true", format!("{plain}[groups.connect]\ntls_resumption = \"per-client\"")),
    ] {
        load_group(target, &group).unwrap_or_else(|error| panic!("{group}\n{error}"));
    }
}

#[test]
fn the_plan_names_keys_that_are_proved_and_certificates() {
    let group = "[groups.token]\nclient_id = \"c\"\nclient_secret = \"s\"\ndpop = true\n[groups.connect]\ntls_resumption = \"per-client\"";
    let told = describe(&load_group("tls = true", group).unwrap());
    assert!(
        told.contains("bound to a key that it proves to hold (DPoP); resumes its TLS sessions"),
        "{told}"
    );
}
