//! The feed of events: its handshake, its protocol, what it tells whom, and how it ends.

mod client;
mod drain;
mod feed;
mod handshake;
mod protocol;
mod replicas;

pub(crate) use client::Follower;

/// Runs a case on a runtime of its own, since cases on both engines are plain functions.
fn block_on<T>(case: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case)
}
