//! What thresholds look at of exchanges and streams, by name.
//!
//! In: nothing. Out: the subjects by their names, and what kind of number each is.

/// What is looked at of exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeOf {
    /// From when a message was due to its reply.
    Latency,
    /// Messages that were sent.
    Sent,
    /// Replies as they should be.
    Ok,
    /// Replies whose checks failed.
    FailedChecks,
    /// Messages without a reply in time.
    Timeouts,
    /// Messages whose session ended before.
    CutOff,
    /// Replies that nobody waited for.
    Unexpected,
    /// Failed checks and timeouts over all whose session lasted long enough to tell.
    FailureRate,
}

/// What is looked at of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamOf {
    /// From when a message was sent, by its sender's clock, to its arrival.
    Latency,
    /// From a disconnect to the first new message after it.
    BlindTime,
    /// Messages that were left out within sessions and never came.
    Missed,
    /// Messages that were left out while clients were away and never came.
    MissedAway,
    /// Messages that came out of order.
    Late,
    /// Messages that came twice.
    Duplicates,
}

/// What kind of number a subject is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TalkKind {
    Time,
    Count,
    Share,
}

/// Subjects that are of exchanges.
pub const EXCHANGE_SUBJECTS: &[(&str, ExchangeOf)] = &[
    ("exchange_latency", ExchangeOf::Latency),
    ("exchange_sent", ExchangeOf::Sent),
    ("exchange_ok", ExchangeOf::Ok),
    ("exchange_failed_checks", ExchangeOf::FailedChecks),
    ("exchange_timeouts", ExchangeOf::Timeouts),
    ("exchange_cut_off", ExchangeOf::CutOff),
    ("exchange_unexpected", ExchangeOf::Unexpected),
    ("exchange_failure_rate", ExchangeOf::FailureRate),
];

/// Subjects that are of streams.
pub const STREAM_SUBJECTS: &[(&str, StreamOf)] = &[
    ("stream_latency", StreamOf::Latency),
    ("blind_time", StreamOf::BlindTime),
    ("stream_missed", StreamOf::Missed),
    ("stream_missed_away", StreamOf::MissedAway),
    ("stream_late", StreamOf::Late),
    ("stream_duplicates", StreamOf::Duplicates),
];

impl ExchangeOf {
    pub(crate) const fn kind(self) -> TalkKind {
        match self {
            Self::Latency => TalkKind::Time,
            Self::FailureRate => TalkKind::Share,
            Self::Sent | Self::Ok | Self::FailedChecks | Self::Timeouts | Self::CutOff | Self::Unexpected => {
                TalkKind::Count
            }
        }
    }
}

impl StreamOf {
    pub(crate) const fn kind(self) -> TalkKind {
        match self {
            Self::Latency | Self::BlindTime => TalkKind::Time,
            Self::Missed | Self::MissedAway | Self::Late | Self::Duplicates => TalkKind::Count,
        }
    }
}

/// The names of subjects of a kind.
pub(crate) fn talk_names(wanted: TalkKind, of_streams: bool) -> Vec<&'static str> {
    let exchanges = EXCHANGE_SUBJECTS.iter().filter(|(_, of)| !of_streams && of.kind() == wanted);
    let streams = STREAM_SUBJECTS.iter().filter(|(_, of)| of_streams && of.kind() == wanted);
    exchanges.map(|(name, _)| *name).chain(streams.map(|(name, _)| *name)).collect()
}
