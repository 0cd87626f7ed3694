//! One case, two tests: SQLite under the ring engine and Postgres under the epoll engine, which must not be told apart
//! from outside.

use super::Server;
use super::postgres::shared_cluster;

/// Where a server keeps its ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// In its data directory.
    Sqlite,
    /// In a database of its own on the cluster that tests share.
    Postgres,
}

impl Store {
    /// A server on a new ledger with these settings.
    pub(crate) fn serve(self, settings: &[(&str, &str)]) -> Server {
        match self {
            Self::Sqlite => Server::start_set(&["--io", "uring"], settings),
            Self::Postgres => {
                let url = shared_cluster().url(&shared_cluster().database().unwrap());
                Server::start_set(&["--io", "epoll"], &[&[("store.url", &*url)], settings].concat())
            }
        }
    }
}

/// Makes each case, an async function of a [`Store`], a test on either store.
macro_rules! on_both_stores {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $case() { super::$case(crate::support::Store::Sqlite).await; })+
        }
        mod postgres {
            $(#[tokio::test] async fn $case() { super::$case(crate::support::Store::Postgres).await; })+
        }
    };
}

pub(crate) use on_both_stores;
