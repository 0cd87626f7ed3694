//! The settings that may change while the process runs, and what changed
//! between two loads. Plain data: who watches and who applies is elsewhere.

use serde::Serialize;

use super::entry::{leaves, text};
use super::settings::{Limits, Log, Metrics, RateLimit, Settings};

/// The reloadable part of [`Settings`], under the same keys. All else needs a
/// restart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Live {
    /// `log.*`
    pub log: Log,
    /// `rate_limit.*`
    pub rate_limit: RateLimit,
    /// The bounds of bodies and the deadlines of `limits.*`.
    pub limits: LiveLimits,
    /// `metrics.*`
    pub metrics: Metrics,
}

/// The reloadable limits; units and meaning as in [`Limits`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field is documented in `Limits`")]
pub struct LiveLimits {
    pub body_bytes: usize,
    pub batch_body_bytes: usize,
    pub head_timeout_ms: u64,
    pub body_timeout_ms: u64,
    pub idle_timeout_ms: u64,
    pub write_timeout_ms: u64,
    pub request_timeout_ms: u64,
    pub batch_timeout_ms: u64,
}

/// One setting that differs. An absent value is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Dotted key.
    pub key: String,
    /// Value before.
    pub from: Option<String>,
    /// Value after.
    pub to: Option<String>,
}

impl From<&Limits> for LiveLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            body_bytes: limits.body_bytes,
            batch_body_bytes: limits.batch_body_bytes,
            head_timeout_ms: limits.head_timeout_ms,
            body_timeout_ms: limits.body_timeout_ms,
            idle_timeout_ms: limits.idle_timeout_ms,
            write_timeout_ms: limits.write_timeout_ms,
            request_timeout_ms: limits.request_timeout_ms,
            batch_timeout_ms: limits.batch_timeout_ms,
        }
    }
}

impl From<&Settings> for Live {
    fn from(settings: &Settings) -> Self {
        Self {
            log: settings.log.clone(),
            rate_limit: settings.rate_limit.clone(),
            limits: LiveLimits::from(&settings.limits),
            metrics: settings.metrics.clone(),
        }
    }
}

impl Live {
    /// What turns `self` into `other`, in the order of the keys.
    pub fn diff(&self, other: &Self) -> Vec<Change> {
        // Both have the same fields, so the same keys in the same order.
        let pairs = leaves(self).into_iter().zip(leaves(other).into_values());
        pairs
            .map(|((key, from), to)| Change { key, from: text(&from), to: text(&to) })
            .filter(|change| change.from != change.to)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogLevel;

    fn change(key: &str, from: Option<&str>, to: Option<&str>) -> Change {
        Change { key: key.to_owned(), from: from.map(str::to_owned), to: to.map(str::to_owned) }
    }

    #[test]
    fn lists_each_change_once_in_order() {
        let mut settings = Settings::default();
        let before = Live::from(&settings);
        settings.rate_limit.per_second = Some(50);
        settings.log.level = LogLevel::Debug;
        settings.limits.body_bytes = 2048;
        settings.metrics.public = false;
        let after = Live::from(&settings);
        assert_eq!(
            before.diff(&after),
            [
                change("limits.body_bytes", Some("65536"), Some("2048")),
                change("log.level", Some("info"), Some("debug")),
                change("metrics.public", Some("true"), Some("false")),
                change("rate_limit.per_second", None, Some("50")),
            ]
        );
    }

    #[test]
    fn settings_that_need_a_restart_make_no_change() {
        let mut settings = Settings::default();
        let before = Live::from(&settings);
        settings.runtime.workers = Some(3);
        settings.limits.lane_queue = 1;
        assert_eq!(before.diff(&Live::from(&settings)), []);
    }

    #[test]
    fn keys_are_those_of_the_settings() {
        let settings = Settings::default();
        let all = leaves(&settings);
        for (key, value) in leaves(&Live::from(&settings)) {
            assert_eq!(all.get(&key), Some(&value), "{key}");
        }
    }
}
