//! `config`: what the settings are and what is wrong with them. Knows no setting by name.

use serde_json::{Value, json};

use super::{Failure, print};
use crate::app::{self, AppFailure};
use crate::config::{ConfigError, Loaded, Row, Secrets};

/// Prints every setting with its source.
pub(super) fn show(loaded: &Loaded, secrets: Secrets, as_json: bool) -> Result<(), AppFailure> {
    let rows = loaded.table(secrets);
    if as_json {
        let settings: Vec<_> = rows.iter().map(setting).collect();
        return print(format_args!("{}", json!({ "settings": settings })));
    }
    let value = |row: &Row| row.value.clone().unwrap_or_else(|| "-".into());
    let key_width = rows.iter().map(|row| row.key.len()).max().unwrap_or(0);
    let value_width = rows.iter().map(|row| value(row).len()).max().unwrap_or(0);
    rows.iter().try_for_each(|row| {
        print(format_args!("{:key_width$}  {:value_width$}  {}", row.key, value(row), row.origin))
    })
}

/// As one would write it; null where it is absent.
fn setting(row: &Row) -> Value {
    json!({ "key": row.key, "value": row.value, "source": row.origin.to_string() })
}

/// Tells of every problem; fails if there is one.
pub(super) fn check(loaded: Result<&Loaded, &ConfigError>, as_json: bool) -> Result<(), Failure> {
    let problems = match loaded {
        Ok(loaded) => app::location(&loaded.settings).err().iter().map(ToString::to_string).collect(),
        Err(error) => error.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    if as_json {
        print(format_args!("{}", json!({ "ok": problems.is_empty(), "problems": problems })))?;
    } else if problems.is_empty() {
        print(format_args!("the settings are valid"))?;
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::Reported(AppFailure::Configuration(problems.join("\n"))))
}
