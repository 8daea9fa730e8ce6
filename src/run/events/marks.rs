//! The marks of a run: numbered, told to the recorder at once.
//!
//! In: what happened, by whom. Out: notes for the journal. All marks of a run come through here, so no two have one number.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::declare::{Redactor, is_unruly};
use crate::record::{AskedStorm, Mark, MarkBy, Note};

/// The longest text of a mark, in characters.
pub(super) const LONGEST: usize = 200;
/// Marks from outside that a run takes.
const MOST_FROM_OUTSIDE: u32 = 10_000;
/// Outages that begin so long after a mark from outside are named after it.
const WINDOW: Duration = Duration::from_secs(30);

/// Told of each mark.
pub(in super::super) type OnMark = Box<dyn Fn(&Mark) + Send + Sync>;

/// Takes notes for the journal.
pub(in super::super) type OnNote = Box<dyn Fn(Note) + Send + Sync>;

/// Makes the marks of a run.
pub(in super::super) struct Marks {
    clock: Clock,
    note: OnNote,
    redactor: Redactor,
    on_mark: Option<OnMark>,
    next: AtomicU32,
    from_outside: AtomicU32,
}

impl Marks {
    /// None yet. They are told to `note`, and to `on_mark`.
    pub(in super::super) fn new(
        clock: Clock,
        note: OnNote,
        redactor: Redactor,
        on_mark: Option<OnMark>,
    ) -> Self {
        Self { clock, note, redactor, on_mark, next: AtomicU32::new(1), from_outside: AtomicU32::new(0) }
    }

    /// Takes what is secret out of a text.
    pub(super) const fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The number of the next mark.
    pub(super) fn number(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells a mark, or what has become of one.
    pub(super) fn tell(&self, mark: Mark) {
        if let Some(on_mark) = &self.on_mark {
            on_mark(&mark);
        }
        (self.note)(Note::Mark(mark));
    }

    /// A mark of a storm that somebody asked for at `at`. What it struck is known by the storm, so no outage is named after it.
    pub(in super::super) fn mark_storm(&self, at: Moment, storm: AskedStorm) {
        self.tell(Mark {
            number: self.number(),
            name: "storm by hand".to_owned(),
            by: MarkBy::Outside,
            at_us: at.as_us(),
            until_us: None,
            names_until_us: Some(at.as_us()),
            does: None,
            outcome: None,
            storm: Some(storm),
        });
    }

    /// A mark of this moment by somebody outside. Answers with when it was.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub(in super::super) fn mark_now(&self, by: MarkBy, text: &str) -> Result<Moment, String> {
        check_text(text)?;
        if self.from_outside.fetch_add(1, Ordering::Relaxed) >= MOST_FROM_OUTSIDE {
            self.from_outside.store(MOST_FROM_OUTSIDE, Ordering::Relaxed);
            return Err(format!("a run takes {MOST_FROM_OUTSIDE} marks at most"));
        }
        let now = self.clock.now();
        self.tell(Mark {
            number: self.number(),
            name: self.redactor.clean(text),
            by,
            at_us: now.as_us(),
            until_us: None,
            names_until_us: Some((now + WINDOW).as_us()),
            does: None,
            outcome: None,
            storm: None,
        });
        Ok(now)
    }
}

/// Whether a text can be a mark's.
///
/// # Errors
/// A sentence that says what is wrong, and what is allowed.
pub(super) fn check_text(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if text.trim().is_empty() {
        return Err("the mark has no text: say what happened, as \"deploy of 4f2a\"".to_owned());
    }
    if length > LONGEST {
        return Err(format!("the mark's text has {length} characters: at most {LONGEST} are allowed"));
    }
    match text.chars().find(|c| is_unruly(*c)) {
        Some(c) => Err(format!(
            "the mark's text has the character U+{:04X}: line breaks, escapes and other control characters are not allowed",
            c as u32
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_text_is_short_and_plain() {
        let longest = "x".repeat(LONGEST);
        for text in ["deploy of 4f2a", "größer", &longest] {
            assert_eq!(check_text(text), Ok(()), "{text}");
        }
        let too_long = "x".repeat(LONGEST + 1);
        for (text, part) in [
            ("", "no text"),
            (" ", "no text"),
            (too_long.as_str(), "201 characters"),
            ("a\u{1b}[2J", "U+001B"),
            ("a\nb", "U+000A"),
            ("a\u{202e}b", "U+202E"),
            ("a\0", "U+0000"),
        ] {
            let said = check_text(text).unwrap_err();
            assert!(said.contains(part), "{text:?}: {said}");
        }
    }

    #[test]
    fn marks_have_numbers_of_their_own_and_an_end() {
        let told = Arc::<Mutex<Vec<Note>>>::default();
        let note = Arc::clone(&told);
        let note = move |told| note.lock().unwrap().push(told);
        let marks = Marks::new(Clock::start(), Box::new(note), Redactor::new(&["hush-hush".into()]), None);
        assert!(marks.mark_now(MarkBy::Outside, "with hush-hush").is_ok());
        assert!(marks.mark_now(MarkBy::Signal, "\u{1b}").is_err());
        marks.from_outside.store(MOST_FROM_OUTSIDE - 1, Ordering::Relaxed);
        assert!(marks.mark_now(MarkBy::Signal, "the last").is_ok());
        for _ in 0..3 {
            assert!(marks.mark_now(MarkBy::Outside, "one more").unwrap_err().contains("10000 marks"));
        }
        let seen: Vec<_> = told
            .lock()
            .unwrap()
            .iter()
            .map(|note| match note {
                Note::Mark(mark) => (mark.number, mark.name.clone()),
                Note::Observed(_) | Note::Refused(_) => (0, String::new()),
            })
            .collect();
        assert_eq!(seen, [(1, "with …".to_owned()), (2, "the last".to_owned())]);
    }
}
