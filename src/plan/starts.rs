//! When each client of a group is due to start.
//!
//! In: a group. Out: an iterator over due times, in order.

use std::time::Duration;

use crate::clock::Moment;
use crate::scenario::keys::{Group, Scenario, Start};
use crate::scenario::{Arrival, arrivals_of};

use super::numbering::first_number;
use super::share::Share;

/// The clients of group `index` by due start, and whoever comes and is dropped.
#[must_use]
pub fn starts(scenario: &Scenario, index: usize) -> Box<dyn Iterator<Item = Arrival> + Send> {
    let (group, first) = (&scenario.groups[index], first_number(scenario, index));
    if let Some(schedule) = arrivals_of(scenario, index) {
        return Box::new(schedule.map(move |arrival| Arrival {
            client: arrival.client.map(|client| first.saturating_add(client)),
            ..arrival
        }));
    }
    let leaves = departures(group, scenario.duration);
    let dues = dues(group).enumerate().take(group.clients as usize);
    Box::new(dues.map(move |(nth, at)| {
        let nth = u32::try_from(nth).unwrap_or(u32::MAX);
        Arrival { client: Some(first.saturating_add(nth)), at, leaves: leaves(nth) }
    }))
}

/// When the clients of a group that has a number of them are due, one after the other; there may be more than clients.
fn dues(group: &Group) -> Box<dyn Iterator<Item = Moment> + Send> {
    let clients = group.clients;
    match &group.start {
        Start::AtOnce => Box::new(std::iter::repeat(Moment::ZERO)),
        Start::Over(over) => spread(clients, Moment::ZERO, *over),
        Start::Rate(rate) => {
            let gap_s = 1.0 / rate;
            let after = move |client| Duration::try_from_secs_f64(gap_s * f64::from(client));
            Box::new((0..clients).map(move |client| Moment::ZERO + after(client).unwrap_or(Duration::MAX)))
        }
        Start::Stages(stages) => {
            let mut begins = Moment::ZERO;
            let mut parts = Vec::new();
            for stage in stages {
                parts.push((stage.clients, begins, stage.over));
                begins = begins + stage.over;
            }
            Box::new(parts.into_iter().flat_map(|(clients, begins, over)| spread(clients, begins, over)))
        }
    }
}

/// When the client of that place in its group leaves.
fn departures(group: &Group, duration: Duration) -> impl Fn(u32) -> Moment + Send + use<> {
    let (clients, over) = (f64::from(group.clients.max(1)), group.leave.map(|leave| leave.over));
    move |nth| match over {
        None => Moment::NEVER,
        Some(over) => {
            let before_end = over.mul_f64(1.0 - f64::from(nth) / clients);
            Moment::ZERO + duration.saturating_sub(before_end)
        }
    }
}

/// The clients of group `index` that are `share`'s own, by due start. When one starts is a matter of the whole group: it is the same
/// moment however many shards there are. Those who are dropped are divided among the shards in turn.
pub fn own_starts(
    scenario: &Scenario,
    index: usize,
    share: Share,
) -> Box<dyn Iterator<Item = Arrival> + Send> {
    let all = starts(scenario, index);
    if share.is_whole() {
        return all;
    }
    let mut dropped = 0_u32;
    Box::new(all.filter(move |arrival| {
        share.has(arrival.client.unwrap_or_else(|| {
            dropped = dropped.wrapping_add(1);
            dropped
        }))
    }))
}

/// `clients` due times evenly over `over`, the first at `begins`.
fn spread(clients: u32, begins: Moment, over: Duration) -> Box<dyn Iterator<Item = Moment> + Send> {
    Box::new(
        (0..clients).map(move |client| begins + over.mul_f64(f64::from(client) / f64::from(clients.max(1)))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load;

    fn due_ms(start: &str, clients: u32) -> Vec<(u32, u64)> {
        let text = format!(
            "duration = \"60s\"\n[target]\n[[groups]]\nname = \"g\"\nclients = {clients}\nstart = {start}\ntoken = {{ grant = \"none\" }}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.toml");
        std::fs::write(&file, text).unwrap();
        let loaded = load(&file, &Vec::new(), None, &|_| None).unwrap();
        starts(&loaded.scenario, 0).map(|begin| (begin.client.unwrap(), begin.at.as_us() / 1_000)).collect()
    }

    #[test]
    fn clients_start_as_the_scenario_says() {
        assert_eq!(due_ms("\"at-once\"", 3), [(0, 0), (1, 0), (2, 0)]);
        assert_eq!(due_ms("{ over = \"4s\" }", 4), [(0, 0), (1, 1_000), (2, 2_000), (3, 3_000)]);
        assert_eq!(due_ms("{ rate = \"2/s\" }", 3), [(0, 0), (1, 500), (2, 1_000)]);
        let stages = "{ stages = [{ clients = 2, over = \"2s\" }, { clients = 2, over = \"10s\" }] }";
        assert_eq!(due_ms(stages, 4), [(0, 0), (1, 1_000), (2, 2_000), (3, 7_000)]);
    }

    #[test]
    fn the_shards_have_the_whole_schedule_between_them_event_for_event() {
        let text = "duration = \"10m\"\n[target]\n[[groups]]\nname = \"a\"\narrivals = { rate = \"10/s\", stay = { exponential = \"20s\" }, at_most = 200 }\ntoken = { grant = \"none\" }\n[[groups]]\nname = \"b\"\narrivals = { stages = [{ to = \"8/s\", over = \"5m\" }, { to = \"0/s\", over = \"4m\" }], stay = \"30s\" }\ntoken = { grant = \"none\" }\n";
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.toml");
        std::fs::write(&file, text).unwrap();
        let scenario = load(&file, &Vec::new(), None, &|_| None).unwrap().scenario;
        for index in 0..2 {
            let in_order = |mut all: Vec<Arrival>| {
                all.sort_by_key(|arrival| (arrival.at, arrival.client, arrival.leaves));
                all
            };
            let whole = in_order(starts(&scenario, index).collect());
            let dropped = whole.iter().filter(|arrival| arrival.client.is_none()).count();
            assert!(whole.len() > 2_000 && (dropped > 50 || index == 1), "{} {dropped}", whole.len());
            for shards in [1, 2, 3, 7, 16] {
                let own = Share::all(shards).flat_map(|share| own_starts(&scenario, index, share));
                assert_eq!(in_order(own.collect()), whole, "{shards} shards");
            }
        }
    }
}
