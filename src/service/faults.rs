//! Which fault strikes a request now.
//!
//! In: the target's faults, the time since its start, where in a connection's life it is, a stream of draws. Out: a fault or none. No
//! I/O, no clock; what a fault does is the server's.

use std::time::Duration;

use crate::clock::Moment;
use crate::random::{Draws, Purpose};
use crate::scenario::keys::{Delay, FaultKind, FaultStage, Skew, TargetFault};

use super::delay;

/// The first of `faults` that strikes at `now`, counted from the target's start. Each fault of that stage whose time it is takes one
/// draw until one strikes.
#[must_use]
pub fn strike(
    faults: &[TargetFault],
    now: Duration,
    stage: FaultStage,
    draws: &mut Draws,
) -> Option<FaultKind> {
    let due = |fault: &&TargetFault| {
        fault.kind.stage() == stage && fault.from <= now && fault.until.is_none_or(|until| now < until)
    };
    faults.iter().filter(due).find(|fault| draws.next_unit() < fault.share).map(|fault| fault.kind)
}

/// What `expires_in` says of a token that lives for `life`. Never less than nothing.
#[must_use]
pub fn skewed(life: Duration, skew: Skew) -> Duration {
    match skew {
        Skew::Longer(by) => life.saturating_add(by),
        Skew::Shorter(by) => life.saturating_sub(by),
    }
}

/// The streams of draws of a target's faults, one for each stage: how many tokens are asked for does not change which upgrades
/// are struck.
#[derive(Debug)]
pub(super) struct FaultDraws {
    accepts: Draws,
    tokens: Draws,
    upgrades: Draws,
    delays: Draws,
}

impl FaultDraws {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            accepts: Draws::new(seed, Purpose::TargetFault, 0),
            tokens: Draws::new(seed, Purpose::TargetFault, 1),
            upgrades: Draws::new(seed, Purpose::TargetFault, 2),
            delays: Draws::new(seed, Purpose::TargetFault, 3),
        }
    }

    /// As [`strike`], with the stream of that stage; `now` is a moment of the clock that began with the target.
    pub(super) fn strike(
        &mut self,
        faults: &[TargetFault],
        now: Moment,
        stage: FaultStage,
    ) -> Option<FaultKind> {
        let draws = match stage {
            FaultStage::Accept => &mut self.accepts,
            FaultStage::Token => &mut self.tokens,
            FaultStage::Upgrade => &mut self.upgrades,
        };
        strike(faults, now.since(Moment::ZERO), stage, draws)
    }

    /// The next delay of a fault.
    pub(super) fn next_delay(&mut self, delay: Delay) -> Duration {
        delay::sample(delay, &mut self.delays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind, share: f64, from_s: u64, until_s: Option<u64>) -> TargetFault {
        TargetFault {
            kind,
            share,
            from: Duration::from_secs(from_s),
            until: until_s.map(Duration::from_secs),
        }
    }

    #[test]
    fn a_fault_strikes_in_its_time_at_its_stage_and_the_first_wins() {
        let faults = [
            fault(FaultKind::UpgradeStall, 1.0, 2, Some(4)),
            fault(FaultKind::WrongAccept, 1.0, 3, None),
            fault(FaultKind::TokenHang, 1.0, 0, None),
        ];
        use FaultStage::{Accept, Token, Upgrade};
        // (second, stage, fault)
        let table = [
            (0, Upgrade, None),
            (2, Upgrade, Some(FaultKind::UpgradeStall)),
            (3, Upgrade, Some(FaultKind::UpgradeStall)),
            (4, Upgrade, Some(FaultKind::WrongAccept)),
            (1_000, Upgrade, Some(FaultKind::WrongAccept)),
            (0, Token, Some(FaultKind::TokenHang)),
            (0, Accept, None),
        ];
        for (second, stage, expected) in table {
            let mut draws = Draws::new(1, Purpose::TargetFault, 0);
            let struck = strike(&faults, Duration::from_secs(second), stage, &mut draws);
            assert_eq!(struck, expected, "{second} s, {stage:?}");
        }
    }

    #[test]
    fn shares_are_kept_and_the_same_seed_strikes_the_same() {
        let faults =
            [fault(FaultKind::UpgradeStall, 0.2, 0, None), fault(FaultKind::WrongAccept, 0.5, 0, None)];
        let run = |seed| {
            let mut draws = FaultDraws::new(seed);
            (0..10_000)
                .map(|_| draws.strike(&faults, Moment::ZERO, FaultStage::Upgrade))
                .collect::<Vec<Option<FaultKind>>>()
        };
        let struck = run(7);
        assert_eq!(struck, run(7));
        assert_ne!(struck, run(8));
        let count = |kind| struck.iter().filter(|fault| **fault == kind).count();
        // 20%, half of the other 80%, and the rest: ±4 standard deviations of 50.
        for (kind, expected) in
            [(Some(FaultKind::UpgradeStall), 2_000), (Some(FaultKind::WrongAccept), 4_000), (None, 4_000)]
        {
            assert!(count(kind).abs_diff(expected) < 200, "{kind:?}: {}", count(kind));
        }
    }

    #[test]
    fn one_stage_does_not_move_the_draws_of_another() {
        let faults =
            [fault(FaultKind::UpgradeStall, 0.5, 0, None), fault(FaultKind::TokenHang, 0.5, 0, None)];
        let upgrades = |tokens_between: usize| {
            let mut draws = FaultDraws::new(3);
            (0..100)
                .map(|_| {
                    for _ in 0..tokens_between {
                        draws.strike(&faults, Moment::ZERO, FaultStage::Token);
                    }
                    draws.strike(&faults, Moment::ZERO, FaultStage::Upgrade)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(upgrades(0), upgrades(3));
    }

    #[test]
    fn a_skewed_life_is_never_less_than_nothing() {
        let s = Duration::from_secs;
        assert_eq!(skewed(s(60), Skew::Longer(s(30))), s(90));
        assert_eq!(skewed(s(60), Skew::Shorter(s(30))), s(30));
        assert_eq!(skewed(s(60), Skew::Shorter(s(90))), s(0));
    }
}
