//! Texts: names, secrets, URLs, templates, paths, addresses.
//!
//! In: strings, and references to what stands elsewhere. Out: values, or faults. What may be secret is shown in no fault.

use std::net::IpAddr;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use crate::scenario::file::reader::{At, read_capped};
use crate::scenario::hidden::Hidden;
use crate::scenario::template::{BUILT_IN, Template, UrlText};

use super::kind::{Kind, Value};
use super::numbers::{List, list};
use super::shape::{Hold, Shape, TextShape};

/// The largest file with a secret.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// A rule for texts that are no secrets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// What such a text is called.
    pub(crate) name: &'static str,
    /// Patterns, each of which must find something.
    pub(crate) patterns: &'static [&'static str],
    /// A pattern that must find nothing.
    pub(crate) except: Option<&'static str>,
    /// Said of a text that does not follow it.
    pub(crate) allowed: &'static str,
    /// Good texts.
    pub(crate) examples: &'static [&'static str],
}

impl Rule {
    /// As data.
    pub(crate) fn shape(self) -> TextShape {
        let patterns = self.patterns.iter().map(|pattern| (*pattern).into()).collect();
        TextShape {
            patterns,
            except: self.except.map(Into::into),
            examples: self.examples,
            ..TextShape::plain(self.name)
        }
    }

    /// Whether a text follows it; else what is wrong, and what is allowed.
    pub(crate) fn check(self, text: &str) -> Result<(), (String, String)> {
        if self.shape().fits(text) {
            return Ok(());
        }
        Err((format!("\"{text}\" is no {}", self.name.replace('_', " ")), self.allowed.to_owned()))
    }
}

/// Any text.
const ANY: Rule =
    Rule { name: "text", patterns: &[], except: None, allowed: "a string is needed", examples: &[] };
/// A text that is not empty.
pub(crate) const NOT_EMPTY: Rule = Rule {
    name: "text_with_something_in_it",
    patterns: &["[\\s\\S]"],
    except: None,
    allowed: "a string with something in it is needed",
    examples: &["x"],
};
/// What stands in file names and CSV cells.
pub(crate) const NAME: Rule = Rule {
    name: "name",
    patterns: &["^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$"],
    except: None,
    allowed: "a name has 1 to 64 letters, digits, `-`, `_` or `.`, and no `.` in front",
    examples: &["stale-token", "fleet_2"],
};
/// A header's name (RFC 9110 §5.1).
pub(crate) const HEADER_NAME: Rule = Rule {
    name: "header_name",
    patterns: &["^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$"],
    except: None,
    allowed: "letters, digits and `-` are allowed",
    examples: &["X-Client", "Accept-Language"],
};
/// A header's value: no control characters but the tab.
pub(crate) const HEADER_VALUE: Rule = Rule {
    name: "header_value",
    patterns: &["^[^\\x00-\\x08\\x0a-\\x1f\\x7f]*$"],
    except: None,
    allowed: "a header's value has no line breaks and no other control characters",
    examples: &["application/json"],
};
/// A variable's name that is not one of those that every client has.
pub(crate) const VARIABLE: Rule = Rule {
    name: "variable_name",
    patterns: &["^[a-z][a-z0-9_]{0,39}$"],
    except: Some("^(token|client|unix_ms|address)$"),
    allowed: "lower-case letters, digits and _ are allowed, a letter first; {token}, {client}, {unix_ms} and {address} are there already",
    examples: &["uri", "session_id"],
};
/// A JSON Pointer (RFC 6901).
pub(crate) const POINTER: Rule = Rule {
    name: "JSON_Pointer",
    patterns: &["^(/[\\s\\S]*)?$"],
    except: None,
    allowed: "it begins with `/`, as \"/data/url\" (RFC 6901)",
    examples: &["/data/url", "/connectUri"],
};
/// A JSON Pointer that is not to the whole.
pub(crate) const INNER_POINTER: Rule = Rule {
    name: "inner_JSON_Pointer",
    patterns: &["^/[\\s\\S]*$"],
    except: None,
    allowed: "it begins with `/`, as \"/d/token\" (RFC 6901)",
    examples: &["/d/token"],
};

/// A text that is no secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain(Rule);

/// Any text that is no secret.
pub(crate) const fn string() -> Plain {
    Plain(ANY)
}

/// A text that follows a rule.
pub(crate) const fn ruled(rule: Rule) -> Plain {
    Plain(rule)
}

/// Texts that are no secrets.
pub(crate) const fn strings() -> List<Plain> {
    list(string(), "a list of strings is needed, as [\"a\", \"b\"]")
}

impl Kind for Plain {
    type Out = String;

    fn shape(&self) -> Shape {
        Shape::Text(self.0.shape())
    }

    fn read(&self, at: &At<'_>) -> Option<String> {
        let text = at.text().filter(|text| self.0.shape().fits(text));
        if text.is_none() {
            at.wrong(self.0.allowed);
        }
        text.map(str::to_owned)
    }

    fn write(&self, out: &String) -> Option<String> {
        Some(quoted(out))
    }
}

/// A text as TOML has it.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// What is said of what is no text.
const TEXT: &str = "a string, { env = \"NAME\" } or { file = \"path\" } is needed";

/// A secret: a string, `{ env = "NAME" }` or `{ file = "path" }`.
pub(crate) struct Secret;

/// A secret.
pub(crate) const fn secret() -> Secret {
    Secret
}

impl Kind for Secret {
    type Out = SecretString;

    fn shape(&self) -> Shape {
        Shape::Text(TextShape { hold: Hold::Always, ..TextShape::plain("secret") })
    }

    fn read(&self, at: &At<'_>) -> Option<SecretString> {
        match at.text() {
            Some(text) => Some(SecretString::from(text)),
            None => read_reference(at),
        }
    }
}

/// What a reference refers to.
fn read_reference(at: &At<'_>) -> Option<SecretString> {
    let Some(table) = at.table() else {
        // The value is not shown: it was meant to be a secret.
        at.fault(format!("`{}` is not a string", at.path), TEXT);
        return None;
    };
    let secret = match (table.get("env"), table.get("file")) {
        (Some(name), None) => string().read(&name).and_then(|text| secret_of_env(&name, &text)),
        (None, Some(file)) => string().read(&file).and_then(|text| secret_of_file(&file, &text)),
        _ => {
            at.fault(format!("`{}` names no single source", at.path), TEXT);
            None
        }
    };
    table.finish();
    secret
}

fn secret_of_env(at: &At<'_>, name: &str) -> Option<SecretString> {
    let text = at.reading.env(name);
    if text.is_none() {
        let message = format!("the environment variable {name} is not set, or empty");
        at.elsewhere(message, format!("set it: export {name}=…"));
    }
    text.map(SecretString::from)
}

fn secret_of_file(at: &At<'_>, file: &str) -> Option<SecretString> {
    let path = at.reading.file(file);
    match read_capped(&path, MAX_SECRET_BYTES) {
        Ok(text) => Some(SecretString::from(text.trim())),
        Err(error) => {
            let message = format!("cannot read the secret file {}: {error}", path.display());
            at.elsewhere(message, "name a readable file, relative to the scenario's folder");
            None
        }
    }
}

/// A text that may hold a secret: a string, or a reference as that of a secret. What it means is told by a type that shows no secret.
pub(crate) struct Perhaps<T> {
    shape: fn() -> TextShape,
    parse: fn(&At<'_>, &str) -> Result<T, String>,
}

impl<T> Kind for Perhaps<T> {
    type Out = T;

    fn shape(&self) -> Shape {
        Shape::Text((self.shape)())
    }

    fn read(&self, at: &At<'_>) -> Option<T> {
        let plain = at.text();
        let referred = if plain.is_some() { None } else { Some(read_reference(at)?) };
        let text = plain.or_else(|| referred.as_ref().map(|secret| secret.expose_secret()))?;
        let parsed = (self.parse)(at, text).and_then(|parsed| {
            let fits = (self.shape)().fits(text);
            fits.then_some(parsed).ok_or_else(|| "it is not of the form that is needed".to_owned())
        });
        match (parsed, plain) {
            (Ok(parsed), _) => Some(parsed),
            (Err(why), Some(_)) => {
                at.wrong(why);
                None
            }
            (Err(why), None) => {
                at.elsewhere(format!("what `{}` refers to cannot be used", at.path), why);
                None
            }
        }
    }
}

/// Any text that may hold a secret.
pub(crate) const fn text() -> Perhaps<Hidden<String>> {
    Perhaps {
        shape: || TextShape { hold: Hold::Perhaps, ..TextShape::plain("text_or_reference") },
        parse: |_, text| Ok(text.to_owned().into()),
    }
}

/// A path and a query.
pub(crate) const fn path() -> Perhaps<Hidden<String>> {
    Perhaps {
        shape: || TextShape {
            hold: Hold::Perhaps,
            patterns: vec!["^/[!-~]*$".into()],
            examples: &["/events?region=eu"],
            ..TextShape::plain("path")
        },
        parse: |_, text| {
            let is_path = text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic());
            is_path
                .then(|| text.to_owned().into())
                .ok_or_else(|| "a path begins with `/` and holds no spaces".to_owned())
        },
    }
}

fn parse_url(text: &str, schemes: &[&str]) -> Result<url::Url, String> {
    let list = schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ");
    let allowed = format!("a URL with {list} is needed");
    let url = url::Url::parse(text).map_err(|error| format!("{allowed}: {error}"))?;
    if !schemes.contains(&url.scheme()) || url.host_str().is_none() {
        return Err(allowed);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user and password of a URL are not sent: give them as a header, headers = { Authorization = { env = \"NAME\" } }".to_owned());
    }
    Ok(url)
}

/// A WebSocket URL.
pub(crate) const fn ws_url() -> Perhaps<Hidden<url::Url>> {
    Perhaps {
        shape: || TextShape {
            hold: Hold::Perhaps,
            patterns: vec!["^[wW][sS][sS]?://[^@\\s]+$".into()],
            format: Some("uri"),
            examples: &["wss://api.example.com/events", "ws://127.0.0.1:8080/"],
            ..TextShape::plain("ws_url")
        },
        parse: |_, text| parse_url(text, &["ws", "wss"]).map(Into::into),
    }
}

/// An HTTP URL.
pub(crate) const fn http_url() -> Perhaps<Hidden<url::Url>> {
    Perhaps {
        shape: || TextShape {
            hold: Hold::Perhaps,
            patterns: vec!["^[hH][tT][tT][pP][sS]?://[^@\\s]+$".into()],
            format: Some("uri"),
            examples: &["https://api.example.com/oauth/token", "http://127.0.0.1:8080/oauth/token"],
            ..TextShape::plain("http_url")
        },
        parse: |_, text| parse_url(text, &["http", "https"]).map(Into::into),
    }
}

/// A WebSocket URL, which may hold variables.
pub(crate) const fn ws_url_template() -> Perhaps<UrlText> {
    Perhaps {
        shape: || TextShape {
            hold: Hold::Perhaps,
            patterns: vec!["^[^@]*$".into()],
            format: Some("uri-template"),
            examples: &["wss://eu.example.com/events?client={client}", "ws://{address}/x"],
            is_template: true,
            ..TextShape::plain("ws_url_template")
        },
        parse: |at, text| {
            let template = Template::parse(text);
            if template.variables().next().is_none() {
                return parse_url(text, &["ws", "wss"]).map(|url| UrlText::Fixed(Box::new(url.into())));
            }
            check_variables(at, &template)?;
            Ok(UrlText::Template(template))
        },
    }
}

/// A text with a place for the token. It may hold a secret.
pub(crate) const fn token_text() -> Perhaps<Hidden<String>> {
    Perhaps {
        shape: || TextShape {
            hold: Hold::Perhaps,
            patterns: vec!["\\{token\\}".into()],
            examples: &["{\"token\":\"{token}\"}"],
            ..TextShape::plain("text_with_token")
        },
        parse: |_, text| match text.contains("{token}") {
            true => Ok(text.to_owned().into()),
            false => Err("the message has no place for the token: write {token} where it goes".to_owned()),
        },
    }
}

/// A text whose variables are filled in for each client. It may hold a secret.
pub(crate) const fn template() -> Perhaps<Template> {
    Perhaps {
        shape: || TextShape {
            hold: Hold::Perhaps,
            is_template: true,
            examples: &["{\"op\":\"hello\",\"client\":{client}}"],
            ..TextShape::plain("template")
        },
        parse: |at, text| {
            let template = Template::parse(text);
            check_variables(at, &template).map(|()| template)
        },
    }
}

/// That something fills each variable.
fn check_variables(at: &At<'_>, template: &Template) -> Result<(), String> {
    let known = at.reading.scope.variables.borrow();
    let Some(known) = known.as_ref() else { return Ok(()) };
    for name in template.variables().filter(|name| !known.iter().any(|known| known == name)) {
        let message = format!("`{}` names {{{name}}}, which nothing fills", at.path);
        at.between(message, format!("there are {}", known.join(", ")));
    }
    Ok(())
}

/// The variables that every client has.
pub(crate) fn built_in() -> Vec<String> {
    BUILT_IN.iter().map(|name| (*name).to_owned()).collect()
}

/// A text of the embedded target's, in which some variables may stand, beside those of the scope.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TargetText(&'static [&'static str], Rule);

/// A text of the embedded target's, in which these variables may stand.
pub(crate) const fn target_text(known: &'static [&'static str]) -> TargetText {
    TargetText(known, ANY)
}

/// The value of a header of the embedded target's, in which these variables may stand.
pub(crate) const fn target_header(known: &'static [&'static str]) -> TargetText {
    TargetText(known, HEADER_VALUE)
}

impl Kind for TargetText {
    type Out = Template;

    fn shape(&self) -> Shape {
        Shape::Text(TextShape { is_template: true, ..self.1.shape() })
    }

    fn read(&self, at: &At<'_>) -> Option<Template> {
        let template = Template::parse(&ruled(self.1).read(at)?);
        let scope = at.reading.scope.variables.borrow();
        let saved = scope.iter().flatten().map(String::as_str);
        let known: Vec<&str> = self.0.iter().copied().chain(saved).collect();
        for name in template.variables().filter(|name| !known.contains(name)) {
            let help = if known.is_empty() {
                "no variable is filled here".to_owned()
            } else {
                format!("there are {}", known.join(", "))
            };
            at.between(format!("`{}` names {{{name}}}, which nothing fills", at.path), help);
        }
        Some(template)
    }

    fn write(&self, out: &Template) -> Option<String> {
        Some(quoted(&out.render(|name| Some(format!("{{{name}}}")))))
    }
}

/// A file that the scenario names, relative to its folder.
pub(crate) struct FilePath;

/// A file that the scenario names, relative to its folder.
pub(crate) const fn file() -> FilePath {
    FilePath
}

impl Kind for FilePath {
    type Out = PathBuf;

    fn shape(&self) -> Shape {
        Shape::Text(TextShape { examples: &["ca.pem"], ..TextShape::plain("file") })
    }

    fn read(&self, at: &At<'_>) -> Option<PathBuf> {
        string().read(at).map(|name| at.reading.file(&name))
    }
}

const IPV4_PART: &str = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

/// An address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    is_loopback: bool,
}

/// An address of this machine.
pub(crate) const fn address() -> Address {
    Address { is_loopback: false }
}

/// A loopback address.
pub(crate) const fn loopback() -> Address {
    Address { is_loopback: true }
}

impl Address {
    fn text_shape(self) -> TextShape {
        let part = IPV4_PART;
        let (name, pattern) = if self.is_loopback {
            ("loopback_address", format!("^(127\\.{part}\\.{part}\\.{part}|::1)$"))
        } else {
            // Groups and colons; one `::` at most stands for what is missing.
            let v4 = format!("{part}(\\.{part}){{3}}");
            let group = "[0-9A-Fa-f]{1,4}";
            let mut ways = vec![v4, format!("{group}(:{group}){{7}}"), "::".to_owned()];
            for before in 0..=7_usize {
                for after in 0..=(7 - before) {
                    if before + after == 0 {
                        continue;
                    }
                    let left = repeated(group, before);
                    let right = repeated(group, after);
                    ways.push(format!("{left}::{right}"));
                }
            }
            ("address", format!("^({})$", ways.join("|")))
        };
        TextShape {
            patterns: vec![pattern.into()],
            examples: &["127.0.0.2", "127.0.0.3"],
            ..TextShape::plain(name)
        }
    }
}

/// So many groups with colons between.
fn repeated(group: &str, count: usize) -> String {
    match count {
        0 => String::new(),
        1 => group.to_owned(),
        _ => format!("{group}(:{group}){{{}}}", count - 1),
    }
}

impl Kind for Address {
    type Out = IpAddr;

    fn shape(&self) -> Shape {
        Shape::Text(self.text_shape())
    }

    fn read(&self, at: &At<'_>) -> Option<IpAddr> {
        let text = at.text().filter(|text| self.text_shape().fits(text));
        let address = text.and_then(|text| text.parse::<IpAddr>().ok());
        if address.is_none() {
            at.wrong(if self.is_loopback {
                "write loopback addresses, each once, as [\"127.0.0.1\", \"127.0.0.2\"]"
            } else {
                "addresses of this machine are needed, as [\"127.0.0.2\", \"127.0.0.3\"]"
            });
        }
        address
    }

    fn write(&self, out: &IpAddr) -> Option<String> {
        Some(quoted(&out.to_string()))
    }
}

impl Value for String {
    fn shape() -> Shape {
        string().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        string().read(at)
    }

    fn write(&self) -> Option<String> {
        Some(quoted(self))
    }
}
