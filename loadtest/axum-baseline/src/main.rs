//! The ledger behind Axum, as a good team ships it: the life of the process.
//!
//! `README.md` tells each choice and its reason.

mod cpu;
mod error;
mod extract;
mod json;
mod layers;
mod ledger;
mod logging;
mod measure;
mod options;
mod postgres;
mod problem;
mod routes;
mod serve;
mod sqlite;
mod state;
mod writer;

use std::process::ExitCode;

use clap::Parser;

use crate::options::{Options, Variant};
use crate::state::Started;

/// The allocator of ringledger.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why the process ends with an error.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] ringledger::store::StoreError),
    #[error(transparent)]
    Key(#[from] ringledger::services::tokens::KeyError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error("pool: {0}")]
    Pool(#[from] deadpool::managed::BuildError),
    #[error(transparent)]
    Settings(#[from] ringledger::app::AppFailure),
    #[error("DATABASE_URL: {0}")]
    Url(#[from] ringledger::config::BadStoreUrl),
    #[error(transparent)]
    Postgres(#[from] postgres::PostgresError),
    #[error("the database knows another signing key; copy signing.key of the other server's data directory")]
    OtherKey,
    #[error("the unordered variant is for Postgres: set DATABASE_URL")]
    Unordered,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let log = logging::start();
    let ended = run(&options);
    // Writes out what waits, so that the reason below is the last line.
    drop(log);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("axum-baseline: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let opened = match options.variant {
        Variant::Bare => None,
        Variant::Full | Variant::Unordered | Variant::Lane => Some(state::open(options)?),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = options.workers {
        runtime.worker_threads(workers.get());
    }
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(async {
        match opened {
            None => serve::until_signal(options.listen, routes::bare(), || {}).await?,
            Some(opened) => {
                let Started { app, writer, lock } = state::start(options, opened)?;
                let upkeep = tokio::spawn(measure::keep_up(app.prometheus.clone()));
                let router = layers::around(routes::full()).with_state(app.clone());
                let draining = app.clone();
                serve::until_signal(options.listen, router, move || draining.drain()).await?;
                upkeep.abort();
                state::close(app, writer)?;
                drop(lock);
            }
        }
        Ok(())
    })
}
