//! ringledger: a payments ledger behind HTTP whose tail latency stays flat.
//!
//! The layers, from the top down. Each may name those below it, none above; `web`, `runtime`, `telemetry`, `config`
//! and `assets` are leaves that know nothing of the ledger. `ARCHITECTURE.md` tells the way of a request.
//!
//! Each layer is a crate of its own in its directory (what starts, `app` and `commands`, is one, and so are `models` and
//! `store`), so that each can be built for speed or for size (`Cargo.toml`, `profile.release.package`) and none can name one
//! above it.

pub use ringledger_program::{app, cli, commands};
pub use ringledger_server as server;

pub use ringledger_api as api;
pub use ringledger_services as services;

pub use ringledger_ledger::{models, store};

pub use ringledger_config as config;
pub use ringledger_runtime as runtime;
pub use ringledger_telemetry as telemetry;
pub use ringledger_web as web;
