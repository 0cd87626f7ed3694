//! The targets by what they read.

pub(crate) mod bodies;
pub(crate) mod fields;
pub(crate) mod files;
pub(crate) mod paths;
pub(crate) mod settings;
pub(crate) mod tokens;
pub(crate) mod websocket;
