//! What the process tells about itself: log lines and the ids that tie them together.
//!
//! A leaf that knows nothing of the domain or of HTTP semantics.

pub mod ids;
pub mod logging;
pub mod request_id;
