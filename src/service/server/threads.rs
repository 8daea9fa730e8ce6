//! The threads that a target is served by.
//!
//! In: how many. Out: a handle, on which its tasks are spawned; they end when it is dropped.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::event_loop::EventLoop;

/// The threads of a target.
#[derive(Debug)]
pub(super) enum Threads {
    /// One, which wakes no other for a share of the work: a futex and two switches less for each session.
    One(EventLoop),
    /// Several that share the work.
    Many { handle: Handle, runtime: Option<Runtime> },
}

impl Threads {
    /// Starts `count` threads, at least one.
    ///
    /// # Errors
    /// There is no thread.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        if count <= 1 {
            return EventLoop::start("target".to_owned()).map(Self::One);
        }
        let runtime =
            Builder::new_multi_thread().worker_threads(count).thread_name("target").enable_all().build()?;
        Ok(Self::Many { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Where tasks are spawned.
    pub(super) const fn handle(&self) -> &Handle {
        match self {
            Self::One(event_loop) => event_loop.handle(),
            Self::Many { handle, .. } => handle,
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime that is dropped inside another one would panic: let its threads go instead.
        if let Self::Many { runtime, .. } = self
            && let Some(runtime) = runtime.take()
        {
            runtime.shutdown_background();
        }
    }
}
