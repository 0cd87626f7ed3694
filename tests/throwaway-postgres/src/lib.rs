//! Postgres clusters for tests that may break them, and a proxy that misbehaves.
//!
//! A [`Cluster`] is made from the installed programs ([`Binaries`]) in a directory of its own and is gone with its
//! value, with a panic, and with a process that is killed. It can be stopped, frozen, killed, restarted and copied into
//! a standby. A [`Proxy`] stands between a client and a cluster and delays, stalls or cuts what goes by, an answer to
//! `COMMIT` for one.
//!
//! Knows nothing of who uses it: no HTTP, no ledger. Linux only, since it finds the processes of a cluster in `/proc`.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use throwaway_postgres::{Cluster, ClusterOptions};
//!
//! let mut cluster = Cluster::start(&ClusterOptions::new().setting("max_connections", "20"))?;
//! let database = cluster.database()?;
//! cluster.query(&database, "create table t as select 1 as n")?;
//! cluster.kill9()?;
//! cluster.start_again()?;
//! assert_eq!(cluster.query(&database, "select n from t")?, [["1"]]);
//! # Ok(())
//! # }
//! ```
//!
//! `pgtemp` and `postgresql_embedded` start a server for tests, too. The first has `fsync` off, needs `sudo` when run as
//! root and leaves the server behind when the tests are killed; the second downloads its own. Neither has standbys or
//! faults.

mod account;
mod binaries;
mod cluster;
mod error;
mod processes;
mod proxy;
mod scratch;
mod site;
mod standby;

pub use binaries::{Binaries, NoPostgres};
pub use cluster::{Cluster, ClusterOptions, Rows, StopMode};
pub use error::Error;
pub use postgres::Client;
pub use proxy::{CommitLoss, Proxy, Sprung};
pub use standby::Replication;
