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
mod problem;
mod routes;
mod serve;
mod state;
mod writer;

use std::process::ExitCode;

use clap::Parser;

use crate::options::{Options, Variant};
use crate::state::Opened;

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
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = options.workers {
        runtime.worker_threads(workers.get());
    }
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(async {
        match options.variant {
            Variant::Bare => serve::until_signal(options.listen, routes::bare(), || {}).await?,
            Variant::Full | Variant::Lane => {
                let Opened { app, writer, lock } = state::open(options)?;
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
