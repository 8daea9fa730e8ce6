//! The door of a run through which marks come from outside: a socket in its folder.
//!
//! In: a connection with a mark's text. Out: the mark, and an answer. The socket is the user's alone (mode 0600), and gone with the run. A stranger's bytes
//! cost a little time and nothing else: connections, what is read of them and how long they last are bounded.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::machine::{LocalListener, LocalStream};
use crate::record::MarkBy;

use super::marks::{LONGEST, Marks};

/// The socket's name in the run folder.
pub(super) const SOCKET: &str = "mark.sock";
/// Connections at once.
const MOST_CONNECTIONS: usize = 8;
/// How long a connection may last.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long nobody is let in after the system had no descriptor to give.
const PAUSE: Duration = Duration::from_millis(200);
/// The most that is read of a connection: a text of the greatest length, and a byte more.
const MOST_BYTES: u64 = 4 * LONGEST as u64 + 1;

/// The open door of a run.
pub(in super::super) struct Door {
    path: PathBuf,
    letting_in: JoinHandle<()>,
}

impl Door {
    /// Opens the door of the run in `folder`. Needs a runtime.
    ///
    /// # Errors
    /// Whatever the file system says, as one that holds no sockets.
    pub(in super::super) fn open(folder: &Path, marks: Arc<Marks>) -> io::Result<Self> {
        let listener = LocalListener::bind(folder, SOCKET)?;
        let path = folder.join(SOCKET);
        Ok(Self { path, letting_in: tokio::spawn(let_in(listener, marks)) })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.letting_in.abort();
        if let Err(error) = fs::remove_file(&self.path) {
            log::debug!("{} is left: {error}", self.path.display());
        }
    }
}

async fn let_in(listener: LocalListener, marks: Arc<Marks>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok(stream) => {
                let marks = Arc::clone(&marks);
                tokio::spawn(async move {
                    // Who says nothing is not waited for.
                    let _ = timeout(PATIENCE, hear(stream, &marks)).await;
                    drop(place);
                });
            }
            Err(error) => {
                log::debug!("a mark from outside cannot be heard: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Hears a text to its end, and answers.
async fn hear(mut stream: LocalStream, marks: &Marks) -> io::Result<()> {
    let mut text = Vec::new();
    (&mut stream).take(MOST_BYTES).read_to_end(&mut text).await?;
    let marked = match std::str::from_utf8(&text) {
        Ok(text) => marks.mark_now(MarkBy::Outside, text),
        Err(_) => Err("the mark's text is not UTF-8".to_owned()),
    };
    let answer = match marked {
        Ok(at) => format!("ok {}\n", at.as_us()),
        Err(why) => format!("no {why}\n"),
    };
    stream.write_all(answer.as_bytes()).await
}
