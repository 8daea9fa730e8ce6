//! `[groups.reconnect]`: how clients come back.
//!
//! In: the table. Out: [`ReconnectRules`].

use std::time::Duration;

use crate::declare::{
    At, Choices, Kind as _, List, NOT_EMPTY, Of, Rows, Shape, Table, Value, above_zero, code_ranges,
    codes_or_any, duration, field, int, list, meaning, number, of, or_never, ruled, string, table, tagged,
};

use super::delay::span_of_time;

table! {
    /// How clients come back. What is not said here is as the group's policy has it.
    default pub struct ReconnectRules {
        /// The close codes after which they do (1005 and 1006 are codes here, too), or `"any"`.
        on_codes: Option<Vec<u16>> = None => codes_or_any();
        /// The close codes that are final; ranges as `"4000-4099"`.
        terminal_codes: Vec<(u16, u16)> = Vec::new() => code_ranges();
        /// The close codes from which they come back at once, without the backoff; ranges as `"4200-4299"`.
        at_once_codes: Vec<(u16, u16)> = Vec::new() => code_ranges();
        /// A connection that fails is the end, whatever the reason: they come back from closes only.
        failure_is_final: bool = false;
        /// A connection that fails counts as a session closed with 1006, as in clients that cannot tell the two apart (`ws`).
        failure_is_close: bool = false;
        /// How long they wait before an attempt.
        backoff: Backoff = Backoff::default();
        /// Whether a `Retry-After` is obeyed where it is longer than the backoff.
        honour_retry_after: bool = true;
        /// Attempts in a row before giving up, counted as `reset_on` says: with `"open"`, refusals after a 101 never add up. Without it: no limit.
        max_attempts: Option<u32> = None => int::<u32>(1..=1_000_000);
        /// Time after the disconnect beyond which no further attempt begins.
        give_up_after: Option<Duration> = None => or_never();
        /// Refusals, wherever they are spoken, after which a token is fetched before the next attempt: HTTP statuses, close codes, words
        /// of a message.
        refetch_on: Vec<RefusalName> = vec![RefusalName::Code(401)] => refusal_names();
        /// Refusals after which the client gives up at once.
        give_up_on: Vec<RefusalName> = Vec::new() => refusal_names();
        /// From when on attempts are counted anew, for the backoff and `max_attempts`.
        reset_on: ResetOn = ResetOn::Admitted;
    }
}

/// A refusal, as a policy names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalName {
    /// An HTTP status, or a close code.
    Code(u16),
    /// The words of an answer: a JSON body's code, a close frame's reason, what a message says.
    Words(String),
}

impl RefusalName {
    /// Whether it is that refusal.
    #[must_use]
    pub fn fits(&self, said: u16, words: Option<&str>) -> bool {
        match self {
            Self::Code(code) => *code == said,
            Self::Words(own) => words == Some(own.as_str()),
        }
    }
}

/// What is said of what is no such list.
const REFUSALS: &str = "a list of statuses (200-599), close codes (1000-4999) and words is needed, as [401, 4401, \"token expired\"]";

fn refusal_names() -> List<Of<RefusalName>> {
    list(of::<RefusalName>(), REFUSALS)
}

impl Value for RefusalName {
    fn shape() -> Shape {
        Shape::Either(vec![Shape::Integer(vec![(200, 599), (1000, 4999)]), ruled(NOT_EMPTY).shape()])
    }

    fn read(at: &At<'_>) -> Option<Self> {
        if at.text().is_some() {
            return ruled(NOT_EMPTY).read(at).map(Self::Words);
        }
        let code = int::<u16>(200..=4999).read(at)?;
        if (600..1000).contains(&code) {
            at.wrong(REFUSALS);
            return None;
        }
        Some(Self::Code(code))
    }

    fn write(&self) -> Option<String> {
        match self {
            Self::Code(code) => Some(code.to_string()),
            Self::Words(words) => string().write(words),
        }
    }
}

/// From when on a policy counts attempts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetOn {
    /// `"open"`: the upgrade, whatever follows, as in many libraries: a service that refuses after it is asked again at once.
    Open,
    /// `"admitted"`: when the client is let in.
    Admitted,
    /// `"ready"`: when the session is ready.
    Ready,
    /// `{ after = "5s" }`: when a session that lasted so long has ended.
    After(Duration),
}

fn resets() -> Choices<ResetOn> {
    Choices::new("\"open\", \"admitted\", \"ready\" or { after = \"5s\" } is needed")
        .word("open", "The upgrade, whatever follows it.", ResetOn::Open)
        .word("admitted", "When the client is let in.", ResetOn::Admitted)
        .word("ready", "When the session is ready.", ResetOn::Ready)
        .key("after", "When a session that lasted so long has ended.", duration(), ResetOn::After)
}

impl Value for ResetOn {
    fn shape() -> Shape {
        resets().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        resets().read(at)
    }

    fn write(&self) -> Option<String> {
        resets().write(self)
    }
}

/// Waiting before an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// How the wait grows.
    pub growth: Growth,
    /// How it is spread.
    pub jitter: Jitter,
}

impl Default for Backoff {
    fn default() -> Self {
        let (base, max) = (BASE, MAX);
        Self { growth: Growth::Exponential { base, max, factor: 2.0 }, jitter: Jitter::Full }
    }
}

/// The first wait, where the file does not say.
const BASE: Duration = Duration::from_millis(500);
/// The longest wait, where the file does not say.
const MAX: Duration = Duration::from_secs(30);

/// How the wait grows from attempt to attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Growth {
    /// `kind = "none"`: no wait.
    None,
    /// `kind = "constant"`.
    Constant {
        /// The wait.
        base: Duration,
    },
    /// `kind = "linear"`: base · n, n being the attempts that failed before; at most `max`.
    Linear {
        /// What each failure adds.
        base: Duration,
        /// The longest wait.
        max: Duration,
    },
    /// `kind = "steps"`: these, one after the other; the last is repeated. Never empty.
    Steps(Vec<Duration>),
    /// `kind = "exponential"`: base · factorⁿ, at most `max`.
    Exponential {
        /// The first wait.
        base: Duration,
        /// The longest wait.
        max: Duration,
        /// The factor, at least 1.
        factor: f64,
    },
}

/// How a wait is spread (names as in "Exponential Backoff And Jitter", AWS Architecture Blog 2015).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Jitter {
    /// `"none"`.
    None,
    /// `"full"`: uniform(0, wait).
    Full,
    /// `"equal"`: wait/2 + uniform(0, wait/2).
    Equal,
    /// `"decorrelated"`: min(max, uniform(base, 3 · previous wait)).
    Decorrelated,
    /// A share s, as `0.5`: uniform(wait · (1 − s), wait · (1 + s)).
    Share(f64),
    /// `{ add = ["300ms", "3s"] }`: wait + uniform(low, high).
    Add {
        /// The least.
        low: Duration,
        /// The most.
        high: Duration,
    },
    /// `{ share_within = 0.5 }`: min(max, uniform(w · (1 − s), w · (1 + s))), w being the wait without its cap.
    ShareWithin(f64),
    /// `"above-base"`: min(max, base + uniform(0, wait)).
    AboveBase,
    /// `{ own_base = "5s" }`: no draw from wait to wait; `base` itself is drawn, once for each client: uniform(base, most).
    OwnBase {
        /// The longest first wait.
        most: Duration,
    },
}

table! {
    /// How long clients wait before an attempt.
    pub struct BackoffKeys {
        /// The first wait, the only one, or what each failure adds. Default: 500ms.
        base: Option<Duration> = None => above_zero();
        /// The longest wait. Default: 30s, or `base` where that is longer.
        max: Option<Duration> = None => above_zero();
        /// With `kind = "exponential"`: the factor from wait to wait.
        factor: f64 = 2.0 => number(1.0..=100.0);
        /// How a wait is spread. Default: `"full"` with `kind = "exponential"`, else `"none"`.
        jitter: Option<Jitter> = None => of::<Jitter>();
        ..
        /// How the wait grows.
        kind: GrowthKind;
    }
}

/// How the wait grows, without the numbers that several have in common.
#[derive(Debug, Clone)]
pub enum GrowthKind {
    /// It does not, and is none.
    None,
    /// It does not.
    Constant,
    /// By the same with each failure.
    Linear,
    /// By a factor with each failure.
    Exponential,
    /// As listed.
    Steps(Vec<Duration>),
}

fn growths() -> Rows<GrowthKind> {
    const STEPS: &str = "steps are durations, one or more: [\"1s\", \"2s\", \"5s\"]; the last is repeated";
    let steps = field(
        "steps",
        "The waits, one after the other; the last is repeated.",
        list(duration(), STEPS).least(1),
    );
    Rows::or("kind", "exponential", "How the wait grows from attempt to attempt.")
        .row("none", "No wait.", (), |()| GrowthKind::None)
        .row("constant", "Always `base`.", (), |()| GrowthKind::Constant)
        .row("linear", "`base` times the attempts that failed before, at most `max`.", (), |()| {
            GrowthKind::Linear
        })
        .row(
            "exponential",
            "`base`, then `factor` times as long after each failure, at most `max`.",
            (),
            |()| GrowthKind::Exponential,
        )
        .row("steps", "As listed.", steps.needed(STEPS), GrowthKind::Steps)
}

tagged! { GrowthKind => growths }

meaning! { Backoff: BackoffKeys => backoff }

fn backoff(keys: BackoffKeys, table: &Table<'_>) -> Option<Backoff> {
    let base = keys.base.unwrap_or(BASE);
    let max = keys.max.unwrap_or(MAX.max(base));
    if max < base {
        let message = "the longest wait is shorter than the first";
        table.between(Some("max"), message, "make `max` at least `base`");
    }
    if let Some(Jitter::OwnBase { most }) = keys.jitter
        && most < base
    {
        let message = "the longest first wait is shorter than the shortest";
        table.between(Some("jitter"), message, "make `own_base` at least `base`");
    }
    let growth = match keys.kind {
        GrowthKind::None => Growth::None,
        GrowthKind::Constant => Growth::Constant { base },
        GrowthKind::Linear => Growth::Linear { base, max },
        GrowthKind::Exponential => Growth::Exponential { base, max, factor: keys.factor },
        GrowthKind::Steps(steps) => Growth::Steps(steps),
    };
    let usual = if matches!(growth, Growth::Exponential { .. }) { Jitter::Full } else { Jitter::None };
    Some(Backoff { growth, jitter: keys.jitter.unwrap_or(usual) })
}

fn jitters() -> Choices<Jitter> {
    Choices::new("\"none\", \"full\", \"equal\", \"decorrelated\", \"above-base\", a share as 0.5, { share_within = 0.5 }, { add = [\"300ms\", \"3s\"] } or { own_base = \"5s\" } is needed")
        .word("none", "Not at all.", Jitter::None)
        .word("full", "Any wait from 0 to the whole is as likely.", Jitter::Full)
        .word("equal", "Half of the wait, and any share of the other half.", Jitter::Equal)
        .word("decorrelated", "From `base` to three times the wait before, at most `max`.", Jitter::Decorrelated)
        .word("above-base", "`base`, and any wait from 0 to the whole more, at most `max`.", Jitter::AboveBase)
        .plain(number(0.0..=1.0), Jitter::Share)
        .key("add", "As much more, from the first duration to the second.", span_of_time(), |(low, high)| Jitter::Add { low, high })
        .key("share_within", "A share to either side, of the wait as it is without `max`; `max` holds for what is drawn.", number(0.0..=1.0), Jitter::ShareWithin)
        .key("own_base", "Each client has a first wait of its own, from `base` to this; the others grow from it.", above_zero(), |most| Jitter::OwnBase { most })
}

impl Value for Jitter {
    fn shape() -> Shape {
        jitters().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        jitters().read(at)
    }
}
