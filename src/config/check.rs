//! What each setting may be: the bounds of every number and the rules between
//! settings. Types are the settings' own affair; sources are nobody's here.

use std::path::Path;

use figment2::value::Value;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::choices::{AccessLog, BusyPoll, IoMode, LogFormat, LogLevel};
use super::entry::leaves;
use super::settings::Settings;
use super::units::{Unit, Units};

/// Most worker threads; far beyond the cores of any machine that is sold.
pub const WORKERS_MAX: u16 = 1024;
/// Longest life of a token, in seconds: one year. A token cannot be revoked.
pub const TOKEN_TTL_MAX_S: u32 = 31_536_000;

/// Most digits behind the point: an amount has 16 at most.
const UNIT_EXPONENT_MAX: u8 = 15;
/// Units of a ledger's own, so that a look-up goes through few.
const UNITS_MAX: usize = 64;

/// hyper's read buffer as the server sets it: a longer head never parses.
const HEAD_MAX_BYTES: u64 = 65_536;
/// Fields that hyper parses without an allocation a request.
const FIELDS_MAX: u64 = 100;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const MIB: u64 = 1024 * 1024;

/// Least and most of a number, both allowed.
struct Bound {
    key: &'static str,
    min: u64,
    max: u64,
    unit: &'static str,
}

const fn bound(key: &'static str, min: u64, max: u64, unit: &'static str) -> Bound {
    Bound { key, min, max, unit }
}

/// Every setting that is a number.
const BOUNDS: [Bound; 35] = [
    bound("server.backlog", 1, 65_535, "connections"),
    bound("server.accept_back_off_ms", 1, 10_000, "ms"),
    bound("store.connections_per_core", 1, 64, "connections"),
    bound("store.connect_timeout_ms", 10, MINUTE_MS, "ms"),
    bound("store.acquire_timeout_ms", 10, MINUTE_MS, "ms"),
    bound("store.statement_timeout_ms", 10, 10 * MINUTE_MS, "ms"),
    bound("store.commit_timeout_ms", 10, 10 * MINUTE_MS, "ms"),
    bound("auth.token_ttl_s", 1, TOKEN_TTL_MAX_S as u64, "s"),
    bound("log.slow_ms", 1, HOUR_MS, "ms"),
    bound("runtime.workers", 1, WORKERS_MAX as u64, "threads"),
    bound("runtime.busy_poll_us", 1, 1_000_000, "µs"),
    bound("shutdown.deadline_ms", 0, HOUR_MS, "ms"),
    bound("shutdown.drain_delay_ms", 0, 10 * MINUTE_MS, "ms"),
    // Below 256 bytes the service's own longest paths would not fit.
    bound("limits.target_bytes", 256, HEAD_MAX_BYTES, "bytes"),
    bound("limits.head_bytes", 1024, HEAD_MAX_BYTES, "bytes"),
    bound("limits.fields", 8, FIELDS_MAX, "fields"),
    bound("limits.body_bytes", 1024, 16 * MIB, "bytes"),
    bound("limits.batch_body_bytes", 1024, 64 * MIB, "bytes"),
    bound("limits.head_timeout_ms", 10, 10 * MINUTE_MS, "ms"),
    bound("limits.body_timeout_ms", 10, 10 * MINUTE_MS, "ms"),
    bound("limits.idle_timeout_ms", 10, HOUR_MS, "ms"),
    bound("limits.write_timeout_ms", 10, 10 * MINUTE_MS, "ms"),
    bound("limits.request_timeout_ms", 10, 10 * MINUTE_MS, "ms"),
    bound("limits.lane_queue", 1, 1_048_576, "commands"),
    bound("limits.batch_timeout_ms", 10, 10 * MINUTE_MS, "ms"),
    bound("limits.batches_per_core", 1, 1024, "batches"),
    bound("limits.lane_batch", 1, 65_536, "commands"),
    bound("limits.cpu_queue", 1, 65_536, "jobs"),
    bound("limits.in_flight_per_core", 1, 1_000_000, "requests"),
    bound("limits.connections_per_core", 1, 1_000_000, "connections"),
    bound("limits.sockets_per_core", 1, 1_000_000, "connections"),
    bound("limits.sockets_per_user", 1, 1_000_000, "connections"),
    bound("rate_limit.per_second", 1, 1_000_000, "requests"),
    bound("rate_limit.burst", 1, 1_000_000, "requests"),
    bound("otlp.sample_percent", 0, 100, "traces"),
];

/// A setting that is of the right type and still not allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) key: &'static str,
    pub(super) found: String,
    pub(super) allowed: String,
}

/// Every single value of `settings` that is not allowed.
pub(super) fn violations(settings: &Settings) -> Vec<Violation> {
    let mut found = out_of_range(settings);
    found.extend(empty_path("store.data_dir", Some(&settings.store.data_dir)));
    found.extend(empty_path("auth.key_file", settings.auth.key_file.as_deref()));
    found.extend(empty_path("auth.key_dir", settings.auth.key_dir.as_deref()));
    found.extend(bad_filter(settings.log.filter.as_deref()));
    found.extend(bad_collector(settings.otlp.endpoint.as_deref()));
    found.extend(bad_units(&settings.ledger.currencies));
    found
}

/// What the setting of `key` takes, for a person.
pub(super) fn allowed(key: &str) -> String {
    if let Some(bound) = BOUNDS.iter().find(|bound| bound.key == key) {
        return bound.to_string();
    }
    match key {
        "server.listen" | "admin.listen" => {
            "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080".into()
        }
        "otlp.endpoint" => "http://host:port, of a program built with the feature otlp".into(),
        "store.url" | "store.replica_url" => "postgres://user:password@host:port/database".into(),
        "ledger.currencies" => {
            format!("up to {UNITS_MAX} of code:exponent, such as POINTS:0; {}", unit_allowed())
        }
        "runtime.io" => IoMode::WORDS.join(", "),
        "runtime.busy_poll" => BusyPoll::WORDS.join(", "),
        "log.level" => LogLevel::WORDS.join(", "),
        "log.format" => LogFormat::WORDS.join(", "),
        "log.access" => AccessLog::WORDS.join(", "),
        "auth.open_registration" | "runtime.bench_endpoints" | "metrics.public" | "metrics.enabled" => {
            "true, false".into()
        }
        _ => "text".into(),
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..={} {}", self.min, self.max, self.unit)
    }
}

fn out_of_range(settings: &Settings) -> Vec<Violation> {
    let leaves = leaves(settings);
    let beyond = |bound: &Bound| {
        let value = leaves.get(bound.key).and_then(Value::to_u128)?;
        let range = u128::from(bound.min)..=u128::from(bound.max);
        (!range.contains(&value)).then(|| Violation {
            key: bound.key,
            found: format!("{value} is out of range"),
            allowed: bound.to_string(),
        })
    };
    BOUNDS.iter().filter_map(beyond).collect()
}

fn empty_path(key: &'static str, path: Option<&Path>) -> Option<Violation> {
    path.filter(|path| path.as_os_str().is_empty()).map(|_| Violation {
        key,
        found: "is empty".to_owned(),
        allowed: "a path".to_owned(),
    })
}

fn bad_filter(filter: Option<&str>) -> Option<Violation> {
    let filter = filter?;
    // Those would be read as part of a target, which nothing has.
    let foreign =
        filter.contains(['[', ' ']).then(|| "spans, fields and blanks have no place here".to_owned());
    // A level with a slip would be a target at every level, and all others would be off.
    let lone = || {
        let is_no_level =
            |word: &&str| !word.is_empty() && !word.contains('=') && word.parse::<LevelFilter>().is_err();
        filter
            .split(',')
            .find(is_no_level)
            .map(|word| format!("{word:?} is no level; a module has one: {word}=debug"))
    };
    let found =
        foreign.or_else(lone).or_else(|| filter.parse::<Targets>().err().map(|error| error.to_string()))?;
    Some(Violation {
        key: "log.filter",
        found,
        allowed: "directives such as info,ringledger_ledger=debug".to_owned(),
    })
}

/// A collector is near, so its connection is not encrypted.
fn bad_collector(endpoint: Option<&str>) -> Option<Violation> {
    let found = match endpoint? {
        _ if !cfg!(feature = "otlp") => {
            "is set, but this program was built without the feature otlp".to_owned()
        }
        url if !url.starts_with("http://") => format!("{url:?} is no http URL"),
        _ => return None,
    };
    Some(Violation { key: "otlp.endpoint", found, allowed: allowed("otlp.endpoint") })
}

fn unit_allowed() -> String {
    format!(
        "a code of 3 to 12 upper-case letters and digits that ISO 4217 lacks, an exponent of 0 to {UNIT_EXPONENT_MAX}"
    )
}

fn bad_units(units: &Units) -> Option<Violation> {
    let Units(units) = units;
    let found = match units.iter().enumerate().find_map(|(place, unit)| bad_unit(unit, &units[..place])) {
        Some(found) => found,
        None if units.len() > UNITS_MAX => format!("has {} units", units.len()),
        None => return None,
    };
    Some(Violation { key: "ledger.currencies", found, allowed: allowed("ledger.currencies") })
}

fn bad_unit(unit: &Unit, before: &[Unit]) -> Option<String> {
    let Unit { code, exponent } = unit;
    let is_code = (3..=12).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if !is_code {
        Some(format!("{code:?} is no code"))
    } else if iso_currency::Currency::from_code(code).is_some() {
        Some(format!("{code} is a currency of ISO 4217"))
    } else if before.iter().any(|other| other.code == *code) {
        Some(format!("{code} is there twice"))
    } else if *exponent > UNIT_EXPONENT_MAX {
        Some(format!("the exponent of {code} is {exponent}"))
    } else {
        None
    }
}

/// Settings that contradict each other. Worth asking only once each value is
/// allowed alone.
pub(super) fn contradictions(settings: &Settings) -> Vec<Violation> {
    let limits = &settings.limits;
    let rate = &settings.rate_limit;
    let listen = settings.server.listen;
    let rules = [
        (
            listen.port() != 0 && settings.admin.listen == Some(listen),
            "admin.listen",
            format!("{listen} is server.listen"),
            "another address or port".to_owned(),
        ),
        (
            limits.head_bytes < limits.target_bytes,
            "limits.head_bytes",
            format!("{} is less than limits.target_bytes", limits.head_bytes),
            format!("at least {}: the target is a part of the head", limits.target_bytes),
        ),
        (
            settings.auth.key_file.is_some() && settings.auth.key_dir.is_some(),
            "auth.key_dir",
            "is set beside auth.key_file".to_owned(),
            "one of them".to_owned(),
        ),
        (
            limits.batch_body_bytes < limits.body_bytes,
            "limits.batch_body_bytes",
            format!("{} is less than limits.body_bytes", limits.batch_body_bytes),
            format!("at least {}", limits.body_bytes),
        ),
        (
            rate.burst.is_some() && rate.per_second.is_none(),
            "rate_limit.burst",
            "is set without rate_limit.per_second".to_owned(),
            "both, or per_second alone".to_owned(),
        ),
    ];
    let broken = rules.into_iter().filter(|(broken, ..)| *broken);
    broken.map(|(_, key, found, allowed)| Violation { key, found, allowed }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::RateLimit;

    /// Optional numbers set, so that they show as numbers.
    fn all_set() -> Settings {
        let mut settings = Settings::default();
        settings.runtime.workers = Some(1);
        settings.rate_limit = RateLimit { per_second: Some(1), burst: Some(1) };
        settings
    }

    #[test]
    fn every_number_has_one_bound_and_every_bound_a_number() {
        let leaves = leaves(&all_set());
        let mut numbers: Vec<_> = leaves
            .iter()
            .filter(|(_, value)| value.to_u128().is_some())
            .map(|(key, _)| key.as_str())
            .collect();
        let mut bounded: Vec<_> = BOUNDS.iter().map(|bound| bound.key).collect();
        numbers.sort_unstable();
        bounded.sort_unstable();
        assert_eq!(numbers, bounded);
    }

    #[test]
    fn every_setting_that_is_not_free_text_says_what_it_takes() {
        let free: Vec<_> = leaves(&all_set()).into_keys().filter(|key| allowed(key) == "text").collect();
        assert_eq!(free, ["auth.key_dir", "auth.key_file", "log.filter", "store.data_dir"]);
    }

    #[test]
    fn defaults_are_allowed() {
        assert_eq!(violations(&Settings::default()), []);
        assert_eq!(violations(&all_set()), []);
        assert_eq!(contradictions(&Settings::default()), []);
        assert_eq!(contradictions(&all_set()), []);
    }

    #[test]
    fn both_ends_of_a_bound_are_allowed_and_no_more() {
        for (fields, allowed) in [(7, false), (8, true), (100, true), (101, false)] {
            let mut settings = Settings::default();
            settings.limits.fields = fields;
            assert_eq!(violations(&settings).is_empty(), allowed, "{fields}");
        }
    }

    #[test]
    fn text_is_checked_too() {
        let mut settings = Settings::default();
        settings.log.filter = Some("ringledger=loud".into());
        settings.store.data_dir = "".into();
        settings.auth.key_file = Some("".into());
        let keys: Vec<_> = violations(&settings).iter().map(|v| v.key).collect();
        assert_eq!(keys, ["store.data_dir", "auth.key_file", "log.filter"]);
    }

    #[test]
    fn directives_name_modules_and_levels_only() {
        let refused = |filter| bad_filter(Some(filter)).is_some();
        for filter in ["info", "off,ringledger::access=info", "ringledger=debug,hyper=warn"] {
            assert!(!refused(filter), "{filter}");
        }
        for filter in [
            "ringledger=loud",
            "a=b=c",
            "ringledger[commit]=debug",
            "[{batch=1}]=info",
            "info, a=warn",
            "inof",
            "info,hyper",
        ] {
            assert!(refused(filter), "{filter}");
        }
    }

    #[test]
    fn units_are_new_codes_with_a_small_exponent() {
        let unit = |code: &str, exponent| Unit { code: code.to_owned(), exponent };
        let found = |units: Vec<Unit>| bad_units(&Units(units)).map(|violation| violation.found);
        assert_eq!(found(vec![unit("PTS", 0), unit("ABCDEFGHIJ12", UNIT_EXPONENT_MAX)]), None);
        for (units, word) in [
            (vec![unit("PT", 0)], "no code"),
            (vec![unit("pts", 0)], "no code"),
            (vec![unit("ABCDEFGHIJ123", 0)], "no code"),
            (vec![unit("PTS", 0), unit("EUR", 2)], "ISO 4217"),
            (vec![unit("PTS", 0), unit("PTS", 0)], "twice"),
            (vec![unit("PTS", UNIT_EXPONENT_MAX + 1)], "exponent"),
            ((0..=UNITS_MAX).map(|place| unit(&format!("U{place:02}"), 0)).collect(), "65 units"),
        ] {
            assert!(found(units.clone()).is_some_and(|found| found.contains(word)), "{units:?}");
        }
    }

    #[test]
    fn contradictions_name_the_setting_to_change() {
        let mut settings = Settings::default();
        settings.limits.target_bytes = 20_000;
        settings.limits.batch_body_bytes = 2048;
        settings.rate_limit.burst = Some(5);
        let keys: Vec<_> = contradictions(&settings).iter().map(|v| v.key).collect();
        assert_eq!(keys, ["limits.head_bytes", "limits.batch_body_bytes", "rate_limit.burst"]);
    }
}
