//! Texts: names, secrets, templates, paths.
//!
//! In: strings, and references to what stands elsewhere. Out: values, or faults. What may be secret is shown in no fault.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use crate::declare::hidden::Hidden;
use crate::declare::kind::{Kind, Value};
use crate::declare::reading::reader::{At, read_capped};
use crate::declare::reading::secrets::{holds_secret, is_secret_header, is_secret_name, masked, secrets_in};
use crate::declare::shape::{Hold, Shape, TextShape};
use crate::declare::template::{BUILT_IN, OF_SAYINGS, Template, random_range};

use super::numbers::{List, list};
use super::rule::{ANY, HEADER_VALUE, NO_NUL, TextRule};

/// The largest file with a secret.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// A text that is no secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain(TextRule);

/// Any text that is no secret.
pub(crate) const fn string() -> Plain {
    Plain(ANY)
}

/// A text that follows a rule.
pub(crate) const fn ruled(rule: TextRule) -> Plain {
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
        let Some(text) = at.text() else { return read_reference(at) };
        let secret = SecretString::from(text);
        at.reading.keep_secret(&secret);
        Some(secret)
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
    if let Some(secret) = &secret {
        at.reading.keep_secret(secret);
    }
    secret
}

/// Told to a reading by who only leads a run: its secrets are where it is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SecretsElsewhere;

/// What stands for a secret that is elsewhere.
fn elsewhere(at: &At<'_>, name: &str) -> Option<SecretString> {
    at.reading.told::<SecretsElsewhere>().map(|_| SecretString::from(format!("of-the-worker-{name}")))
}

fn secret_of_env(at: &At<'_>, name: &str) -> Option<SecretString> {
    if let Some(secret) = elsewhere(at, name) {
        return Some(secret);
    }
    let text = at.reading.env(name);
    if text.is_none() {
        let message = format!("the environment variable {name} is not set, or empty");
        at.elsewhere(message, format!("set it: export {name}=…"));
    }
    text.map(SecretString::from)
}

fn secret_of_file(at: &At<'_>, file: &str) -> Option<SecretString> {
    if let Some(secret) = elsewhere(at, file) {
        return Some(secret);
    }
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

/// Why a text means nothing.
pub(super) struct Why {
    /// What it is about lies elsewhere: in the names that there are, say.
    pub(super) is_elsewhere: bool,
    /// What is needed.
    pub(super) help: String,
}

impl From<String> for Why {
    fn from(help: String) -> Self {
        Self { is_elsewhere: false, help }
    }
}

/// A text that may hold a secret: a string, or a reference as that of a secret. What it means is told by a type that shows no secret.
pub(crate) struct Perhaps<T> {
    pub(super) shape: fn() -> TextShape,
    /// Said of a text that has a meaning, and not the shape.
    pub(super) allowed: &'static str,
    pub(super) parse: fn(&At<'_>, &str) -> Result<T, Why>,
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
        let shape = (self.shape)();
        if is_secret_by_its_key(shape.hold, &at.path) {
            at.reading.keep_secret(&SecretString::from(text));
        }
        if shape.hold != Hold::Never {
            secrets_in(text)
                .into_iter()
                .for_each(|secret| at.reading.keep_secret(&SecretString::from(secret)));
        }
        let fits = shape.fits(text);
        let parsed = (self.parse)(at, text)
            .and_then(|parsed| fits.then_some(parsed).ok_or_else(|| self.allowed.to_owned().into()));
        match (parsed, plain) {
            (Ok(parsed), _) => Some(parsed),
            (Err(why), Some(_)) if fits && why.is_elsewhere => {
                at.unknown(why.help);
                None
            }
            (Err(why), Some(_)) => {
                at.wrong(why.help);
                None
            }
            (Err(why), None) => {
                at.elsewhere(format!("what `{}` says or refers to cannot be used", at.path), why.help);
                None
            }
        }
    }
}

/// Whether what stands at a place is a secret by what its key says.
fn is_secret_by_its_key(hold: Hold, path: &str) -> bool {
    let key = path.rsplit('.').next().unwrap_or_default();
    match hold {
        Hold::Header => is_secret_header(key),
        Hold::Variable => is_secret_name(key),
        Hold::Always => true,
        Hold::Never | Hold::Perhaps => false,
    }
}

/// Any text that may hold a secret.
pub(crate) const fn text() -> Perhaps<Hidden<String>> {
    Perhaps {
        shape: || TextShape { hold: Hold::Perhaps, ..TextShape::plain("text_or_reference") },
        allowed: TEXT,
        parse: |_, text| Ok(text.to_owned().into()),
    }
}

/// The value of a header. It is a secret where the header's name tells of one.
pub(crate) const fn header() -> Perhaps<Hidden<String>> {
    Perhaps {
        shape: || TextShape { hold: Hold::Header, ..HEADER_VALUE.shape() },
        allowed: HEADER_VALUE.allowed,
        parse: |_, text| Ok(text.to_owned().into()),
    }
}

/// The value of an environment variable. It is a secret where the variable's name tells of one.
pub(crate) const fn environment_value() -> Perhaps<Hidden<String>> {
    Perhaps {
        shape: || TextShape { hold: Hold::Variable, ..NO_NUL.shape() },
        allowed: NO_NUL.allowed,
        parse: |_, text| Ok(text.to_owned().into()),
    }
}

/// What a program is given: what it gets, and what everybody may see of it.
pub(crate) const fn argument<T: From<(String, String)>>() -> Perhaps<T> {
    Perhaps {
        shape: || TextShape { hold: Hold::Perhaps, ..NO_NUL.shape() },
        allowed: NO_NUL.allowed,
        parse: |at, text| {
            // One that is a secret becomes a reference in the copy of the scenario, and is shown as one.
            let is_plain = at.text().is_some() && !holds_secret(text);
            let shown = if is_plain { masked(text) } else { "…".to_owned() };
            Ok(T::from((text.to_owned(), shown)))
        },
    }
}

/// The value of a header of a handshake, with variables. It is a secret where the header's name tells of one.
pub(crate) const fn header_text() -> HeaderText {
    HeaderText
}

/// See [`header_text`]. What a reference refers to is taken as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeaderText;

impl Kind for HeaderText {
    type Out = Template;

    fn shape(&self) -> Shape {
        Shape::Text(TextShape { hold: Hold::Header, is_template: true, ..HEADER_VALUE.shape() })
    }

    fn read(&self, at: &At<'_>) -> Option<Template> {
        match at.text() {
            Some(text) if !HEADER_VALUE.shape().fits(text) => {
                at.wrong(HEADER_VALUE.allowed);
                None
            }
            Some(_) => template().read(at),
            None => header().read(at).map(|secret| Template::literal(&secret)),
        }
    }
}

/// The value of a header, with variables. It is a secret where the header's name tells of one.
pub(crate) const fn header_template() -> Held {
    Held { name: "header_template", hold: Hold::Header }
}

/// What a variable holds at first. It is a secret where the variable's name tells of one.
pub(crate) const fn variable() -> Held {
    Held { name: "variable", hold: Hold::Variable }
}

/// A text of a token request, with variables that its table checks. It is a secret where its key tells of one.
pub(crate) const fn token_param() -> TokenParam {
    TokenParam
}

/// A text of a token request. What a reference refers to is taken as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenParam;

impl Kind for TokenParam {
    type Out = Template;

    fn shape(&self) -> Shape {
        Shape::Text(TextShape { hold: Hold::Variable, name: "token_request_text", ..(template().shape)() })
    }

    fn read(&self, at: &At<'_>) -> Option<Template> {
        let Some(text) = at.text() else {
            return read_reference(at).map(|secret| Template::literal(secret.expose_secret()));
        };
        let template = Template::parse(text);
        let is_plain = template.variables().next().is_none();
        if is_plain && is_secret_by_its_key(Hold::Variable, &at.path) {
            at.reading.keep_secret(&SecretString::from(text));
        }
        secrets_in(text).into_iter().for_each(|secret| at.reading.keep_secret(&SecretString::from(secret)));
        Some(template)
    }
}

/// A template whose key tells whether it is a secret. Where it is a header, what a reference refers to is taken as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    name: &'static str,
    hold: Hold,
}

impl Kind for Held {
    type Out = Template;

    fn shape(&self) -> Shape {
        Shape::Text(TextShape { hold: self.hold, name: self.name, ..(template().shape)() })
    }

    fn read(&self, at: &At<'_>) -> Option<Template> {
        match (at.text(), self.hold) {
            (None, Hold::Header) => {
                read_reference(at).map(|secret| Template::literal(secret.expose_secret()))
            }
            _ => template().read(at),
        }
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
        allowed: "a path begins with `/` and holds no spaces",
        parse: |_, text| Ok(text.to_owned().into()),
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
        allowed: "the message has no place for the token: write {token} where it goes",
        parse: |_, text| Ok(text.to_owned().into()),
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
        allowed: TEXT,
        parse: |at, text| {
            let template = Template::parse(text);
            check_variables(at, &template, &[]);
            Ok(template)
        },
    }
}

/// The text of a saying: beside the variables of the others, each has a number, an id and draws of its own.
pub(crate) const fn say_template() -> Perhaps<Template> {
    Perhaps {
        shape: || TextShape { examples: &["{\"id\":{counter}}"], ..(template().shape)() },
        allowed: TEXT,
        parse: |at, text| {
            let template = Template::parse_saying(text);
            check_variables(at, &template, &OF_SAYINGS);
            Ok(template)
        },
    }
}

/// That something fills each variable, one of `more` or of the scope's.
pub(super) fn check_variables(at: &At<'_>, template: &Template, more: &[&str]) {
    for fault in template.faults() {
        at.between(format!("in `{}`: {}", at.path, fault.what), fault.help.as_str());
    }
    let Some(Variables(known)) = at.reading.told() else { return };
    let fills = |name: &str| {
        known.iter().any(|known| known == name)
            || more.contains(&name)
            || !more.is_empty() && random_range(name).is_some()
    };
    for name in template.variables().filter(|name| !fills(name)) {
        let message = format!("`{}` names {{{name}}}, which nothing fills", at.path);
        let also = if more.is_empty() { "" } else { ", counter, uuid, random:1-100" };
        at.between(message, format!("there are {}{also}", known.join(", ")));
    }
}

/// The variables that the texts which follow may name. Where none are told, nobody looks.
#[derive(Clone)]
pub(crate) struct Variables(pub(crate) Vec<String>);

/// The variables that every client has.
pub(crate) fn built_in() -> Vec<String> {
    BUILT_IN.iter().map(|name| (*name).to_owned()).collect()
}

/// A text of the embedded target's, in which some variables may stand, beside those of the scope.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TargetText(&'static [&'static str], TextRule);

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
        if template.has_calls() || !template.faults().is_empty() {
            at.between(format!("`{}` calls a function", at.path), "only the clients' texts call functions");
        }
        let saved = at.reading.told().map_or_else(Vec::new, |Variables(names)| names);
        let known: Vec<&str> = self.0.iter().copied().chain(saved.iter().map(String::as_str)).collect();
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
