//! The ledger behind Axum, as a good team ships it.

fn main() {}
