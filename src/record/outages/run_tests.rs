//! What outages came to, of runs whose clients' lives are known.

use std::time::Duration;

use super::*;
use crate::record::Tally;
use crate::sample::{
    Abnormal, AttemptKind, Cause, Initiator, Life, NotBack, Request, RequestAnswer, RequestEnd, Sample,
    WayIn, WayOut, WhyNotBack,
};

fn at(ms: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(ms)
}

/// Samples of two groups, by the second in which they are told.
#[derive(Default)]
struct Run(Vec<[Tally; 2]>);

impl Run {
    fn tell(&mut self, second: usize, group: usize, sample: &Sample) {
        while self.0.len() <= second {
            self.0.push([Tally::default(), Tally::default()]);
        }
        self.0[second][group].apply(sample);
    }

    fn live(&mut self, ms: u64, group: usize, life: Life) {
        self.tell(ms as usize / 1_000, group, &Sample::Life(life));
    }

    /// So many clients are in from the second second on.
    fn begin(&mut self, group: usize, clients: u64) {
        for client in 0..clients {
            self.live(0, group, Life::Came(at(client)));
            self.live(1_000, group, way_in(1_000 + client, None));
        }
    }

    fn lose(&mut self, group: usize, client: u64, ms: u64, key: CloseKey) -> Bin {
        let out = WayOut { from: at(ms), upgraded: at(1_000 + client), key, is_lost: true };
        self.live(ms, group, Life::Out(Box::new(out)));
        Bin::of(at(ms))
    }

    fn outages(mut self, until_ms: u64) -> Vec<RunOutage> {
        let seconds = self.0.iter_mut().enumerate().map(|(second, groups)| {
            groups.iter_mut().for_each(Tally::close);
            (second as u64, groups.iter().map(PackedTally::of).collect())
        });
        let seconds: Vec<_> = seconds.collect();
        run_outages(&seconds, 2, at(until_ms))
    }
}

fn way_in(ms: u64, lost_in: Option<Bin>) -> Life {
    Life::In(WayIn { at: at(ms), upgraded: at(ms), lost_in })
}

const FIN: CloseKey = CloseKey::unsaid(Initiator::Network, 1006, Some(Abnormal::Fin));
const AWAY: CloseKey = CloseKey::unsaid(Initiator::Target, 1001, None);

#[test]
fn an_outage_of_one_group_is_told_with_all_that_became_of_its_clients() {
    let mut run = Run::default();
    run.begin(0, 100);
    run.begin(1, 50);
    for client in 0..20 {
        let bin = run.lose(0, client, 20_000 + client * 10, if client < 15 { FIN } else { AWAY });
        let refused = AttemptKey {
            kind: AttemptKind::Reconnect,
            outcome: Outcome::Http403,
            cause: Some(Cause::StaleToken),
            answer: None,
        };
        run.live(20_500, 0, Life::Failed(bin, Box::new(refused)));
        let not_back = |why, ms| Life::NotBack(NotBack { lost_in: bin, at: at(ms), why });
        match client {
            0..16 => run.live(22_000, 0, way_in(22_000 + client, Some(bin))),
            16 => run.live(21_000, 0, not_back(WhyNotBack::GaveUp, 21_000)),
            17 => run.live(20_900, 0, not_back(WhyNotBack::NotWanted, 20_900)),
            _ => run.live(40_000, 0, not_back(WhyNotBack::RunEnded, 40_000)),
        }
    }
    let asked = RequestEnd {
        request: Request::Credentials,
        answer: RequestAnswer::Ok,
        status: Some(200),
        error: None,
        latency: Duration::ZERO,
    };
    for _ in 0..7 {
        run.tell(21, 0, &Sample::Request(Box::new(asked.clone())));
    }
    run.tell(22, 0, &Sample::Count(Counter::MessagesMissed, 3));
    run.tell(30, 1, &Sample::Count(Counter::MessagesMissed, 4));
    let found = run.outages(40_000);
    assert_eq!(found.len(), 1, "{found:?}");
    let RunOutage { all, groups } = &found[0];
    assert_eq!(groups.len(), 1, "the other group lost nobody");
    let own = &groups[0];
    assert_eq!((own.group, own.first_us, own.last_us), (Some(0), 20_000_000, 20_190_000));
    assert_eq!((own.lost, own.at_risk, all.at_risk), (20, 100, 150));
    assert_eq!(own.ends, [(FIN, 15), (AWAY, 5)]);
    assert_eq!((own.back_count(), own.away_count(), own.gave_up, own.not_wanted), (16, 2, 1, 1));
    assert_eq!(own.connected_least, 80);
    // Half of 19 that were wanted back: the tenth came at 22.009 s, within its millisecond.
    assert_eq!(own.back_us(50.0), Some(Quantile::At(2_010_000)));
    assert_eq!(own.back_us(95.0), Some(Quantile::Never(20_001_000)));
    assert_eq!(own.refusals().map(|(_, n)| n).sum::<u64>(), 20);
    assert!((own.retries_per_client() - 1.0).abs() < 1e-9);
    assert_eq!((own.token_requests_peak, own.messages_missed, all.messages_missed), (7, 3, 7));
    // 16 for some two seconds, one for good, two until the end, one for some tenths.
    let back: f64 = (0..16).map(|n: u32| 2.0 - 0.009 * f64::from(n)).sum();
    let expected = back + (40.0 - 20.16) + (20.9 - 20.17) + (40.0 - 20.18) + (40.0 - 20.19);
    assert!((own.cost_s() - expected).abs() < 1e-6, "{} {expected}", own.cost_s());
    assert_eq!(own.chain, None);
}

#[test]
fn outages_of_two_groups_at_one_time_are_one_and_later_ones_another() {
    let mut run = Run::default();
    run.begin(0, 40);
    run.begin(1, 30);
    for (group, clients, ms) in [(0, 40, 10_000), (1, 30, 10_600), (0, 40, 30_000)] {
        for client in 0..clients {
            let ms = ms + client;
            let bin = run.lose(group, client, ms, AWAY);
            run.live(ms + 1_000, group, way_in(ms + 1_000, Some(bin)));
        }
    }
    let found = run.outages(40_000);
    let told: Vec<(u64, usize, u64)> =
        found.iter().map(|outage| (outage.all.first_us, outage.groups.len(), outage.all.lost)).collect();
    assert_eq!(told, [(10_000_000, 2, 70), (30_000_000, 1, 40)]);
    assert_eq!(found[0].of(Some(1)).map(|own| own.lost), Some(30));
    assert_eq!((found[1].of(Some(1)), found[1].of(None)), (None, Some(&found[1].all)));
    let sum: u64 = found[0].groups.iter().map(|own| own.cost_ns).sum();
    assert_eq!(found[0].all.cost_ns, sum, "the groups add up");
}

#[test]
fn shards_tell_together_what_one_process_tells() {
    let told = |parts: usize| {
        let mut runs: Vec<Run> = (0..parts).map(|_| Run::default()).collect();
        for client in 0..60_u64 {
            let run = &mut runs[client as usize % parts];
            run.live(0, 0, Life::Came(at(client)));
            run.live(1_000, 0, way_in(1_000 + client, None));
            run.tell(39, 0, &Sample::Lag(Duration::ZERO));
            let bin = run.lose(0, client, 20_000 + client, AWAY);
            run.live(21_000, 0, way_in(21_000 + client, Some(bin)));
        }
        let mut merged: Vec<[Tally; 2]> = vec![[Tally::default(), Tally::default()]; 40];
        for run in &mut runs {
            for (second, groups) in run.0.iter_mut().enumerate() {
                for (group, tally) in groups.iter_mut().enumerate() {
                    tally.close();
                    PackedTally::of(tally).add_second_to(&mut merged[second][group]);
                }
            }
        }
        let seconds: Vec<_> = merged
            .iter()
            .enumerate()
            .map(|(second, groups)| (second as u64, groups.iter().map(PackedTally::of).collect()))
            .collect();
        run_outages(&seconds, 2, at(40_000))
    };
    let whole = told(1);
    assert_eq!((whole.len(), whole[0].all.lost), (1, 60));
    for parts in [2, 3, 7] {
        assert_eq!(told(parts), whole, "{parts}");
    }
}

#[test]
fn a_damaged_file_that_tells_of_times_that_never_came_is_survived() {
    let mut run = Run::default();
    run.begin(0, 10);
    let far = at(u64::from(u32::MAX) * 1_000);
    let never = WayOut { from: far, upgraded: at(1_000), key: AWAY, is_lost: true };
    for life in [way_in(u64::from(u32::MAX) * 1_000, None), Life::Out(Box::new(never))] {
        run.tell(1, 0, &Sample::Life(life));
    }
    assert_eq!(run.outages(2_000), []);
}
