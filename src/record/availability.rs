//! Availability: client-seconds in over client-seconds wanted, of a group, and minute by minute.
//!
//! In: the seconds of a run, as the journal has them. Out: sums in nanoseconds, exact: they do not depend on how the run was cut into seconds or shards.

use crate::clock::Moment;

use super::lives::Presence;
use super::packed::PackedTally;

/// A minute, in nanoseconds.
const MINUTE_NS: u64 = 60_000_000_000;
/// A tenth of a second, in nanoseconds.
const BIN_NS: u64 = crate::sample::Bin::LENGTH_NS;

/// Client-time, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// That clients were wanted in.
    pub wanted_ns: u128,
    /// That they were in.
    pub in_ns: u128,
}

impl Share {
    /// Of those who were present up to `until`.
    #[must_use]
    pub fn of(presence: &Presence, until: Moment) -> Self {
        let (wanted, out) = presence.client_ns(until);
        let wanted_ns = u128::try_from(wanted).unwrap_or(0);
        let out_ns = u128::try_from(out).unwrap_or(0).min(wanted_ns);
        Self { wanted_ns, in_ns: wanted_ns - out_ns }
    }

    /// 0..1; `None` where nobody was wanted.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.wanted_ns > 0).then(|| self.in_ns as f64 / self.wanted_ns as f64)
    }
}

/// The availability of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Availability {
    /// Over the whole run.
    pub all: Share,
    /// In each minute of it.
    pub minutes: Vec<Share>,
}

/// Of each group, and at last of all together, up to `until`, when the run was over.
#[must_use]
pub fn availability_of(
    seconds: &[(u64, Vec<PackedTally>)],
    groups: usize,
    until: Moment,
) -> Vec<Availability> {
    let count = usize::try_from(until.as_ns().div_ceil(MINUTE_NS)).unwrap_or(0).max(1);
    // Changes within each minute; the origin is its begin. What comes behind the last belongs to it.
    let mut minutes = vec![vec![Presence::default(); count]; groups + 1];
    for (group, packed) in seconds.iter().flat_map(|(_, groups)| groups.iter().enumerate()) {
        for (bin, presence) in &packed.lives().presence {
            let begins_ns = u64::from(*bin) * BIN_NS;
            let minute = usize::try_from(begins_ns / MINUTE_NS).unwrap_or(usize::MAX).min(count - 1);
            let later_ns = begins_ns - minute as u64 * MINUTE_NS;
            for index in [group, groups] {
                minutes[index][minute].add(presence, later_ns);
            }
        }
    }
    minutes.iter().map(|own| of_minutes(own, until)).collect()
}

fn of_minutes(minutes: &[Presence], until: Moment) -> Availability {
    let mut availability = Availability::default();
    let (mut run, mut before) = (Presence::default(), Presence::default());
    for (index, changes) in minutes.iter().enumerate() {
        let begins_ns = index as u64 * MINUTE_NS;
        run.add(changes, begins_ns);
        // Who was there when it began, and what changed in it.
        let mut own = before.standing();
        own.add(changes, 0);
        before.add(changes, 0);
        let is_last = index + 1 == minutes.len();
        let length_ns = if is_last { until.as_ns().saturating_sub(begins_ns) } else { MINUTE_NS };
        availability.minutes.push(Share::of(&own, Moment::from_ns(length_ns)));
    }
    availability.all = Share::of(&run, until);
    availability
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::record::Tally;
    use crate::sample::{CloseKey, Initiator, Life, Sample, WayIn, WayOut};

    fn at(ms: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(ms)
    }

    fn lived(tally: &mut Tally, life: Life) {
        tally.apply(&Sample::Life(life));
    }

    fn out(from: u64) -> Life {
        let key = CloseKey::unsaid(Initiator::Target, 1001, None);
        Life::Out(Box::new(WayOut { from: at(from), upgraded: at(0), key, is_lost: true }))
    }

    fn back(ms: u64) -> Life {
        Life::In(WayIn { at: at(ms), upgraded: at(ms), lost_in: None })
    }

    fn packed(lives: Vec<Life>) -> Vec<(u64, Vec<PackedTally>)> {
        let mut tally = Tally::default();
        lives.into_iter().for_each(|life| lived(&mut tally, life));
        tally.close();
        vec![(0, vec![PackedTally::of(&tally)])]
    }

    fn seconds(share: Share) -> (f64, f64) {
        (share.wanted_ns as f64 / 1e9, share.in_ns as f64 / 1e9)
    }

    #[test]
    fn a_client_that_was_away_costs_the_time_that_it_was_so() {
        let gone = Life::Gone { at: at(90_000), upgraded: Some(at(62_000)) };
        let told = packed(vec![Life::Came(at(0)), back(1_000), out(50_000), back(62_000), gone]);
        let found = availability_of(&told, 1, at(90_000));
        assert_eq!(seconds(found[0].all), (90.0, 77.0));
        let minutes: Vec<_> = found[0].minutes.iter().map(|minute| seconds(*minute)).collect();
        assert_eq!(minutes, [(60.0, 49.0), (30.0, 28.0)]);
        assert_eq!(found[0], found[1], "one group is all");
    }

    #[test]
    fn who_gave_up_is_wanted_to_the_end_and_who_is_not_wanted_no_longer() {
        let told = packed(vec![
            Life::Came(at(0)),
            back(0),
            out(30_000),
            Life::Came(at(0)),
            Life::Gone { at: at(40_000), upgraded: None },
        ]);
        assert_eq!(seconds(availability_of(&told, 1, at(100_000))[0].all), (140.0, 30.0));
    }

    #[test]
    fn where_nothing_was_told_there_is_none() {
        assert_eq!(availability_of(&[], 2, at(1_000))[0].all.share(), None);
    }

    proptest! {
        #[test]
        fn minutes_add_up_however_the_run_is_cut_into_seconds(
            turns in prop::collection::vec((0_u64..200_000, 1_u64..5_000, any::<bool>()), 0..60),
        ) {
            let until = at(205_000);
            let mut whole = Vec::new();
            let mut parts = Vec::new();
            for (from, length, is_early) in turns {
                let life = [Life::Came(at(from)), back(from + length), Life::Gone { at: until, upgraded: Some(at(0)) }];
                whole.extend(life.clone());
                let (second, rest) = (u64::from(!is_early), life);
                parts.push((second, packed(rest.to_vec()).remove(0).1));
            }
            parts.sort_by_key(|(second, _)| *second);
            let whole = availability_of(&packed(whole), 1, until);
            prop_assert_eq!(&whole, &availability_of(&parts, 1, until));
            let sum = whole[0].minutes.iter().fold(Share::default(), |sum, minute| Share {
                wanted_ns: sum.wanted_ns + minute.wanted_ns,
                in_ns: sum.in_ns + minute.in_ns,
            });
            prop_assert_eq!(sum, whole[0].all);
        }
    }
}
