//! Power cuts of Postgres: what it acknowledges must have waited for its disk, whatever its settings are.

use crate::support::books::{Books, Order, expect_created};
use crate::support::postgres::{new_cluster, serve_on};
use crate::support::raw::Connection;

/// With `synchronous_commit = off` and a slow WAL writer, what is committed is in memory alone for seconds.
#[test]
fn what_was_acknowledged_is_on_disk_whatever_the_servers_default_is() {
    let mut cluster = new_cluster(&[("synchronous_commit", "off"), ("wal_writer_delay", "10s")]);
    let database = cluster.database().unwrap();
    let server = serve_on(&cluster.url(&database));
    let told = server.start_lines().iter().any(|line| line.contains("synchronous_commit = off"));
    assert!(told, "{:#?}", server.start_lines());
    let books = Books::open(&server, 2);
    cluster.query(&database, "create table control (n int); checkpoint").unwrap();
    let mut connection = Connection::open(server.address());
    for number in 0..5 {
        let order = Order { key: number.to_string(), debit: 0, credit: 1, amount: 1 };
        expect_created(&connection.call(books.request(&order).bytes()));
    }
    let head = server.verify(None);
    cluster.query(&database, "insert into control values (1)").unwrap();
    cluster.kill9().unwrap();
    cluster.start_again().unwrap();
    assert_eq!(server.verify(None), head);
    let kept = cluster.query(&database, "select count(*) from control").unwrap();
    assert_eq!(kept, [["0"]], "a commit that waits for no disk would not have been seen to be lost");
}
