//! The children of a parent: started, told, heard, and gone when their parent is done with them.
//!
//! In: what each has to run. Out: what they report, over one channel. A child is in a process group of its own, so that the terminal's Ctrl-C comes to the
//! parent alone. Each is waited for: none is left as an orphan or a zombie.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::machine::{own_group, signal_of};
use crate::plan::Share;

use super::channel::{Channel, Heard};
use super::protocol::{Order, Preparation, Report, line, read, unpacked};
use super::roll::Patience;

/// How long a child may say nothing while the run goes on: it tells its numbers each second.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// And once its time is over, while its target sees the last sessions end.
const SILENT_AT_THE_END: Duration = Duration::from_secs(15);

/// All children of a run.
pub(super) struct Children {
    all: Vec<Handle>,
    heard: mpsc::Receiver<(Share, Heard)>,
    kill: watch::Sender<bool>,
}

struct Handle {
    share: Share,
    /// Gone once it cannot be written to any more.
    input: Option<ChildStdin>,
    watching: JoinHandle<()>,
}

impl Children {
    /// Starts a child for each of `of` shards and tells it what to run; its folder is `folder/<shard>`.
    ///
    /// # Errors
    /// A process cannot be started. Those that were are gone then.
    pub(super) async fn start(of: u32, preparation: &Preparation, folder: &Path) -> io::Result<Self> {
        let (sender, heard) = mpsc::channel(64 + of as usize);
        let (kill, killed) = watch::channel(false);
        let mut children = Self { all: Vec::new(), heard, kill };
        for share in Share::all(of) {
            match spawn(share, preparation) {
                Ok((child, input, output)) => {
                    let watching =
                        tokio::spawn(watch_child(share, child, output, sender.clone(), killed.clone()));
                    children.all.push(Handle { share, input: Some(input), watching });
                }
                Err(error) => {
                    children.end().await;
                    return Err(error);
                }
            }
            let out = folder.join(share.shard().to_string());
            let own = Preparation { out, ..preparation.clone() };
            children.tell(share, &Order::Prepare(Box::new(own))).await;
        }
        Ok(children)
    }
}

impl Channel for Children {
    /// A child that does not hear is on its way out, which is heard of.
    async fn tell(&mut self, share: Share, order: &Order) {
        let handle = self.all.iter_mut().find(|handle| handle.share == share);
        let Some(handle) = handle else { return };
        let Some(input) = &mut handle.input else { return };
        let told = async {
            input.write_all(line(order).as_bytes()).await?;
            input.flush().await
        };
        if let Err(error) = told.await {
            log::debug!("shard {share} does not hear: {error}");
            handle.input = None;
        }
    }

    async fn tell_all(&mut self, order: &Order) {
        let shares: Vec<Share> = self.all.iter().map(|handle| handle.share).collect();
        for share in shares {
            self.tell(share, order).await;
        }
    }

    async fn hear(&mut self) -> Option<(Share, Heard)> {
        self.heard.recv().await
    }

    fn patience(&self) -> Patience {
        Patience {
            silent_after: SILENT_AFTER,
            silent_at_the_end: SILENT_AT_THE_END,
            lost_after: None,
            alone: "by a signal of its own (SIGINT, SIGTERM or SIGHUP)",
        }
    }

    fn kill(&self) {
        self.kill.send_replace(true);
    }

    async fn end(mut self) {
        self.kill();
        // Whoever waits for room to report must not wait for ever.
        self.heard.close();
        while self.heard.recv().await.is_some() {}
        for handle in self.all {
            let watched = handle.watching.await;
            drop(watched);
        }
    }
}

fn spawn(share: Share, preparation: &Preparation) -> io::Result<(Child, ChildStdin, ChildStdout)> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.arg("run").arg(&preparation.scenario).arg("--shard").arg(share.to_string()).arg("--under-parent");
    // Where a shard fails is the parent's to say.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    own_group(command.as_std_mut());
    command.kill_on_drop(true);
    let mut child = command.spawn()?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(input), Some(output)) => Ok((child, input, output)),
        _ => Err(io::Error::other("a child without pipes")),
    }
}

/// Hears a child until its output ends, and waits until it is gone.
async fn watch_child(
    share: Share,
    mut child: Child,
    output: ChildStdout,
    heard: mpsc::Sender<(Share, Heard)>,
    mut killed: watch::Receiver<bool>,
) {
    let mut lines = BufReader::new(output).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line,
            () = until(&mut killed) => break,
        };
        let Ok(Some(line)) = line else { break };
        match read(&line) {
            Some(Report::Second { groups }) => match unpacked(&groups) {
                Some(groups) => drop(heard.send((share, Heard::Second(groups))).await),
                None => log::warn!("a second of shard {share} cannot be read; its journal has it"),
            },
            Some(report) => {
                // Where nobody listens, there is nobody to tell.
                let _ = heard.send((share, Heard::Report(report))).await;
            }
            None => log::warn!("shard {share} says what is no report ({} bytes)", line.len()),
        }
    }
    let ended = tokio::select! {
        ended = child.wait() => ended,
        () = until(&mut killed) => {
            // One that is gone already cannot be killed.
            let _ = child.start_kill();
            child.wait().await
        }
    };
    let how = match ended {
        Ok(status) => words(status),
        Err(error) => format!("it cannot be waited for: {error}"),
    };
    let _ = heard.send((share, Heard::Gone(how))).await;
}

/// Until the parent wants its children gone, or is gone itself.
async fn until(killed: &mut watch::Receiver<bool>) {
    drop(killed.wait_for(|killed| *killed).await);
}

/// How a process ended, as the end of a sentence about it.
fn words(status: ExitStatus) -> String {
    match (signal_of(status), status.code()) {
        (Some(9), _) => "it was killed (signal 9: by somebody, or for want of memory)".to_owned(),
        (Some(signal), _) => format!("it was ended by signal {signal}"),
        (None, Some(101)) => "it panicked (exit code 101)".to_owned(),
        (None, Some(code)) => format!("it ended with exit code {code}"),
        (None, None) => "it ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn the_end_of_a_process_is_told_in_words() {
        for (raw, part) in
            [(9, "signal 9"), (15, "signal 15"), (101 << 8, "panicked"), (3 << 8, "exit code 3")]
        {
            let text = words(ExitStatus::from_raw(raw));
            assert!(text.contains(part), "{raw}: {text}");
        }
    }
}
