//! What every store must do, and what is one database's own.
//!
//! [`contract`] holds the cases. They speak the public API of `ringledger::store` through [`ledger::Ledger`] and
//! know no database. A database joins with a file of its own that says where its ledgers are kept
//! ([`ledger::Fixture`]) and has one line: `contract_on!(…)`. [`tampering`] is what an audit must find on each.

mod contract;
mod kinds;
mod ledger;
mod postgres;
mod sqlite;
mod tampering;
