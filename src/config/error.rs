//! What can be wrong with a configuration, in plain lines. No line quotes the
//! value of a setting that can hold a secret.

use std::path::PathBuf;

use super::entry::Origin;

/// Everything that is wrong, one line each. The process exits with 78.
#[derive(Debug, thiserror::Error)]
#[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError {
    /// In the order of the layers, then of the keys; never empty.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A file that is named cannot be read.
    #[error("cannot read {}: {reason} ({origin})", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
        /// What names the file.
        origin: Origin,
    },
    /// A file is not what its format allows.
    #[error("{}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// With line and column where the parser knows them.
        reason: String,
    },
    /// No setting has this name.
    #[error("{name}: unknown setting{} ({origin})", did_you_mean(near.as_ref()))]
    Unknown {
        /// The key or variable, as given.
        name: String,
        /// The name that was most likely meant.
        near: Option<String>,
        /// Who gave it.
        origin: Origin,
    },
    /// A value stands where only further keys may.
    #[error("{key}: is a section; give its settings as keys below it ({origin})")]
    Section {
        /// The section.
        key: String,
        /// Who gave it.
        origin: Origin,
    },
    /// One source gives one setting twice.
    #[error("{key}: given twice ({origin})")]
    Twice {
        /// The setting.
        key: String,
        /// Who gave it.
        origin: Origin,
    },
    /// A variable is set both plainly and as a file.
    #[error("{variable} and {variable}_FILE are both set; set one")]
    Exclusive {
        /// Without `_FILE`.
        variable: String,
    },
    /// A value that its setting does not allow.
    #[error("{key}: {found}; allowed: {allowed} ({origin})")]
    Value {
        /// The setting.
        key: String,
        /// What is wrong with the value.
        found: String,
        /// What the setting takes.
        allowed: String,
        /// Who gave it.
        origin: Origin,
    },
}

fn did_you_mean(near: Option<&String>) -> String {
    near.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}
