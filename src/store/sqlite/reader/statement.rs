//! The queries of statements.

use rusqlite::{OptionalExtension, Row};

use super::Reader;
use crate::models::{AccountId, Money};
use crate::store::StoreError;
use crate::store::statements::{Line, LineQuery, Span, SpanQuery, line_query};

impl Reader {
    /// The entries of a period, as far as they are committed now.
    pub fn statement_span(&self, wanted: SpanQuery) -> Result<Span, StoreError> {
        // One snapshot: what is committed between two statements would move the ends.
        let _snapshot = self.connection.unchecked_transaction()?;
        let first_seq = self.first_seq_at(wanted.account_id, wanted.from)?;
        let end_seq = self.first_seq_at(wanted.account_id, wanted.to)?;
        Ok(Span {
            first_seq,
            end_seq,
            opening: self.balance_before(wanted.account_id, first_seq)?,
            closing: self.balance_before(wanted.account_id, end_seq)?,
            is_of_replica: false,
        })
    }

    /// A page of a span, oldest first.
    pub fn statement_lines(&self, wanted: LineQuery) -> Result<Vec<Line>, StoreError> {
        let mut query = self.connection.prepare_cached(line_query!("?1", "?2", "?3", "?4"))?;
        let found =
            query.query_map((wanted.account_id, wanted.first_seq, wanted.end_seq, wanted.limit), line)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The account's balance before its entries from `seq` on.
    fn balance_before(&self, account_id: AccountId, seq: u64) -> Result<Money, StoreError> {
        let mut query = self.connection.prepare_cached(
            "select balance from entries where account_id = ?1 and seq < ?2 order by seq desc limit 1",
        )?;
        let found = query.query_row((account_id, seq), |row| row.get(0)).optional()?;
        Ok(found.unwrap_or(Money::ZERO))
    }
}

fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line {
        seq: row.get(0)?,
        created_at: row.get(1)?,
        transfer_id: row.get(2)?,
        counterparty: row.get(3)?,
        description: row.get(4)?,
        reference: row.get(5)?,
        amount: row.get(6)?,
        balance: row.get(7)?,
    })
}
