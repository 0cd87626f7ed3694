//! ringledger: a payments ledger behind HTTP whose tail latency stays flat.
//!
//! The modules, from the top down. Each may name those below it, none above; `web`, `runtime`, `telemetry` and
//! `config` are leaves that know nothing of the ledger. `ARCHITECTURE.md` tells the way of a request.

pub mod cli;
pub mod commands;

pub mod app;
pub mod server;

pub mod api;
pub mod services;

pub mod store;

pub mod models;

pub mod config;
pub mod runtime;
pub mod telemetry;
pub mod web;
