//! An event loop with a thread of its own.
//!
//! In: a name. Out: a handle, on which tasks are spawned. None of their wake-ups crosses to another thread.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// A thread and its event loop. It ends when this is dropped, with all that still runs on it.
#[derive(Debug)]
pub(crate) struct EventLoop {
    handle: Handle,
    /// Ends the loop when dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EventLoop {
    /// Starts a thread of this name.
    ///
    /// # Errors
    /// There is no thread, or no event loop.
    pub(crate) fn start(name: String) -> io::Result<Self> {
        let runtime = single_loop()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            // Nothing is ever sent: the sender's end is the sign.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Where tasks are spawned.
    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("an event loop's thread panicked");
        }
    }
}

/// An event loop for one thread.
pub(crate) fn single_loop() -> io::Result<Runtime> {
    Builder::new_current_thread().max_blocking_threads(16).enable_all().build()
}
