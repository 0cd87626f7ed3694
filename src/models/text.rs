//! Short human text with a bound.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// 1 to `MAX` characters without control characters (Unicode category Cc).
#[derive(Clone, PartialEq, Eq)]
pub struct Text<const MAX: usize>(String);

/// The text is empty, too long or has control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {max} characters without control characters")]
pub struct InvalidText {
    /// The bound that holds here, in characters.
    pub max: usize,
}

impl<const MAX: usize> Text<MAX> {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> FromStr for Text<MAX> {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let fits = !text.is_empty() && (text.len() <= MAX || text.chars().count() <= MAX);
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText { max: MAX })
        }
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> Serialize for Text<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_characters_and_refuses_controls() {
        assert!("äöü".parse::<Text<3>>().is_ok());
        for bad in ["", "abcd", "a\nb", "\u{85}"] {
            assert_eq!(bad.parse::<Text<3>>(), Err(InvalidText { max: 3 }), "{bad:?}");
        }
    }
}
