//! `resurge diagnose`.
//!
//! In: arguments. Out: the evidence and the verdict on stdout, progress on stderr.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::diagnose::{DiagnoseError, DiagnoseRequest, Step, Tries, Waits, diagnose, diagnosis_text};
use crate::drive::network::parse_host;
use crate::exit_code::ExitCode;
use crate::run::RunError;
use crate::scenario::ScenarioError;
use crate::scenario::keys::check_origin;
use crate::units::format_duration;

use super::key_value::{parse_override, parse_time};
use super::streams::wants_colour;

const EXAMPLE: &str = "\
Examples:
  resurge diagnose scenarios/idle-reconnect.toml
  resurge diagnose staging.toml --authorize api.staging.example.com --idle-timeout 60s
  resurge diagnose staging.toml --group reuse --format json

The exit code is 0 when there is a verdict, whatever it says.";

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Arguments of `resurge diagnose`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct DiagnoseArgs {
    /// The scenario file
    scenario: PathBuf,
    /// The group of the client [default: the first]
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// The target's idle timeout; without it, diagnose waits up to 330s for the idle close
    #[arg(long, value_name = "DURATION", value_parser = parse_time)]
    idle_timeout: Option<Duration>,
    /// How long an experiment waits where the wait is the experiment
    #[arg(long, value_name = "DURATION", value_parser = parse_time, default_value = "5s")]
    wait: Duration,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Override a key of the scenario by its dotted path; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<(String, String)>,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
    /// Allow a host that is neither loopback nor private; its owner must have agreed; repeatable
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    authorize: Vec<String>,
    /// An Origin to try where the first handshake is refused, as https://app.example.com; repeatable
    #[arg(long, value_name = "ORIGIN", value_parser = parse_origin)]
    origin: Vec<String>,
    /// A Host to try there, as api.example.com or localhost:8080; repeatable
    #[arg(long, value_name = "HOST", value_parser = parse_authority)]
    host: Vec<String>,
    /// A subprotocol to try there; repeatable
    #[arg(long, value_name = "NAME", value_parser = parse_subprotocol)]
    subprotocol: Vec<String>,
}

/// How long a session is watched for a close at once: longer than a service thinks about a token.
const LOOK: Duration = Duration::from_millis(300);
/// How long the idle close of an unknown service is waited for: the longest that is usual (Jetty) is 300 s.
const LONGEST_IDLE: Duration = Duration::from_secs(330);
/// How long after a given idle timeout the close may come.
const IDLE_MARGIN: Duration = Duration::from_secs(5);

fn parse_origin(text: &str) -> Result<String, String> {
    check_origin(text).map(|()| text.to_owned())
}

fn parse_authority(text: &str) -> Result<String, String> {
    let needed = "write a host, perhaps with a port, as api.example.com or localhost:8080";
    let url = url::Url::parse(&format!("http://{text}/")).map_err(|error| format!("{needed} ({error})"))?;
    let is_bare = !text.contains(['/', '?', '#', '@']) && url.has_host();
    if is_bare { Ok(text.to_owned()) } else { Err(needed.to_owned()) }
}

/// A subprotocol is a token (RFC 6455 §4.1, RFC 9110 §5.6.2).
fn parse_subprotocol(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_token = !text.is_empty() && text.bytes().all(fits);
    if is_token {
        Ok(text.to_owned())
    } else {
        Err("letters, digits and !#$%&'*+-.^_`|~ are allowed".to_owned())
    }
}

pub(super) fn run(args: &DiagnoseArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let idle = args.idle_timeout.map_or(LONGEST_IDLE, |known| known + IDLE_MARGIN);
    let request = DiagnoseRequest {
        scenario: args.scenario.clone(),
        overrides: args.overrides.clone(),
        group: args.group.clone(),
        waits: Waits { look: LOOK, idle, pause: args.wait },
        authorised: args.authorize.clone(),
        tries: Tries {
            origins: args.origin.clone(),
            hosts: args.host.clone(),
            subprotocols: args.subprotocol.clone(),
        },
    };
    let mut show = |step: &Step| {
        if !args.quiet {
            // Where nobody reads it, there is nobody to tell.
            let _ = writeln!(err, "{}", describe(step));
        }
    };
    let diagnosis = match diagnose(&request, &mut show) {
        Ok(diagnosis) => diagnosis,
        Err(DiagnoseError::Run(RunError::Scenario(ScenarioError::Faults(faults)))) => {
            writeln!(err, "{}", faults.render(wants_colour(&io::stderr())))?;
            return Ok(ExitCode::ScenarioInvalid);
        }
        Err(DiagnoseError::Run(error)) => {
            writeln!(err, "error: {error}")?;
            return Ok(error.exit_code());
        }
        Err(error) => {
            writeln!(err, "error: {error}")?;
            return Ok(ExitCode::Usage);
        }
    };
    match args.format {
        Format::Text => write!(out, "{}", diagnosis_text(&diagnosis))?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &diagnosis).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(ExitCode::Pass)
}

fn describe(step: &Step) -> String {
    match step {
        Step::Seen(seen) => {
            format!("{:>7.1} s  {}: {}", seen.at_s, seen.experiment.words(), seen.seen.words())
        }
        Step::Waiting(why, most) => format!("           waiting {why}, at most {}", format_duration(*most)),
        Step::StillWaiting(passed) => format!("           … {:.0} s", passed.as_secs_f64()),
    }
}
