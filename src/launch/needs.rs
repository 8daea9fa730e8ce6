//! What a worker needs of its machine, and how long it all takes.
//!
//! In: a scenario, how many workers. Out: numbers. Pure. Descriptors and ports are those that the run itself checks; memory and processors are measured costs
//! (the manual's page on costs) with room for what a scenario's messages add.

use std::time::Duration;

use crate::plan::{Share, needs};
use crate::run::RunName;
use crate::scenario::keys::Scenario;
use crate::units::format_duration;

use super::contents::Contents;
use super::error::LaunchError;

/// Memory of a process without clients, in MiB.
const PROCESS_MIB: u64 = 128;
/// Memory for each descriptor, in KiB: a client takes 4 to 14, its socket in the kernel about as much.
const DESCRIPTOR_KIB: u64 = 32;
/// Memory is asked for in steps, in MiB.
const STEP_MIB: u64 = 64;
/// Memory of the coordinator, and more for each worker, in MiB.
const COORDINATOR_MIB: u64 = 256;
const COORDINATOR_EACH_MIB: u64 = 4;
/// Connections that a processor carries.
const CONNECTIONS_EACH: u64 = 10_000;
/// Local ports that Linux gives without being asked for more.
const USUAL_PORTS: u64 = 28_232;
/// Local ports of an address that may be given at most: 1024 to 65535.
const MOST_PORTS: u64 = 64_512;
/// How long a share may take beyond its time: cutting off, the target's last sessions.
const CUT_OFF: Duration = Duration::from_secs(60);
/// How long a worker may take to seal its journal and send what is left of it.
const SEND: Duration = Duration::from_secs(60);
/// How long the coordinator may take to merge the journals and write the reports.
const REPORT: Duration = Duration::from_secs(60);

/// A run to launch.
#[derive(Debug)]
pub struct Launch {
    /// Its scenario.
    pub contents: Contents,
    /// Its name.
    pub run: RunName,
    /// How many workers.
    pub workers: u32,
    /// How long they get to become ready.
    pub ready_within: Duration,
    /// Hosts that the user authorised.
    pub authorised: Vec<String>,
    /// Whether events may run commands.
    pub allow_commands: bool,
    /// The NATS server's address; `None`: it is told when the run starts.
    pub nats: Option<String>,
    /// Whether plain text to it, or no user, is fine.
    pub nats_insecure: bool,
}

/// What a worker needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) clients: u32,
    pub(super) descriptors: u64,
    pub(super) processors: u64,
    pub(super) memory_mib: u64,
    /// Whether it needs more local ports than Linux gives.
    pub(super) has_many_ports: bool,
}

/// How long a run takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    ready_within: Duration,
    planned: Duration,
    drain: Duration,
}

impl Times {
    /// Those of a scenario whose workers have `ready_within` to become ready.
    #[must_use]
    pub fn of(scenario: &Scenario, ready_within: Duration) -> Self {
        Self { ready_within, planned: scenario.duration, drain: scenario.drain }
    }

    /// Of everything, in seconds.
    pub(super) fn whole_s(self) -> u64 {
        let Self { ready_within, planned, drain } = self;
        ceil_s(ready_within * 2 + planned + drain + CUT_OFF + SEND + REPORT)
    }

    /// From a worker's signal to its end, in seconds.
    pub(super) fn worker_end_s(self) -> u64 {
        ceil_s(self.drain + CUT_OFF + SEND)
    }

    /// From the coordinator's signal to its end, in seconds.
    pub(super) fn coordinator_end_s(self) -> u64 {
        ceil_s(self.drain + CUT_OFF + SEND + REPORT)
    }
}

fn ceil_s(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl Launch {
    /// What the worker with the most to do needs.
    ///
    /// # Errors
    /// Too many workers for the clients, or too few for the ports.
    pub(super) fn needs(&self) -> Result<Needs, LaunchError> {
        let (scenario, workers) = (&self.contents.scenario, self.workers);
        let clients = scenario.clients();
        if workers > clients {
            return Err(LaunchError::TooManyWorkers { workers, clients });
        }
        let each = Share::all(workers).map(|share| needs(scenario, share, 1));
        let (descriptors, ports) = each.fold((0, 0), |(descriptors, ports), needs| {
            (needs.descriptors.max(descriptors), needs.ports.max(ports))
        });
        if ports > MOST_PORTS {
            let enough = (ports * u64::from(workers)).div_ceil(MOST_PORTS);
            return Err(LaunchError::Ports { ports, most: MOST_PORTS, workers: enough });
        }
        let memory_mib = PROCESS_MIB + (descriptors * DESCRIPTOR_KIB).div_ceil(1024);
        Ok(Needs {
            clients: clients.div_ceil(workers),
            descriptors,
            processors: descriptors.div_ceil(CONNECTIONS_EACH),
            memory_mib: memory_mib.next_multiple_of(STEP_MIB),
            has_many_ports: ports > USUAL_PORTS,
        })
    }

    /// The coordinator's memory, in MiB.
    pub(super) fn coordinator_mib(&self) -> u64 {
        (COORDINATOR_MIB + COORDINATOR_EACH_MIB * u64::from(self.workers)).next_multiple_of(STEP_MIB)
    }

    /// How long it takes.
    pub(super) fn times(&self) -> Times {
        Times::of(&self.contents.scenario, self.ready_within)
    }

    /// Refuses events that the user has not allowed.
    ///
    /// # Errors
    /// There are some.
    pub(super) fn check_commands(&self) -> Result<(), LaunchError> {
        let scenario = &self.contents.scenario;
        let events: Vec<String> = scenario
            .events
            .iter()
            .filter(|event| event.needs_consent())
            .map(|event| event.in_words())
            .collect();
        if events.is_empty() || self.allow_commands {
            return Ok(());
        }
        Err(LaunchError::CommandsNotAllowed { scenario: scenario.name.clone(), events })
    }

    /// The options of `resurge run`, beside its scenario and those of the way to NATS.
    pub(super) fn coordinator_options(&self) -> Vec<String> {
        let (workers, within) = (self.workers, format_duration(self.ready_within));
        let mut options = vec![format!("--workers={workers}"), format!("--ready-within={within}")];
        options.extend(self.contents.overrides.iter().map(|(key, value)| format!("--set={key}={value}")));
        options.push("--progress=plain".to_owned());
        options
    }

    /// The options of `resurge worker`, beside those of the way to NATS.
    pub(super) fn worker_options(&self) -> Vec<String> {
        let mut options = vec![format!("--wait={}", format_duration(self.ready_within))];
        options.extend(self.authorised.iter().map(|host| format!("--authorize={host}")));
        options.extend(self.allow_commands.then(|| "--allow-commands".to_owned()));
        options
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::contents::tests::contents;
    use super::*;

    /// A run of a scenario with `more` in it.
    pub(in super::super) fn launch(more: &str, workers: u32) -> Launch {
        Launch {
            contents: contents(more, &[]),
            run: "Nightly_7".parse().unwrap(),
            workers,
            ready_within: Duration::from_secs(300),
            authorised: vec!["api.example.com".to_owned()],
            allow_commands: false,
            nats: Some("tls://nats:4222".to_owned()),
            nats_insecure: false,
        }
    }

    #[test]
    fn needs_grow_with_a_workers_clients() {
        let needs = |workers| launch("", workers).needs();
        let whole = needs(1).unwrap();
        assert!(whole.descriptors > 2_000 && whole.memory_mib == 256 && whole.processors == 1, "{whole:?}");
        let each = needs(4).unwrap();
        assert!(each.descriptors < whole.descriptors / 2 && each.clients == 250, "{each:?}");
        assert!(matches!(needs(1_001), Err(LaunchError::TooManyWorkers { clients: 1_000, .. })));
        let times = launch("drain = \"1500ms\"", 1).times();
        assert_eq!((times.worker_end_s(), times.coordinator_end_s()), (122, 182));
        assert_eq!(times.whole_s(), 600 + 62 + 180);
    }
}
