//! Why a journal cannot be used.

use std::io;
use std::path::PathBuf;

use super::manifest::SCHEMA_VERSION;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no journal.
    #[error("{} is no journal of resurge: it does not begin as one (bytes 0 to 7)", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// Something in it is not what was written.
    #[error("{} is damaged at byte {offset}: {what}. Nothing of it is reported, for what follows cannot be trusted", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A newer program wrote it.
    #[error("{} has schema version {found}, this program reads up to {SCHEMA_VERSION}: use the resurge that wrote it, or a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It ends before its first entry.
    #[error("{} holds nothing: the run ended before it began", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}
