//! Shows runs and comparisons to people. Knows nothing of sockets and processes.

pub mod comparison;
pub mod html;
