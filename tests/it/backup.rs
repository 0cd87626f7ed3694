//! The recipes of README.md, Backup: taken while the server works, restored elsewhere, audited, served from.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use throwaway_postgres::Binaries;

use crate::support::books::{Books, Order, expect_created};
use crate::support::postgres::shared_cluster;
use crate::support::raw::Connection;
use crate::support::{Server, SetsAtEnd, new_data, wait_until};

/// Clients that pay while the backup is taken.
const CLIENTS: usize = 4;
/// Payments before the backup, and after it.
const PAYMENTS: usize = 40;
/// By when these are made.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_copy_of_sqlite_under_load_is_a_ledger() {
    let server = Server::start();
    let restored = taken_under_load(&server, || {
        let data = new_data();
        let database = rusqlite::Connection::open(server.data().join("ledger.db")).unwrap();
        let copy = data.path().join("ledger.db");
        database.execute("vacuum into ?1", [copy.to_str().unwrap()]).unwrap();
        copy_key(&server, data.path());
        Server::start_in(data, &[])
    });
    // Its journal is a write-ahead log again.
    assert!(restored.data().join("ledger.db-wal").exists());
}

#[test]
fn a_dump_of_postgres_under_load_is_a_ledger() {
    let cluster = shared_cluster();
    let url = cluster.url(&cluster.database().unwrap());
    let server = Server::start_set(&[], &[("store.url", &url)]);
    taken_under_load(&server, || {
        let data = new_data();
        let file = data.path().join("ledger.dump");
        let file = file.to_str().unwrap();
        run("pg_dump", &["--format=custom", "--file", file, "--dbname", &url]);
        let url = cluster.url(&cluster.database().unwrap());
        run("pg_restore", &["--exit-on-error", "--no-owner", "--dbname", &url, file]);
        copy_key(&server, data.path());
        Server::start_set_in(data, &[], &[("store.url", &url)])
    });
}

fn run(program: &str, arguments: &[&str]) {
    let mut command: Command = Binaries::find().unwrap().command(program);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
}

/// Without it the tokens of before would be worth nothing, and on Postgres the server would not start.
fn copy_key(server: &Server, data: &Path) {
    fs::copy(server.data().join("signing.key"), data.join("signing.key")).unwrap();
}

/// Has a backup taken and restored amid payments, and checks what it holds: everything that was acknowledged before, and
/// nothing that the ledger does not have.
fn taken_under_load(server: &Server, backup: impl FnOnce() -> Server) -> Server {
    let (books, address) = (Books::open(server, CLIENTS + 1), server.address());
    let (acknowledged, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let (before, restored) = thread::scope(|scope| {
        let _over = SetsAtEnd(&over);
        for client in 0..CLIENTS {
            let (books, acknowledged, over) = (&books, &acknowledged, &over);
            scope.spawn(move || pay(address, books, client, acknowledged, over));
        }
        let wait_for = |payments| {
            wait_until(PATIENCE, || {
                let count = acknowledged.lock().unwrap().len();
                if count >= payments { Ok(()) } else { Err(format!("{count} payments")) }
            });
        };
        wait_for(PAYMENTS);
        let before = acknowledged.lock().unwrap().clone();
        let restored = backup();
        wait_for(before.len() + PAYMENTS);
        (before, restored)
    });
    let head = restored.verify(None);
    let now = server.verify(Some(&head));
    assert_ne!(now, head, "nothing was paid while the backup was taken");
    let mut client = Connection::open(restored.address());
    for order in &before {
        let again = client.call(books.request(order).bytes());
        expect_created(&again);
        assert_eq!(again.field("idempotency-replayed"), Some("true"), "{order:?}: {again:?}");
    }
    let order = Order { key: "after".to_owned(), debit: 0, credit: 1, amount: 1 };
    expect_created(&client.call(books.request(&order).bytes()));
    restored.verify(Some(&head));
    restored
}

fn pay(
    address: SocketAddr,
    books: &Books,
    client: usize,
    acknowledged: &Mutex<Vec<Order>>,
    over: &AtomicBool,
) {
    let mut connection = Connection::open(address);
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let order = Order { key: format!("{client}-{number}"), debit: client, credit: CLIENTS, amount: 1 };
        expect_created(&connection.call(books.request(&order).bytes()));
        acknowledged.lock().unwrap().push(order);
    }
}
