//! The one binary: server, command line client and, under another name, `vault` or `bao`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    holdfast::cli::run(std::env::args_os())
}
