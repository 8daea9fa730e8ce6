//! Which text messages a rule means: `contains`, `equals` or `starts_with`.
//!
//! In: one of the three. Out: [`MessageRule`].

/// Which text messages are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageRule {
    /// Those that contain this.
    Contains(String),
    /// This one.
    Equals(String),
    /// Those that begin so.
    StartsWith(String),
}

impl MessageRule {
    /// Whether a text message is meant.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Contains(part) => text.contains(part.as_str()),
            Self::Equals(whole) => text == whole,
            Self::StartsWith(start) => text.starts_with(start.as_str()),
        }
    }
}
