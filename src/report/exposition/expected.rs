//! What the clients of a group can come to, by the scenario: a counter that is born at its final value has no rate, so each of these is there from the start.
//!
//! In: a scenario. Out: ends of sessions, causes, requests, storms. No more than the scenario says: a foreign service's own codes show when they come.

use std::collections::BTreeSet;

use crate::sample::{
    ABNORMAL_CLOSURE, Abnormal, Cause, Initiator, NORMAL_CLOSURE, Outcome, Request, StormId,
};
use crate::scenario::keys::{
    AtSessionLimit, DisconnectHow, Grant, Group, RefusalManner, Scenario, StormBy, Target, TargetRules,
};

/// Codes by which services end sessions, where it is not known which this one uses (RFC 6455 §7.4.1, and IANA's registry).
const USUAL_CODES: [u16; 4] = [1000, 1001, 1011, 1012];

/// The end of a session, as it is counted.
pub(super) type End = (Initiator, String, Option<Abnormal>);

/// What the clients of a group can come to.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    pub(super) ends: BTreeSet<End>,
    /// What may be asked for.
    pub(super) requests: Vec<Request>,
    /// The storms that may strike.
    pub(super) storms: Vec<StormId>,
    /// Whether the service may refuse after the 101.
    refuses_in_session: bool,
    has_steps: bool,
}

impl Expected {
    /// Of the scenario's group `index`.
    pub(super) fn of(scenario: &Scenario, index: usize) -> Self {
        let group = &scenario.groups[index];
        let mut expected = Self { requests: requests_of(group), ..Self::default() };
        expected.has_steps = expected.requests.iter().any(|request| request.step().is_some());
        expected.end(Initiator::Client, NORMAL_CLOSURE);
        for how in [Abnormal::Fin, Abnormal::Rst, Abnormal::Timeout] {
            expected.ends.insert((Initiator::Network, code_label(ABNORMAL_CLOSURE), Some(how)));
        }
        group.disconnects.iter().for_each(|own| expected.leave(Initiator::Client, own.how));
        match &scenario.target {
            Target::Embedded(rules) => expected.take_rules(rules),
            Target::Remote(_) => {
                expected.refuses_in_session = true;
                USUAL_CODES.iter().for_each(|code| expected.end(Initiator::Target, *code));
            }
        }
        for (nth, storm) in scenario.storms.iter().enumerate() {
            match &storm.by {
                StormBy::Target { code } => {
                    expected.end(Initiator::Storm, *code);
                    // A close that comes late is the target's own.
                    expected.end(Initiator::Target, *code);
                }
                StormBy::Client { groups, .. }
                    if groups.as_ref().is_some_and(|groups| !groups.contains(&index)) =>
                {
                    continue;
                }
                StormBy::Client { how, .. } => expected.leave(Initiator::Storm, *how),
                StormBy::Event { .. } => {
                    USUAL_CODES.iter().for_each(|code| expected.end(Initiator::Target, *code));
                }
            }
            expected.storms.push(StormId::of(nth));
        }
        expected
    }

    /// By what the embedded target ends sessions.
    fn take_rules(&mut self, rules: &TargetRules) {
        let idle = rules.idle_timeout.map(|_| rules.idle_close_code);
        let token_end = rules.token_end.as_ref().map(|end| end.code);
        let displaces = rules.at_session_limit == AtSessionLimit::Displace || rules.tickets.is_some();
        let displaced = displaces.then_some(rules.displaced_code);
        let stormed = rules.storms.iter().map(|storm| storm.code);
        let scripted = rules.script.iter().filter_map(|rule| rule.close);
        let codes = idle.into_iter().chain(token_end).chain(displaced).chain(stormed).chain(scripted);
        codes.for_each(|code| self.end(Initiator::Target, code));
        self.refuses_in_session = matches!(rules.refusal_manner, RefusalManner::Socket { .. });
    }

    fn end(&mut self, initiator: Initiator, code: u16) {
        self.ends.insert((initiator, code_label(code), None));
    }

    /// Clients leave so, a storm forces them to or not.
    fn leave(&mut self, initiator: Initiator, how: DisconnectHow) {
        match how {
            DisconnectHow::Close { code } => self.end(initiator, code),
            DisconnectHow::Reset | DisconnectHow::HalfOpen => {
                self.ends.insert((initiator, code_label(ABNORMAL_CLOSURE), Some(Abnormal::Dropped)));
            }
        }
    }

    /// The causes that an outcome can have.
    pub(super) fn causes_of(&self, outcome: Outcome) -> Vec<Option<Cause>> {
        let all = || Cause::ALL.iter().copied().map(Some).collect();
        match outcome {
            Outcome::Http401 | Outcome::Http403 => all(),
            Outcome::Http429 => vec![Some(Cause::RateLimited)],
            Outcome::Http5xx => vec![None, Some(Cause::Overloaded)],
            Outcome::RefusedClose | Outcome::RefusedMessage if self.refuses_in_session => all(),
            Outcome::StepRefused if self.has_steps => all(),
            _ => vec![None],
        }
    }
}

/// What clients of a group ask for beside their handshakes.
fn requests_of(group: &Group) -> Vec<Request> {
    let mut requests = match group.token.as_ref().map(|token| &token.grant) {
        None | Some(Grant::Fixed(_)) => Vec::new(),
        Some(Grant::Jwt(_)) => vec![Request::Mint],
        Some(Grant::Command(_)) => vec![Request::Command],
        Some(Grant::RefreshToken { .. }) => vec![Request::Credentials, Request::Refresh],
        Some(Grant::ClientCredentials(_) | Grant::Shown { .. }) => vec![Request::Credentials],
    };
    let steps = group.prepare.iter().flat_map(|prepare| &prepare.steps);
    requests.extend((0_u8..).zip(steps).map(|(index, _)| Request::Step(index)));
    requests
}

/// A close code as a label: those of RFC 6455 as they are; the peer chooses among thousands of others, which are told by class.
pub(super) fn code_label(code: u16) -> String {
    match code {
        1000..=1015 => code.to_string(),
        3000..=3999 => "3xxx".to_owned(),
        4000..=4999 => "4xxx".to_owned(),
        _ => "other".to_owned(),
    }
}
