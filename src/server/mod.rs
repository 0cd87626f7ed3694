//! The server: workers, connections and the life of a request.
//!
//! A worker is one pinned thread with its own listener, connections and [`crate::api::Api`]. Nothing here knows
//! what a request means; nothing below knows that there are connections.

mod batches;
mod body;
mod connection;
mod head;
mod live;
mod liveness;
mod parking;
mod request;
mod shares;
mod slow;
mod worker;

pub use connection::serve;
pub use live::LiveSettings;
pub use liveness::{LivenessProbe, LivenessReplies, liveness};
pub use request::{Exchanges, ReplyBody};
pub use shares::Share;
pub use worker::{Stage, Worker, WorkerError, chores};
