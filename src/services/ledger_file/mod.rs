//! The ledger as a file: what `export` writes and `import` reads, one JSON object a line.
//!
//! The first line says what the file is and how much of it there must be, the last one that all of it was written.
//! Between them stand users, accounts, events and idempotency records, in this order. Balances, entries and the status
//! of transfers are not in the file: they follow from the events, whose hashes are there.

mod export;
#[doc(hidden)]
pub mod fuzzing;
mod import;
mod lines;

pub use export::{ExportError, Exported, export};
pub use import::{ImportError, Imported, Problem, import};

/// The version of the layout that this program writes, and the only one that it reads.
pub const VERSION: u32 = 1;
