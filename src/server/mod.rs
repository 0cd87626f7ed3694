//! The server: workers, connections and the life of a request.
//!
//! A worker is one pinned thread with its own listener, connections and [`crate::api::Api`]. Nothing here knows
//! what a request means; nothing below knows that there are connections.

use crate as server;
use ringledger_api as api;
use ringledger_config as config;
use ringledger_ledger::models;
use ringledger_runtime as runtime;
use ringledger_services as services;
use ringledger_telemetry as telemetry;
use ringledger_web as web;

mod batches;
mod body;
mod connection;
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod live;
mod liveness;
mod parking;
mod request;
mod shares;
mod slow;
mod worker;

pub use connection::serve;
pub use live::LiveSettings;
pub use liveness::{LivenessProbe, LivenessReplies, liveness};
pub use request::{Exchanges, ReplyBody};
pub use shares::Share;
pub use worker::{Stage, Worker, WorkerError, chores};
