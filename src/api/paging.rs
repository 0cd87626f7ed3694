//! Pages of lists: the `limit` and `cursor` of a request, the `next_cursor` and `Link` of a reply.

use http::StatusCode;
use http::header::LINK;
use serde::Serialize;

use super::{Answer, AppError};
use crate::web::call::Call;
use crate::web::invalid::Invalid;
use crate::web::page::{List, next_link};
use crate::web::reply::Reply;

/// Rows of a page when the caller names no limit.
const DEFAULT_ROWS: u32 = 50;
/// Rows of a page at most; it bounds the time a list holds its core.
const MAX_ROWS: u32 = 200;

/// Where a page begins and how long it is.
pub(super) struct Page<const N: usize> {
    list: List,
    /// Rows wanted.
    pub(super) rows: u32,
    /// The key of the last row of the page before.
    pub(super) after: Option<[u8; N]>,
}

#[derive(Serialize)]
struct Body<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

impl<const N: usize> Page<N> {
    /// The page that a request's parameters ask for.
    pub(super) fn parse(list: List, limit: Option<u32>, cursor: Option<&str>) -> Result<Self, AppError> {
        let rows = limit.unwrap_or(DEFAULT_ROWS);
        if !(1..=MAX_ROWS).contains(&rows) {
            return Err(Invalid::member("limit", "must be between 1 and 200").into());
        }
        let after = cursor.map(|cursor| list.key::<N>(cursor)).transpose();
        let after = after.map_err(|_| Invalid::member("cursor", "is not a cursor of this list"))?;
        Ok(Self { list, rows, after })
    }

    /// Rows to ask the store for: one more than wanted, to know whether there is a next page.
    pub(super) const fn rows_to_read(&self) -> u32 {
        self.rows + 1
    }

    /// The reply of this page.
    pub(super) fn reply<'r, R, View>(
        &self,
        call: &Call<'_>,
        rows: &'r [R],
        key: impl Fn(&R) -> [u8; N],
    ) -> Answer
    where
        View: Serialize + From<&'r R>,
    {
        let shown = &rows[..rows.len().min(self.rows as usize)];
        let last = shown.last().filter(|_| shown.len() < rows.len());
        self.reply_up_to::<R, View>(call, shown, last.map(key))
    }

    /// The reply of a page that shows all of `rows`; the next one begins behind the key `end`.
    pub(super) fn reply_up_to<'r, R, View>(
        &self,
        call: &Call<'_>,
        rows: &'r [R],
        end: Option<[u8; N]>,
    ) -> Answer
    where
        View: Serialize + From<&'r R>,
    {
        let next_cursor = end.map(|key| self.list.cursor(key));
        let link = next_cursor.as_deref().map(|cursor| next_link(call.path, call.query, cursor));
        let body = Body { data: rows.iter().map(View::from).collect(), next_cursor };
        let reply = Reply::json(StatusCode::OK, &body)?.no_store();
        Ok(match link {
            Some(link) => reply.header(LINK, link),
            None => reply,
        })
    }
}
