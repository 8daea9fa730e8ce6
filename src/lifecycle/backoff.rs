//! How long to wait before an attempt.
//!
//! In: the backoff's rule, which attempt of this reconnect it is, the wait before the last one, draws. Out: a
//! duration. Formulas as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).

use std::time::Duration;

use crate::random::Draws;
use crate::scenario::keys::{Backoff, Growth, Jitter};

/// Where a client's own first wait is drawn: apart from the places of its tokens, which are moments.
const OWN_BASE: u64 = u64::MAX;

/// The wait before attempt `attempt` (0 for the first after a disconnect), `previous` being the wait before the
/// one before it (zero for the first).
pub fn next_wait(backoff: &Backoff, attempt: u32, previous: Duration, draws: &mut Draws) -> Duration {
    let (base, max, full) = match &backoff.growth {
        Growth::None => return Duration::ZERO,
        Growth::Constant { base } => (*base, *base, *base),
        Growth::Linear { base, max } => (*base, *max, base.saturating_mul(attempt).min(*max)),
        Growth::Exponential { base, max, factor } => (*base, *max, grow(*base, *max, *factor, attempt)),
        Growth::Steps(steps) => {
            let last = steps.last().copied().unwrap_or_default();
            let step = steps.get(attempt as usize).copied().unwrap_or(last);
            (step, step, step)
        }
    };
    match backoff.jitter {
        Jitter::None => full,
        Jitter::Full => draws.next_duration(Duration::ZERO, full),
        Jitter::Equal => full / 2 + draws.next_duration(Duration::ZERO, full / 2),
        Jitter::Share(share) => draws.next_duration(full.mul_f64(1.0 - share), full.mul_f64(1.0 + share)),
        Jitter::Add { low, high } => full + draws.next_duration(low, high),
        Jitter::ShareWithin(share) => spread_within(backoff, full, attempt, share, draws).min(max),
        Jitter::AboveBase => (base + draws.next_duration(Duration::ZERO, full)).min(max),
        Jitter::OwnBase { most } => {
            let own = base + most.saturating_sub(base).mul_f64(draws.unit_of(OWN_BASE));
            match &backoff.growth {
                Growth::Exponential { factor, .. } => grow(own, max, *factor, attempt),
                _ => own.min(max),
            }
        }
        Jitter::Decorrelated => {
            let high = previous.max(base).saturating_mul(3);
            draws.next_duration(base, high.max(base)).min(max.max(base))
        }
    }
}

/// A share of the wait to either side, of the wait as it is before its cap.
fn spread_within(backoff: &Backoff, full: Duration, attempt: u32, share: f64, draws: &mut Draws) -> Duration {
    // Beyond this every draw is above any cap that a file can give.
    const BEYOND: Duration = Duration::from_secs(u32::MAX as u64);
    let uncapped = match &backoff.growth {
        Growth::Exponential { base, factor, .. } => grow(*base, BEYOND, *factor, attempt),
        Growth::Linear { base, .. } => base.saturating_mul(attempt).min(BEYOND),
        _ => full,
    };
    draws.next_duration(uncapped.mul_f64(1.0 - share), uncapped.mul_f64(1.0 + share))
}

/// min(max, base · factor^attempt), without overflow.
fn grow(base: Duration, max: Duration, factor: f64, attempt: u32) -> Duration {
    let exponent = i32::try_from(attempt).unwrap_or(i32::MAX);
    let seconds = base.as_secs_f64() * factor.powi(exponent);
    if seconds.is_finite() && seconds < max.as_secs_f64() { Duration::from_secs_f64(seconds) } else { max }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    const BASE: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(2);

    fn exponential(jitter: Jitter) -> Backoff {
        Backoff { growth: Growth::Exponential { base: BASE, max: MAX, factor: 2.0 }, jitter }
    }

    fn draws() -> Draws {
        Draws::new(1, Purpose::Lifecycle, 0)
    }

    #[test]
    fn without_jitter_the_wait_doubles_to_its_cap() {
        let wait = |n| next_wait(&exponential(Jitter::None), n, Duration::ZERO, &mut draws()).as_millis();
        assert_eq!([0, 1, 2, 3, 4, 5, 6].map(wait), [100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(wait(u32::MAX), 2000, "no overflow however long it goes on");
    }

    #[test]
    fn none_never_waits_and_constant_never_grows() {
        let none = Backoff { growth: Growth::None, jitter: Jitter::Full };
        assert_eq!(next_wait(&none, 9, BASE, &mut draws()), Duration::ZERO);
        let constant = Backoff { growth: Growth::Constant { base: BASE }, jitter: Jitter::None };
        assert_eq!(next_wait(&constant, 9, BASE, &mut draws()), BASE);
    }

    #[test]
    fn linear_begins_at_zero_and_steps_repeat_their_last() {
        let linear = Backoff { growth: Growth::Linear { base: BASE, max: BASE * 3 }, jitter: Jitter::None };
        let wait = |backoff: &Backoff, n| next_wait(backoff, n, BASE, &mut draws()).as_millis();
        assert_eq!([0, 1, 2, 3, 9, u32::MAX].map(|n| wait(&linear, n)), [0, 100, 200, 300, 300, 300]);
        let steps = Backoff { growth: Growth::Steps(vec![BASE, BASE * 5]), jitter: Jitter::None };
        assert_eq!([0, 1, 2, u32::MAX].map(|n| wait(&steps, n)), [100, 500, 500, 500]);
    }

    #[test]
    fn each_jitter_stays_in_its_range_and_fills_it() {
        // (jitter, attempt, previous wait, least, most)
        let rows = [
            (Jitter::Full, 2, Duration::ZERO, Duration::ZERO, BASE * 4),
            (Jitter::Equal, 2, Duration::ZERO, BASE * 2, BASE * 4),
            (Jitter::Share(0.5), 2, Duration::ZERO, BASE * 2, BASE * 6),
            (Jitter::Add { low: BASE, high: BASE * 2 }, 1, Duration::ZERO, BASE * 3, BASE * 4),
            (Jitter::ShareWithin(0.5), 2, Duration::ZERO, BASE * 2, BASE * 6),
            // 3.2 s ± 1.6 s, at most 2 s.
            (Jitter::ShareWithin(0.5), 5, Duration::ZERO, BASE * 16, MAX),
            (Jitter::AboveBase, 2, Duration::ZERO, BASE, BASE * 5),
            (Jitter::AboveBase, 0, Duration::ZERO, BASE, BASE * 2),
            (Jitter::Decorrelated, 2, BASE * 2, BASE, BASE * 6),
            (Jitter::Decorrelated, 0, Duration::ZERO, BASE, BASE * 3),
            (Jitter::Decorrelated, 9, MAX, BASE, MAX),
        ];
        for (jitter, attempt, previous, least, most) in rows {
            let mut draws = draws();
            let waits: Vec<_> =
                (0..2_000).map(|_| next_wait(&exponential(jitter), attempt, previous, &mut draws)).collect();
            let (low, high) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
            assert!(*low >= least && *high <= most, "{jitter:?}: {low:?}..{high:?}");
            let spread = most - least;
            assert!(
                *low < least + spread / 5 && *high > most - spread / 5,
                "{jitter:?} fills {least:?}..{most:?}"
            );
        }
    }

    #[test]
    fn a_share_beyond_the_cap_and_the_cap_itself_leave_nothing_to_chance() {
        let mut draws = draws();
        for attempt in [6, 60, u32::MAX] {
            let wait = next_wait(&exponential(Jitter::ShareWithin(0.5)), attempt, MAX, &mut draws);
            assert_eq!(wait, MAX, "6.4 s ± 3.2 s, and more");
            let wait = next_wait(&exponential(Jitter::AboveBase), attempt, MAX, &mut draws);
            assert!(wait >= BASE && wait <= MAX, "{wait:?}");
        }
    }

    #[test]
    fn a_client_keeps_the_first_wait_that_is_its_own() {
        let backoff = exponential(Jitter::OwnBase { most: BASE * 5 });
        let firsts: Vec<Duration> = (0..2_000)
            .map(|client| {
                let mut draws = Draws::new(1, Purpose::Lifecycle, client);
                let first = next_wait(&backoff, 0, Duration::ZERO, &mut draws);
                draws.next_unit();
                let third = next_wait(&backoff, 2, first, &mut draws);
                assert_eq!(third, MAX.min(Duration::from_secs_f64(first.as_secs_f64() * 4.0)));
                assert_eq!(next_wait(&backoff, 0, third, &mut draws), first, "the same at each disconnect");
                first
            })
            .collect();
        let (low, high) = (*firsts.iter().min().unwrap(), *firsts.iter().max().unwrap());
        assert!(
            low >= BASE && low < BASE * 6 / 5 && high <= BASE * 5 && high > BASE * 24 / 5,
            "{low:?}..{high:?}"
        );
    }
}
