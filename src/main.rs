//! The `resurge` program: parse, dispatch, exit code; nothing else.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Many small allocations for each session: this allocator takes less CPU for them than the system's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    resurge::cli::main().into()
}
