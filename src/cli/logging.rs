//! What is logged, and what is not.
//!
//! In: `RESURGE_LOG`, what the program and its libraries have to say. Out: lines on stderr. Of other crates only warnings and errors are let through, whatever
//! is asked for: at finer levels some of them print what a peer sent, and a peer may send a client's own token back.

use env_logger::{Builder, Env, Logger};
use log::{Level, Log, Metadata, Record};

/// The crate whose lines are let through at every level.
const OWN: &str = env!("CARGO_PKG_NAME");

struct Guarded(Logger);

/// Logs from now on as `RESURGE_LOG` says: a level, or directives as `env_logger` has them.
pub(super) fn start() {
    let logger = Builder::from_env(Env::new().filter_or("RESURGE_LOG", "warn")).build();
    let most = logger.filter();
    // Where there is a logger already, that one stays.
    if log::set_boxed_logger(Box::new(Guarded(logger))).is_ok() {
        log::set_max_level(most);
    }
}

/// Whether a line of `target` may be logged at `level`.
fn may_be_told(target: &str, level: Level) -> bool {
    let is_own = target.strip_prefix(OWN).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    is_own || level <= Level::Warn
}

impl Log for Guarded {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        may_be_told(metadata.target(), metadata.level()) && self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if may_be_told(record.target(), record.level()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_crates_are_heard_only_when_something_is_wrong() {
        let rows = [
            ("resurge", Level::Debug, true),
            ("resurge::run", Level::Trace, true),
            ("resurgence", Level::Debug, false),
            ("tungstenite::protocol", Level::Debug, false),
            ("hyper_util::rt", Level::Info, false),
            ("rustls", Level::Warn, true),
            ("hyper", Level::Error, true),
        ];
        for (target, level, told) in rows {
            assert_eq!(may_be_told(target, level), told, "{target} {level}");
        }
    }
}
