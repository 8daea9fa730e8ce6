//! Asking for the service's own numbers while a run goes on.
//!
//! In: the scenario's sources. Out: notes for the journal: a source's values for each second, or why there are none. A source that is away, slow or says
//! nonsense costs the run nothing: at most one question to each is under way, and no answer is waited for by anybody else. In a run of several shards, the first
//! one asks.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use url::Url;

use crate::clock::{Clock, Moment};
use crate::declare::Hidden;
use crate::drive::network::{Inquirer, without_credentials};
use crate::engine::{RunControl, StopReason};
use crate::lifecycle::StopPhase;
use crate::observe::{PageReader, Readings, Selector, instant, range, refusal};
use crate::record::{Note, Observed};
use crate::scenario::keys::{Observe, ObservePlace, Wanted};
use crate::units::format_duration;

use super::prepare::Prepared;

/// The most that is read of a page, or of an answer about a range.
const PAGE_CAP: usize = 16 * 1024 * 1024;
/// The most that is read of an answer about a moment.
const ANSWER_CAP: usize = 1024 * 1024;
/// The most steps of a range query: Prometheus answers to no more than 11,000.
const MOST_STEPS: u64 = 10_000;
/// How long the questions to a server may take in all at the run's end.
const END_AT_MOST: Duration = Duration::from_secs(20);

/// Who asks, a task for each source.
pub(super) struct Observers {
    asking: Vec<JoinHandle<Source>>,
    inquirer: Arc<Inquirer>,
    started_unix_us: u64,
    stop: watch::Sender<bool>,
}

impl Observers {
    /// Begins to ask, from the run's start on; `None` where there is nobody to ask, or it is another shard's to do.
    pub(super) fn begin(prepared: &Prepared, notes: &mpsc::Sender<Note>) -> Option<Self> {
        let sources = &prepared.scenario.observe;
        if sources.is_empty() || prepared.share.shard() != 1 {
            return None;
        }
        let tls = prepared.tls.clone().map(Arc::new);
        let inquirer = Arc::new(Inquirer::new(prepared.clock, Arc::clone(&prepared.policy), tls));
        let (stop, stopped) = watch::channel(false);
        let mut first = 0;
        let mut asking = Vec::new();
        for observe in sources {
            let source = Source::new(observe, first);
            first += observe.series.len();
            let (inquirer, notes, stopped) = (Arc::clone(&inquirer), notes.clone(), stopped.clone());
            asking.push(tokio::spawn(keep_asking(source, inquirer, prepared.clock, notes, stopped)));
        }
        Some(Self { asking, inquirer, started_unix_us: prepared.started_unix_us(), stop })
    }

    /// Stops asking, and asks the servers for all of the run's time, which was `elapsed`: what came to them late is in that. Not where the user has no patience.
    pub(super) async fn end(self, elapsed: Moment, control: &RunControl) -> Vec<Note> {
        let Self { asking, inquirer, started_unix_us, stop } = self;
        stop.send_replace(true);
        let is_cut_off = control.phase() == StopPhase::Aborting;
        let ends_at_once =
            is_cut_off && matches!(control.reason(), StopReason::Interrupted | StopReason::NotAuthorised);
        let mut phase = control.subscribe();
        let all = futures::future::join_all(asking.into_iter().map(async |source| match source.await {
            Ok(source) if !ends_at_once => {
                Box::pin(source.whole_run(&inquirer, started_unix_us, elapsed)).await
            }
            Ok(_) => Vec::new(),
            Err(error) => {
                log::error!("a source of the service's numbers was not asked to the end: {error}");
                Vec::new()
            }
        }));
        let interrupted = async {
            if is_cut_off {
                return std::future::pending().await;
            }
            // The run's control outlives this.
            let _ = phase.wait_for(|phase| *phase == StopPhase::Aborting).await;
        };
        let told = tokio::select! {
            told = all => told,
            () = interrupted => Vec::new(),
        };
        told.into_iter().flatten().map(Note::Observed).collect()
    }
}

async fn keep_asking(
    mut source: Source,
    inquirer: Arc<Inquirer>,
    clock: Clock,
    notes: mpsc::Sender<Note>,
    mut stop: watch::Receiver<bool>,
) -> Source {
    let mut due = Moment::ZERO;
    loop {
        tokio::select! {
            biased;
            _ = stop.changed() => return source,
            () = tokio::time::sleep_until(clock.instant(due).into()) => {}
        }
        let told = tokio::select! {
            biased;
            _ = stop.changed() => return source,
            told = source.ask(&inquirer, clock, due.as_second()) => told,
        };
        for observed in told {
            // A recorder that is gone has ended the run.
            let _ = notes.send(Note::Observed(observed)).await;
        }
        // What came due meanwhile is left out.
        while due <= clock.now() {
            due = due + source.every;
        }
    }
}

/// A source, and what is known of it.
struct Source {
    name: String,
    headers: Vec<(String, Hidden<String>)>,
    every: Duration,
    patience: Duration,
    /// Its first series, among those of the run.
    first: usize,
    /// Series of which a fault was told already.
    told: BTreeSet<usize>,
    place: Place,
}

enum Place {
    Page { url: Url, selectors: Vec<Selector>, readings: Vec<Readings> },
    Server { base: Url, queries: Vec<String> },
}

impl Source {
    fn new(observe: &Observe, first: usize) -> Self {
        let place = match &observe.place {
            ObservePlace::Page(url) => {
                let selectors = observe.series.iter().map(|series| Selector {
                    metric: match &series.wanted {
                        Wanted::Metric(text) | Wanted::Query(text) => text.clone(),
                    },
                    labels: series.labels.clone(),
                });
                let readings =
                    observe.series.iter().map(|series| Readings::new(series.aggregate, series.rate));
                let (selectors, readings) = (selectors.collect(), readings.collect());
                Place::Page { url: (**url).clone(), selectors, readings }
            }
            ObservePlace::Server(url) => {
                let queries = observe.series.iter().map(|series| match &series.wanted {
                    Wanted::Metric(text) | Wanted::Query(text) => text.clone(),
                });
                Place::Server { base: (**url).clone(), queries: queries.collect() }
            }
        };
        Self {
            name: observe.name.clone(),
            headers: observe.headers.clone(),
            every: observe.every,
            patience: observe.timeout,
            first,
            told: BTreeSet::new(),
            place,
        }
    }

    /// Asks for the values of `second`.
    async fn ask(&mut self, inquirer: &Inquirer, clock: Clock, second: u64) -> Vec<Observed> {
        let at = clock.now();
        let unix_s = clock.unix_us_now() as f64 / 1e6;
        let asker = Asker { inquirer, headers: &self.headers, patience: self.patience };
        let answers = match &mut self.place {
            Place::Page { url, selectors, readings } => match asker.page(url, selectors).await {
                Ok(found) => {
                    let values = readings.iter_mut().zip(&found);
                    values.map(|(readings, found)| Ok(readings.value(at, found))).collect()
                }
                Err(fault) => vec![Err(fault); selectors.len()],
            },
            Place::Server { base, queries } => asker.queries(base, queries, unix_s).await,
        };
        self.tell_once(&answers);
        notes_of(second, self.first, answers)
    }

    /// Tells of a fault the first time that a series has one.
    fn tell_once(&mut self, answers: &[Result<Option<f64>, String>]) {
        let mut said: Option<&str> = None;
        for (index, answer) in answers.iter().enumerate() {
            let Err(fault) = answer else { continue };
            if self.told.insert(index) && said != Some(fault) {
                let query = match &self.place {
                    Place::Server { queries, .. } => queries.get(index).map_or("", String::as_str),
                    Place::Page { .. } => "",
                };
                let of: String = query.chars().take(60).collect();
                let of = if of.is_empty() { of } else { format!(" (`{of}`)") };
                log::warn!(
                    "observe {}{of}: {fault}. The run goes on without these numbers while that lasts",
                    self.name
                );
            }
            said = Some(fault);
        }
    }

    /// All of the run's time, as a server has it now. What cannot be had stays as it was seen.
    async fn whole_run(self, inquirer: &Inquirer, started_unix_us: u64, elapsed: Moment) -> Vec<Observed> {
        let Place::Server { base, queries } = &self.place else { return Vec::new() };
        let asker = Asker { inquirer, headers: &self.headers, patience: self.patience };
        let steps = (elapsed.since(Moment::ZERO).as_nanos() / self.every.as_nanos()) as u64 + 1;
        let span = Span { start: started_unix_us as f64 / 1e6, step: self.every.as_secs_f64(), steps };
        let (mut ranges, mut told) = (Vec::new(), Vec::new());
        let last = elapsed.as_second();
        let mut too_late = pin!(tokio::time::sleep(END_AT_MOST));
        let mut is_away = None;
        for (index, query) in queries.iter().enumerate() {
            let asking = async {
                match &is_away {
                    Some(fault) => Err(String::clone(fault)),
                    None => asker.range(base, query, &span).await,
                }
            };
            let asked = tokio::select! {
                asked = asking => asked,
                () = &mut too_late => Err(format!("not answered within {}", format_duration(END_AT_MOST))),
            };
            // Behind one that could not be asked, the others are not.
            is_away = asked.as_ref().err().cloned();
            let found = asked.and_then(|answered| answered);
            if let Err(fault) = &found {
                let first = self.first + index;
                let fault = Some(fault.clone());
                told.push(Observed { second: last, first, values: Vec::new(), fault });
            }
            ranges.push(found.ok());
        }
        for step in 0..steps {
            let second = (self.every.as_nanos() * u128::from(step) / 1_000_000_000) as u64;
            // Those without an answer divide the others.
            let mut index = 0;
            for chunk in ranges.split(Option::is_none) {
                if !chunk.is_empty() {
                    let values = chunk.iter().flatten().map(|range| range.get(&step).copied()).collect();
                    told.push(Observed { second, first: self.first + index, values, fault: None });
                }
                index += chunk.len() + 1;
            }
        }
        told
    }
}

/// Notes of a second: neighbours that have an answer stand together, and those with the same fault.
fn notes_of(second: u64, first: usize, answers: Vec<Result<Option<f64>, String>>) -> Vec<Observed> {
    let mut notes: Vec<Observed> = Vec::new();
    for (index, answer) in answers.into_iter().enumerate() {
        let (value, fault) = match answer {
            Ok(value) => (value, None),
            Err(fault) => (None, Some(fault)),
        };
        match notes.last_mut().filter(|last| last.fault == fault) {
            Some(last) => last.values.push(value),
            None => notes.push(Observed { second, first: first + index, values: vec![value], fault }),
        }
    }
    notes
}

/// A time, in steps.
struct Span {
    /// In seconds since 1970.
    start: f64,
    /// In seconds.
    step: f64,
    steps: u64,
}

/// The values of a span's steps, or why there are none.
type Answered = Result<HashMap<u64, f64>, String>;

/// Who asks a source.
struct Asker<'s> {
    inquirer: &'s Inquirer,
    headers: &'s [(String, Hidden<String>)],
    patience: Duration,
}

impl Asker<'_> {
    /// What a page has of each selector.
    async fn page(&self, url: &Url, selectors: &[Selector]) -> Result<Vec<Vec<(u64, f64)>>, String> {
        let mut reader = PageReader::new(selectors);
        let take = |is_success: bool, piece: &[u8]| {
            if is_success {
                reader.take(piece);
            }
        };
        let status = self.patiently(self.inquirer.ask(url, self.headers, PAGE_CAP, take)).await?;
        if (200..300).contains(&status) { reader.finish() } else { Err(format!("HTTP {status}")) }
    }

    /// What each query brings for a moment, in seconds since 1970. Behind one that could not be asked, the others are not.
    async fn queries(&self, base: &Url, queries: &[String], unix_s: f64) -> Vec<Result<Option<f64>, String>> {
        let mut answers = Vec::new();
        for query in queries {
            let pairs = [("query", query.as_str()), ("time", &format!("{unix_s:.3}"))];
            match self.api(base, "query", &pairs, ANSWER_CAP).await {
                Ok(answered) => answers.push(self.judge(base, &answered, instant)),
                Err(fault) => {
                    answers.resize(queries.len(), Err(fault));
                    break;
                }
            }
        }
        answers
    }

    /// What a query brings for a span of time, by its steps, or why nothing; or why it could not be asked.
    async fn range(&self, base: &Url, query: &str, span: &Span) -> Result<Answered, String> {
        let mut found = HashMap::new();
        let mut from = 0;
        while from < span.steps {
            let steps = MOST_STEPS.min(span.steps - from);
            let start = span.start + span.step * from as f64;
            // Not a step more by what is lost in rounding.
            let end = start + span.step * (steps as f64 - 0.5);
            let (start_text, end, step) = (format!("{start:.3}"), format!("{end:.3}"), span.step.to_string());
            let pairs =
                [("query", query), ("start", &start_text), ("end", end.as_str()), ("step", step.as_str())];
            let answered = self.api(base, "query_range", &pairs, PAGE_CAP).await?;
            match self.judge(base, &answered, |body| range(body, start, span.step)) {
                Ok(values) => found.extend(values.into_iter().map(|(step, value)| (from + step, value))),
                Err(fault) => return Ok(Err(fault)),
            }
            from += steps;
        }
        Ok(Ok(found))
    }

    fn judge<T>(
        &self,
        base: &Url,
        (status, body): &(u16, Vec<u8>),
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, String> {
        let read = match status {
            200..300 => read(body),
            _ => Err(match refusal(body) {
                Some(words) => format!("HTTP {status}, {words}"),
                None => format!("HTTP {status}"),
            }),
        };
        read.map_err(|words| without_credentials(words, base, self.headers))
    }

    /// Status and body of what the API of the server at `base` answers.
    async fn api(
        &self,
        base: &Url,
        name: &str,
        pairs: &[(&str, &str)],
        cap: usize,
    ) -> Result<(u16, Vec<u8>), String> {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1", name]);
        }
        url.query_pairs_mut().extend_pairs(pairs);
        let mut body = Vec::new();
        let take = |_: bool, piece: &[u8]| body.extend_from_slice(piece);
        let status = self.patiently(self.inquirer.ask(&url, self.headers, cap, take)).await?;
        Ok((status, body))
    }

    async fn patiently(&self, asked: impl Future<Output = Result<u16, String>>) -> Result<u16, String> {
        let late = || format!("no answer within {}", format_duration(self.patience));
        timeout(self.patience, asked).await.unwrap_or_else(|_| Err(late()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_fate_share_a_note() {
        let no = |why: &str| Err(why.to_owned());
        let answers = vec![Ok(Some(1.0)), Ok(None), no("a"), no("a"), no("b"), Ok(Some(2.0))];
        let told: Vec<(usize, usize, Option<String>)> = notes_of(3, 10, answers)
            .into_iter()
            .map(|note| (note.first, note.values.len(), note.fault))
            .collect();
        let fault = |text: &str| Some(text.to_owned());
        assert_eq!(told, [(10, 2, None), (12, 2, fault("a")), (14, 1, fault("b")), (15, 1, None)]);
        assert_eq!(notes_of(3, 10, Vec::new()), []);
    }
}
