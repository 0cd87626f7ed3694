//! The queries of statements.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{Reader, first_seq_at, rows};
use crate::models::Money;
use crate::store::StoreError;
use crate::store::postgres::convert::{signed, unsigned};
use crate::store::statements::{Line, LineQuery, Span, SpanQuery, line_query};

/// Both ends and the balances at them, in the snapshot of one statement.
const SPAN: &str = concat!(
    "with span (low, high) as materialized (select ",
    first_seq_at!("$2"),
    ", ",
    first_seq_at!("$3"),
    ") select low, high,
        (select balance from entries where account_id = $1 and seq < low order by seq desc limit 1),
        (select balance from entries where account_id = $1 and seq < high order by seq desc limit 1)
     from span"
);
const LINES: &str = line_query!("$1", "$2", "$3", "$4");

impl Reader {
    /// The entries of a period, as far as they are committed now, or known to the replica if there is one that answers.
    pub async fn statement_span(&self, wanted: SpanQuery) -> Result<Span, StoreError> {
        let parameters: [&(dyn ToSql + Sync); 3] = [&wanted.account_id, &wanted.from, &wanted.to];
        let (found, is_of_replica) = match self.rows_of_replica(SPAN, &parameters).await {
            Some(found) => (found?, true),
            None => (self.rows(&self.primary, SPAN, &parameters).await?, false),
        };
        let row = found.first().ok_or_else(|| StoreError::Corrupt("the head record is missing".into()))?;
        let balance = |place| rows::get::<Option<Money>>(row, place).map(Option::unwrap_or_default);
        Ok(Span {
            first_seq: unsigned(rows::get(row, 0)?),
            end_seq: unsigned(rows::get(row, 1)?),
            opening: balance(2)?,
            closing: balance(3)?,
            is_of_replica,
        })
    }

    /// A page of a span, oldest first.
    pub async fn statement_lines(&self, wanted: LineQuery) -> Result<Vec<Line>, StoreError> {
        let (first, end) = (signed(wanted.first_seq), signed(wanted.end_seq));
        let limit = i64::from(wanted.limit);
        let parameters: [&(dyn ToSql + Sync); 4] = [&wanted.account_id, &first, &end, &limit];
        let of_replica = if wanted.may_lag { self.rows_of_replica(LINES, &parameters).await } else { None };
        let found = match of_replica {
            Some(found) => found?,
            None => self.rows(&self.primary, LINES, &parameters).await?,
        };
        found.iter().map(line).collect()
    }
}

fn line(row: &Row) -> Result<Line, StoreError> {
    Ok(Line {
        seq: unsigned(rows::get(row, 0)?),
        created_at: rows::get(row, 1)?,
        transfer_id: rows::get(row, 2)?,
        counterparty: rows::get(row, 3)?,
        description: rows::get(row, 4)?,
        reference: rows::get(row, 5)?,
        amount: rows::get(row, 6)?,
        balance: rows::get(row, 7)?,
    })
}
