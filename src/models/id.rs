//! Identifiers: UUIDs with a type each, so that an account's id cannot stand where a user's is wanted.
//!
//! New ids are UUIDv7 (RFC 9562), made by the services from their clock and handed in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text is not a UUID in the hyphenated form of RFC 9562 §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a UUID such as 01990f7e-8a52-7c3a-9f10-3d2f6a1b4c5d")]
pub struct InvalidId;

/// Reads the hyphenated form only: one id has one spelling apart from the case of its digits.
fn parse_hyphenated(text: &str) -> Result<Uuid, InvalidId> {
    const HYPHENATED_LEN: usize = 36;
    if text.len() != HYPHENATED_LEN {
        return Err(InvalidId);
    }
    Uuid::try_parse(text).map_err(|_| InvalidId)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID of any version.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself, for storage.
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_hyphenated(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut text = [0; 36];
                serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut text))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(IdVisitor).map(Self)
            }
        }
    };
}

struct IdVisitor;

impl serde::de::Visitor<'_> for IdVisitor {
    type Value = Uuid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a UUID")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Uuid, E> {
        parse_hyphenated(text).map_err(E::custom)
    }
}

id!(
    /// A person or program that owns accounts.
    UserId
);
id!(
    /// A place where money is counted.
    AccountId
);
id!(
    /// A movement of money between two accounts.
    TransferId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_id_has_one_spelling() {
        let text = "01990f7e-8a52-7c3a-9f10-3d2f6a1b4c5d";
        assert_eq!(text.parse::<AccountId>().unwrap().to_string(), text);
        for other in [
            "",
            "01990f7e8a527c3a9f103d2f6a1b4c5d",
            "{01990f7e-8a52-7c3a-9f10-3d2f6a1b4c5d}",
            "urn:uuid:01990f7e-8a52-7c3a-9f10-3d2f6a1b4c5d",
            "01990f7e-8a52-7c3a-9f10-3d2f6a1b4c5g",
            "01990f7e-8a52-7c3a-9f10-3d2f6a1b4c5d ",
        ] {
            assert_eq!(other.parse::<AccountId>(), Err(InvalidId), "{other}");
        }
    }
}
