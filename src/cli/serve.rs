//! `resurge serve`: the target alone, for any client.
//!
//! In: a profile, an address. Out: a running service until Ctrl-C, SIGTERM or SIGHUP; its address on the output, everything else on the
//! error stream. Holds no rule of the service.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::access::{AccessToken, Reach, TOKEN_VARIABLE};
use crate::clock::Clock;
use crate::exit_code::ExitCode;
use crate::machine::{StopSignals, raise_descriptor_limit};
use crate::report::write_named;
use crate::scenario::keys::TargetRules;
use crate::scenario::{ScenarioError, load_target_rules, profile_names, profile_text};
use crate::service::server::{
    CLOSE_PATH, CONTROL_REVOKE_PATH, COUNTERS_PATH, Server, ServerSetup, ServerTls, ServerTlsError,
    TOKEN_PATH,
};

use super::counters_text::write_counters;
use super::endpoints::chosen_token;
use super::key_value::{parse_override, parse_seed};

/// The close code of sessions that are open when the target stops: going away (RFC 6455 §7.4.1).
const GOING_AWAY: u16 = 1001;
/// How long the end may take beyond the closing handshakes.
const GRACE: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  resurge serve
  resurge serve bearer                   (shipped: forum, genesys, bearer, ticket, phoenix)
  resurge serve --print bearer > mine.toml && resurge serve mine.toml
  resurge serve --tls --tls-ca-out ca.pem
  resurge serve --listen 0.0.0.0:8080 --control 127.0.0.1:9090
  resurge serve --listen 0.0.0.0:8080 --control 0.0.0.0:9090    (prints a token; or: --control-token token.txt)
  resurge serve --set 'faults=[{kind=\"upgrade_status\",share=0.1}]'
  resurge serve --listen 127.0.0.1:0 --set idle_timeout=5s --set invalidation=never
  curl -d grant_type=client_credentials -d client_id=me -d client_secret=any http://127.0.0.1:8080/oauth/token
  curl http://127.0.0.1:8080/_resurge/counters
  curl --json '{\"code\":1012,\"fraction\":0.5}' http://127.0.0.1:8080/_resurge/close
  curl --json '{\"fraction\":0.5}' http://127.0.0.1:8080/_resurge/revoke";

/// Run the embedded target alone, for any client.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    /// A shipped profile, or a TOML file with the keys of a scenario's table `target`.
    #[arg(default_value = "forum")]
    profile: String,
    /// Print the shipped profile, and exit.
    #[arg(long)]
    print: bool,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Override a rule, as idle_timeout=5s; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<(String, String)>,
    /// Seed of tokens, delays and storms [default: from the system, so that tokens cannot be guessed].
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    seed: Option<u64>,
    /// The number of threads [default: one for each core].
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// The address for counters and storms, in plain HTTP [default: the same as the service].
    #[arg(long, value_name = "ADDR")]
    control: Option<String>,
    /// A file whose text control requests must show, as Authorization: Bearer [default, where other machines can reach the
    /// control endpoints: that of RESURGE_LIVE_TOKEN, else a random one, which is printed].
    #[arg(long, value_name = "FILE")]
    control_token: Option<PathBuf>,
    /// Use TLS, with a new certificate for localhost, the loopback addresses and the listen address.
    #[arg(long)]
    tls: bool,
    /// The file for the CA certificate, for clients to trust.
    #[arg(long, value_name = "FILE", default_value = "resurge-ca.pem", conflicts_with = "tls_cert")]
    tls_ca_out: PathBuf,
    /// Use TLS, with the certificate chain in this PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// Serves until Ctrl-C, SIGTERM or the end of its terminal; answers with the exit code.
///
/// # Errors
/// The streams cannot be written, or there is no runtime.
pub(super) fn run(args: &ServeArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = StopSignals::listen()?;
        serve_until(args, out, err, signals.next()).await
    })
}

fn print_profile(name: &str, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    match profile_text(name) {
        Some(text) => {
            out.write_all(text.as_bytes())?;
            Ok(ExitCode::Pass)
        }
        None => {
            writeln!(err, "error: there is no profile {name}; shipped are {}", profile_names().join(", "))?;
            Ok(ExitCode::ScenarioInvalid)
        }
    }
}

async fn serve_until(
    args: &ServeArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
    stop: impl Future<Output = ()>,
) -> io::Result<ExitCode> {
    if args.print {
        return print_profile(&args.profile, out, err);
    }
    let env = |name: &str| std::env::var(name).ok();
    let rules = match load_target_rules(&args.profile, &args.overrides, &env) {
        Ok(rules) => rules,
        Err(error) => {
            // Faults of a file say themselves that they are errors.
            let prefix = if matches!(error, ScenarioError::Faults(_)) { "" } else { "error: " };
            writeln!(err, "{prefix}{error}")?;
            return Ok(ExitCode::ScenarioInvalid);
        }
    };
    if rules.addresses != TargetRules::default().addresses {
        writeln!(err, "error: addresses: a run's own target listens there; here, say where with --listen")?;
        return Ok(ExitCode::ScenarioInvalid);
    }
    let (listen, control) = match addresses(args) {
        Ok(addresses) => addresses,
        Err(why) => {
            writeln!(err, "error: {why}; write it as 127.0.0.1:8080")?;
            return Ok(ExitCode::Usage);
        }
    };
    let control_token = match control_token(args, control.unwrap_or(listen)) {
        Ok(token) => token,
        Err(why) => {
            writeln!(err, "error: {why}")?;
            return Ok(ExitCode::Usage);
        }
    };
    let tls = match tls(args, rules.tls, listen) {
        Ok(tls) => tls,
        Err(error) => {
            writeln!(err, "error: {error}")?;
            return Ok(ExitCode::Unexpected);
        }
    };
    // How many sessions there can be should not depend on the soft limit of a shell.
    log::debug!("at most {} descriptors", raise_descriptor_limit());
    let close_timeout = rules.close_timeout;
    let setup = ServerSetup {
        listen,
        rules,
        seed: args.seed.unwrap_or_else(system_seed),
        clock: Clock::start(),
        worker_threads: args.threads.map_or_else(cores, NonZeroUsize::get),
        control,
        control_token: control_token.as_ref().map(|shown| shown.token.clone().into_secret()),
        tls,
    };
    let server = match Server::start(setup) {
        Ok(server) => server,
        Err(error) => {
            let places =
                control.map_or_else(|| listen.to_string(), |control| format!("{listen} and {control}"));
            writeln!(err, "error: cannot listen on {places}: {}", explain(&error))?;
            return Ok(ExitCode::Unexpected);
        }
    };
    if let Some(authority) = server.authority() {
        let path = &args.tls_ca_out;
        if let Err(fault) = write_named(path, &authority.pem) {
            writeln!(
                err,
                "error: --tls-ca-out {}: {}; name a file that can be written",
                path.display(),
                fault.source
            )?;
            return Ok(ExitCode::Unexpected);
        }
        writeln!(err, "  authority {}", path.display())?;
    }
    announce(&server, control_token.as_ref(), out, err)?;
    stop.await;
    writeln!(err, "stopping: closing sessions with {GOING_AWAY}")?;
    server.storm(GOING_AWAY, 1.0).map_err(io::Error::other)?;
    let counters = server.shutdown(close_timeout + GRACE).await;
    write_counters(&counters, err)?;
    Ok(ExitCode::Pass)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// What control requests must show, and where the user knows it from.
struct ControlToken {
    token: AccessToken,
    /// `None`: it is random, and has to be told.
    from: Option<&'static str>,
}

/// What control requests at `place` must show: what the user has chosen; where other machines can reach it, never nothing.
fn control_token(args: &ServeArgs, place: SocketAddr) -> Result<Option<ControlToken>, String> {
    let Some(path) = &args.control_token else {
        if Reach::of(place) == Reach::Loopback {
            return Ok(None);
        }
        let token = chosen_token()?;
        let from = token.is_chosen().then_some(TOKEN_VARIABLE);
        return Ok(Some(ControlToken { token, from }));
    };
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("--control-token {shown}: {error}; name a file that holds the token and nothing else")
    })?;
    // An empty file is no wish for a random one.
    let text = if text.trim().is_empty() { "-" } else { &text };
    let token = AccessToken::new(Some(text)).map_err(|why| format!("--control-token {shown}: {why}"))?;
    Ok(Some(ControlToken { token, from: Some("--control-token") }))
}

/// Where to listen, and where for control if not there.
fn addresses(args: &ServeArgs) -> Result<(SocketAddr, Option<SocketAddr>), String> {
    let read = |flag, text: &str| resolve(text).map_err(|why| format!("{flag} {text}: {why}"));
    let control = args.control.as_deref().map(|text| read("--control", text)).transpose()?;
    Ok((read("--listen", &args.listen)?, control))
}

/// The first address of that name.
fn resolve(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| error.to_string())?;
    found.next().ok_or_else(|| "the name has no address".to_owned())
}

/// A seed that cannot be guessed: the keys of the standard library's hasher are drawn from the system.
fn system_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the address is in use; stop what listens there, or choose another with --listen".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; ports below 1024 need privileges, choose another with --listen".to_owned()
        }
        _ => error.to_string(),
    }
}

/// What the target speaks TLS with, if it does.
fn tls(
    args: &ServeArgs,
    rules_want_it: bool,
    listen: SocketAddr,
) -> Result<Option<ServerTls>, ServerTlsError> {
    match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => ServerTls::from_files(certificate, key).map(Some),
        _ if args.tls || rules_want_it => ServerTls::generate(listen.ip()).map(Some),
        _ => Ok(None),
    }
}

/// Says where the target is: the address on the output, for programs; the rest for people.
fn announce(
    server: &Server,
    token: Option<&ControlToken>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    let addr = server.addr();
    let (http, ws) = if server.is_secure() { ("https", "wss") } else { ("http", "ws") };
    writeln!(out, "listening on {http}://{addr}")?;
    out.flush()?;
    writeln!(err, "  token     POST {http}://{addr}{TOKEN_PATH}")?;
    let rules = server.rules();
    for route in &rules.routes {
        writeln!(err, "  route     {:<4} {http}://{addr}{}", route.method.name(), route.path)?;
    }
    writeln!(err, "  events    {ws}://{addr}{}", rules.path)?;
    let own = server.control_addr();
    let control = own.map_or_else(|| format!("{http}://{addr}"), |own| format!("http://{own}"));
    writeln!(err, "  counters  GET  {control}{COUNTERS_PATH}")?;
    writeln!(err, "  storm     POST {control}{CLOSE_PATH}  {{\"code\":1001,\"fraction\":1.0}}")?;
    writeln!(err, "  revoke    POST {control}{CONTROL_REVOKE_PATH}  {{\"fraction\":1.0}}")?;
    if Reach::of(addr) == Reach::Network {
        writeln!(
            err,
            "warning: {} can be reached from other machines, and anybody there can get a token",
            addr.ip()
        )?;
    }
    match token {
        None => {}
        Some(ControlToken { from: Some(from), .. }) => {
            writeln!(err, "control requests must show the token of {from}, as Authorization: Bearer")?;
        }
        Some(ControlToken { token, from: None }) => {
            let token = token.expose();
            writeln!(err, "control requests must show the token {token}, as Authorization: Bearer")?;
        }
    }
    writeln!(err, "Ctrl-C ends it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn args(words: &[&str]) -> ServeArgs {
        Cli::try_parse_from(["serve"].iter().chain(words)).unwrap().serve
    }

    /// Serves, and stops as soon as it listens; answers with code, output and errors.
    fn served(words: &[&str]) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let code =
            runtime.block_on(serve_until(&args(words), &mut out, &mut err, std::future::ready(()))).unwrap();
        (code.number(), String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_shipped_profile_is_printed() {
        let (code, out, _) = served(&["bearer", "--print"]);
        assert_eq!((code, out.contains("refusal_status = \"rfc6750\"")), (0, true), "{out}");
        assert_eq!(served(&["no-such", "--print"]).0, 104);
    }

    #[test]
    fn it_says_where_it_listens_and_ends_cleanly() {
        let (code, out, err) =
            served(&["--listen", "127.0.0.1:0", "--threads", "1", "--set", "idle_timeout=5s"]);
        assert_eq!(code, 0, "{err}");
        let port: u16 =
            out.strip_prefix("listening on http://127.0.0.1:").unwrap().trim_end().parse().unwrap();
        insta::assert_snapshot!(err.replace(&port.to_string(), "PORT"), @r#"
          token     POST http://127.0.0.1:PORT/oauth/token
          events    ws://127.0.0.1:PORT/api/v2/analytics/events
          counters  GET  http://127.0.0.1:PORT/_resurge/counters
          storm     POST http://127.0.0.1:PORT/_resurge/close  {"code":1001,"fraction":1.0}
          revoke    POST http://127.0.0.1:PORT/_resurge/revoke  {"fraction":1.0}
        Ctrl-C ends it
        stopping: closing sessions with 1001
        connections  0 accepted, 0 of them for tokens and other HTTP, 0 for control
        tokens       0 issued
        upgrades     0
        sessions     0 still open
        messages     0 sent, 0 received
        bad requests 0
        "#);
        let (_, _, err) = served(&["--listen", "0.0.0.0:0"]);
        assert!(err.contains("warning: 0.0.0.0 can be reached from other machines"), "{err}");
    }

    #[test]
    fn tls_and_the_control_endpoints_own_address_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        let ca = ca.to_str().unwrap();
        let base = ["--listen", "127.0.0.1:0", "--threads", "1"];
        let with = |more: &[&str]| served(&[base.as_slice(), more].concat());
        let (code, out, err) = with(&["--tls", "--tls-ca-out", ca, "--control", "127.0.0.1:0"]);
        assert_eq!(code, 0, "{err}");
        assert!(out.starts_with("listening on https://127.0.0.1:"), "{out}");
        assert!(err.contains("events    wss://") && err.contains(&format!("authority {ca}\n")), "{err}");
        assert!(err.contains("counters  GET  http://127.0.0.1:"), "{err}");
        let pem = std::fs::read_to_string(ca).unwrap();
        assert!(pem.contains("BEGIN CERTIFICATE") && !pem.contains("PRIVATE"));
        let (code, out, _) = with(&["--set", "tls=true", "--tls-ca-out", ca]);
        assert_eq!((code, out.starts_with("listening on https://")), (0, true), "the rules can say it too");
        assert_ne!(pem, std::fs::read_to_string(ca).unwrap(), "an authority lives as long as its target");
        let (code, _, err) = with(&["--tls", "--tls-ca-out", "/no/such/folder/ca.pem"]);
        assert_eq!(
            (code, err.starts_with("error: --tls-ca-out /no/such/folder/ca.pem: ")),
            (1, true),
            "{err}"
        );
        let (code, _, err) = with(&["--tls-cert", ca, "--tls-key", ca]);
        assert_eq!((code, err.starts_with("error: --tls-key ")), (1, true), "{err}");
        for open in
            [["--listen", "127.0.0.1:0", "--control", "0.0.0.0:0"].as_slice(), &["--listen", "0.0.0.0:0"]]
        {
            // A random token where there is none, told once.
            let (code, _, err) = served(&[&["--threads", "1"], open].concat());
            let token = err.split("show the token ").nth(1).and_then(|rest| rest.split(',').next());
            assert_eq!((code, token.map(str::len)), (0, Some(32)), "{err}");
            assert_eq!(err.matches(token.unwrap()).count(), 1, "{err}");
        }
        let token = folder.path().join("token");
        let named = ["--control", "0.0.0.0:0", "--control-token", token.to_str().unwrap()];
        for (text, code, said) in [
            (None, 2, "name a file that holds the token"),
            (Some("short"), 2, "at least 16 printable characters"),
            (Some(" \n"), 2, "at least 16 printable characters"),
            (Some("0123456789 abcdef"), 2, "no spaces"),
            (Some("0123456789abcdef\n"), 0, "must show the token of --control-token"),
        ] {
            text.iter().for_each(|text| std::fs::write(&token, text).unwrap());
            let (ended, _, err) = with(&named);
            assert_eq!((ended, err.contains(said)), (code, true), "{text:?}: {err}");
            assert!(!err.contains("0123456789"), "a token is never shown: {err}");
        }
        assert_eq!(with(&["--control", "nowhere"]).0, 2);
        for bad in [
            ["--tls-cert", "x"].as_slice(),
            &["--tls-key", "x"],
            &["--tls-cert", "x", "--tls-key", "y", "--tls-ca-out", "z"],
        ] {
            assert!(Cli::try_parse_from(["serve"].iter().chain(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_cannot_be_served_is_told() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let (code, out, err) = served(&["--listen", &address]);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(
            err.ends_with(
                "the address is in use; stop what listens there, or choose another with --listen\n"
            )
        );
        let (code, _, err) = served(&["--listen", "nowhere"]);
        assert_eq!(code, 2);
        assert!(
            err.starts_with("error: --listen nowhere: ") && err.ends_with("write it as 127.0.0.1:8080\n"),
            "{err}"
        );
        assert_eq!(served(&["--set", "idle_timeot=5s"]).0, 104);
        assert_eq!(served(&["no-such-profile"]).0, 104);
    }

    #[test]
    fn what_is_wrong_begins_with_error() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for words in [
            &["no-such-profile"][..],
            &["--print", "no-such-profile"],
            &["--listen", "nowhere"],
            &["--set", "idle_timeout=never-ever"],
            &["--control-token", "/no/such/file"],
        ] {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            runtime.block_on(serve_until(&args(words), &mut out, &mut err, async {})).unwrap();
            let told = String::from_utf8(err).unwrap();
            assert!(told.starts_with("error: ") && !told.starts_with("error: error"), "{words:?}: {told}");
        }
    }

    #[test]
    fn arguments_are_checked() {
        let defaults = args(&[]);
        assert_eq!((defaults.profile.as_str(), defaults.listen.as_str()), ("forum", "127.0.0.1:8080"));
        let set = args(&["--set", "a=b=c", "--set", "clients=[]"]).overrides;
        assert_eq!(set, [("a".to_owned(), "b=c".to_owned()), ("clients".to_owned(), "[]".to_owned())]);
        for bad in [["--set", "idle_timeout"], ["--set", "=5s"], ["--threads", "0"], ["--seed", "-1"]] {
            assert!(Cli::try_parse_from(["serve"].iter().chain(&bad)).is_err(), "{bad:?}");
        }
        assert_ne!(system_seed(), system_seed());
    }
}
