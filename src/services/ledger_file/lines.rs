//! The lines of a ledger file, and what they mean in the ledger's own types. `ARCHITECTURE.md` documents them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::models::event::{ChainHash, Creation};
use crate::models::{
    Account, AccountId, Amount, Currency, Event, EventKind, Fingerprint, Head, Money, Role, Terms, Timestamp,
    TransferId, User, UserId,
};
use crate::store::Credentials;
use crate::store::audit::KeptKey;

/// A member of a line that is not what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not valid")]
pub struct BadMember(pub &'static str);

fn parsed<T: FromStr>(text: &str, member: &'static str) -> Result<T, BadMember> {
    text.parse().map_err(|_| BadMember(member))
}

fn optional<T: FromStr>(text: Option<String>, member: &'static str) -> Result<Option<T>, BadMember> {
    text.map(|text| parsed(&text, member)).transpose()
}

/// What is stored as JSON text, as it stands there.
fn raw(text: &str, member: &'static str) -> Result<Box<RawValue>, BadMember> {
    RawValue::from_string(text.to_owned()).ok().filter(|_| is_one_line(text)).ok_or(BadMember(member))
}

/// What is to be stored as JSON text, as it stands in the file. What could not be written again is not read.
fn stored<'a>(json: &'a RawValue, member: &'static str) -> Result<&'a str, BadMember> {
    Some(json.get()).filter(|text| is_one_line(text)).ok_or(BadMember(member))
}

/// A line of the file must stay one.
fn is_one_line(text: &str) -> bool {
    !text.contains(['\n', '\r'])
}

/// The first member of the first line.
#[derive(Deserialize)]
pub(super) struct Version {
    pub(super) ringledger: u32,
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// [`super::VERSION`].
    pub(super) ringledger: u32,
    /// `SEQ:HASH`; as many events follow.
    pub(super) head: String,
    pub(super) users: u64,
    pub(super) accounts: u64,
    pub(super) keys: u64,
}

/// Any other line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    User(UserLine),
    Account(AccountLine),
    Event(EventLine),
    Key(KeyLine),
    End(End),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserLine {
    id: UserId,
    username: String,
    role: Role,
    password_hash: Option<String>,
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountLine {
    id: AccountId,
    owner: UserId,
    name: Option<String>,
    currency: Currency,
    min_balance: Option<Money>,
    created_at: Timestamp,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Created,
    Posted,
    Voided,
    Expired,
    Reversed,
}

/// An event and the chain's hash up to and with it. Members that are null are left out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventLine {
    seq: u64,
    at: Timestamp,
    r#type: Kind,
    transfer: TransferId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    creation: Option<CreationLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reverses: Option<TransferId>,
    hash: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreationLine {
    debit_account: AccountId,
    credit_account: AccountId,
    amount: Amount,
    currency: Currency,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    pending: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    created_by: UserId,
    idempotency_key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyLine {
    user: UserId,
    key: String,
    fingerprint: String,
    used_at: Timestamp,
    seq: Option<u64>,
    outcome: Option<Box<RawValue>>,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// As in the first line.
    pub(super) head: String,
    /// How many lines stand before this one.
    pub(super) lines: u64,
    /// SHA-256 of their bytes, with the ends of lines.
    pub(super) sha256: String,
}

impl From<&Credentials> for UserLine {
    fn from(Credentials { user, password_hash }: &Credentials) -> Self {
        Self {
            id: user.id,
            username: user.username.to_string(),
            role: user.role,
            password_hash: password_hash.clone(),
            created_at: user.created_at,
        }
    }
}

impl TryFrom<UserLine> for Credentials {
    type Error = BadMember;

    fn try_from(line: UserLine) -> Result<Self, BadMember> {
        let username = parsed(&line.username, "username")?;
        let user = User { id: line.id, username, role: line.role, created_at: line.created_at };
        Ok(Self { user, password_hash: line.password_hash })
    }
}

impl From<&Account> for AccountLine {
    fn from(account: &Account) -> Self {
        Self {
            id: account.id,
            owner: account.owner,
            name: account.name.as_ref().map(ToString::to_string),
            currency: account.currency,
            min_balance: account.min_balance,
            created_at: account.created_at,
        }
    }
}

impl TryFrom<AccountLine> for Account {
    type Error = BadMember;

    fn try_from(line: AccountLine) -> Result<Self, BadMember> {
        let name = optional(line.name, "name")?;
        Ok(Self::opened(line.id, line.owner, name, line.currency, line.min_balance, line.created_at))
    }
}

impl TryFrom<&Creation> for CreationLine {
    type Error = BadMember;

    fn try_from(creation: &Creation) -> Result<Self, BadMember> {
        let terms = &creation.terms;
        Ok(Self {
            debit_account: terms.debit_account,
            credit_account: terms.credit_account,
            amount: terms.amount,
            currency: terms.currency,
            description: terms.description.as_ref().map(ToString::to_string),
            metadata: terms.metadata.as_deref().map(|text| raw(text, "metadata")).transpose()?,
            reference: terms.reference.as_ref().map(ToString::to_string),
            pending: creation.pending,
            expires_at: creation.expires_at,
            created_by: creation.created_by,
            idempotency_key: creation.idempotency_key.as_str().to_owned(),
        })
    }
}

impl TryFrom<CreationLine> for Creation {
    type Error = BadMember;

    fn try_from(line: CreationLine) -> Result<Self, BadMember> {
        let terms = Terms {
            debit_account: line.debit_account,
            credit_account: line.credit_account,
            amount: line.amount,
            currency: line.currency,
            description: optional(line.description, "description")?,
            metadata: line.metadata.map(|json| stored(&json, "metadata").map(Into::into)).transpose()?,
            reference: optional(line.reference, "reference")?,
        };
        Ok(Self {
            terms,
            pending: line.pending,
            expires_at: line.expires_at,
            created_by: line.created_by,
            idempotency_key: parsed(&line.idempotency_key, "idempotency_key")?,
        })
    }
}

impl EventLine {
    pub(super) fn of(event: &Event, hash: ChainHash) -> Result<Self, BadMember> {
        let (kind, creation, amount, reverses) = match &event.kind {
            EventKind::Created(creation) => (Kind::Created, Some(creation), None, None),
            EventKind::Posted { amount } => (Kind::Posted, None, Some(*amount), None),
            EventKind::Voided => (Kind::Voided, None, None, None),
            EventKind::Expired => (Kind::Expired, None, None, None),
            EventKind::Reversed { creation, reverses } => {
                (Kind::Reversed, Some(creation), None, Some(*reverses))
            }
        };
        let creation = creation.map(CreationLine::try_from).transpose()?;
        let (seq, at, transfer) = (event.seq, event.at, event.transfer_id);
        Ok(Self { seq, at, r#type: kind, transfer, creation, amount, reverses, hash: hash.to_string() })
    }

    /// The event, and the hash that the file has for it.
    pub(super) fn into_event(self) -> Result<(Event, ChainHash), BadMember> {
        let creation = self.creation.map(Creation::try_from).transpose()?;
        let kind = match (self.r#type, creation, self.amount, self.reverses) {
            (Kind::Created, Some(creation), None, None) => EventKind::Created(creation),
            (Kind::Posted, None, Some(amount), None) => EventKind::Posted { amount },
            (Kind::Voided, None, None, None) => EventKind::Voided,
            (Kind::Expired, None, None, None) => EventKind::Expired,
            (Kind::Reversed, Some(creation), None, Some(reverses)) => {
                EventKind::Reversed { creation, reverses }
            }
            _ => return Err(BadMember("type")),
        };
        let event = Event { seq: self.seq, at: self.at, transfer_id: self.transfer, kind };
        Ok((event, parsed(&self.hash, "hash")?))
    }
}

impl TryFrom<&KeptKey> for KeyLine {
    type Error = BadMember;

    fn try_from(kept: &KeptKey) -> Result<Self, BadMember> {
        Ok(Self {
            user: kept.user_id,
            key: kept.key.as_str().to_owned(),
            fingerprint: const_hex::encode(kept.fingerprint.as_bytes()),
            used_at: kept.used_at,
            seq: kept.seq,
            outcome: kept.outcome.as_deref().map(|text| raw(text, "outcome")).transpose()?,
        })
    }
}

impl TryFrom<KeyLine> for KeptKey {
    type Error = BadMember;

    fn try_from(line: KeyLine) -> Result<Self, BadMember> {
        let fingerprint =
            const_hex::decode_to_array(&line.fingerprint).map_err(|_| BadMember("fingerprint"))?;
        Ok(Self {
            user_id: line.user,
            key: parsed(&line.key, "key")?,
            fingerprint: Fingerprint::from_bytes(fingerprint),
            used_at: line.used_at,
            seq: line.seq,
            outcome: line.outcome.map(|json| stored(&json, "outcome").map(str::to_owned)).transpose()?,
        })
    }
}

/// The number and the hash of a head as text.
pub(super) fn head(text: &str) -> Result<(u64, ChainHash), BadMember> {
    let (seq, hash) = text.split_once(':').ok_or(BadMember("head"))?;
    Ok((parsed(seq, "head")?, parsed(hash, "head")?))
}

/// Whether the log ends where such a text says.
pub(super) fn is_head(text: &str, end: Head) -> bool {
    head(text).is_ok_and(|said| said == (end.seq, end.hash))
}

#[cfg(test)]
mod tests;
