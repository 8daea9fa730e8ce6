//! Does a run's events when they are due.
//!
//! In: the scenario's events. Out: a mark when each begins, and again when it is over, with what came of it. Nothing that was begun outlasts the runner.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clock::{Clock, Moment};
use crate::drive::network::Asker;
use crate::engine::RunControl;
use crate::lifecycle::StopPhase;
use crate::record::{EventEnd, Mark, MarkBy, MarkOutcome};
use crate::scenario::keys::{Event, EventDoes, EventRequest, EventWait};

use super::super::prepare::Prepared;
use super::command::{Came, grace, run_command};
use super::groups::Groups;
use super::marks::Marks;
use super::pid_file::send_signal;
use super::tail::Lines;

/// How late an event may be before it is left out: the one before was not over.
const LATE: Duration = Duration::from_millis(500);

/// The events of a run.
pub(in super::super) struct Runner {
    events: Vec<JoinHandle<()>>,
    groups: Option<Arc<Groups>>,
    phase: watch::Receiver<StopPhase>,
}

/// What all events have in common.
struct Common {
    clock: Clock,
    end: Duration,
    marks: Arc<Marks>,
    groups: Option<Arc<Groups>>,
    asker: Option<Asker>,
}

impl Runner {
    /// Waits for the events of `prepared` from now on; none where another share does them. Needs a runtime.
    pub(in super::super) fn start(prepared: &Prepared, marks: &Arc<Marks>, control: &RunControl) -> Self {
        let phase = control.subscribe();
        let scenario = &prepared.scenario;
        if scenario.events.is_empty() || prepared.share.shard() != 1 {
            return Self { events: Vec::new(), groups: None, phase };
        }
        let any = |does: fn(&EventDoes) -> bool| scenario.events.iter().any(|event| does(&event.does));
        let groups = any(|does| matches!(does, EventDoes::Command(_))).then(|| Arc::new(Groups::guarded()));
        let asker = any(|does| matches!(does, EventDoes::Http(_))).then(|| {
            Asker::new(prepared.clock, Arc::clone(&prepared.policy), prepared.tls.clone().map(Arc::new))
        });
        let common = Arc::new(Common {
            clock: prepared.clock,
            end: scenario.duration,
            marks: Arc::clone(marks),
            groups: groups.clone(),
            asker,
        });
        let follow = |event: &Event| tokio::spawn(follow(event.clone(), Arc::clone(&common), phase.clone()));
        Self { events: scenario.events.iter().map(follow).collect(), groups, phase }
    }

    /// Ends what still goes on, when the run has stopped.
    pub(in super::super) async fn end(self) {
        for event in self.events {
            if let Err(error) = event.await {
                log::error!("an event was not followed to its end: {error}");
            }
        }
        if let Some(groups) = self.groups {
            let grace = grace(*self.phase.borrow());
            groups.end_all(grace).await;
        }
    }
}

/// Does an event each time that it is due, until the run stops.
async fn follow(event: Event, common: Arc<Common>, mut phase: watch::Receiver<StopPhase>) {
    for at in event.times(common.end) {
        let due = Moment::ZERO + at;
        tokio::select! {
            () = tokio::time::sleep_until(common.clock.instant(due).into()) => {}
            _ = phase.wait_for(|phase| *phase > StopPhase::Running) => return,
        }
        if at > event.at && common.clock.now().since(due) > LATE {
            common.leave_out(&event, due);
            continue;
        }
        common.act(&event, &mut phase).await;
    }
}

impl Common {
    /// Does it once.
    async fn act(&self, event: &Event, phase: &mut watch::Receiver<StopPhase>) {
        let began = self.clock.now();
        let mark = self.mark(event, began);
        self.marks.tell(mark.clone());
        let came = self.does(event, phase).await;
        self.marks.tell(ended(mark, event, came, began));
    }

    fn mark(&self, event: &Event, at: Moment) -> Mark {
        Mark {
            number: self.marks.number(),
            name: self.marks.redactor().clean(&event.name),
            by: MarkBy::Event,
            at_us: at.as_us(),
            until_us: None,
            names_until_us: (event.wait == EventWait::Started).then(|| (at + event.window).as_us()),
            does: Some(self.marks.redactor().clean(&event.in_words())),
            outcome: None,
            storm: None,
        }
    }

    /// Tells that it was not done when it was `due`.
    fn leave_out(&self, event: &Event, due: Moment) {
        let came = Came::not_done("the time before was not over".to_owned(), due);
        let mark = ended(self.mark(event, due), event, came, due);
        // Nothing that happens then is its doing.
        self.marks.tell(Mark { names_until_us: Some(mark.at_us), ..mark });
    }

    async fn does(&self, event: &Event, phase: &mut watch::Receiver<StopPhase>) -> Came {
        match (&event.does, &self.groups, &self.asker) {
            (EventDoes::Command(command), Some(groups), _) => {
                let by = (self.clock, self.marks.redactor());
                run_command(event, command, groups, by, phase).await
            }
            (EventDoes::Http(request), _, Some(asker)) => {
                tokio::select! {
                    answered = timeout(event.timeout, Box::pin(self.ask(asker, request))) => {
                        answered.unwrap_or_else(|_| Came::cut_off(EventEnd::TimedOut, self.clock.now()))
                    }
                    _ = phase.wait_for(|phase| *phase > StopPhase::Running) => Came::cut_off(EventEnd::EndedWithRun, self.clock.now()),
                }
            }
            (EventDoes::Signal(to), ..) => match send_signal(to) {
                Ok(pid) => Came {
                    end: EventEnd::Signalled { pid },
                    is_good: true,
                    ..Came::not_done(String::new(), self.clock.now())
                },
                Err(why) => Came::not_done(why, self.clock.now()),
            },
            // Both are there where an event needs them.
            (EventDoes::Command(_), None, _) | (EventDoes::Http(_), _, None) => {
                Came::not_done("nobody does it".to_owned(), self.clock.now())
            }
        }
    }

    async fn ask(&self, asker: &Asker, request: &EventRequest) -> Came {
        let EventRequest { method, url, headers, body, content_type, expect } = request;
        let body = body.as_ref().map(|body| (content_type.as_str(), body.as_str()));
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        match asker.ask(method.name(), url, &headers, body).await {
            Ok((status, body)) => {
                let is_good =
                    if expect.is_empty() { (200..300).contains(&status) } else { expect.contains(&status) };
                let mut lines = Lines::default();
                lines.push(&body);
                let last_lines = lines.shown(self.marks.redactor());
                Came { end: EventEnd::Answered { status }, is_good, last_lines, over: self.clock.now() }
            }
            Err(why) => Came::not_done(why, self.clock.now()),
        }
    }
}

/// The mark of an event that is over.
fn ended(mark: Mark, event: &Event, came: Came, began: Moment) -> Mark {
    let Came { end, is_good, last_lines, over } = came;
    let took_us = u64::try_from(over.since(began).as_micros()).unwrap_or(u64::MAX);
    Mark {
        until_us: Some(over.as_us()),
        names_until_us: mark.names_until_us.or(Some((over + event.window).as_us())),
        outcome: Some(MarkOutcome { is_good, is_required: event.required, end, took_us, last_lines }),
        ..mark
    }
}
