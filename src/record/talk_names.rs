//! What the exchanges, streams and kinds of a group are called.
//!
//! In: a scenario's groups. Out: names by index, as the journal's first entry and thresholds need them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::keys::Group;

/// What the exchanges, streams and kinds of a group are called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TalkNames {
    /// The names of its exchanges, each with the index of its saying.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exchanges: Vec<(u16, String)>,
    /// Its streams, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamName>,
    /// The most kinds that are told; `None`: none are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds_at_most: Option<u32>,
}

/// A stream, as a report needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamName {
    /// Its name.
    pub name: String,
    /// Whether its least latency is taken for none.
    pub relative: bool,
}

impl TalkNames {
    /// Those of a group that has none.
    pub const NONE: &'static Self = &Self { exchanges: Vec::new(), streams: Vec::new(), kinds_at_most: None };

    /// Those of a group.
    #[must_use]
    pub fn of(group: &Group) -> Self {
        let session = &group.session;
        let exchanges = session.exchanges().into_iter();
        let streams = session.streams.iter();
        Self {
            exchanges: exchanges.map(|(index, name)| (index, name.to_owned())).collect(),
            streams: streams
                .map(|stream| StreamName { name: stream.name.clone(), relative: stream.relative })
                .collect(),
            kinds_at_most: session.kinds.as_ref().map(|kinds| kinds.at_most),
        }
    }

    /// Those of each group; none where no group has any.
    #[must_use]
    pub fn of_groups(groups: &[Group]) -> Vec<Self> {
        let all: Vec<Self> = groups.iter().map(Self::of).collect();
        if all.iter().all(|names| names == Self::NONE) { Vec::new() } else { all }
    }

    /// The name of the exchange whose saying has this index.
    #[must_use]
    pub fn exchange(&self, index: u16) -> String {
        let named = self.exchanges.iter().find(|(own, _)| *own == index);
        named.map_or_else(|| format!("say-{}", u32::from(index) + 1), |(_, name)| name.clone())
    }

    /// The name of the stream of this index.
    #[must_use]
    pub fn stream(&self, index: u16) -> String {
        let named = self.streams.get(usize::from(index));
        named.map_or_else(|| format!("stream-{}", u32::from(index) + 1), |stream| stream.name.clone())
    }

    /// Whether the least latency of the stream of this index is taken for none.
    #[must_use]
    pub fn is_relative(&self, index: u16) -> bool {
        self.streams.get(usize::from(index)).is_some_and(|stream| stream.relative)
    }
}
