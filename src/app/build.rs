//! What this program was built from. Knows nothing of what it does.

use crate::telemetry::metrics::Build;

/// Version, commit and optional features.
pub const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    commit: env!("RINGLEDGER_COMMIT"),
    features: env!("RINGLEDGER_FEATURES"),
};
