//! An alarm that goes off at a moment, as precisely as the system can.
//!
//! In: a moment. Out: a future that ends then. On Linux it is a `timerfd` (timerfd_create(2)), whose grain is the kernel's: nanoseconds. Elsewhere it is
//! Tokio's timer, which has a grain of a millisecond and rounds up.

#[cfg(all(target_os = "linux", not(without_linux)))]
pub(crate) use of_kernel::{ALARM_GRAIN, Alarm};
#[cfg(not(all(target_os = "linux", not(without_linux))))]
pub(crate) use of_tokio::{ALARM_GRAIN, Alarm};

#[cfg(all(target_os = "linux", not(without_linux)))]
mod of_kernel {
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::time::{Duration, Instant};

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    /// How late it may be by its own construction.
    pub(crate) const ALARM_GRAIN: Duration = Duration::ZERO;

    /// An alarm.
    #[derive(Debug)]
    pub(crate) struct Alarm(AsyncFd<OwnedFd>);

    impl Alarm {
        /// One that is not set. Needs a runtime.
        ///
        /// # Errors
        /// The system has no timer to give.
        #[expect(
            deprecated,
            reason = "its successor is unsafe, and asks for what an owned descriptor guarantees"
        )]
        pub(crate) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?).map(Self)
        }

        /// Sets it to `_due`, which is in so long; what it was set to before is forgotten.
        ///
        /// # Errors
        /// None that can be met: the descriptor and the value are in order.
        pub(crate) fn set(&self, _due: Instant, after: Duration) -> io::Result<()> {
            let value = Timespec {
                tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                // Zero would switch it off.
                tv_nsec: i64::from(after.subsec_nanos()).max(1),
            };
            let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            timerfd_settime(self.0.get_ref().as_fd(), TimerfdTimerFlags::empty(), &spec)?;
            Ok(())
        }

        /// Until it goes off; it may seem to have when it has not.
        ///
        /// # Errors
        /// The runtime is gone.
        pub(crate) async fn gone_off(&self) -> io::Result<()> {
            let mut ready = self.0.readable().await?;
            let mut spent = [0; 8];
            // How often it went off does not matter, nor whether it did: what is due is due.
            if let Err(error) = rustix::io::read(self.0.get_ref().as_fd(), &mut spent) {
                log::debug!("a timer had not gone off: {error}");
            }
            ready.clear_ready();
            Ok(())
        }
    }
}

#[cfg(any(test, not(all(target_os = "linux", not(without_linux)))))]
#[cfg_attr(
    test,
    allow(dead_code, unreachable_pub, reason = "compiled for its tests, also where another way is taken")
)]
mod of_tokio {
    use std::io;
    use std::time::{Duration, Instant};

    use tokio::sync::watch;
    use tokio::time::sleep_until;

    /// How late it may be by its own construction.
    pub(crate) const ALARM_GRAIN: Duration = Duration::from_millis(1);

    /// An alarm.
    #[derive(Debug)]
    pub(crate) struct Alarm(watch::Sender<Option<Instant>>);

    impl Alarm {
        /// One that is not set.
        ///
        /// # Errors
        /// None here.
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self(watch::Sender::new(None)))
        }

        /// Sets it to `due`, which is in so long; what it was set to before is forgotten.
        ///
        /// # Errors
        /// None here.
        pub(crate) fn set(&self, due: Instant, _after: Duration) -> io::Result<()> {
            self.0.send_replace(Some(due));
            Ok(())
        }

        /// Until it goes off.
        ///
        /// # Errors
        /// None here.
        pub(crate) async fn gone_off(&self) -> io::Result<()> {
            let mut set = self.0.subscribe();
            loop {
                let due = *set.borrow_and_update();
                let wait = async {
                    match due {
                        Some(due) => sleep_until(due.into()).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = wait => {
                        // Only what was waited for is over: it may have been set anew meanwhile.
                        self.0.send_if_modified(|set| set.take_if(|set| Some(*set) == due).is_some());
                        return Ok(());
                    }
                    // The sender is this one's own.
                    _ = set.changed() => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::clock::{Clock, Moment};

    #[tokio::test]
    async fn an_alarm_goes_off_when_it_was_set_to_last() {
        let clock = Clock::start();
        let in_time = |after| clock.instant(clock.now() + after);
        let (soon, late) = (Duration::from_millis(15), Duration::from_secs(60));
        macro_rules! hold {
            ($way:ident) => {
                let alarm = super::$way::Alarm::new().unwrap();
                alarm.set(in_time(late), late).unwrap();
                let before = clock.now();
                let set_anew = async {
                    tokio::task::yield_now().await;
                    alarm.set(in_time(soon), soon).unwrap();
                };
                let (gone_off, ()) = tokio::join!(alarm.gone_off(), set_anew);
                gone_off.unwrap();
                let took = clock.now().since(before);
                assert!(took >= soon && took < late, "{took:?}");
                let again = tokio::time::timeout(soon, alarm.gone_off()).await;
                assert!(again.is_err(), "it goes off once");
            };
        }
        #[cfg(all(target_os = "linux", not(without_linux)))]
        {
            hold!(of_kernel);
        }
        hold!(of_tokio);
        assert!(clock.now() > Moment::ZERO);
    }
}
