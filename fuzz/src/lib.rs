//! Fuzz targets: each takes any bytes to one parser of ringledger and says what must hold of the outcome.
//!
//! The same functions are driven by libFuzzer (`fuzz/run`) and, over the kept inputs, by a plain test.

mod targets;

use targets::{bodies, fields, files, paths, settings, tokens, websocket};

/// A parser and what must hold of it.
pub struct Target {
    /// The directory of its inputs, below `corpus` and `regressions`.
    pub name: &'static str,
    /// Panics where the parser does something that it must not.
    pub run: fn(&[u8]),
}

/// All of them.
pub static TARGETS: [Target; 17] = [
    Target { name: "account", run: bodies::account },
    Target { name: "batch", run: bodies::batch },
    Target { name: "config", run: settings::config },
    Target { name: "cursor", run: paths::cursor },
    Target { name: "event", run: files::event },
    Target { name: "fields", run: fields::fields },
    Target { name: "head", run: fields::head },
    Target { name: "idempotency_key", run: fields::idempotency_key },
    Target { name: "ledger_line", run: files::ledger_line },
    Target { name: "path", run: paths::path },
    Target { name: "period", run: paths::period },
    Target { name: "postgres_url", run: files::postgres_url },
    Target { name: "query", run: paths::query },
    Target { name: "token", run: tokens::token },
    Target { name: "transfer", run: bodies::transfer },
    Target { name: "user", run: bodies::user },
    Target { name: "websocket", run: websocket::websocket },
];

/// An input of `config` as a start of the program reads it, which is too slow for a fuzzer. Whether it is accepted;
/// `None` of one that is a single value.
pub fn load_whole(bytes: &[u8]) -> Option<bool> {
    settings::whole(bytes)
}
