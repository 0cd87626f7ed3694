//! What the process tells about itself: log lines, metrics, and the ids that tie lines together.
//!
//! A leaf that knows nothing of the domain or of HTTP semantics.

pub mod access;
mod clock;
pub mod ids;
mod log_writer;
pub mod logging;
pub mod metrics;
pub mod otlp;
pub mod request_id;
pub mod split;

pub use log_writer::DroppedLines;
