//! Showing how a run stands, on a thread of its own: a terminal that is stopped (Ctrl-S), or that nobody reads, must not hold up the run.
//!
//! In: views, as they come. Out: the latest of them, shown as soon as the one before is.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::record::LiveView;
use crate::scenario::keys::Scenario;

use super::request::OnProgress;

/// How long the last view may take to be shown.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who shows.
pub(super) struct Display {
    slot: Arc<Slot>,
    /// Ends with the thread.
    ended: Receiver<()>,
}

#[derive(Default)]
struct Slot {
    next: Mutex<Next>,
    changed: Condvar,
}

#[derive(Default)]
struct Next {
    view: Option<LiveView>,
    is_over: bool,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next view; `None` when there will be none.
    fn take(&self) -> Option<LiveView> {
        let mut next = self.lock();
        loop {
            if let Some(view) = next.view.take() {
                return Some(view);
            }
            if next.is_over {
                return None;
            }
            next = self.changed.wait(next).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Display {
    /// Begins to show by `show`: at first an empty view.
    ///
    /// # Errors
    /// There is no thread.
    pub(super) fn start(scenario: Scenario, mut show: OnProgress) -> io::Result<Self> {
        let slot = Arc::<Slot>::default();
        let (alive, ended) = sync_channel(1);
        let views = Arc::clone(&slot);
        let work = move || {
            // Before the first second is over, nothing has happened yet: that is told too.
            show(&scenario, &LiveView::default());
            while let Some(view) = views.take() {
                show(&scenario, &view);
            }
            drop(alive);
        };
        std::thread::Builder::new().name("display".to_owned()).spawn(work)?;
        Ok(Self { slot, ended })
    }

    /// Shows `view` next, in place of one that still waits.
    pub(super) fn show(&self, view: LiveView) {
        self.slot.lock().view = Some(view);
        self.slot.changed.notify_one();
    }
}

impl Drop for Display {
    /// Lets the last view be shown, but waits no longer than a terminal that works would take.
    fn drop(&mut self) {
        self.slot.lock().is_over = true;
        self.slot.changed.notify_one();
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(PATIENCE) {
            log::debug!("nobody takes what is shown");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load;

    fn scenario() -> Scenario {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.toml");
        let text = "duration = \"1s\"\n[target]\n[[groups]]\nname = \"g\"\nclients = 1\ntoken = { grant = \"none\" }\n";
        std::fs::write(&file, text).unwrap();
        load(&file, &Vec::new(), None, &|_| None).unwrap().scenario
    }

    fn view(second: u64) -> LiveView {
        LiveView { second, ..LiveView::default() }
    }

    #[test]
    fn a_slow_reader_holds_up_nobody_and_sees_the_last() {
        let (began, begun) = sync_channel(1);
        let (release, released) = sync_channel::<()>(1);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        let show = move |_: &Scenario, view: &LiveView| {
            seen.lock().unwrap().push(view.second);
            if view.second == 0 {
                began.send(()).unwrap();
                released.recv().unwrap();
            }
        };
        let display = Display::start(scenario(), Box::new(show)).unwrap();
        display.show(view(0));
        begun.recv().unwrap();
        (1..100).for_each(|second| display.show(view(second)));
        release.send(()).unwrap();
        drop(display);
        assert_eq!(*shown.lock().unwrap(), [0, 99]);
    }

    #[test]
    fn a_reader_who_never_takes_anything_is_left() {
        let (_held, never) = sync_channel::<()>(1);
        let never = Mutex::new(never);
        let show = move |_: &Scenario, _: &LiveView| never.lock().unwrap().recv().unwrap_or_default();
        let display = Display::start(scenario(), Box::new(show)).unwrap();
        display.show(view(0));
        drop(display);
    }
}
