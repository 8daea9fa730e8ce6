//! Texts in which something is filled in: templates, headers, parameters of token requests, the target's own texts; and those in which nothing is.
//!
//! In: strings, and references to what stands elsewhere. Out: templates, or faults.

use secrecy::{ExposeSecret as _, SecretString};

use crate::declare::kind::Kind;
use crate::declare::reading::reader::At;
use crate::declare::reading::secrets::secrets_in;
use crate::declare::shape::{Hold, Shape, TextShape};
use crate::declare::template::{BUILT_IN, OF_SAYINGS, Template, random_range};

use super::rule::{ANY, HEADER_VALUE, TextRule};
use super::texts::{Perhaps, TEXT, header, is_secret_by_its_key, quoted, read_reference, ruled};

/// A text of which nothing is filled in: what looks like a variable would go out as it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unfilled<K> {
    kind: K,
    help: &'static str,
}

/// A text of which nothing is filled in; `help` says what does what a variable in it was meant for.
pub(crate) const fn unfilled<K>(kind: K, help: &'static str) -> Unfilled<K> {
    Unfilled { kind, help }
}

impl<K: Kind> Kind for Unfilled<K> {
    type Out = K::Out;

    fn shape(&self) -> Shape {
        self.kind.shape()
    }

    fn read(&self, at: &At<'_>) -> Option<K::Out> {
        let template = at.text().map(Template::parse);
        for name in template.iter().flat_map(Template::variables) {
            let message = format!("`{}` has {{{name}}} in it, and nothing is filled in there", at.path);
            at.between(message, self.help);
        }
        self.kind.read(at)
    }

    fn write(&self, out: &K::Out) -> Option<String> {
        self.kind.write(out)
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

/// The value of a header of a token request: with the variables of such; see [`header_text`].
pub(crate) const fn token_header() -> TokenHeader {
    TokenHeader
}

/// See [`token_header`]. Whose variables it may hold, the feeder decides: that is checked beside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenHeader;

impl Kind for TokenHeader {
    type Out = Template;

    fn shape(&self) -> Shape {
        Shape::Text(TextShape { hold: Hold::Header, is_template: true, ..HEADER_VALUE.shape() })
    }

    fn read(&self, at: &At<'_>) -> Option<Template> {
        let value = header().read(at)?;
        Some(if at.text().is_some() { Template::parse(&value) } else { Template::literal(&value) })
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

/// A text with a place for the token, and others for variables. It may hold a secret.
pub(crate) const fn token_text() -> Perhaps<Template> {
    Perhaps {
        shape: || TextShape {
            hold: Hold::Perhaps,
            is_template: true,
            patterns: vec!["\\{token\\}".into()],
            examples: &["{\"token\":\"{token}\"}"],
            ..TextShape::plain("text_with_token")
        },
        allowed: "the message has no place for the token: write {token} where it goes",
        parse: |at, text| {
            let template = Template::parse(text);
            check_variables(at, &template, &[]);
            Ok(template)
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
