//! `attempts.csv`: a row for each attempt, written while the run goes on, only where it is asked for.
//!
//! In: stamped samples. Out: rows, behind each other in the order in which it is known what became of each: an attempt that failed has its row with the next
//! one of its client, one that was let in when its session has ended. What a later attempt proves of an earlier one's cause is not in it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use crate::clock::Moment;
use crate::sample::{AttemptEnd, ClientNumber, Life, Outcome, Sample, Stamped, TraceId, WayIn};

/// The file's name in a run folder.
pub const ATTEMPTS_FILE: &str = "attempts.csv";

/// The columns: of the attempt; when its client was in by it, and until when; since when it had been out before; until when it was wanted in, in its last row; the trace in which the service has it, where its requests say one.
pub const ATTEMPTS_HEADER: [&str; 15] = [
    "group",
    "client",
    "kind",
    "outcome",
    "cause",
    "said",
    "due_us",
    "ended_us",
    "in_from_us",
    "in_until_us",
    "ended_by",
    "how",
    "out_from_us",
    "wanted_until_us",
    "trace_id",
];

/// Writes rows of attempts.
#[derive(Debug)]
pub struct AttemptLog {
    writer: csv::Writer<BufWriter<File>>,
    path: PathBuf,
    groups: Vec<String>,
    clients: HashMap<u32, Client>,
    fault: Option<io::Error>,
}

/// What is known of a client.
#[derive(Debug, Default)]
struct Client {
    /// Since when it is out.
    out_from: Moment,
    /// Its last attempt, not written yet.
    last: Option<Row>,
}

/// An attempt.
#[derive(Debug)]
struct Row {
    group: u16,
    end: AttemptEnd,
    ended: Moment,
    out_from: Moment,
    in_from: Option<Moment>,
    in_until: Option<Moment>,
    ended_by: String,
    wanted_until: Option<Moment>,
    trace: Option<TraceId>,
}

impl AttemptLog {
    /// Begins the file in `folder`, where it must not be.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn create(folder: &Path, groups: Vec<String>) -> io::Result<Self> {
        let path = folder.join(ATTEMPTS_FILE);
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let mut writer = csv::Writer::from_writer(BufWriter::new(file));
        writer.write_record(ATTEMPTS_HEADER).map_err(io::Error::from)?;
        Ok(Self { writer, path, groups, clients: HashMap::new(), fault: None })
    }

    /// Takes in a sample.
    pub(super) fn record(&mut self, stamped: &Stamped) {
        let Some(number) = stamped.client.map(ClientNumber::get) else { return };
        match &stamped.sample {
            Sample::Attempt(end) => {
                let client = self.clients.entry(number).or_default();
                let row = Row {
                    group: stamped.group.0,
                    end: end.clone(),
                    ended: stamped.at,
                    out_from: client.out_from,
                    in_from: None,
                    in_until: None,
                    ended_by: String::new(),
                    wanted_until: None,
                    trace: None,
                };
                if let Some(before) = client.last.replace(row) {
                    self.write(number, &before);
                }
            }
            Sample::TakeBack(told) => {
                if let (Sample::Attempt(_), Some(client)) = (&**told, self.clients.get_mut(&number)) {
                    client.last = None;
                }
            }
            Sample::Traced(traced) => {
                let last = self.clients.get_mut(&number).and_then(|client| client.last.as_mut());
                if let Some(row) = last {
                    row.trace = Some(traced.id);
                }
            }
            Sample::Life(life) => self.live(number, life),
            _ => {}
        }
    }

    fn live(&mut self, number: u32, life: &Life) {
        let client = self.clients.entry(number).or_default();
        let last = client.last.as_mut();
        match life {
            Life::Came(due) => client.out_from = *due,
            Life::In(WayIn { at, upgraded, .. }) => {
                if let Some(row) = last {
                    row.ended = *upgraded;
                    row.in_from = Some(*at);
                }
            }
            Life::Out(out) => {
                client.out_from = out.from;
                if let Some(row) = last {
                    row.in_until = Some(out.from);
                    row.ended_by = out.key.to_string();
                }
            }
            Life::Gone { at, upgraded } => {
                let row = client.last.take().map(|row| Row {
                    wanted_until: Some(*at),
                    in_until: row.in_until.or(upgraded.map(|_| *at)),
                    ..row
                });
                self.clients.remove(&number);
                row.iter().for_each(|row| self.write(number, row));
            }
            Life::Failed(..) | Life::Recounted(..) | Life::NotBack(_) => {}
        }
    }

    fn write(&mut self, number: u32, row: &Row) {
        if self.fault.is_some() {
            return;
        }
        let us = |at: Option<Moment>| at.map_or_else(String::new, microseconds);
        let due = Moment::ZERO + row.ended.since(Moment::ZERO).saturating_sub(row.end.latency);
        let (ended_by, how) = row.ended_by.split_once(' ').unwrap_or_default();
        let group = self.groups.get(usize::from(row.group)).map_or("", String::as_str);
        let said = row.end.answer.as_ref().map(|answer| answer.said());
        let cells = [
            group.to_owned(),
            number.to_string(),
            row.end.kind.name().to_owned(),
            row.end.outcome.name().to_owned(),
            row.end.cause.map_or_else(String::new, |cause| cause.name().to_owned()),
            said.unwrap_or_default(),
            microseconds(due),
            microseconds(row.ended),
            us(row.in_from),
            us(row.in_until),
            ended_by.to_owned(),
            how.to_owned(),
            microseconds(row.out_from),
            us(row.wanted_until),
            row.trace.map_or_else(String::new, |trace| trace.to_string()),
        ];
        debug_assert!(row.in_from.is_none() || row.end.outcome == Outcome::Ok);
        let written = self.writer.write_record(cells).map_err(io::Error::from);
        self.keep(written);
    }

    fn keep(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            log::warn!("{} cannot be written: {error}. The run goes on without it", self.path.display());
            self.fault = Some(error);
        }
    }

    /// Hands what was written to the file system.
    pub(super) fn flush(&mut self) {
        if self.fault.is_none() {
            let written = self.writer.flush();
            self.keep(written);
        }
    }

    /// Writes the last rows of those who never went: they gave up, or the run was cut off. Answers with why the file is not whole.
    pub(super) fn finish(mut self) -> Option<String> {
        let mut left: Vec<(u32, Client)> = std::mem::take(&mut self.clients).into_iter().collect();
        left.sort_unstable_by_key(|(number, _)| *number);
        for (number, client) in left {
            client.last.iter().for_each(|row| self.write(number, row));
        }
        self.flush();
        let Self { path, fault, .. } = self;
        fault.map(|error| format!("{} could not be written to its end: {error}", path.display()))
    }
}

/// Microseconds since the run's start, to the nanosecond.
fn microseconds(at: Moment) -> String {
    format!("{}.{:03}", at.as_us(), at.as_ns() % 1_000)
}

/// Puts the files of `parts` behind each other into that of `folder`. Nothing is written where none of them has one.
///
/// # Errors
/// Whatever the file system says.
pub fn join_attempts(parts: &[PathBuf], folder: &Path) -> io::Result<()> {
    let mut joined: Option<BufWriter<File>> = None;
    for part in parts {
        let mut file = match File::open(part.join(ATTEMPTS_FILE)) {
            Ok(file) => io::BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut header = String::new();
        io::BufRead::read_line(&mut file, &mut header)?;
        let out = match &mut joined {
            Some(out) => out,
            None => {
                let path = folder.join(ATTEMPTS_FILE);
                let file = OpenOptions::new().write(true).create_new(true).open(path)?;
                let out = joined.insert(BufWriter::new(file));
                io::Write::write_all(out, header.as_bytes())?;
                out
            }
        };
        io::copy(&mut file, out)?;
    }
    joined.as_mut().map_or(Ok(()), io::Write::flush)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sample::{AttemptKind, CloseKey, GroupId, Initiator, Said, Traced, WayOut, Word};

    fn at(ms: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(ms)
    }

    fn rows(samples: Vec<(u64, Option<u32>, Sample)>) -> Vec<String> {
        let home = tempfile::tempdir().unwrap();
        let mut log = AttemptLog::create(home.path(), vec!["g".into()]).unwrap();
        for (ms, client, sample) in samples {
            let client = client.map(ClientNumber::of);
            log.record(&Stamped { at: at(ms), client, group: GroupId(0), sample });
        }
        assert_eq!(log.finish(), None);
        let text = std::fs::read_to_string(home.path().join(ATTEMPTS_FILE)).unwrap();
        let mut lines = text.lines().map(str::to_owned);
        assert_eq!(lines.next().unwrap(), ATTEMPTS_HEADER.join(","));
        lines.collect()
    }

    fn attempt(kind: AttemptKind, outcome: Outcome, latency: u64) -> Sample {
        Sample::Attempt(AttemptEnd::plain(kind, outcome, Duration::from_millis(latency)))
    }

    fn traced(outcome: Outcome, id: u128) -> Sample {
        Sample::Traced(Box::new(Traced { id: TraceId::of(id), outcome, cause: None }))
    }

    fn way_in(ms: u64) -> Sample {
        Sample::Life(Life::In(WayIn { at: at(ms), upgraded: at(ms), lost_in: None }))
    }

    #[test]
    fn an_attempt_has_one_row_whatever_becomes_of_it() {
        let key = CloseKey::unsaid(Initiator::Target, 1001, None).saying(Said::by_target(Word::Code(1001)));
        let out = WayOut { from: at(5_000), upgraded: at(20), key, is_lost: true };
        let gone = |ms, upgraded: Option<u64>| Life::Gone { at: at(ms), upgraded: upgraded.map(at) }.into();
        let (first, again) = (AttemptKind::First, AttemptKind::Reconnect);
        let told = rows(vec![
            (0, Some(1), Life::Came(at(0)).into()),
            (520, Some(1), attempt(first, Outcome::Ok, 20)),
            (520, Some(1), way_in(20)),
            (5_001, Some(1), Life::Out(Box::new(out)).into()),
            (5_100, Some(1), attempt(again, Outcome::Http403, 100)),
            (5_100, Some(1), traced(Outcome::Http403, 42)),
            (6_000, Some(1), attempt(again, Outcome::Ok, 50)),
            (6_000, Some(1), way_in(5_500)),
            // It was let in, and then it was not.
            (6_500, Some(1), Sample::TakeBack(Box::new(attempt(again, Outcome::Ok, 50)))),
            (6_500, Some(1), attempt(again, Outcome::RefusedClose, 1_050)),
            (9_000, Some(1), gone(9_000, None)),
            (0, None, attempt(first, Outcome::Ok, 1)),
            (3, Some(2), Life::Came(at(3)).into()),
            (4, Some(2), attempt(first, Outcome::TcpRefused, 1)),
        ]);
        assert_eq!(
            told,
            [
                "g,1,first,ok,,,0.000,20000.000,20000.000,5000000.000,target,1001,0.000,,",
                "g,1,reconnect,http_403,,,5000000.000,5100000.000,,,,,5000000.000,,0000000000000000000000000000002a",
                "g,1,reconnect,refused_close,,,5450000.000,6500000.000,,,,,5000000.000,9000000.000,",
                "g,2,first,tcp_refused,,,3000.000,4000.000,,,,,3000.000,,",
            ]
        );
    }

    #[test]
    fn parts_are_joined_under_one_header() {
        let home = tempfile::tempdir().unwrap();
        let parts: Vec<PathBuf> = (0..3).map(|part| home.path().join(part.to_string())).collect();
        for (part, rows) in parts.iter().zip(["h\n1\n", "", "h\n2\n3\n"]) {
            std::fs::create_dir(part).unwrap();
            if !rows.is_empty() {
                std::fs::write(part.join(ATTEMPTS_FILE), rows).unwrap();
            }
        }
        join_attempts(&parts, home.path()).unwrap();
        assert_eq!(std::fs::read_to_string(home.path().join(ATTEMPTS_FILE)).unwrap(), "h\n1\n2\n3\n");
        let nothing = tempfile::tempdir().unwrap();
        join_attempts(&parts[1..2], nothing.path()).unwrap();
        assert!(!nothing.path().join(ATTEMPTS_FILE).exists());
    }
}
