//! What a client does by the clock while its session lasts.
//!
//! In: the group's rules, the moments of the session so far. Out: when something is due next, and what. No I/O.

use std::time::Duration;

use crate::clock::Moment;
use crate::conversation::SayKey;
use crate::random::{Draws, Purpose};
use crate::sample::StormId;
use crate::scenario::keys::{DisconnectHow, KeepAliveKind};

use super::event::Signs;
use super::rules::GroupRules;
use super::storm::StormRule;

/// A heartbeat is sent no more often than this, whatever the peer asks for.
const LEAST_HEARTBEAT: Duration = Duration::from_millis(10);

/// Clients are looked at in batches so far apart, whether they are in: waking each by itself costs more than looking at it. What it comes to is
/// decided by how long the session has lived, to the nanosecond.
const VERDICT_GRAIN_NS: u64 = 50_000_000;

/// The timetable of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timetable {
    pub(super) upgraded: Moment,
    /// When it must have become ready; `NEVER` once it has.
    pub(super) ready_deadline: Moment,
    /// When it is looked at whether the client is in; `NEVER` once that is settled.
    verdict: Moment,
    keep_alive: Moment,
    /// When the last keep-alive was sent, and until when a sign of life must follow it.
    answer: Option<(Moment, Moment)>,
    message: Moment,
    leave: Moment,
    leave_how: DisconnectHow,
    storm: Moment,
    storm_how: DisconnectHow,
    storm_id: StormId,
    silence: Moment,
    pub(super) refresh: Moment,
    heartbeat: Moment,
    heartbeat_every: Duration,
}

/// Something that has become due in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DueThing {
    /// It was not ready in time.
    ReadyTimeout,
    /// It has lived long enough to be looked at.
    Verdict,
    /// The peer has fallen silent: taken for dead.
    Dead {
        /// When it was last heard of.
        heard: Moment,
    },
    /// A storm strikes this client.
    Storm(StormId, DisconnectHow),
    /// The scenario wants the client to leave.
    Leave(DisconnectHow),
    /// The token is to be refreshed.
    Refresh,
    /// A ping is due.
    Ping,
    /// What this key says is due.
    Say(SayKey),
}

impl Timetable {
    pub(super) fn new(rules: &GroupRules, client: u32, upgraded: Moment, refresh: Option<Moment>) -> Self {
        let session = &rules.session;
        let after = |time: Option<Duration>| time.map_or(Moment::NEVER, |time| upgraded + time);
        let (storm, storm_id, storm_how) = next_storm(rules, client, upgraded);
        Self {
            upgraded,
            ready_deadline: upgraded + session.ready_timeout,
            verdict: Moment::NEVER,
            keep_alive: after(session.keep_alive.as_ref().map(|keep| keep.every)),
            answer: None,
            message: after(session.send.as_ref().map(|send| interval(send.rate))),
            leave: Moment::NEVER,
            leave_how: DisconnectHow::Reset,
            storm,
            storm_how,
            storm_id,
            silence: after(session.silence_timeout),
            refresh: refresh.unwrap_or(Moment::NEVER),
            heartbeat: Moment::NEVER,
            heartbeat_every: Duration::MAX,
        }
    }

    /// A storm that was asked for and strikes this client takes the place of the next one that is planned: the session ends by it.
    pub(super) fn look_for_asked(&mut self, rules: &GroupRules, client: u32) {
        let upgraded = self.upgraded;
        let found = rules.asked.find_back(|storm| match *storm {
            StormRule::ByClient { at, how, id, fraction }
                if upgraded < at && is_struck(rules, client, id, fraction) =>
            {
                Some((at, id, how))
            }
            _ => None,
        });
        if let Some((at, id, how)) = found.filter(|(at, ..)| *at < self.storm) {
            (self.storm, self.storm_id, self.storm_how) = (at, id, how);
        }
    }

    /// The session became ready: the clock of the client's own disconnects starts.
    pub(super) fn became_ready(&mut self, rules: &GroupRules, now: Moment) {
        self.ready_deadline = Moment::NEVER;
        if let Some(first) = rules.disconnects.iter().min_by_key(|disconnect| disconnect.after) {
            self.leave = now + first.after;
            self.leave_how = first.how;
        }
    }

    /// It is looked at then, or a little later, whether the client is in.
    pub(super) const fn judge_at(&mut self, moment: Moment) {
        self.verdict = moment.rounded_up(VERDICT_GRAIN_NS);
    }

    /// When the token is to be refreshed; `None`: never.
    pub(super) fn refresh_at(&mut self, due: Option<Moment>) {
        self.refresh = due.unwrap_or(Moment::NEVER);
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Moment {
        let mut next = self.answer.map_or(Moment::NEVER, |(_, until)| until);
        for due in &[
            self.ready_deadline,
            self.verdict,
            self.keep_alive,
            self.message,
            self.leave,
            self.storm,
            self.silence,
            self.refresh,
            self.heartbeat,
        ] {
            if *due < next {
                next = *due;
            }
        }
        next
    }

    /// What is due now, and since when. Takes it off the timetable; `None` when nothing is.
    pub(super) fn take_due(
        &mut self,
        rules: &GroupRules,
        now: Moment,
        signs: Signs,
    ) -> Option<(DueThing, Moment)> {
        self.hear(rules, signs);
        let heard = signs.heard.max(self.upgraded);
        if self.ready_deadline <= now {
            return Some((DueThing::ReadyTimeout, self.ready_deadline));
        }
        if self.verdict <= now {
            let due = std::mem::replace(&mut self.verdict, Moment::NEVER);
            return Some((DueThing::Verdict, due));
        }
        if let Some((_, until)) = self.answer.filter(|(_, until)| *until <= now) {
            return Some((DueThing::Dead { heard }, until));
        }
        if self.silence <= now {
            return Some((DueThing::Dead { heard }, self.silence));
        }
        if self.storm <= now {
            return Some((DueThing::Storm(self.storm_id, self.storm_how), self.storm));
        }
        if self.leave <= now {
            return Some((DueThing::Leave(self.leave_how), self.leave));
        }
        if self.refresh <= now {
            let due = std::mem::replace(&mut self.refresh, Moment::NEVER);
            return Some((DueThing::Refresh, due));
        }
        self.take_due_sending(rules, now)
    }

    /// The peer wants a heartbeat this often. The first comes after a share of that, so that a fleet that was admitted at once does
    /// not beat at once.
    pub(super) fn begin_heartbeat(&mut self, now: Moment, every: Duration, draws: &mut Draws) {
        self.heartbeat_every = every.max(LEAST_HEARTBEAT);
        self.heartbeat = now + draws.next_duration(Duration::ZERO, self.heartbeat_every);
    }

    fn take_due_sending(&mut self, rules: &GroupRules, now: Moment) -> Option<(DueThing, Moment)> {
        if self.heartbeat <= now {
            let due = self.heartbeat;
            self.heartbeat = next_on_grid(due, self.heartbeat_every, now);
            return Some((DueThing::Say(SayKey::Heartbeat), due));
        }
        if let Some(keep) = rules.session.keep_alive.as_ref().filter(|_| self.keep_alive <= now) {
            let due = self.keep_alive;
            self.keep_alive = next_on_grid(due, keep.every, now);
            self.answer.get_or_insert((now, now + keep.timeout));
            let thing = match keep.what {
                KeepAliveKind::Ping => DueThing::Ping,
                KeepAliveKind::Text(_) => DueThing::Say(SayKey::KeepAlive),
            };
            return Some((thing, due));
        }
        let send = rules.session.send.as_ref().filter(|_| self.message <= now)?;
        let due = self.message;
        // Every message that is due is sent, however late: the intended rate is kept.
        self.message = due + interval(send.rate);
        Some((DueThing::Say(SayKey::Send), due))
    }

    /// Takes note of signs of life.
    fn hear(&mut self, rules: &GroupRules, signs: Signs) {
        if let Some(limit) = rules.session.silence_timeout {
            self.silence = signs.heard.max(self.upgraded) + limit;
        }
        let wants_pong =
            matches!(rules.session.keep_alive.as_ref().map(|keep| &keep.what), Some(KeepAliveKind::Ping));
        let sign = if wants_pong { signs.pong } else { signs.heard };
        if self.answer.is_some_and(|(sent, _)| sign >= sent) {
            self.answer = None;
        }
    }

    /// When a client that has fallen silent at `since` notices: by its keep-alive's or its silence's timeout.
    pub(super) fn notices_silence(&self, rules: &GroupRules, since: Moment) -> Moment {
        let by_keep_alive = rules.session.keep_alive.as_ref().map(|keep| {
            let asked = self.answer.map_or_else(|| self.keep_alive.max(since), |(sent, _)| sent);
            asked + keep.timeout
        });
        let by_packets = rules.session.mqtt.as_ref().and_then(|mqtt| {
            let every = mqtt.keep_alive?;
            Some(since + every + mqtt.ping_timeout)
        });
        let by_silence = rules.session.silence_timeout.map(|limit| since + limit);
        by_keep_alive.into_iter().chain(by_packets).chain(by_silence).min().unwrap_or(since)
    }
}

fn interval(rate: f64) -> Duration {
    Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX)
}

/// The first moment on the grid `due + n · every` that is after `now`: keep-alives that were missed are not made up for.
fn next_on_grid(due: Moment, every: Duration, now: Moment) -> Moment {
    let next = due + every;
    if next > now { next } else { now + every }
}

/// The next client storm that strikes this client after `now`.
fn next_storm(rules: &GroupRules, client: u32, now: Moment) -> (Moment, StormId, DisconnectHow) {
    let strikes = |storm: &StormRule| match *storm {
        StormRule::ByClient { at, how, id, fraction }
            if at > now && is_struck(rules, client, id, fraction) =>
        {
            Some((at, id, how))
        }
        _ => None,
    };
    rules.storms.iter().filter_map(strikes).min_by_key(|(at, ..)| *at).unwrap_or((
        Moment::NEVER,
        StormId(0),
        DisconnectHow::Reset,
    ))
}

/// Whether a storm strikes this client: a draw that depends on seed, storm and client alone.
fn is_struck(rules: &GroupRules, client: u32, storm: StormId, fraction: f64) -> bool {
    let mut draws = Draws::new(rules.seed, Purpose::Storm, client);
    (0..=storm.0).fold(1.0, |_, _| draws.next_unit()) < fraction
}
