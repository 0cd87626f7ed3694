//! What may change in a worker while it serves, in one piece: who takes it over takes over all of it.

use std::sync::Arc;
use std::time::Duration;

use crate::api::About;
use crate::config::LiveLimits;
use crate::services::Keyring;
use crate::telemetry::access::Sampling;

/// The settings that a worker goes over to when it is told.
#[derive(Debug, Clone)]
pub struct LiveSettings {
    /// Bounds of bodies, and deadlines.
    pub limits: LiveLimits,
    /// Which requests leave an access line.
    pub access: Sampling,
    /// How long a request may take before its time is told in parts.
    pub slow: Duration,
    /// Whether anyone may read metrics.
    pub metrics_public: bool,
    /// Whose tokens are accepted.
    pub keys: Keyring,
    /// What the dashboard tells of the process.
    pub about: Arc<About>,
}
