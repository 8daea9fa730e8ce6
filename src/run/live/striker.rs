//! Carries out in this process what is asked of a run under way.
//!
//! In: commands. Out: a storm that clients know by its number, that the target carries out or the clients themselves, and a mark of it; or the run's stop.

use std::sync::Arc;

use crate::engine::{RunControl, StopReason};
use crate::lifecycle::{AskedStorms, StopPhase, StormRule};
use crate::record::AskedStorm;
use crate::sample::StormId;
use crate::scenario::keys::DisconnectHow;

use super::super::events::Marks;
use super::super::interrupt::tell_interrupt;
use super::super::prepare::Prepared;
use super::commands::{LiveCommand, LiveCommands, MOST_STORMS, StormAnswer, StormOrder};

/// The close code of a target's storm: service restart, which is the default of `[[storms]]`.
const CODE: u16 = 1012;

/// Who carries it out.
pub(in super::super) struct Striker {
    pub(in super::super) prepared: Arc<Prepared>,
    pub(in super::super) marks: Arc<Marks>,
    pub(in super::super) control: Arc<RunControl>,
    pub(in super::super) asked: AskedStorms,
}

impl Striker {
    /// Carries out each command until there are no more.
    pub(in super::super) async fn follow(self, mut commands: LiveCommands) {
        let (mut number, mut is_stopped) = (0, false);
        while let Some(command) = commands.next().await {
            match command {
                LiveCommand::Storm(order) => {
                    let own = order.number.unwrap_or(number);
                    let answer = self.strike(own, &order);
                    number = own + u16::from(answer.is_ok());
                    order.reply(answer);
                }
                LiveCommand::Stop if is_stopped => self.control.abort(),
                LiveCommand::Stop => {
                    is_stopped = true;
                    tell_interrupt(self.prepared.scenario.drain);
                    self.control.stop(StopReason::Interrupted);
                }
            }
        }
    }

    fn strike(&self, number: u16, order: &StormOrder) -> StormAnswer {
        check(number, self.control.phase())?;
        let (fraction, planned) = (order.fraction, self.prepared.scenario.storms.len());
        let id = StormId::of(planned + usize::from(number));
        let at = self.prepared.clock.now();
        let what = match &self.prepared.server {
            // Clients know of it before its first close frame.
            Some(server) => {
                self.asked.add(StormRule::ByTarget { at, code: CODE, all: fraction >= 1.0, id });
                let struck = server.storm(CODE, fraction).map_err(|error| error.to_string())?;
                log::debug!("storm by hand with {CODE}: {struck} sessions");
                format!("the target closes with {CODE}")
            }
            None => {
                self.asked.add(StormRule::ByClient { at, how: DisconnectHow::Reset, id, fraction });
                self.control.call();
                "clients reset".to_owned()
            }
        };
        if self.prepared.share.shard() == 1 {
            self.marks.mark_storm(at, AskedStorm { number, what: format!("{what}, by hand"), fraction });
        }
        Ok(at)
    }
}

/// Whether a storm of that number may strike.
pub(in super::super) fn check(number: u16, phase: StopPhase) -> Result<(), String> {
    if phase > StopPhase::Running {
        return Err("the run is ending: nobody comes back any more".to_owned());
    }
    if number >= MOST_STORMS {
        return Err(format!("a run takes {MOST_STORMS} storms by hand at most"));
    }
    Ok(())
}
