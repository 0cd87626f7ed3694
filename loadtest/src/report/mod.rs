//! Shows runs and comparisons to people. Knows nothing of sockets and processes.

pub mod html;
