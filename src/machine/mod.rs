//! What differs from one operating system to the next: the only place that names it.
//!
//! In: what the rest of the program wants of the machine. Out: the same on every system, or that it is not known or not possible here. Each file has a way of
//! Linux, or of any Unix, and one that needs the standard library and Tokio alone. The tests compile and run all of them, whatever the system;
//! `cargo rustc --lib -- --cfg without_linux` compiles the program with what other Unixes have, with `--cfg without_unix` beside it what every other system has.

mod alarm;
mod errors;
mod local_socket;
mod processes;
mod signals;
mod sockets;
mod streams;
mod usage;

pub(crate) use alarm::{ALARM_GRAIN, Alarm};
pub(crate) use errors::is_local_limit;
pub(crate) use local_socket::{LocalListener, LocalStream, ask_local_socket};
#[cfg(feature = "cluster")]
pub(crate) use processes::ask_process_to_end;
pub(crate) use processes::{
    ask_group_to_end, end_group, has_living, open_without_waiting, own_group, signal_of, signal_process,
};
pub(crate) use signals::{HAS_SIGNALS, MarkSignals, mark_this_process};
pub use signals::{StopSignals, survive_file_size_limit, survive_mark_signals};
pub use sockets::local_port_range;
pub(crate) use sockets::{bind_without_port, free_old_connections, narrow_ports};
pub(crate) use streams::{standard_input, standard_output};
#[cfg(feature = "cluster")]
pub(crate) use usage::host_name;
pub use usage::{cores, cpu_time, kernel, local_ports, max_rss_bytes, raise_descriptor_limit, thread_busy};
