//! Time: the only place that asks the system for it.
//!
//! In: nothing. Out: [`Moment`]s, nanoseconds on a monotonic clock since the run's origin, and the
//! calendar time of that origin. Everything else in the crate takes moments as arguments, so that the same
//! logic runs in real and in virtual time.

use std::ops::{Add, Sub};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since the run's origin, on a monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Moment(u64);

impl Moment {
    /// The run's origin.
    pub const ZERO: Self = Self(0);
    /// A moment that never comes (584 years after the origin).
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `ns` nanoseconds after the origin.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// Microseconds since the origin, rounded down.
    #[must_use]
    pub const fn as_us(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole seconds since the origin: the index of the interval that this moment falls in.
    #[must_use]
    pub const fn as_second(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// The first moment that is no earlier and a whole number of `grain_ns` nanoseconds after the origin; [`Moment::NEVER`] where that is beyond it.
    ///
    /// # Panics
    /// Where `grain_ns` is 0.
    #[must_use]
    pub const fn rounded_up(self, grain_ns: u64) -> Self {
        match self.0.checked_next_multiple_of(grain_ns) {
            Some(ns) => Self(ns),
            None => Self::NEVER,
        }
    }

    /// The time from `earlier` to here; zero when `earlier` is in fact later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// The moment `after` later; [`Moment::NEVER`] when that is beyond 584 years.
    fn add(self, after: Duration) -> Self {
        let ns = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(ns))
    }
}

impl Sub<Moment> for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// The system's monotonic clock, read relative to an origin that has a calendar time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    origin_unix_us: u64,
}

impl Clock {
    /// A clock whose origin is now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let origin_unix_us = u64::try_from(unix.as_micros()).unwrap_or(u64::MAX);
        Self { origin: Instant::now(), origin_unix_us }
    }

    /// A clock whose origin is the calendar time `unix_us`, in microseconds since 1970, past or to come: clocks of several processes of one
    /// machine that begin so agree to a few microseconds. Until its origin it is [`Moment::ZERO`].
    #[must_use]
    pub fn starting_at(unix_us: u64) -> Self {
        let Self { origin, origin_unix_us } = Self::start();
        let ahead = Duration::from_micros(unix_us.saturating_sub(origin_unix_us));
        let behind = Duration::from_micros(origin_unix_us.saturating_sub(unix_us));
        let origin =
            origin.checked_add(ahead).and_then(|origin| origin.checked_sub(behind)).unwrap_or(origin);
        Self { origin, origin_unix_us: unix_us }
    }

    /// A clock that counts from `origin`, a moment of this one, whose calendar time is told from elsewhere: this machine's calendar does not matter to it.
    #[cfg(feature = "cluster")]
    #[must_use]
    pub fn counting_from(&self, origin: Moment, unix_us: u64) -> Self {
        Self { origin: self.instant(origin), origin_unix_us: unix_us }
    }

    /// The moment that it is now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn now(&self) -> Moment {
        let ns = Instant::now().saturating_duration_since(self.origin).as_nanos();
        Moment(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// The system's instant of `moment`, for timers.
    #[must_use]
    pub fn instant(&self, moment: Moment) -> Instant {
        let far = Duration::from_secs(60 * 60 * 24 * 365);
        self.origin.checked_add(Duration::from_nanos(moment.0)).unwrap_or(self.origin + far)
    }

    /// Calendar time of `moment`: microseconds since 1970-01-01T00:00Z, carried forward from the origin by
    /// the monotonic clock, so a step of the system's calendar during the run does not move it.
    #[must_use]
    pub const fn unix_us(&self, moment: Moment) -> u64 {
        self.origin_unix_us.saturating_add(moment.as_us())
    }

    /// Calendar time now, in microseconds since 1970.
    #[must_use]
    pub fn unix_us_now(&self) -> u64 {
        self.unix_us(self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_saturate_instead_of_wrapping() {
        assert_eq!(Moment::from_ns(5).since(Moment::from_ns(9)), Duration::ZERO);
        assert_eq!(Moment::NEVER + Duration::from_secs(1), Moment::NEVER);
        assert_eq!(Moment::from_ns(1_500_000_000).as_second(), 1);
        assert_eq!(Moment::from_ns(1_999).as_us(), 1);
        let rounded = |ns| Moment::from_ns(ns).rounded_up(10).as_ns();
        assert_eq!([0, 1, 10, 11, u64::MAX - 1].map(rounded), [0, 10, 10, 20, u64::MAX]);
    }

    #[test]
    fn an_origin_may_be_agreed_upon() {
        let now_us = Clock::start().unix_us(Moment::ZERO);
        let ahead = Clock::starting_at(now_us + 3_600_000_000);
        assert_eq!(ahead.now(), Moment::ZERO, "it has not begun");
        let begun = Clock::starting_at(now_us - 1_000_000);
        assert!(begun.now() >= Moment::from_ns(999_000_000), "{:?}", begun.now());
        assert_eq!(begun.unix_us(Moment::ZERO), now_us - 1_000_000);
    }

    #[test]
    fn the_clock_goes_forward_and_keeps_its_origin() {
        let clock = Clock::start();
        let first = clock.now();
        let second = clock.now();
        assert!(second >= first);
        assert_eq!(clock.unix_us(first + Duration::from_secs(1)), clock.unix_us(first) + 1_000_000);
    }
}
