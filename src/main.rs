//! The life of the process.

use std::process::ExitCode;

use ringledger::app::AppFailure;
use ringledger::cli::Invocation;
use ringledger::commands;

/// Gives memory back to the system soon after a burst, and its fast path takes no lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let invocation = match Invocation::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(usage) => usage.exit(),
    };
    match commands::run(invocation) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("ringledger: {failure}");
            exit_code(&failure)
        }
    }
}

/// 78 is `EX_CONFIG` of sysexits(3).
fn exit_code(failure: &AppFailure) -> ExitCode {
    match failure {
        AppFailure::Configuration(_) => ExitCode::from(78),
        AppFailure::Failed(_) => ExitCode::FAILURE,
    }
}
