//! A run under way, sent to a receiver of OpenTelemetry's protocol: OTLP over HTTP, in protobuf.
//!
//! In: settings, the live view each second. Out: requests, on a thread of its own so that no client waits for it. What is not taken is sent again as the
//! specification has it (429, 502, 503, 504, or no answer), until newer numbers are due: as they hold the older ones, nothing queues up.

mod settings;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::rand::{SystemRandom, generate};
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio::time::{sleep, timeout, timeout_at};

use crate::clock::{Clock, Moment};
use crate::drive::network::{AddressPolicy, Answered, Asker, ClientFiles, client_config};
use crate::random::{Draws, Purpose};
use crate::record::LiveView;
use crate::report::{LiveRun, RunResource, Temporality, export_request, rejected_by};
use crate::scenario::keys::Scenario;

pub use settings::OtlpSettings;

/// The first wait before a request is made again, without a word of the receiver; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How long the last numbers may take where none were taken before.
const LAST_TRY: Duration = Duration::from_secs(2);
/// The longest piece of a receiver's own words.
const LONGEST_WORDS: usize = 200;

/// What is to be sent, and whether it is the last.
#[derive(Debug, Clone, Default)]
struct Latest {
    run: Option<Arc<LiveRun>>,
    ends: Option<Ends>,
}

/// How sending ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// With the last numbers.
    Sent,
    /// At once: the user does not wait.
    AtOnce,
}

/// How exports went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OtlpTally {
    /// Requests that were taken.
    pub accepted: u64,
    /// Requests that were not, for all their retries.
    pub dropped: u64,
    /// Data points that the receiver rejected of those that it took.
    pub rejected: u64,
    /// Why, as it was told last.
    pub why: Option<String>,
}

/// Sends until it is dropped.
#[derive(Debug)]
pub struct OtlpExporter {
    run_id: String,
    latest: watch::Sender<Latest>,
    tally: Arc<Mutex<OtlpTally>>,
    thread: Option<JoinHandle<()>>,
}

/// Takes in how a run stands.
#[derive(Debug, Clone)]
pub struct OtlpFeed(watch::Sender<Latest>);

impl OtlpFeed {
    /// What is sent next.
    pub fn publish(&self, scenario: &Scenario, view: &LiveView) {
        let run = Arc::new(LiveRun::new(scenario, view.clone()));
        self.0.send_modify(|latest| latest.run = Some(run));
    }
}

impl OtlpExporter {
    /// Begins to send by `settings`.
    ///
    /// # Errors
    /// No thread, no randomness, or a certificate file that cannot be read.
    pub fn start(settings: OtlpSettings) -> io::Result<Self> {
        let clock = Clock::start();
        let random: [u8; 16] =
            generate(&SystemRandom::new()).map_err(|_| io::Error::other("no randomness"))?.expose();
        let run_id = uuid(random);
        let host = settings.url.host_str().unwrap_or_default().to_owned();
        let tls = if settings.url.scheme() == "https" {
            let files = ClientFiles { authorities: settings.authorities.as_deref(), identity: None };
            Some(Arc::new(client_config(files, None).map_err(io::Error::other)?))
        } else {
            None
        };
        // It gets numbers and no load: whoever is named may be sent to.
        let policy = AddressPolicy::new(&[host.trim_matches(['[', ']']).to_owned(), host.clone()]);
        let resource = RunResource {
            run_id: run_id.clone(),
            attributes: settings.attributes.clone(),
            start_unix_ns: clock.unix_us_now() * 1_000,
        };
        let tally = Arc::<Mutex<OtlpTally>>::default();
        let (latest, waiting) = watch::channel(Latest::default());
        let temporality = if settings.delta { Temporality::Delta(None) } else { Temporality::Cumulative };
        let seed = u64::from_le_bytes(std::array::from_fn(|index| random[index]));
        let sender = Sender {
            clock,
            asker: Asker::new(clock, Arc::new(policy), tls),
            settings,
            resource,
            temporality,
            draws: Draws::new(seed, Purpose::Lifecycle, 0),
            tally: Arc::clone(&tally),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let send = move || runtime.block_on(sender.run(waiting));
        let thread = std::thread::Builder::new().name("otlp".to_owned()).spawn(send)?;
        Ok(Self { run_id, latest, tally, thread: Some(thread) })
    }

    /// The run's name at the receiver: `service.instance.id`.
    #[must_use]
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Where a run tells how it stands.
    #[must_use]
    pub fn feed(&self) -> OtlpFeed {
        OtlpFeed(self.latest.clone())
    }

    /// Says that nothing more is to come, and waits until the last numbers were sent: no longer than an export may take, and 2 s where none was taken
    /// before or the user does not wait. Answers with how exports went.
    #[must_use]
    pub fn finish(mut self, waits: bool) -> OtlpTally {
        self.end(if waits { Ends::Sent } else { Ends::AtOnce });
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(&mut self, how: Ends) {
        self.latest.send_modify(|latest| {
            latest.ends.get_or_insert(how);
            if let Some(run) = &mut latest.run {
                *run = Arc::new(run.as_ref().clone().into_final());
            }
        });
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for OtlpExporter {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end(Ends::AtOnce);
        }
    }
}

/// What the thread has.
struct Sender {
    clock: Clock,
    asker: Asker,
    settings: OtlpSettings,
    resource: RunResource,
    temporality: Temporality,
    draws: Draws,
    tally: Arc<Mutex<OtlpTally>>,
}

/// What a request came to.
enum Sent {
    Accepted(Answered),
    /// It may be made again, after so long where the receiver said so.
    Later(String, Option<Duration>),
    Refused(String),
}

impl Sender {
    async fn run(mut self, mut latest: watch::Receiver<Latest>) {
        if latest.wait_for(|latest| latest.run.is_some() || latest.ends.is_some()).await.is_err() {
            return;
        }
        loop {
            let began = self.clock.now();
            let Latest { run, ends } = latest.borrow_and_update().clone();
            let Some(run) = run else { return };
            let longest = match ends {
                None => self.settings.timeout.min(self.settings.interval),
                Some(Ends::Sent) if self.with_tally(|tally| tally.accepted > 0) => self.settings.timeout,
                Some(_) => LAST_TRY.min(self.settings.timeout),
            };
            // The last numbers do not wait behind others.
            let ended = async {
                match ends {
                    None => latest.wait_for(|latest| latest.ends.is_some()).await.map(drop),
                    Some(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.export(&run, began + longest) => {}
                _ = ended => {}
            }
            if ends.is_some() {
                return;
            }
            let next_due = self.clock.instant(began + self.settings.interval);
            let next = latest.wait_for(|latest| latest.ends.is_some());
            if let Ok(Err(_)) = timeout_at(next_due.into(), next).await {
                return;
            }
        }
    }

    fn with_tally<T>(&self, of: impl FnOnce(&mut OtlpTally) -> T) -> T {
        of(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends how `run` stands, again and again until it is taken, refused for good, or `deadline`.
    async fn export(&mut self, run: &Arc<LiveRun>, deadline: Moment) {
        let now_ns = self.clock.unix_us_now() * 1_000;
        let body = export_request(run, &self.resource, &self.temporality, now_ns);
        let body = Bytes::from(if self.settings.gzip { gzipped(&body) } else { body });
        let mut wait = FIRST_WAIT;
        let why = loop {
            match self.post(body.clone(), deadline).await {
                Sent::Accepted(answer) => return self.accepted(run, now_ns, &answer.body),
                Sent::Refused(why) => break why,
                Sent::Later(why, asked) => {
                    let pause = asked.unwrap_or_else(|| wait.mul_f64(0.5 + self.draws.next_unit()));
                    wait *= 2;
                    if self.clock.now() + pause >= deadline {
                        break why;
                    }
                    sleep(pause).await;
                }
            }
        };
        let is_first = self.with_tally(|tally| {
            tally.dropped += 1;
            tally.why.replace(why.clone()).is_none()
        });
        if is_first {
            log::warn!("{}: the numbers were not taken: {why}. The run goes on", self.settings.url);
        }
    }

    fn accepted(&mut self, run: &Arc<LiveRun>, now_ns: u64, answer: &[u8]) {
        if let Temporality::Delta(before) = &mut self.temporality {
            *before = Some((now_ns, Box::new(run.as_ref().clone())));
        }
        let (rejected, words) = rejected_by(answer);
        let words: String = words.chars().filter(|c| !c.is_control()).take(LONGEST_WORDS).collect();
        let is_new = self.with_tally(|tally| {
            tally.accepted += 1;
            tally.rejected += rejected;
            let is_new = !words.is_empty() && tally.why.is_none();
            if is_new {
                tally.why = Some(words.clone());
            }
            is_new
        });
        if is_new {
            log::warn!("{}: {words} ({rejected} data points rejected)", self.settings.url);
        }
    }

    /// Makes the request once.
    async fn post(&self, body: Bytes, deadline: Moment) -> Sent {
        let mut headers: Vec<(&str, &str)> = Vec::new();
        if self.settings.gzip {
            headers.push(("Content-Encoding", "gzip"));
        }
        let own = self.settings.headers.iter();
        headers.extend(own.map(|(name, value)| (name.as_str(), value.expose_secret())));
        let body = Some(("application/x-protobuf", body));
        let asking = self.asker.send("POST", &self.settings.url, &headers, body);
        let left = deadline.since(self.clock.now());
        match timeout(left, asking).await {
            Err(_) => Sent::Later("no answer in time".to_owned(), None),
            Ok(Err(why)) => Sent::Later(why, None),
            Ok(Ok(answer)) => match answer.status {
                200..=299 => Sent::Accepted(answer),
                429 | 502 | 503 | 504 => Sent::Later(format!("status {}", answer.status), answer.retry_after),
                status => Sent::Refused(format!("status {status}")),
            },
        }
    }
}

/// Sixteen random bytes as a UUID of version 4 (RFC 9562 §5.4).
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let written = gzip.write_all(bytes);
    debug_assert!(written.is_ok());
    gzip.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_a_name_of_its_own() {
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
