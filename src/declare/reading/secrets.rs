//! Which texts of a scenario are secret, and how they are shown.
//!
//! In: names of keys and headers, texts. Out: whether they are secret; texts in which the secrets are starred out. A secret stands behind a name that
//! tells of one (`client_secret = "…"`, `"token":"…"`, `?api_key=…`), or before the `@` of a URL. What a variable fills is none.

use std::ops::Range;

use crate::declare::template::{Template, calls_function, is_name};

/// How many letters of the end of a name may be wrong, by its length: two that changed places count as one.
const fn slips_allowed(length: usize) -> usize {
    match length {
        0..5 => 0,
        5 => 1,
        _ => 2,
    }
}
/// Ends of names whose values are secret.
const SECRET_ENDS: [&str; 12] = [
    "secret",
    "token",
    "password",
    "passwd",
    "authorization",
    "cookie",
    "key",
    "proxy",
    "credential",
    "credentials",
    "signature",
    "ticket",
];
/// Parts of the names of headers whose values are secret.
const SECRET_PARTS: [&str; 10] =
    ["auth", "token", "secret", "cookie", "key", "password", "session", "signature", "credential", "ticket"];

/// Whether the value of a key of a scenario, of a JSON text or of a query is secret, by its name; also where that is mistyped.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let last = lower.rsplit(['_', '-']).next().unwrap_or_default();
    let is_near = |end: &&str| strsim::osa_distance(last, end) <= slips_allowed(end.len());
    ends_as_secret(&lower)
        || SECRET_ENDS.iter().any(is_near)
        || lower.contains('-') && is_secret_header(&lower)
}

fn ends_as_secret(name: &str) -> bool {
    SECRET_ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether the value of a header is secret, by its name.
pub(crate) fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// A text with the secrets in it starred out, byte for byte.
pub(crate) fn masked(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    // A password with a slash in it makes no URL, and is one all the same.
    let users = text.match_indices("://").filter_map(|(at, _)| user_of(text, at + 3, &[]));
    for span in named_spans(text).chain(users) {
        bytes[span].fill(b'*');
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// The value of the key at a dotted path, as a message may show it.
pub(crate) fn shown(path: &str, value: &str) -> String {
    let mut keys = path.split('.').map(|key| key.trim_matches(['"', '\'']));
    let last = keys.clone().next_back().unwrap_or_default();
    let is_header = path.contains("headers.") && is_secret_header(last);
    // The table `token` has keys that everybody may see.
    let is_secret = is_secret_name(last) || keys.any(|key| key != "token" && ends_as_secret(key));
    if is_header || is_secret { "…".to_owned() } else { masked(value) }
}

/// Whether the value of the key at a dotted path tells a secret. A reference to one does not.
pub(crate) fn tells_secret(path: &str, value: &str) -> bool {
    let value = value.trim();
    if !value.starts_with('{') {
        return shown(path, value) != value;
    }
    let last = path.rsplit('.').next().unwrap_or_default().trim_matches(['"', '\'']);
    let line = format!("{} = {value}", if ends_as_secret(last) { last } else { "_" });
    masked(&line) != line
}

/// Whether a text holds a secret that no variable fills.
pub(crate) fn holds_secret(text: &str) -> bool {
    let is_constant = |span: Range<usize>| {
        let value = &text[span];
        !value.is_empty() && !is_filled(value)
    };
    let users = text.match_indices("://").filter_map(|(at, _)| user_of(text, at + 3, &['/', '?', '#']));
    named_spans(text).chain(users).any(is_constant)
}

/// The secrets in a text that no variable fills.
pub(crate) fn secrets_in(text: &str) -> Vec<&str> {
    let users = text.match_indices("://").filter_map(|(at, _)| user_of(text, at + 3, &['/', '?', '#']));
    let values = named_spans(text).chain(users).map(|span| &text[span]);
    values.filter(|value| !is_filled(value)).collect()
}

/// Whether a variable or a call fills a value.
fn is_filled(value: &str) -> bool {
    Template::parse(value).variables().next().is_some() || calls_function(value)
}

/// Where values stand whose names say that they are secret: whole characters each.
fn named_spans(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices(['=', ':'])
        .filter(|(at, _)| name_before(text, *at).is_some_and(is_secret_name))
        .filter_map(|(at, _)| value_after(text, at + 1))
}

/// The name that ends before `at`, quotes and blanks between.
fn name_before(text: &str, at: usize) -> Option<&str> {
    let before = text[..at].trim_end_matches([' ', '\t', '"', '\'', '\\']);
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name = before.rsplit(|c: char| !is_of_name(c)).next()?;
    (!name.is_empty()).then_some(name)
}

/// The value that begins behind `at`: what quotes enclose, or a word that follows at once.
fn value_after(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = &text[at..];
    let gap = rest.len() - rest.trim_start_matches([' ', '\t', '\\']).len();
    let value = &rest[gap..];
    let start = at + gap;
    let quote = value.chars().next()?;
    if matches!(quote, '"' | '\'') {
        let is_escaped = rest[..gap].ends_with('\\');
        let triple: String = [quote; 3].iter().collect();
        let (open, close) = if is_escaped {
            (1, "\\\"".to_owned())
        } else if value.starts_with(&triple) {
            (3, triple)
        } else {
            (1, quote.to_string())
        };
        let inside = start + open;
        return Some(inside..inside + length_up_to(&text[inside..], &close, quote == '"' && !is_escaped));
    }
    if quote == '[' {
        return Some(start + 1..start + value.find(['\n', ']']).unwrap_or(value.len()));
    }
    if quote == '{' {
        let inside = &value[1..value.find(['\n', '}']).unwrap_or(value.len())];
        // A reference, a variable, or a table whose keys speak for themselves.
        let is_reference = inside.trim_start().starts_with(['e', 'f']) && !inside.contains(',');
        let is_open = is_reference || is_name(inside) || calls_function(inside) || is_token_table(text, at);
        return (!is_open).then(|| start + 1..start + 1 + inside.len());
    }
    if gap > 0 {
        return None;
    }
    let ends =
        |c: char| c.is_whitespace() || matches!(c, '&' | '"' | '\'' | '#' | ',' | ']' | '}' | '\\' | '`');
    Some(start..start + value.find(ends).unwrap_or(value.len()))
}

/// Whether the value behind `at` is that of a group's `token`.
fn is_token_table(text: &str, at: usize) -> bool {
    name_before(text, at - 1) == Some("token")
}

/// How far it is to `close`; a backslash takes the next character with it where `escapes`. One quote ends with the line.
fn length_up_to(text: &str, close: &str, escapes: bool) -> usize {
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        if text[at..].starts_with(close) || (c == '\n' && close.len() == 1) {
            return at;
        }
        if escapes && c == '\\' {
            characters.next();
        }
    }
    text.len()
}

/// User and password of a URL whose authority begins at `at`, and goes as far as the word, or one of `ends`.
fn user_of(text: &str, at: usize, ends: &[char]) -> Option<Range<usize>> {
    let rest = &text[at..];
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'') || ends.contains(&c);
    let end = rest.find(is_end).unwrap_or(rest.len());
    rest[..end].rfind('@').filter(|length| *length > 0).map(|length| at..at + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_are_starred_out_where_they_stand() {
        let rows = [
            ("client_secret = \"hush\" # x", "client_secret = \"****\" # x"),
            ("{ client_secret='hush', a = \"b\" }", "{ client_secret='****', a = \"b\" }"),
            ("token = \"a\\\"b\"", "token = \"****\""),
            ("token = \"\"\"\nhu\nsh\"\"\" # x", "token = \"\"\"******\"\"\" # x"),
            ("token = { env = \"NAME\" }", "token = { env = \"NAME\" }"),
            ("client_secret = { env = \"N\" , x = \"hush\" }", "client_secret = {************************}"),
            (
                "token = { grant = \"fixed\", token = \"hush\" }",
                "token = { grant = \"fixed\", token = \"****\" }",
            ),
            ("headers = { \"Authorization\" = \"é\" }", "headers = { \"Authorization\" = \"**\" }"),
            ("headers = { X-Auth-Id = \"abc\" }", "headers = { X-Auth-Id = \"***\" }"),
            ("token_life = \"5s\"", "token_life = \"5s\""),
            ("token =", "token ="),
            ("tokn = \"abc\"", "tokn = \"***\""),
            ("client_secert = \"abc\"", "client_secert = \"***\""),
            ("client_scerte = 'abc'", "client_scerte = '***'"),
            ("pasword = \"abc\"", "pasword = \"***\""),
            ("proyx = \"abc\"", "proyx = \"***\""),
            ("clients = 5", "clients = 5"),
            ("client_secret = ['abc'] # x", "client_secret = [*****] # x"),
            ("url = \"ws://me:p/w@h\"", "url = \"ws://******@h\""),
            ("token", "token"),
            (
                "url = \"wss://me:pw@host/?a=b&api_key=abc&c=d\"",
                "url = \"wss://*****@host/?a=b&api_key=***&c=d\"",
            ),
            ("body = \"{\\\"token\\\":\\\"abc\\\"}\"", "body = \"{\\\"token\\\":\\\"***\\\"}\""),
            ("body = '{\"token\": \"abc\"}'", "body = '{\"token\": \"***\"}'"),
            ("proxy = \"http://a.b\"", "proxy = \"**********\""),
            ("token_url = \"https://a.b/c\"", "token_url = \"https://a.b/c\""),
        ];
        for (text, expected) in rows {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn a_value_is_shown_unless_its_key_is_secret() {
        assert_eq!(shown("groups.0.clients", "many"), "many");
        assert_eq!(shown("groups.0.token", "abc"), "…");
        assert_eq!(shown("groups.0.token.auth", "basik"), "basik");
        assert_eq!(shown("target.tickets.life", "long"), "long");
        assert_eq!(shown("groups.0.token.client_secret.x", "abc"), "…");
        assert_eq!(shown("groups.0.connect.headers.\"X-Auth\"", "abc"), "…");
        assert_eq!(shown("target.url", "x://u:p@h"), "x://***@h");
        assert_eq!(shown("groups.0.token", "{ client_secret = \"abc\" }"), "…");
        assert_eq!(shown("groups.0.x", "{ client_secret = \"abc\" }"), "{ client_secret = \"***\" }");
    }

    #[test]
    fn a_value_tells_a_secret_unless_it_refers_to_it() {
        for (path, value) in [
            ("groups.0.token.client_secret", "abc"),
            ("groups.0.token.client_secret", "\"abc\""),
            ("groups.0.token.client_secret", "{ env = \"A\", x = \"abc\" }"),
            ("groups.0.token", "{ grant = \"fixed\", token = \"abc\" }"),
            ("groups.0.token.headers.X-Api-Key", "abc"),
            ("groups.0.connect.headers", "{ Authorization = \"abc\" }"),
            ("groups.0.connect.proxy", "http://u:p@h"),
            ("target.url", "wss://h/?api_key=abc"),
        ] {
            assert!(tells_secret(path, value), "{path} = {value}");
        }
        for (path, value) in [
            ("groups.0.token.client_secret", "{ env = \"A\" }"),
            ("groups.0.token", "{ grant = \"none\" }"),
            ("groups.0.token.on_reconnect", "fetch"),
            ("groups.0.clients", "10"),
            ("target.token_life", "5s"),
            ("target.tickets", "{ life = \"5s\" }"),
            ("groups.0.connect.headers", "{ Origin = \"null\" }"),
        ] {
            assert!(!tells_secret(path, value), "{path} = {value}");
        }
    }

    #[test]
    fn what_a_variable_fills_is_no_secret() {
        assert!(holds_secret("{\"token\":\"abc\"}") && holds_secret("ws://h/?key=1"));
        assert!(holds_secret("x://me:pw@h") && !holds_secret("https://h/@me"));
        assert!(
            !holds_secret("{\"signature\":\"{hex(sha256(\"a\"))}\"}")
                && !holds_secret("a=b&signature={hex(hmac_sha256(api_secret, \"a=b\"))}")
        );
        assert!(
            !holds_secret("{\"token\":\"{token}\"}") && !holds_secret("ws://h/?id=1&access_token={token}")
        );
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_length(text in "([a-z=:\"'\\\\ @/{}é\n]|token|secret|://){0,40}") {
            prop_assert_eq!(masked(&text).len(), text.len());
        }
    }
}
