//! The settings that are one word out of a few. Knows the words and nothing
//! of what they switch.

/// A word that is not among the choices of a setting.
#[derive(Debug, thiserror::Error)]
#[error("`{found}` is not one of {}", allowed.join(", "))]
pub struct UnknownChoice {
    found: String,
    allowed: &'static [&'static str],
}

/// Defines an enum whose variants read and print as one lowercase word each.
macro_rules! choice {
    (
        $(#[$doc:meta])*
        pub enum $name:ident { $( $(#[$variant_doc:meta])* $variant:ident = $word:literal, )+ }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum $name { $( $(#[$variant_doc])* #[serde(rename = $word)] $variant, )+ }

        impl $name {
            /// All words, in the order of the documentation.
            pub const WORDS: &[&str] = &[$($word),+];

            /// The word of this choice, as written in files and variables.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownChoice;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err(UnknownChoice { found: word.to_owned(), allowed: Self::WORDS }),
                }
            }
        }
    };
}

choice! {
    /// `runtime.io`: what carries the sockets.
    pub enum IoMode {
        /// `io_uring` where the kernel allows it, else epoll, with a line that says why.
        #[default]
        Auto = "auto",
        /// `io_uring`, or the start fails.
        Uring = "uring",
        /// epoll, without a probe.
        Epoll = "epoll",
    }
}

choice! {
    /// `runtime.busy_poll`: whether a core spins while it has nothing to do.
    pub enum BusyPoll {
        /// Sleep at once: right wherever the cores are shared.
        #[default]
        Off = "off",
        /// Spin for a moment after the last completion, then sleep.
        Adaptive = "adaptive",
        /// Never sleep: right for dedicated cores only.
        Always = "always",
    }
}

choice! {
    /// `log.level`: the least severe event that is logged.
    pub enum LogLevel {
        /// Nothing.
        Off = "off",
        /// Failures that need somebody.
        Error = "error",
        /// What will become a failure.
        Warn = "warn",
        /// The life of the process.
        #[default]
        Info = "info",
        /// The life of a request.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

choice! {
    /// `log.format`: how a line is written.
    pub enum LogFormat {
        /// Human on a terminal, JSON otherwise.
        #[default]
        Auto = "auto",
        /// One JSON object a line.
        Json = "json",
        /// Text for eyes.
        Human = "human",
    }
}

choice! {
    /// `log.access`: which requests leave an access line.
    pub enum AccessLog {
        /// Every request.
        #[default]
        All = "all",
        /// A share of the good ones, every failed one.
        Sampled = "sampled",
        /// Only failed ones.
        Errors = "errors",
        /// None.
        Off = "off",
    }
}
