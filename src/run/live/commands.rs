//! What somebody may ask of a run under way.
//!
//! In: commands, from any thread. Out: the same, to who leads the run. The way is short: a command that finds no room is refused, never waited for.

use std::fmt;

use tokio::sync::{mpsc, oneshot};

use crate::clock::Moment;

/// Commands that may wait.
const WAITING: usize = 8;
/// Storms that may be asked for in a run.
pub(in super::super) const MOST_STORMS: u16 = 100;

/// What is answered to a storm: when it struck, or a sentence that says why it did not.
pub type StormAnswer = Result<Moment, String>;

/// A command.
#[derive(Debug)]
pub(in super::super) enum LiveCommand {
    /// A storm, now.
    Storm(StormOrder),
    /// As an interrupt: once lets the run drain, twice cuts it off.
    Stop,
}

/// A storm that is asked for.
#[derive(Debug)]
pub(in super::super) struct StormOrder {
    /// Which of those that were asked for, from 0, where who leads several processes has said; `None`: the next.
    pub(in super::super) number: Option<u16>,
    /// Share of the sessions, above 0 and up to 1.
    pub(in super::super) fraction: f64,
    /// Where the answer goes.
    pub(in super::super) answer: Option<oneshot::Sender<StormAnswer>>,
}

impl StormOrder {
    /// Answers, where anybody still listens.
    pub(in super::super) fn reply(self, answer: StormAnswer) {
        if let Some(listener) = self.answer {
            // Who has gone away knows nothing; the storm struck all the same.
            let _ = listener.send(answer);
        }
    }
}

/// Where commands are given. Clones give to the same run.
#[derive(Clone)]
pub struct LiveControl(mpsc::Sender<LiveCommand>);

/// Where they come out: a part of what is run.
#[derive(Debug)]
pub struct LiveCommands(mpsc::Receiver<LiveCommand>);

impl fmt::Debug for LiveControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LiveControl")
    }
}

/// Both ends of the way to a run.
#[must_use]
pub fn live_commands() -> (LiveControl, LiveCommands) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (LiveControl(sender), LiveCommands(receiver))
}

impl LiveControl {
    /// Asks for a storm on this share of the sessions, above 0 and up to 1; answers with its moment.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub async fn storm(&self, fraction: f64) -> StormAnswer {
        if !(fraction > 0.0 && fraction <= 1.0) {
            return Err(format!("fraction {fraction} is not a share: use a number above 0 and up to 1"));
        }
        let (sender, answer) = oneshot::channel();
        self.give(LiveCommand::Storm(StormOrder { number: None, fraction, answer: Some(sender) }))?;
        answer.await.unwrap_or_else(|_| Err("the run is over".to_owned()))
    }

    /// Asks the run to stop, as an interrupt does.
    ///
    /// # Errors
    /// A sentence that says why it cannot.
    pub fn stop(&self) -> Result<(), String> {
        self.give(LiveCommand::Stop)
    }

    /// Passes a storm on that somebody else has numbered.
    pub(in super::super) fn pass_on(&self, number: u16, fraction: f64) {
        let order = StormOrder { number: Some(number), fraction, answer: None };
        if let Err(why) = self.give(LiveCommand::Storm(order)) {
            log::warn!("a storm by hand was not passed on: {why}");
        }
    }

    fn give(&self, command: LiveCommand) -> Result<(), String> {
        self.0.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => "too much is asked for at once".to_owned(),
            mpsc::error::TrySendError::Closed(_) => "the run is over".to_owned(),
        })
    }
}

impl LiveCommands {
    /// The next command; `None` when there will be none.
    pub(in super::super) async fn next(&mut self) -> Option<LiveCommand> {
        self.0.recv().await
    }
}

/// The next command of a run that may have none.
pub(in super::super) async fn next_command(commands: &mut Option<LiveCommands>) -> LiveCommand {
    if let Some(open) = commands
        && let Some(command) = open.next().await
    {
        return command;
    }
    *commands = None;
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_finds_no_room_or_no_run_is_refused() {
        let (control, commands) = live_commands();
        for fraction in [0.0, -0.5, 1.5, f64::NAN] {
            assert!(control.storm(fraction).await.unwrap_err().contains("is not a share"), "{fraction}");
        }
        for _ in 0..WAITING {
            assert_eq!(control.stop(), Ok(()));
        }
        assert!(control.stop().unwrap_err().contains("at once"));
        drop(commands);
        assert!(control.stop().unwrap_err().contains("over"));
        assert!(control.storm(1.0).await.unwrap_err().contains("over"));
    }
}
