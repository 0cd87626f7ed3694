//! The life of the load tester's process: read the command line, carry the command out, say what came of it.

use std::process::ExitCode;

use clap::Parser;
use loadtest::cli::{Cli, Command};
use loadtest::{compare, run};

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Compare(arguments) => return compare::command(&arguments),
        Command::List => return list(),
    };
    match outcome {
        Ok(report) => print(&report),
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
fn print(report: &loadtest::report::RunReport) -> ExitCode {
    print!("{}", loadtest::report::text::run(report));
    if report.ok > 0 && report.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "the list is what the command is for")]
fn list() -> ExitCode {
    print!("{}", compare::list());
    ExitCode::SUCCESS
}
