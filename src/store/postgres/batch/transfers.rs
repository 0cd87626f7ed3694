//! The transfers that a batch's commands are about, and those that expire first, each with its two accounts.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use crate::models::posting::Needs;
use crate::store::columns::{account_columns, transfer_columns};
use crate::store::postgres::prepared::prepared;

/// Transfers by id.
pub(super) const TRANSFERS_BY_ID: &str =
    concat!("select ", transfer_columns!(), " from transfers where id = any($1)");

/// Transfers by id, and so many of those that expire first.
macro_rules! wanted {
    ($columns:expr) => {
        concat!(
            "select ",
            $columns,
            " from transfers where id = any($1) union all (select ",
            $columns,
            " from transfers where status = 'pending' and expires_at is not null order by expires_at, seq limit $2)"
        )
    };
}

const TRANSFERS: &str = wanted!(transfer_columns!());
const ACCOUNTS: &str = concat!(
    "select ",
    account_columns!(),
    " from accounts where id in (select unnest(array[debit_account, credit_account]) from (",
    wanted!("debit_account, credit_account"),
    ") as wanted)"
);

/// The rows of the transfers and those of their accounts; sends nothing if none are wanted.
pub(super) async fn load(client: &ClientWrapper, needs: &Needs) -> Result<(Vec<Row>, Vec<Row>), Error> {
    if !needs.any_transfers() {
        return Ok((Vec::new(), Vec::new()));
    }
    let (transfers, accounts) = tokio::try_join!(
        biased;
        prepared(client, TRANSFERS),
        prepared(client, ACCOUNTS),
    )?;
    let expiring = i64::from(needs.expiring);
    let wanted: [&(dyn ToSql + Sync); 2] = [&needs.transfers, &expiring];
    tokio::try_join!(biased; client.query(&transfers, &wanted), client.query(&accounts, &wanted))
}
