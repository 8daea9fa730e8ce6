//! When each client of a group is due to start.
//!
//! In: a group. Out: an iterator over due times, in order.

use std::time::Duration;

use crate::clock::Moment;
use crate::scenario::keys::{Group, Scenario, Start};

use super::numbering::first_number;
use super::share::Share;

/// Number and due start of each client of a group whose first has number `first`, by due start.
pub fn starts(group: &Group, first: u32) -> Box<dyn Iterator<Item = (u32, Moment)> + Send> {
    let clients = group.clients;
    let numbered = move |dues: Box<dyn Iterator<Item = Moment> + Send>| (first..first + clients).zip(dues);
    let dues: Box<dyn Iterator<Item = Moment> + Send> = match &group.start {
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
    };
    Box::new(numbered(dues))
}

/// Number and due start of the clients of group `index` that are `share`'s own, by due start. When one starts is a matter of the whole group: it is the same
/// moment however many shards there are.
pub fn own_starts(
    scenario: &Scenario,
    index: usize,
    share: Share,
) -> Box<dyn Iterator<Item = (u32, Moment)> + Send> {
    let all = starts(&scenario.groups[index], first_number(scenario, index));
    if share.is_whole() { all } else { Box::new(all.filter(move |(number, _)| share.has(*number))) }
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
        starts(&loaded.scenario.groups[0], 10).map(|(number, due)| (number, due.as_us() / 1_000)).collect()
    }

    #[test]
    fn clients_start_as_the_scenario_says() {
        assert_eq!(due_ms("\"at-once\"", 3), [(10, 0), (11, 0), (12, 0)]);
        assert_eq!(due_ms("{ over = \"4s\" }", 4), [(10, 0), (11, 1_000), (12, 2_000), (13, 3_000)]);
        assert_eq!(due_ms("{ rate = \"2/s\" }", 3), [(10, 0), (11, 500), (12, 1_000)]);
        let stages = "{ stages = [{ clients = 2, over = \"2s\" }, { clients = 2, over = \"10s\" }] }";
        assert_eq!(due_ms(stages, 4), [(10, 0), (11, 1_000), (12, 2_000), (13, 7_000)]);
    }
}
