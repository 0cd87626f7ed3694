//! Offers a ledger transfers at a fixed rate, in turn without and with many readers of its events, one of which never
//! reads. Prints one JSON object: what a request took, what readers missed, and the server's memory.
//!
//!     cargo build --release --workspace
//!     target/release/followers --binary target/release/ringledger
//!
//! The ledger lies in the directory for temporary files. Where the disk's syncs vary more than anything that readers
//! cost, `TMPDIR=/dev/shm` leaves the disk out.
//!
//! Each reader but a few follows one account of its own; the few follow everything as an operator does. Exits with 1 if
//! a reader missed an event, saw one twice or out of order, or if the one that is stuck was not cut off.

#![allow(clippy::print_stdout, reason = "the report is what this program is for")]

mod http;
mod ledger;
mod payments;
mod readers;
mod server;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};

use self::ledger::Ledger;
use self::payments::Paid;
use self::readers::Followed;
use self::server::Server;

/// How long readers may take to be told the last events after the last reply.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Transfers at a fixed rate beside many readers of events, of which one is stuck.
#[derive(Parser)]
#[command(version, about)]
struct Options {
    /// The server's program.
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,
    /// Further arguments of `serve`, such as --io=epoll.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    serve: Vec<String>,
    /// A database instead of a file.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// How many readers follow an account each.
    #[arg(long, value_name = "N", default_value_t = 995)]
    accounts: usize,
    /// How many readers follow everything.
    #[arg(long, value_name = "N", default_value_t = 4)]
    operators: usize,
    /// Transfers a second.
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    rate: u32,
    /// Connections that transfers are sent on.
    #[arg(long, value_name = "N", default_value_t = 64)]
    senders: u32,
    /// Seconds of each part.
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u32,
    /// How often both parts are run.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u32,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("followers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all rounds and prints the report; whether everything was as it should be.
fn run(options: &Options) -> io::Result<bool> {
    let server = Server::start(&options.binary, &options.serve, options.store.as_deref())?;
    let ledger = Ledger::open(&server, options.accounts)?;
    let mut rounds = Vec::new();
    let mut is_fine = true;
    for _ in 0..options.rounds {
        let alone = pay(options, &ledger, &server)?;
        let (beside, followed) = pay_beside_readers(options, &ledger, &server)?;
        is_fine &= followed.is_fine() && alone.errors == 0 && beside.errors == 0;
        rounds.push(json!({
            "without": alone.report(),
            "with": beside.report(),
            "p99_ratio": ratio(beside.quantile_us(0.99), alone.quantile_us(0.99)),
            "readers": followed.report(),
        }));
    }
    let report = json!({
        "rate": options.rate,
        "readers": options.accounts + options.operators + 1,
        "rounds": rounds,
        "median_p99_ratio": median(&rounds),
        "fine": is_fine,
    });
    println!("{report:#}");
    Ok(is_fine)
}

fn pay(options: &Options, ledger: &Ledger, server: &Server) -> io::Result<Paid> {
    payments::pay(ledger, server, options.rate, options.senders, options.seconds)
}

fn pay_beside_readers(options: &Options, ledger: &Ledger, server: &Server) -> io::Result<(Paid, Followed)> {
    thread::scope(|scope| {
        let readers = readers::follow(scope, ledger, server, options.operators)?;
        let paid = pay(options, ledger, server)?;
        Ok((paid, readers.finish(ledger, CATCH_UP)?))
    })
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of seconds")]
fn ratio(with: u64, without: u64) -> f64 {
    with as f64 / without.max(1) as f64
}

fn median(rounds: &[Value]) -> f64 {
    let mut ratios: Vec<_> = rounds.iter().filter_map(|round| round["p99_ratio"].as_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
}
