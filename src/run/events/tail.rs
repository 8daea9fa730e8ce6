//! The last lines of an output, however long that is.
//!
//! In: a pipe, or bytes. Out: the last lines, each short, without secrets and control characters. The pipe is drained on a thread of its own: a program that
//! prints without end costs a bounded amount of memory, and holds up nobody but itself.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::declare::Redactor;
use crate::units::clipped;

/// Lines that are kept.
const MOST_LINES: usize = 20;
/// The longest line in a report, in characters.
const LONGEST_SHOWN: usize = 200;
/// Bytes of a line that are kept until secrets were taken out.
const LONGEST_KEPT: usize = 4 * 1024;

/// The last lines of some bytes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    last: VecDeque<Line>,
    /// The one that is not over.
    open: Line,
}

#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// Its end is missing.
    is_cut: bool,
}

impl Lines {
    /// Takes in what comes next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (text, behind) = rest.split_at(end.unwrap_or(rest.len()));
            rest = behind.get(1..).unwrap_or_default();
            let room = LONGEST_KEPT - self.open.bytes.len();
            self.open.bytes.extend_from_slice(&text[..text.len().min(room)]);
            self.open.is_cut |= text.len() > room;
            if end.is_some() {
                if self.last.len() == MOST_LINES {
                    self.last.pop_front();
                }
                self.last.push_back(std::mem::take(&mut self.open));
            }
        }
    }

    /// The last lines, as everybody may see them.
    pub(super) fn shown(&self, redactor: &Redactor) -> Vec<String> {
        let show = |line: &Line, is_cut: bool| {
            let text = String::from_utf8_lossy(&line.bytes);
            let text = text.trim_end();
            let clean = if is_cut { redactor.clean_cut(text) } else { redactor.clean(text) };
            clipped(&if line.is_cut { clean + "…" } else { clean }, LONGEST_SHOWN)
        };
        let over = self.last.iter().map(|line| show(line, line.is_cut));
        // More may have been to come of the open one.
        let open = (!self.open.bytes.is_empty()).then(|| show(&self.open, true));
        let mut shown: Vec<String> = over.chain(open).collect();
        shown.drain(..shown.len().saturating_sub(MOST_LINES));
        while shown.last().is_some_and(String::is_empty) {
            shown.pop();
        }
        shown
    }
}

/// The last lines of a pipe that is being drained.
pub(super) struct Tail {
    lines: Arc<Mutex<Lines>>,
    /// Ends with the pipe.
    drained: watch::Receiver<()>,
}

impl Tail {
    /// Drains `pipe` from now on.
    ///
    /// # Errors
    /// There is no thread.
    pub(super) fn of(mut pipe: PipeReader) -> io::Result<Self> {
        let lines = Arc::<Mutex<Lines>>::default();
        let (open, drained) = watch::channel(());
        let own = Arc::clone(&lines);
        let drain = move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match pipe.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => own.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        log::debug!("the output of a command cannot be read: {error}");
                        break;
                    }
                }
            }
            drop(open);
        };
        // Where a stranger keeps the pipe open, the thread ends with the process.
        std::thread::Builder::new().name("output".to_owned()).spawn(drain)?;
        Ok(Self { lines, drained })
    }

    /// The last lines so far; those that are still in the pipe get `patience` to come.
    pub(super) async fn shown(mut self, redactor: &Redactor, patience: Duration) -> Vec<String> {
        // An error says that the pipe has ended.
        let _ = tokio::time::timeout(patience, self.drained.changed()).await;
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).shown(redactor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        pieces.iter().for_each(|piece| lines.push(piece));
        lines.shown(&Redactor::new(&["hush-hush-hush".into()]))
    }

    #[test]
    fn the_last_lines_are_kept_in_however_many_pieces_they_come() {
        assert_eq!(shown(&[b"a\nb", b"c\n", b"\n"]), ["a", "bc"]);
        assert_eq!(shown(&[b"no end"]), ["no end"]);
        assert_eq!(shown(&[]), Vec::<String>::new());
        let many: Vec<u8> = (0..100_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let kept = shown(&[&many]);
        assert_eq!((kept.len(), kept[0].as_str(), kept[19].as_str()), (20, "line 99980", "line 99999"));
        let with_open = shown(&[&many, b"open"]);
        assert_eq!((with_open.len(), with_open[19].as_str()), (20, "open"));
    }

    #[test]
    fn a_line_without_end_is_cut_and_costs_no_memory() {
        let mut lines = Lines::default();
        for _ in 0..10_000 {
            lines.push(&[b'x'; 1_000]);
        }
        assert!(lines.open.bytes.capacity() <= 4 * LONGEST_KEPT);
        let shown = lines.shown(&Redactor::default());
        assert_eq!((shown.len(), shown[0].chars().count()), (1, LONGEST_SHOWN));
        assert!(shown[0].ends_with('…'));
    }

    #[test]
    fn no_secret_and_no_escape_is_in_them() {
        assert_eq!(shown(&[b"the hush-hush", b"-hush \x1b[31mred\x1b[0m \xff\r\n"]), ["the … red \u{fffd}"]);
        // What was cut off, by its length or by a kill, may be the beginning of a secret.
        assert_eq!(shown(&[b"a hush-hu"]), ["a "]);
        let long = ["x ".repeat(2_044).as_bytes(), b"hush-hush-hush\n"].concat();
        assert!(shown(&[&long]).iter().all(|line| !line.contains("hush")), "{:?}", shown(&[&long]));
    }
}
