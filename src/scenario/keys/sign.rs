//! `[groups.connect.sign]`: how clients sign their handshakes. `[target.signatures]`: what signatures the embedded target takes.
//!
//! In: the tables. Out: [`SignRules`], [`Signatures`].

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::declare::{
    NOT_EMPTY, Table, Template, TextRule, Variables, above_zero, list, meaning, of, ruled, secret, table,
    token_param, words,
};
use crate::signing::{LONGEST_LIFE_S, Purpose};

use super::feeder::{Feeder, feeder};

/// Services that take a session token beside the signature, and not in it.
const TOKEN_BESIDE: [&str; 2] = ["iotdevicegateway", "iotdata"];

/// The name of a service or a region: what stands between the slashes of a signature's scope.
const SCOPE_PART: TextRule = TextRule {
    name: "scope_part",
    patterns: &["^[A-Za-z0-9._-]{1,64}$"],
    except: None,
    allowed: "letters, digits, `-`, `_` and `.` are allowed",
    examples: &["execute-api", "eu-central-1"],
};

words! {
    /// What handshakes are signed by.
    pub enum SignKind {
        /// AWS Signature Version 4.
        AwsSigv4 = "aws-sigv4",
    }
}

words! {
    /// Where a signature stands.
    pub enum SignaturePlace {
        /// In the query: a presigned URL.
        Query = "query",
        /// In the headers `Authorization`, `X-Amz-Date` and `X-Amz-Security-Token`.
        Header = "header",
    }
}

words! {
    /// Whether a session token is signed.
    pub enum SessionTokenIs {
        /// It is part of what is signed.
        Signed = "signed",
        /// It is sent beside the signature.
        Beside = "beside",
    }
}

words! {
    /// What a client does about its signature when it comes back.
    pub enum OnSignedReconnect {
        /// It signs anew, as before each attempt.
        Sign = "sign",
        /// It shows the first one again, as clients do that build their URL once.
        Reuse = "reuse",
    }
}

table! {
    /// How clients sign their handshakes.
    pub struct SignKeys {
        /// What they are signed by.
        kind: SignKind, needed "a signature needs kind, service, region, access_key_id and secret_access_key";
        /// The service's name in signatures: `execute-api` (API Gateway), `iotdevicegateway` (IoT Core).
        service: String, needed "a signature needs kind, service, region, access_key_id and secret_access_key" => ruled(SCOPE_PART);
        /// The region.
        region: String, needed "a signature needs kind, service, region, access_key_id and secret_access_key" => ruled(SCOPE_PART);
        /// Id of the access key. May hold variables, as what a step has saved.
        access_key_id: Template, needed "a signature needs kind, service, region, access_key_id and secret_access_key" => token_param();
        /// The secret that belongs to it: a reference, or a text with variables.
        secret_access_key: Template, needed "a signature needs kind, service, region, access_key_id and secret_access_key" => token_param();
        /// With temporary credentials: the session token; a reference, or a text with variables.
        session_token: Option<Template> = None => token_param();
        /// Whether the session token is signed as well. Default: it is, but for `iotdevicegateway` and `iotdata`.
        session_token_is: Option<SessionTokenIs> = None => of::<SessionTokenIs>();
        /// Where the signature stands.
        signature_in: SignaturePlace = SignaturePlace::Query;
        /// How long a presigned URL is good, in whole seconds: a week at most. A signature in headers is good for as long as the service lets clocks
        /// differ.
        expires: Duration = Duration::from_secs(5 * 60) => above_zero();
        /// What a client does about it when it comes back.
        on_reconnect: OnSignedReconnect = OnSignedReconnect::Sign;
        /// CSV file with a row a client, whose columns the three texts may name. Where there are fewer rows than clients, they begin again.
        feeder: Option<Arc<Feeder>> = None => feeder();
    }
}

/// How clients sign their handshakes.
#[derive(Debug, Clone)]
pub struct SignRules {
    /// What the signatures are good for.
    pub purpose: Purpose,
    /// Id of the access key.
    pub access_key_id: Template,
    /// The secret that belongs to it.
    pub secret_access_key: Template,
    /// The session token.
    pub session_token: Option<Template>,
    /// Where a signature stands.
    pub place: SignaturePlace,
    /// How long a presigned URL is good.
    pub expires: Duration,
    /// What a client does about it when it comes back.
    pub on_reconnect: OnSignedReconnect,
    /// Fills the texts.
    pub feeder: Option<Arc<Feeder>>,
}

meaning! { SignRules: SignKeys => |keys: SignKeys, table: &Table<'_>| sign(keys, table) }

/// How long services let clocks differ, and so how long a signature in headers is good.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5 * 60);

impl SignRules {
    /// How long a signature is good.
    #[must_use]
    pub const fn life(&self) -> Duration {
        match self.place {
            SignaturePlace::Query => self.expires,
            SignaturePlace::Header => CLOCKS_DIFFER,
        }
    }
}

fn sign(keys: SignKeys, table: &Table<'_>) -> Option<SignRules> {
    let SignKeys { service, region, access_key_id, secret_access_key, session_token, .. } = keys;
    let texts = [
        ("access_key_id", Some(&access_key_id)),
        ("secret_access_key", Some(&secret_access_key)),
        ("session_token", session_token.as_ref()),
    ];
    for (key, text) in texts {
        text.into_iter().for_each(|text| check_text(key, text, keys.feeder.as_deref(), table));
    }
    let path = table.path_of("expires");
    if keys.signature_in == SignaturePlace::Header && table.has("expires") {
        let message = format!("`{path}` is for presigned URLs");
        let help = "a signature in headers is good for as long as the service lets clocks differ: take expires away, or write signature_in = \"query\"";
        table.between(Some("expires"), message, help);
    }
    if keys.expires.subsec_nanos() != 0 || keys.expires.as_secs() > LONGEST_LIFE_S {
        let message = format!("`{path}` is no number of seconds that a presigned URL may be good for");
        table.between(Some("expires"), message, "write whole seconds, a week at most, as \"5m\"");
    }
    Some(SignRules {
        purpose: purpose(service, region, keys.session_token_is),
        access_key_id,
        secret_access_key,
        session_token,
        place: keys.signature_in,
        expires: keys.expires,
        on_reconnect: keys.on_reconnect,
        feeder: keys.feeder,
    })
}

/// That something fills a text, and each of its variables.
fn check_text(key: &str, text: &Template, feeder: Option<&Feeder>, table: &Table<'_>) {
    let path = table.path_of(key);
    if text.is_empty() {
        table.between(Some(key), format!("`{path}` is empty"), "give it a value, or a reference to one");
    }
    for fault in text.faults() {
        table.between(Some(key), format!("in `{path}`: {}", fault.what), fault.help.as_str());
    }
    let Some(Variables(known)) = table.reading.told() else { return };
    let fed: Vec<&str> = feeder.into_iter().flat_map(Feeder::columns).collect();
    for name in text.variables() {
        if !known.iter().any(|known| known == name) && !fed.contains(&name) {
            let message = format!("`{path}` names {{{name}}}, which nothing fills");
            let help = format!("there are {}, and the columns of the feeder", known.join(", "));
            table.between(Some(key), message, help);
        }
    }
}

fn purpose(service: String, region: String, session_token_is: Option<SessionTokenIs>) -> Purpose {
    let signs_session_token = match session_token_is {
        Some(is) => is == SessionTokenIs::Signed,
        None => !TOKEN_BESIDE.contains(&service.as_str()),
    };
    Purpose { service, region, signs_session_token }
}

table! {
    /// Signatures that handshakes must bear, in the query or in headers.
    pub struct SignaturesKeys {
        /// What handshakes are signed by.
        kind: SignKind = SignKind::AwsSigv4;
        /// The service that they must be for.
        service: String, needed "a target that checks signatures needs service, region and keys" => ruled(SCOPE_PART);
        /// The region that they must be for.
        region: String, needed "a target that checks signatures needs service, region and keys" => ruled(SCOPE_PART);
        /// Whether a session token must be signed as well. Default: it must, but for `iotdevicegateway` and `iotdata`.
        session_token_is: Option<SessionTokenIs> = None => of::<SessionTokenIs>();
        /// How far the clocks may differ. A signature in headers, and a URL that does not say how long it is good, is good for so long.
        tolerance: Duration = CLOCKS_DIFFER => above_zero();
        /// The access keys that it knows.
        keys: Vec<SignatureKey>, needed "a target that checks signatures needs service, region and keys" => list(of::<SignatureKey>(), "a list of access keys is needed, as [{ access_key_id = \"AKIDEXAMPLE\", secret_access_key = \"…\" }]").least(1);
    }
}

table! {
    /// An access key that the embedded target knows.
    pub struct SignatureKey {
        /// Its id.
        access_key_id: String, needed "an access key has access_key_id and secret_access_key" => ruled(NOT_EMPTY);
        /// The secret that belongs to it.
        secret_access_key: SecretString, needed "an access key has access_key_id and secret_access_key" => secret();
        /// The session token that must come with it. Without it: none may.
        session_token: Option<SecretString> = None => secret();
    }
}

/// Signatures that handshakes must bear.
#[derive(Debug, Clone, PartialEq)]
pub struct Signatures {
    /// What they must be for.
    pub purpose: Purpose,
    /// How far the clocks may differ.
    pub tolerance: Duration,
    /// The access keys that are known.
    pub keys: Vec<SignatureKey>,
    /// Whether it takes what anybody signs, as long as its time holds: it stands for a service whose keys nobody here knows.
    pub takes_any: bool,
}

meaning! { Signatures: SignaturesKeys => |keys: SignaturesKeys, _table: &Table<'_>| {
    let SignaturesKeys { service, region, session_token_is, tolerance, keys, .. } = keys;
    let purpose = purpose(service, region, session_token_is);
    Some(Signatures { purpose, tolerance, keys, takes_any: false })
} }

impl PartialEq for SignatureKey {
    fn eq(&self, other: &Self) -> bool {
        let token = |key: &Self| key.session_token.as_ref().map(|token| token.expose_secret().to_owned());
        self.access_key_id == other.access_key_id
            && self.secret_access_key.expose_secret() == other.secret_access_key.expose_secret()
            && token(self) == token(other)
    }
}
