//! The ledger's vocabulary and its law: money, ids, accounts, transfers, events and the posting rule.
//!
//! Everything here is pure. Time and ids come in as arguments; nothing here is async, reads a clock,
//! touches I/O or writes JSON text. Both stores and the Axum baseline ask the same [`posting`] rule.

pub mod account;
pub mod codec;
pub mod currency;
pub mod event;
pub mod id;
pub mod idempotency;
pub mod money;
pub mod posting;
pub mod replay;
pub mod text;
pub mod time;
pub mod transfer;
pub mod user;

pub use account::Account;
pub use currency::{Currencies, Currency};
pub use event::{Event, EventKind, Head};
pub use id::{AccountId, TransferId, UserId};
pub use idempotency::{Fingerprint, IdempotencyKey};
pub use money::{Amount, Money};
pub use text::Text;
pub use time::Timestamp;
pub use transfer::{Hold, Terms, Transfer, TransferStatus};
pub use user::{Actor, Role, User, Username};
