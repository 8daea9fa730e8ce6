//! One cell of the table: a run against the target through two proxies, one of which strikes; and what came of it, in words.
//!
//! In: a fault and a stage. Out: outcomes, the phase that took the time, how sessions ended, and how the clients' numbers differ from the
//! target's for each strike.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use resurge::record::{Reconciliation, check_accounts, read_journal, reconcile};
use resurge::report::{JOURNAL_FILE, RunModel};
use resurge::run::{RunRequest, run};
use resurge::sample::{Abnormal, Counter, Initiator, Metric, Outcome, Phase};

use super::proxy::Proxy;
use super::shim::Shim;
use super::strike::{DWELL, Fault, OUTAGE, Speaks, Stage, Strike, Way};
use super::target::{Target, stop};
use crate::support::program::resurge;

/// The timeout of every stage where something stands still.
const TIMEOUT: Duration = Duration::from_millis(500);
/// The timeout of every stage where nothing does: a busy machine must not reach it.
const PATIENCE: Duration = Duration::from_secs(2);
/// What an attempt may take beyond it.
const GRACE: Duration = Duration::from_secs(1);
/// How long a process is stopped, or names are slow: longer than any timeout, and than an event loop may stand still.
const STOP: Duration = Duration::from_millis(700);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Latency,
    Jitter,
    Rate,
    Slices,
    Blackhole,
    Silence,
    Reset,
    End,
    CutShort,
    EndToClient,
    EndToTarget,
    CorruptToClient,
    CorruptToTarget,
    Restart,
    TokenRestart,
    NoName,
    SlowName,
    ClockForward,
    ClockBack,
    StopTarget,
    StopSelf,
}

/// The columns of the table.
pub(crate) const STAGES: [(Stage, &str); 8] = [
    (Stage::Token, "token request"),
    (Stage::Connect, "connect"),
    (Stage::Tls, "TLS handshake"),
    (Stage::Upgrade, "upgrade"),
    (Stage::Ready, "before the first message"),
    (Stage::Session, "in session"),
    (Stage::SecureSession, "in session, TLS"),
    (Stage::Close, "closing handshake"),
];

impl What {
    fn is_outage(self) -> bool {
        matches!(self, Self::Restart | Self::TokenRestart | Self::NoName | Self::SlowName | Self::StopTarget)
    }

    /// Whether the clients are a process of their own.
    fn is_apart(self) -> bool {
        matches!(self, Self::NoName | Self::SlowName | Self::ClockForward | Self::ClockBack | Self::StopSelf)
    }

    /// Whether it is everybody's, for a while, and so may strike a client more than once.
    fn is_everybodys(self, stage: Stage) -> bool {
        self.is_outage() || (stage == Stage::Connect && matches!(self, Self::Latency | Self::Blackhole))
    }

    /// How many clients; one where the strike is everybody's.
    fn clients(self, stage: Stage) -> u64 {
        if self.is_everybodys(stage) || self == Self::StopSelf { 1 } else { 3 }
    }
}

/// Where and how a cell's clients connect.
struct Addresses {
    websocket: SocketAddr,
    token: SocketAddr,
}

const SCENARIO: &str = r#"
duration = "DURATION"
drain = "2s"
seed = 7
[target]
url = "SCHEME://WEBSOCKET/api/v2/analytics/events"
token_url = "HTTP://TOKEN/oauth/token"
CA
[[groups]]
name = "g"
clients = CLIENTS
[groups.token]
client_id = "client"
client_secret = "demo-secret"
timeout = "T_TOKEN"
on_reconnect = "WHEN"
connection = "HOW"
refresh_before_expiry = "1m"
[groups.connect]
source_addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
dns_ttl = "0s"
dns_timeout = "T_CONNECT"
tcp_timeout = "T_CONNECT"
tls_timeout = "T_TLS"
upgrade_timeout = "T_UPGRADE"
close_timeout = "T_CLOSE"
[groups.session]
ready = "READY"
ready_timeout = "T_READY"
ADMISSION
KEEP
LEAVES
[groups.reconnect]
backoff = { kind = "constant", base = "100ms" }
"#;

/// A run, and what the target counted.
struct Done {
    model: RunModel,
    target: Target,
    struck: u64,
}

/// How long a SYN goes unanswered: the system asks again after 1 s.
const SYN_WINDOW: Duration = Duration::from_millis(500);

/// Runs a cell. Answers with what came of it, in the words of the table; `expected` is only looked at for the phase that it names.
pub(crate) fn run_cell(
    what: What,
    stage: Stage,
    expected: &str,
    runtime: &tokio::runtime::Handle,
) -> Result<String, String> {
    let home = tempfile::tempdir().map_err(|error| error.to_string())?;
    let done = conduct(what, stage, home.path(), runtime)?;
    let counters = done.target.counters(runtime);
    let all = &done.model.all;
    let mut wrong = Vec::new();
    let mut check = |holds: bool, said: String| {
        if !holds {
            wrong.push(said);
        }
    };
    let end = done.model.end.as_ref().ok_or("the run has no end")?;
    check(done.struck > 0, "nothing was struck".to_owned());
    check(check_accounts("all", all, true).is_empty(), format!("{:?}", check_accounts("all", all, true)));
    check(end.drained, "clients were cut off".to_owned());
    let duration = done.model.manifest.duration_s;
    let latest = duration + (PATIENCE + GRACE).as_secs_f64();
    check(end.elapsed_s <= latest, format!("the run took {} s, more than {latest}", end.elapsed_s));
    for phase in Phase::ALL {
        let longest = if struck_phases(stage).contains(phase) { what.timeout() } else { PATIENCE };
        let longest = longest + GRACE + if what == What::StopSelf { STOP } else { Duration::ZERO };
        let took = longest_us(all, *phase);
        let bound = longest.as_micros() as u64;
        check(
            *phase == Phase::Backoff || took <= bound,
            format!("{phase} took {took} µs, more than {bound}"),
        );
    }
    let (lost, back) = (all.counter(Counter::Disconnects), all.counter(Counter::Reconnects));
    check(
        lost == 0 || back > 0 || what == What::StopSelf,
        format!("of {lost} who lost their session nobody came back"),
    );
    if matches!(what, What::ClockForward | What::ClockBack) && stage != Stage::Token {
        let (fetched, clients) = (all.counter(Counter::TokensFetched), what.clients(stage));
        check(fetched == clients, format!("{fetched} tokens were fetched by {clients} clients"));
        let longest =
            all.histograms.iter().filter(|(metric, _)| metric.is_time()).map(|(_, times)| times.max_us());
        check(longest.max().unwrap_or(0) < 60_000_000, "the calendar got into a latency".to_owned());
    }
    let books = reconcile(all, &counters);
    if what == What::StopSelf {
        // What a client makes of its own stop depends on whether its timers or its sockets are looked at first; that the run tells
        // nothing of the target does not.
        let own = [Outcome::Ok, Outcome::TokenError, Outcome::Timeout, Outcome::NotReady]
            .map(|outcome| all.outcome(outcome));
        check(own.iter().sum::<u64>() == all.attempts_total(), format!("{:?}", all.attempts));
        check(books.holds(), format!("{books:?}"));
    }
    let mut said = outcomes(all, what.is_everybodys(stage), done.struck);
    said.push_str(&phase_words(all, expected));
    said.push_str(&ends(all));
    said.push_str(&differences(&books, done.struck));
    if all.counter(Counter::ReadyTimeouts) > 0 {
        said.push_str("; not ready in time");
    }
    if what == What::StopSelf {
        let is_valid = done.model.verdict.exit_code.number() != 110;
        said = format!("its own doing, or `ok`: the run is {}", if is_valid { "valid" } else { "not valid" });
    }
    if wrong.is_empty() {
        Ok(said)
    } else {
        Err(format!(
            "{}\n    {said}\n    {:?} {:?}\n    {counters:?}",
            wrong.join("\n    "),
            all.attempts,
            all.closes
        ))
    }
}

impl What {
    /// The timeout of its clients' stages.
    fn timeout(self) -> Duration {
        let stands_still = matches!(
            self,
            Self::Blackhole | Self::Silence | Self::SlowName | Self::StopTarget | Self::StopSelf
        );
        if stands_still { TIMEOUT } else { PATIENCE }
    }
}

/// The phases whose timeouts are short where a stage is struck.
const fn struck_phases(stage: Stage) -> &'static [Phase] {
    match stage {
        Stage::Token => &[Phase::Token],
        Stage::Connect => &[Phase::Dns, Phase::Tcp, Phase::Upgrade],
        Stage::Tls => &[Phase::Tls],
        Stage::Upgrade => &[Phase::Upgrade],
        Stage::Ready => &[Phase::Ready],
        Stage::Session | Stage::SecureSession | Stage::Close => &[],
    }
}

fn longest_us(all: &resurge::record::Tally, phase: Phase) -> u64 {
    all.histograms.get(&Metric::of_phase(phase)).map_or(0, |times| times.max_us())
}

/// Outcomes other than `ok`; how often, where it is not once for each strike.
fn outcomes(all: &resurge::record::Tally, is_everybodys: bool, struck: u64) -> String {
    let mut said = Vec::new();
    for outcome in Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::Ok) {
        let count = all.outcome(*outcome);
        if count == 0 {
            continue;
        }
        let is_as_struck = count == struck || is_everybodys;
        let causes: BTreeSet<_> =
            all.attempts.keys().filter(|key| key.outcome == *outcome).filter_map(|key| key.cause).collect();
        let cause: String = causes.iter().map(|cause| format!(" {cause}")).collect();
        said.push(if is_as_struck {
            format!("{outcome}{cause}")
        } else {
            format!("{outcome}{cause} × {count}/{struck}")
        });
    }
    if said.is_empty() { "ok".to_owned() } else { said.join(", ") }
}

/// The phase that took the time: the one that is expected where it did, else the one that took most.
fn phase_words(all: &resurge::record::Tally, expected: &str) -> String {
    let least = DWELL.as_micros() as u64 * 95 / 100;
    let expected = Phase::ALL.iter().find(|phase| expected.contains(&format!(" in {phase}")));
    let others = Phase::ALL.iter().filter(|phase| !matches!(phase, Phase::Backoff | Phase::Detect));
    let found = expected.filter(|phase| longest_us(all, **phase) >= least);
    let found =
        found.or_else(|| others.max_by_key(|phase| longest_us(all, **phase)).filter(|_| expected.is_some()));
    found.map(|phase| format!(" in {phase}")).unwrap_or_default()
}

/// Ends of sessions but those that the clients made.
fn ends(all: &resurge::record::Tally) -> String {
    let goodbye = (Initiator::Client, 1000, None);
    let ends = all.closes.keys().map(|key| (key.initiator, key.code, key.abnormal));
    let ends: BTreeSet<_> = ends.filter(|end| *end != goodbye).collect();
    let word = |(who, code, how): &(Initiator, u16, Option<Abnormal>)| {
        let how = how.map(|how| format!(" {how}")).unwrap_or_default();
        format!("; {who} {code}{how}")
    };
    ends.iter().map(word).collect()
}

/// By how much the target's numbers are others than the clients', for each strike.
fn differences(books: &Reconciliation, struck: u64) -> String {
    let mut said = Vec::new();
    for row in books.rows.iter().filter(|row| row.clients != row.target) {
        let by = row.target.cast_signed() - row.clients.cast_signed();
        let each = struck.max(1).cast_signed();
        let by = if by % each == 0 { format!("{:+}", by / each) } else { format!("{by:+}/{each}") };
        said.push(format!("{} {by}", row.what));
    }
    match (said.is_empty(), books.holds()) {
        (true, _) => String::new(),
        (false, true) => format!("; target {}", said.join(", ")),
        (false, false) => format!("; target {} (a mismatch)", said.join(", ")),
    }
}

fn conduct(what: What, stage: Stage, home: &Path, runtime: &tokio::runtime::Handle) -> Result<Done, String> {
    let is_secure = matches!(stage, Stage::Tls | Stage::SecureSession);
    let ca = home.join("ca.pem");
    let target = match what {
        What::StopTarget => Target::apart(is_secure, &ca),
        _ => Target::here(is_secure),
    };
    target.write_authority(&ca);
    let shim = Shim::new(home);
    let own_pid = Arc::<OnceLock<u32>>::default();
    let target_pid = Arc::<OnceLock<u32>>::default();
    if what == What::StopTarget {
        let _ = target_pid.set(target.pid());
    }
    let inside = runtime.enter();
    let is_at_token = stage == Stage::Token;
    let first =
        matches!(stage, Stage::Session | Stage::SecureSession | Stage::Close) || what == What::TokenRestart;
    let nth = u32::from(!first || is_at_token);
    let speaks = if is_secure { Speaks::Tls } else { Speaks::WebSocket };
    // The names of both URLs are asked for after the first session has ended, which only the WebSocket's proxy sees.
    let at_websocket = !is_at_token || matches!(what, What::NoName | What::SlowName);
    let strike_at = if at_websocket && is_at_token { Stage::Connect } else { stage };
    let fault = |door: Option<Arc<_>>| match what {
        What::Latency if stage == Stage::Connect => Fault::DropSyn(SYN_WINDOW),
        What::Latency => Fault::Latency,
        What::Jitter => Fault::Jitter,
        What::Rate => Fault::Rate,
        What::Slices => Fault::Slices,
        What::Blackhole if stage == Stage::Connect => Fault::DropSyn(SYN_WINDOW),
        What::Blackhole => Fault::Blackhole,
        What::Silence => Fault::Silence,
        What::Reset => Fault::Reset,
        What::End => Fault::End,
        What::CutShort => Fault::CutShort,
        What::EndToClient => Fault::EndToClient,
        What::EndToTarget => Fault::EndToTarget,
        What::CorruptToClient => Fault::CorruptToClient,
        What::CorruptToTarget => Fault::CorruptToTarget,
        What::Restart if stage == Stage::Connect => Fault::Refuse,
        What::Restart => Fault::Restart,
        What::TokenRestart => door.map_or(Fault::Restart, Fault::RestartOf),
        What::NoName => Fault::BesideTheDoor(shim.names(1), OUTAGE),
        What::SlowName => Fault::BesideTheDoor(shim.names(2), STOP),
        What::ClockForward => Fault::Beside(shim.jump(3_600), Way::ToClient, OUTAGE),
        What::ClockBack => Fault::Beside(shim.jump(-3_600), Way::ToClient, OUTAGE),
        What::StopTarget => Fault::Beside(stop(Arc::clone(&target_pid)), Way::ToTarget, STOP),
        What::StopSelf => Fault::Beside(stop(Arc::clone(&own_pid)), Way::ToClient, STOP),
    };
    let token_strike = (!at_websocket).then(|| Strike { stage, fault: fault(None), nth });
    let token = Proxy::start(target.address(), Speaks::Http, token_strike);
    let strike =
        at_websocket.then(|| Strike { stage: strike_at, fault: fault(Some(Arc::clone(&token.door))), nth });
    let websocket = Proxy::start(target.address(), speaks, strike);
    drop(inside);
    let to = Addresses { websocket: websocket.address, token: token.address };
    let scenario = home.join("cell.toml");
    std::fs::write(&scenario, scenario_text(what, stage, &to, &ca)).map_err(|error| error.to_string())?;
    let out = home.join("run");
    let model = if what.is_apart() {
        let mut command = resurge();
        shim.stand_before(&mut command);
        let mut child = command
            .arg("run")
            .arg(&scenario)
            .args(["--progress", "none", "--out"])
            .arg(&out)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let _ = own_pid.set(child.id());
        await_end(&mut child)?;
        if !shim.was_asked() {
            return Err("the shim was not asked".to_owned());
        }
        RunModel::new(read_journal(&out.join(JOURNAL_FILE)).map_err(|error| error.to_string())?)
    } else {
        let request = RunRequest {
            scenario,
            overrides: Vec::new(),
            seed: None,
            out: Some(out),
            authorised: Vec::new(),
            attempts: false,
            allow_commands: false,
            on_progress: None,
            live: None,
        };
        run(request).map_err(|error| error.to_string())?.model
    };
    let struck = token.struck() + websocket.struck();
    Ok(Done { model, target, struck })
}

/// Waits for a process to end by itself, for a minute.
fn await_end(child: &mut Child) -> Result<(), String> {
    for _ in 0..1_200 {
        if child.try_wait().map_err(|error| error.to_string())?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = (child.kill(), child.wait());
    Err("the run does not end".to_owned())
}

fn scenario_text(what: What, stage: Stage, to: &Addresses, ca: &Path) -> String {
    let is_secure = matches!(stage, Stage::Tls | Stage::SecureSession);
    let named = |address: SocketAddr, is_named: bool| {
        if is_named { format!("localhost:{}", address.port()) } else { address.to_string() }
    };
    let by_name = matches!(what, What::NoName | What::SlowName);
    let fetches = stage == Stage::Token || what == What::TokenRestart;
    let leaves = match (what, stage) {
        (_, Stage::Session | Stage::SecureSession) if what != What::TokenRestart => String::new(),
        // The door is open again by then.
        (What::TokenRestart, _) => "[[groups.disconnects]]\nafter = \"1s\"".to_owned(),
        _ => "[[groups.disconnects]]\nafter = \"200ms\"".to_owned(),
    };
    let is_slow_syn = (what, stage) == (What::Latency, Stage::Connect);
    let (scheme, http) = if is_secure { ("wss", "https") } else { ("ws", "http") };
    let ca = if is_secure { format!("ca_file = {:?}", ca.to_string_lossy()) } else { String::new() };
    let ready = if stage == Stage::Ready { "first-message" } else { "upgraded" };
    // Only at the stage that is struck: a busy machine must not reach the others.
    let timeout = |stages: &[Stage]| {
        let timeout = if stages.contains(&stage) { what.timeout() } else { PATIENCE };
        format!("{}ms", timeout.as_millis())
    };
    // Not where the client's close frame is looked for: it is to come alone.
    let keep_alive = match stage {
        Stage::Ready | Stage::Session | Stage::SecureSession => {
            "keep_alive = { ping_every = \"100ms\", timeout = \"T_SESSION\" }"
        }
        _ => "",
    };
    // A session in whose middle something strikes is one that its client is in.
    let admission = match stage {
        Stage::Session | Stage::SecureSession => "admission = \"0s\"",
        _ => "",
    };
    let replacements = [
        ("KEEP", keep_alive),
        ("ADMISSION", admission),
        ("DURATION", if is_slow_syn { "3200ms" } else { "2400ms" }),
        ("SCHEME", scheme),
        ("HTTP", http),
        ("WEBSOCKET", &named(to.websocket, by_name && stage == Stage::Connect)),
        ("CA", &ca),
        ("CLIENTS", &what.clients(stage).to_string()),
        ("WHEN", if fetches { "fetch" } else { "reuse" }),
        ("HOW", if what == What::TokenRestart && stage != Stage::Token { "pooled" } else { "fresh" }),
        ("T_TOKEN", &timeout(&[Stage::Token])),
        ("T_CONNECT", &timeout(&[Stage::Connect])),
        ("T_TLS", &timeout(&[Stage::Tls])),
        // A target that stands still lets the system open TCP.
        ("T_UPGRADE", &timeout(&[Stage::Upgrade, Stage::Connect])),
        ("T_READY", &timeout(&[Stage::Ready])),
        ("T_SESSION", &timeout(&[Stage::Ready, Stage::Session, Stage::SecureSession])),
        ("T_CLOSE", &timeout(&[Stage::Ready, Stage::Close])),
        ("READY", ready),
        ("LEAVES", &leaves),
        ("TOKEN", &named(to.token, by_name && stage == Stage::Token)),
    ];
    replacements.iter().fold(SCENARIO.to_owned(), |text, (name, value)| text.replace(name, value))
}
