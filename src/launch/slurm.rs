//! A batch script for Slurm: the coordinator in the batch step, a worker in each task.
//!
//! In: a run to launch. Out: a script of bash, for `sbatch`. It serves as a job of many tasks, and as an array job.

use std::path::{Path, PathBuf};

use minijinja::context;

use crate::units::format_duration;

use super::address::Way;
use super::error::LaunchError;
use super::names::check_word;
use super::needs::Launch;
use super::text::{Form, plain, shell_quoted};

const FORM: Form = Form { template: include_str!("slurm.sh"), quoted: shell_quoted };
/// The longest stem of a run's name: the job's number follows.
const MOST_STEM: usize = 28;
/// How long before the time limit Slurm can be asked for a signal, and how much earlier it may send it (sbatch(1), `--signal`), in seconds.
const MOST_SIGNAL_S: u64 = 65_535;
const SIGNAL_EARLY_S: u64 = 60;

/// How a run is launched by Slurm.
#[derive(Debug)]
pub struct SlurmLaunch {
    /// The run.
    pub launch: Launch,
    /// Whether the run has the launch's name; otherwise the job's number is added, and the script can be submitted again.
    pub is_named: bool,
    /// `resurge` on the nodes.
    pub program: String,
    /// The time limit; `None`: from the scenario.
    pub time: Option<String>,
    /// Partitions.
    pub partitions: Vec<String>,
    /// A credentials file for NATS, on the nodes.
    pub creds: Option<PathBuf>,
    /// A file of authorities that vouch for NATS, on the nodes.
    pub ca_file: Option<PathBuf>,
}

/// The script.
///
/// # Errors
/// [`LaunchError`]: something cannot be so, or a secret would stand in it.
pub fn slurm_script(order: &SlurmLaunch) -> Result<String, LaunchError> {
    order.check()?;
    let (launch, contents) = (&order.launch, &order.launch.contents);
    let needs = launch.needs()?;
    let name = launch.run.to_string();
    let run = match order.is_named {
        true => shell_quoted(&name),
        false => format!("\"{}-${{SLURM_ARRAY_JOB_ID:-${{SLURM_JOB_ID:-0}}}}\"", stem_of(&name)),
    };
    let file = contents.path.file_name().map(Path::new).unwrap_or(&contents.path);
    let times = launch.times();
    let end_s = times.coordinator_end_s().min(MOST_SIGNAL_S);
    // Nobody knows which task has the coordinator beside it.
    let memory_mib = (needs.memory_mib + launch.coordinator_mib()).div_ceil(needs.processors);
    let with_way = |options: Vec<String>| [options, order.nats_options()].concat();
    let text = FORM.render(context! {
        path => one_line(&contents.path.display().to_string()),
        version => plain(env!("CARGO_PKG_VERSION")),
        program => if order.program.contains('/') { absolute(Path::new(&order.program)) } else { order.program.clone() },
        workers => launch.workers,
        last => launch.workers - 1,
        drain => plain(format_duration(contents.scenario.drain)),
        is_copy => contents.is_copy,
        job => plain(stem_of(&name)),
        processors => needs.processors,
        memory_mib,
        time => plain(order.time.clone().unwrap_or_else(|| time_of(times.whole_s() + end_s + SIGNAL_EARLY_S))),
        partitions => plain(order.partitions.join(",")),
        end_s,
        nats => launch.nats.as_deref(),
        run => plain(run),
        variables => contents.variables.iter().map(plain).collect::<Vec<_>>(),
        descriptors => needs.descriptors,
        folder => absolute(contents.folder()),
        file => format!("./{}", file.display()),
        worker_options => with_way(launch.worker_options()),
        coordinator_options => with_way(launch.coordinator_options()),
    })?;
    Ok(text)
}

impl SlurmLaunch {
    fn check(&self) -> Result<(), LaunchError> {
        if self.launch.contents.is_secret_set {
            return Err(LaunchError::SecretInOverride);
        }
        self.launch.check_commands()?;
        for partition in &self.partitions {
            check_word("--partition", partition, "-_.", "a partition has letters, digits and `-_.`")?;
        }
        if let Some(time) = &self.time {
            check_word("--time", time, ":-", "write it as MINUTES, HOURS:MINUTES:SECONDS or DAYS-HOURS")?;
        }
        let Some(address) = &self.launch.nats else { return Ok(()) };
        let way = Way {
            address,
            has_credentials: self.creds.is_some(),
            is_insecure: self.launch.nats_insecure,
            credentials: "--nats-creds",
            instead: "leave --nats out, and export RESURGE_CLUSTER before sbatch; or name a file with --nats-creds",
        };
        way.check()
    }

    /// How NATS lets us in, as options.
    fn nats_options(&self) -> Vec<String> {
        let creds = self.creds.iter().map(|file| format!("--nats-creds={}", absolute(file)));
        let authority = self.ca_file.iter().map(|file| format!("--nats-ca={}", absolute(file)));
        let insecure = self.launch.nats_insecure.then(|| "--nats-insecure".to_owned());
        creds.chain(authority).chain(insecure).collect()
    }
}

/// A path from the root on.
fn absolute(path: &Path) -> String {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// What may stand in a comment.
fn one_line(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

fn stem_of(name: &str) -> String {
    name.chars().take(MOST_STEM).collect()
}

/// A time limit as sbatch reads it: `HOURS:MINUTES:SECONDS`, or with the days before it.
fn time_of(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60);
    if days > 0 { format!("{days}-{clock}") } else { clock }
}

#[cfg(test)]
mod tests {
    use super::super::needs::tests::launch;
    use super::*;
    use crate::exit_code::ExitCode;

    fn order(workers: u32) -> SlurmLaunch {
        SlurmLaunch {
            launch: Launch { nats: Some("tls://h:4222".to_owned()), ..launch("", workers) },
            is_named: false,
            program: "/opt/it's here/resurge".to_owned(),
            time: None,
            partitions: vec!["a".to_owned(), "b".to_owned()],
            creds: Some(PathBuf::from("/etc/nats.creds")),
            ca_file: None,
        }
    }

    #[test]
    fn a_job_asks_for_what_its_workers_need() {
        let text = slurm_script(&order(3)).unwrap();
        let asked: Vec<&str> = text.lines().filter(|line| line.starts_with("#SBATCH")).collect();
        insta::assert_snapshot!(asked.join("\n"), @"
        #SBATCH --job-name=Nightly_7
        #SBATCH --ntasks=3
        #SBATCH --cpus-per-task=1
        #SBATCH --mem-per-cpu=512M
        #SBATCH --time=00:18:20
        #SBATCH --partition=a,b
        #SBATCH --signal=B:TERM@190
        #SBATCH --no-requeue
        #SBATCH --no-kill
        ");
        assert!(text.contains("resurge='/opt/it'\\''s here/resurge'\n"), "{text}");
        assert!(
            text.contains("export RESURGE_RUN=\"Nightly_7-${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID:-0}}\"\n")
        );
        assert!(text.contains("for name in SECRET; do\n"), "{text}");
        let named = slurm_script(&SlurmLaunch { is_named: true, ..order(3) }).unwrap();
        assert!(named.contains("export RESURGE_RUN='Nightly_7'\n"), "{named}");
    }

    #[test]
    fn what_slurm_could_misread_is_refused() {
        for (time, partition) in [("1:00 #", "a"), ("-1", "a"), ("60", "a\n"), ("60", "--x")] {
            let (time, partitions) = (Some(time.to_owned()), vec![partition.to_owned()]);
            let refused = slurm_script(&SlurmLaunch { time, partitions, ..order(3) });
            assert_eq!(refused.unwrap_err().exit_code(), ExitCode::Usage);
        }
        let open = slurm_script(&SlurmLaunch { creds: None, ..order(3) }).unwrap_err();
        assert!(open.to_string().contains("--nats-creds"), "{open}");
        let later = SlurmLaunch { launch: Launch { nats: None, ..launch("", 2) }, ..order(2) };
        assert!(slurm_script(&later).unwrap().contains("RESURGE_CLUSTER names no NATS server"));
    }

    #[test]
    fn times_are_as_sbatch_reads_them() {
        assert_eq!(time_of(3_725), "01:02:05");
        assert_eq!(time_of(90_061), "1-01:01:01");
    }
}
