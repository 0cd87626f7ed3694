//! Kills server and database again and again under load and prints what came of it.
//!
//!     cargo build --release --workspace
//!     target/release/campaign --store postgres
//!
//! Exits with 1 if an invariant does not hold or an order was never answered.

#![allow(clippy::print_stdout, reason = "the report is what this program is for")]

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use campaign::{Options, Plan, Report, Store, run};

/// Kills server and database under load, resends every lost answer, and audits the ledger from outside.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// The server's program; by default the one beside this program.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where the ledger is kept: a file, or a throwaway Postgres cluster.
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Kind,
    /// Kills of the server.
    #[arg(long, value_name = "N", default_value_t = 50)]
    kills: usize,
    /// Kills of Postgres.
    #[arg(long, value_name = "N", default_value_t = 10)]
    postgres_kills: usize,
    /// Clients that place orders, one after the other each.
    #[arg(long, value_name = "N", default_value_t = 32)]
    clients: usize,
    /// Accounts that money moves between.
    #[arg(long, value_name = "N", default_value_t = 64)]
    accounts: usize,
    /// Orders that must have been answered at the end.
    #[arg(long, value_name = "N", default_value_t = 25_000)]
    answered: u64,
    /// Tells orders and strikes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Further arguments of `serve`, such as --io=epoll.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    serve: Vec<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Sqlite,
    Postgres,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match campaign(&arguments) {
        Ok(report) => {
            if arguments.json {
                println!("{:#}", report.to_json());
            } else {
                println!("{report}");
            }
            if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("campaign: {error}");
            ExitCode::FAILURE
        }
    }
}

fn campaign(arguments: &Arguments) -> io::Result<Report> {
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => env::current_exe()?.with_file_name("ringledger"),
    };
    let (store, postgres_kills) = match arguments.store {
        Kind::Sqlite => (Store::Sqlite, 0),
        Kind::Postgres => (Store::Postgres, arguments.postgres_kills),
    };
    let options = Options {
        clients: arguments.clients,
        accounts: arguments.accounts,
        seed: arguments.seed,
        arguments: arguments.serve.clone(),
        ..Options::new(binary, store)
    };
    let plan = Plan { server_kills: arguments.kills, postgres_kills, answered: arguments.answered };
    run(&options, plan, |so_far| {
        eprint!("\r{} and {} kills", so_far.server_kills, so_far.postgres_kills);
    })
}
