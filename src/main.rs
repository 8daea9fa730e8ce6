//! The `resurge` program: parse, dispatch, exit code; nothing else.

fn main() {}
