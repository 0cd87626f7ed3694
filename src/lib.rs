//! ringledger
pub mod models;
