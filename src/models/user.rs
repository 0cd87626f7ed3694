//! Users, their names and what they may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Timestamp, UserId};

/// The user that the first migration makes: an operator without a password.
pub const BUILT_IN_OPERATOR: UserId =
    UserId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));

/// The name of [`BUILT_IN_OPERATOR`].
pub const BUILT_IN_OPERATOR_NAME: &str = "operator";

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees and debits own accounts.
    User,
    /// Sees all, opens accounts for anyone, may set `min_balance`.
    Operator,
}

impl Role {
    /// The word in tokens, replies and the stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
        }
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "user" => Ok(Self::User),
            "operator" => Ok(Self::Operator),
            _ => Err(()),
        }
    }
}

/// Who asks: the part of a verified token that the rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The user.
    pub id: UserId,
    /// The role the token carries.
    pub role: Role,
}

impl Actor {
    /// Whether the actor may see and debit what `owner` owns.
    pub fn may_use(&self, owner: UserId) -> bool {
        self.role == Role::Operator || self.id == owner
    }
}

/// A user as callers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id in tokens and on accounts.
    pub id: UserId,
    /// The unique name.
    pub username: Username,
    /// What the user may do.
    pub role: Role,
    /// When the user was made.
    pub created_at: Timestamp,
}

/// A unique name: 1 to 64 ASCII letters, digits and `. _ @ + -`, beginning with a letter or digit.
///
/// It is shown as it was written, and no two users' names differ by case alone: see [`Username::folded`]. It is
/// not a UUID, so that an account's owner can be named by either.
#[derive(Clone, PartialEq, Eq)]
pub struct Username(String);

/// The text is not a [`Username`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 ASCII letters, digits and . _ @ + -, beginning with a letter or digit")]
pub struct InvalidUsername;

impl Username {
    const MAX_BYTES: usize = 64;

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that must be unique: lower case.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for Username {
    type Err = InvalidUsername;

    fn from_str(name: &str) -> Result<Self, InvalidUsername> {
        let begins_well = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._@+-".contains(byte);
        let looks_like_id = name.parse::<UserId>().is_ok();
        if begins_well && !looks_like_id && name.len() <= Self::MAX_BYTES && name.bytes().all(|b| allowed(&b))
        {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidUsername)
        }
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Username {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_by_more_than_case() {
        for good in ["a", "alice", "0x", "a.b_c-d", "a+b@example.com", &"a".repeat(64)] {
            assert!(good.parse::<Username>().is_ok(), "{good}");
        }
        for bad in
            ["", ".a", "-a", "a b", "ä", "a/b", "01990f7e-8a52-7c3a-9f10-3d2f6a1b4c5d", &"a".repeat(65)]
        {
            assert_eq!(bad.parse::<Username>(), Err(InvalidUsername), "{bad}");
        }
        let folded = |name: &str| name.parse::<Username>().unwrap().folded();
        assert_eq!(folded("Alice"), folded("aLICE"));
    }

    #[test]
    fn operators_may_use_every_account() {
        let owner = UserId::from_uuid(Uuid::from_u128(1));
        let other = UserId::from_uuid(Uuid::from_u128(2));
        assert!(Actor { id: owner, role: Role::User }.may_use(owner));
        assert!(!Actor { id: other, role: Role::User }.may_use(owner));
        assert!(Actor { id: other, role: Role::Operator }.may_use(owner));
    }
}
