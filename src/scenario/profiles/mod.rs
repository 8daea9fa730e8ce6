//! The services that are shipped with the program, each a file in the vocabulary of `[target]`.
//!
//! In: a name. Out: the file's text.

/// Name and text of each profile.
pub(super) const PROFILES: &[(&str, &str)] = &[
    ("forum", include_str!("forum.toml")),
    ("bearer", include_str!("bearer.toml")),
    ("ticket", include_str!("ticket.toml")),
    ("phoenix", include_str!("phoenix.toml")),
    ("genesys", include_str!("genesys.toml")),
];

/// The text of the profile of that name.
#[must_use]
pub fn profile_text(name: &str) -> Option<&'static str> {
    PROFILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The names of all profiles.
#[must_use]
pub fn profile_names() -> Vec<&'static str> {
    PROFILES.iter().map(|(name, _)| *name).collect()
}
