//! The command line. Knows nothing of what is done with it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// The ledger behind Axum.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Directory of the ledger and its signing key, as ringledger keeps them
    #[arg(long, default_value = "./data")]
    pub(crate) data: PathBuf,
    /// A Postgres database to keep the ledger in, instead of a file in the data directory
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Connections to it at most
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) pool_size: u16,
    /// Worker threads of the runtime; one a core unless told
    #[arg(long)]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Read the store on the runtime's threads instead of blocking ones
    #[arg(long)]
    pub(crate) inline_reads: bool,
    /// Jobs of CPU work that run at once; one a core unless told, 0 for as many as tokio starts threads for
    #[arg(long, value_name = "N")]
    pub(crate) cpu_permits: Option<usize>,
    /// What is served, and how transfers are stored
    #[arg(long, value_enum, default_value_t = Variant::Full)]
    pub(crate) variant: Variant,
}

/// Which of the three comparisons the process stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Variant {
    /// All layers, one transaction for each request
    Full,
    /// All layers; on Postgres, transfers lock rows and promise no order of the ledger's events
    Unordered,
    /// All layers; what changes the ledger goes through ringledger's posting lane, which batches
    Lane,
    /// No layers, no access lines, no store: /plaintext and /json alone
    Bare,
}
