//! `[target]`: what the clients connect to.
//!
//! In: the table, or a profile's file. Out: a [`Target`].

use std::path::{Path, PathBuf};

use crate::declare::{
    At, Field, Hidden, Keys, Part, Reading, Rows, Shape, Shipped, Table, TableShape, Take as _, Value, field,
    file, http_url, shipped, table, tagged, ws_url,
};
use crate::scenario::profiles::PROFILES;

use super::target_rules::TargetRules;
use super::told::IsEmbedded;

/// What the clients connect to.
#[derive(Debug, Clone)]
pub enum Target {
    /// The target inside this process, on loopback.
    Embedded(Box<TargetRules>),
    /// A service somewhere.
    Remote(Box<RemoteTarget>),
}

table! {
    /// A service that is not ours.
    pub struct RemoteTarget {
        /// WebSocket URL.
        url: Hidden<url::Url>, needed "a remote target needs url = \"wss://…\"" => ws_url();
        /// Token endpoint. Needed where a group fetches tokens.
        token_url: Option<Hidden<url::Url>> = None => http_url();
        /// PEM file of certificate authorities to trust beside the system's.
        ca_file: Option<PathBuf> = None => file();
        /// PEM file of a certificate (its chain), with which clients show who they are.
        client_cert: Option<PathBuf> = None => file();
        /// PEM file of its private key.
        client_key: Option<PathBuf> = None => file();
    }
    check: check_certificate;
}

impl RemoteTarget {
    /// PEM files of a certificate and its private key, with which clients show who they are.
    #[must_use]
    pub fn client_certificate(&self) -> Option<(&Path, &Path)> {
        self.client_cert.as_deref().zip(self.client_key.as_deref())
    }
}

fn check_certificate(target: RemoteTarget, table: &Table<'_>) -> Option<RemoteTarget> {
    match (&target.client_cert, &target.client_key) {
        (Some(_), None) => {
            table.between(
                Some("client_cert"),
                "client_cert has no client_key",
                "name the file of its private key",
            );
        }
        (None, Some(_)) => {
            table.between(
                Some("client_key"),
                "client_key has no client_cert",
                "name the file of its certificate",
            );
        }
        _ => {}
    }
    Some(target)
}

/// The embedded target's rules over those of a profile.
#[derive(Debug, Clone)]
pub(crate) struct Embedded(pub(crate) TargetRules);

/// The key that names the profile.
fn profile_key() -> Field<Shipped> {
    field(
        "profile",
        "The service whose rules hold where the scenario names none of its own. Without it: `forum`.",
        shipped(PROFILES),
    )
}

impl Keys for Embedded {
    fn table() -> TableShape {
        let mut table = TargetRules::table();
        table.keys.splice(0..0, profile_key().keys());
        table
    }

    fn of_table(table: &Table<'_>, _base: Option<&Self>) -> Option<Self> {
        let base = profile_key().take(table).flatten().map(|(_, text)| profile(text));
        TargetRules::of_table(table, base.as_ref()).map(Self)
    }
}

/// The rules of a shipped profile; a test holds that each of them reads without a fault.
pub(crate) fn profile(text: &'static str) -> TargetRules {
    let reading = Reading::new(&|_| None, PathBuf::new());
    let rules =
        reading.parse(text).and_then(|root| TargetRules::of_table(&Table::root(&reading, &root), None));
    rules.unwrap_or_default()
}

fn kinds() -> Rows<Target> {
    let absent =
        |table: &Table<'_>, _: &[&'static str]| Some(if table.has("url") { "remote" } else { "embedded" });
    Rows::by_keys(
        "kind",
        vec!["embedded", "remote"],
        "Where the target is. Default: `\"remote\"` beside a `url`, else `\"embedded\"`.",
        absent,
    )
    .table(
        "embedded",
        "The target inside this process, on loopback. Its rules are its keys.",
        |Embedded(rules)| Target::Embedded(Box::new(rules)),
    )
    .table("remote", "A service somewhere.", |remote| Target::Remote(Box::new(remote)))
}

tagged! { Target => kinds }

impl Value for Target {
    fn shape() -> Shape {
        let mut table =
            TableShape { about: "What the clients connect to.".to_owned(), ..TableShape::default() };
        Self::describe(&mut table);
        Shape::Table(table)
    }

    fn read(at: &At<'_>) -> Option<Self> {
        let Some(table) = at.table() else {
            at.wrong("a table is needed");
            return None;
        };
        let target = <Self as Part>::read(&table);
        table.finish();
        at.reading.tell(IsEmbedded(matches!(target, Some(Self::Embedded(_)))));
        target
    }
}
