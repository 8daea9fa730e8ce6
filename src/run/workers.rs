//! The workers: threads that carry the clients, each with an event loop of its own.
//!
//! In: how many. Out: their handles. A client stays on its worker, so none of its wake-ups crosses to another thread: for the same sessions
//! that takes a fifth less CPU than one loop over all threads.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// Threads that carry clients. They end when this is dropped, with all that still runs on them.
pub(crate) struct Workers {
    workers: Vec<Worker>,
}

struct Worker {
    handle: Handle,
    /// Ends the worker when dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` workers, at least one.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let workers = (0..count.max(1)).map(Worker::start).collect::<io::Result<_>>()?;
        Ok(Self { workers })
    }

    /// The workers' runtimes; never none.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.workers.iter().map(|worker| &worker.handle)
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = single_loop()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(format!("resurge-{number}")).spawn(move || {
            // Nothing is ever sent: the sender's end is the sign.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("a worker's thread panicked");
        }
    }
}

/// An event loop for one thread.
pub(crate) fn single_loop() -> io::Result<Runtime> {
    Builder::new_current_thread().max_blocking_threads(16).enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_is_one_thread_and_ends_with_its_owner() {
        let workers = Workers::start(3).unwrap();
        let mut threads = Vec::new();
        for handle in workers.handles() {
            let (first, second) = single_loop().unwrap().block_on(async {
                let ask = || handle.spawn(async { std::thread::current().id() });
                (ask().await.unwrap(), ask().await.unwrap())
            });
            assert_eq!(first, second);
            threads.push(first);
        }
        let distinct: std::collections::HashSet<_> = threads.iter().collect();
        assert_eq!(distinct.len(), 3);
        let forever = workers.handles().next().unwrap().spawn(std::future::pending::<()>());
        drop(workers);
        assert!(single_loop().unwrap().block_on(forever).unwrap_err().is_cancelled());
    }
}
