//! The settings that may change while the process runs, and what changed
//! between two loads. Plain data: who watches and who applies is elsewhere.

use std::path::PathBuf;

use serde::Serialize;

use super::choices::{AccessLog, LogLevel};
use super::entry::{leaves, text};
use super::settings::{Limits, RateLimit, Settings};

/// The reloadable part of [`Settings`], under the same keys. All else needs a
/// restart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Live {
    /// `auth.*`
    pub auth: LiveAuth,
    /// `log.*`
    pub log: LiveLog,
    /// `rate_limit.*`
    pub rate_limit: RateLimit,
    /// The bounds of bodies and the deadlines of `limits.*`.
    pub limits: LiveLimits,
    /// `metrics.*`
    pub metrics: LiveMetrics,
}

/// Where keys are; meaning as in [`super::Auth`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field is documented in `Auth`")]
pub struct LiveAuth {
    pub key_file: Option<PathBuf>,
    pub key_dir: Option<PathBuf>,
}

/// What is logged; units and meaning as in [`super::Log`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field is documented in `Log`")]
pub struct LiveLog {
    pub level: LogLevel,
    pub filter: Option<String>,
    pub access: AccessLog,
    pub slow_ms: u64,
}

/// Who may scrape; meaning as in [`super::Metrics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field is documented in `Metrics`")]
pub struct LiveMetrics {
    pub public: bool,
}

/// The reloadable limits; units and meaning as in [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field is documented in `Limits`")]
pub struct LiveLimits {
    pub body_bytes: usize,
    pub batch_body_bytes: usize,
    pub head_timeout_ms: u64,
    pub body_timeout_ms: u64,
    pub idle_timeout_ms: u64,
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
            request_timeout_ms: limits.request_timeout_ms,
            batch_timeout_ms: limits.batch_timeout_ms,
        }
    }
}

impl From<&Settings> for Live {
    fn from(settings: &Settings) -> Self {
        Self {
            auth: LiveAuth {
                key_file: settings.auth.key_file.clone(),
                key_dir: settings.auth.key_dir.clone(),
            },
            log: LiveLog {
                level: settings.log.level,
                filter: settings.log.filter.clone(),
                access: settings.log.access,
                slow_ms: settings.log.slow_ms,
            },
            rate_limit: settings.rate_limit.clone(),
            limits: LiveLimits::from(&settings.limits),
            metrics: LiveMetrics { public: settings.metrics.public },
        }
    }
}

impl Settings {
    /// These settings, with the reloadable ones of `other`.
    #[must_use]
    pub fn with_live_of(mut self, other: &Self) -> Self {
        let live = Live::from(other);
        (self.auth.key_file, self.auth.key_dir) = (live.auth.key_file, live.auth.key_dir);
        (self.log.level, self.log.filter) = (live.log.level, live.log.filter);
        (self.log.access, self.log.slow_ms) = (live.log.access, live.log.slow_ms);
        self.rate_limit = live.rate_limit;
        self.metrics.public = live.metrics.public;
        let LiveLimits {
            body_bytes,
            batch_body_bytes,
            head_timeout_ms,
            body_timeout_ms,
            idle_timeout_ms,
            request_timeout_ms,
            batch_timeout_ms,
        } = live.limits;
        self.limits = Limits {
            body_bytes,
            batch_body_bytes,
            head_timeout_ms,
            body_timeout_ms,
            idle_timeout_ms,
            request_timeout_ms,
            batch_timeout_ms,
            ..self.limits
        };
        self
    }

    /// What turns `self` into `other`, in the order of the keys, without
    /// secrets: those that are reloadable, and those that need a restart.
    pub fn diff(&self, other: &Self) -> (Vec<Change>, Vec<Change>) {
        let reloadable = leaves(&Live::from(self));
        // Both have the same fields, so the same keys in the same order.
        let pairs = leaves(self).into_iter().zip(leaves(other).into_values());
        let changes = pairs.map(|((key, from), to)| Change { key, from: text(&from), to: text(&to) });
        changes
            .filter(|change| change.from != change.to)
            .partition(|change| reloadable.contains_key(&change.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogLevel;

    fn change(key: &str, from: Option<&str>, to: Option<&str>) -> Change {
        Change { key: key.to_owned(), from: from.map(str::to_owned), to: to.map(str::to_owned) }
    }

    #[test]
    fn lists_each_change_once_in_order() {
        let before = Settings::default();
        let mut after = before.clone();
        after.rate_limit.per_second = Some(50);
        after.log.level = LogLevel::Debug;
        after.limits.body_bytes = 2048;
        after.metrics.public = false;
        after.runtime.workers = Some(3);
        after.limits.lane_queue = 1;
        let (reloadable, others) = before.diff(&after);
        assert_eq!(
            reloadable,
            [
                change("limits.body_bytes", Some("65536"), Some("2048")),
                change("log.level", Some("info"), Some("debug")),
                change("metrics.public", Some("true"), Some("false")),
                change("rate_limit.per_second", None, Some("50")),
            ]
        );
        let of_others = [
            change("limits.lane_queue", Some("8192"), Some("1")),
            change("runtime.workers", None, Some("3")),
        ];
        assert_eq!(others, of_others);
        assert_eq!(after.diff(&after), (Vec::new(), Vec::new()));
        assert_eq!(before.clone().with_live_of(&after).diff(&after), (Vec::new(), others));
    }

    #[test]
    fn a_change_tells_no_password() {
        let mut settings = Settings::default();
        let before = settings.clone();
        settings.store.url = Some("postgres://u:hunter2@h/db".to_owned().try_into().unwrap());
        let (_, others) = before.diff(&settings);
        assert_eq!(others, [change("store.url", None, Some("postgres://u:***@h/db"))]);
    }

    #[test]
    fn keys_are_those_of_the_settings() {
        let settings = Settings::default();
        let all = leaves(&settings);
        for (key, value) in leaves(&Live::from(&settings)) {
            assert_eq!(all.get(&key), Some(&value), "{key}");
        }
    }

    /// The documentation of each setting says whether it is reloadable.
    #[test]
    fn those_are_documented_as_reloadable_that_are() {
        let mut documented = Vec::new();
        let (mut section, mut docs) = (String::new(), String::new());
        for line in include_str!("settings.rs").lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("///") {
                docs.push_str(text);
            } else if line.starts_with("pub struct") {
                section = docs.split('`').nth(1).unwrap().trim_end_matches(".*").to_owned();
                docs.clear();
            } else if let Some(field) = line.strip_prefix("pub ") {
                let (name, _) = field.split_once(':').unwrap();
                if docs.contains("Reloadable") {
                    documented.push(format!("{section}.{name}"));
                }
                docs.clear();
            }
        }
        documented.sort();
        assert_eq!(documented, leaves(&Live::from(&Settings::default())).into_keys().collect::<Vec<_>>());
    }
}
