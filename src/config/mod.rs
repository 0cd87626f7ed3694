//! Owns the settings: their defaults, where they may come from, what they may
//! be, and which of them can change while the process runs. A leaf: it knows
//! nothing of the ledger, the server or the command line's library.
//!
//! Layers, later wins: built-in defaults, the YAML file of `--config`, `.env`,
//! the environment, flags. Every problem of every layer is reported at once,
//! each with its key, its source and what is allowed.

mod check;
mod choices;
mod entry;
mod error;
mod file;
#[doc(hidden)]
pub mod fuzzing;
mod lines;
mod live;
mod load;
mod settings;
mod store_url;
mod suggest;
mod units;
mod variables;

#[cfg(test)]
mod tests;

pub use check::{TOKEN_TTL_MAX_S, WORKERS_MAX};
pub use choices::{AccessLog, BusyPoll, IoMode, LogFormat, LogLevel, UnknownChoice};
pub use entry::{Origin, shown};
pub use error::{ConfigError, Problem};
pub use live::{Change, Live, LiveAuth, LiveLimits, LiveLog, LiveMetrics};
pub use load::{Loaded, Overrides, Row, Secrets, Sources, load};
pub use settings::{
    Admin, Auth, Ledger, Limits, Log, Metrics, Otlp, RateLimit, Runtime, Server, Settings, Shutdown, Store,
};
pub use store_url::{BadStoreUrl, StoreUrl};
pub use units::{Unit, Units};
