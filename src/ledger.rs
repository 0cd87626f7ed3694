//! The ledger without anybody who asks: its domain and what keeps it. One crate, since a store says of the domain's types
//! how a database spells them.

pub mod models;
pub mod store;

use ringledger_runtime as runtime;
use ringledger_telemetry as telemetry;
