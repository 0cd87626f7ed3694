//! loadtest: an open-loop load tester for HTTP/1.1 servers, and the rig that compares ringledger with others.
//!
//! Shares no HTTP code with the servers it measures. From the top down: `compare` runs rounds of scenarios
//! against subjects; `client` puts a [`plan::Plan`] on the wire and returns what was [`seen::Seen`]; `report` shows
//! it.

pub mod cli;
pub mod client;
pub mod compare;
pub mod comparison;
pub mod environment;
pub mod plan;
pub mod probe;
pub mod report;
pub mod requests;
pub mod run;
pub mod scenario;
pub mod seen;
pub mod stats;
pub mod subject;
