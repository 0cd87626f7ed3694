//! What the binary does: its command line, its commands, and how a server starts and ends. Nothing here is on the way of a
//! request, so this crate is built for size (`Cargo.toml`, `profile.release.package`).

pub mod cli;
pub mod commands;

pub mod app;
use ringledger_server as server;

use ringledger_api as api;
use ringledger_services as services;

use ringledger_ledger::{models, store};

use ringledger_config as config;
use ringledger_runtime as runtime;
use ringledger_telemetry as telemetry;
