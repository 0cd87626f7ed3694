//! The recipes of README.md, Backup, as they are printed there: taken while the server works, audited, restored elsewhere,
//! served from.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
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

/// The only commands below the heading Backup that begin so.
fn recipe(beginning: &str) -> &'static str {
    let (_, backup) = include_str!("../../README.md").split_once("\n## Backup\n").unwrap();
    let (backup, _) = backup.split_once("\n## ").unwrap();
    let blocks = backup.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    let found: Vec<_> = blocks.filter(|block| block.starts_with(beginning)).collect();
    assert_eq!(found.len(), 1, "{beginning:?} begins {found:#?}");
    found[0]
}

/// Runs commands as somebody would who is in `place` and has all programs at hand.
fn follow(recipe: &str, place: &Path, variables: &[(&str, &str)]) {
    let own = Path::new(env!("CARGO_BIN_EXE_ringledger")).parent().unwrap().to_owned();
    let postgres = Binaries::find().unwrap().directory().to_owned();
    let others = env::var_os("PATH").unwrap();
    let programs = env::join_paths([own, postgres].into_iter().chain(env::split_paths(&others))).unwrap();
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", recipe]).current_dir(place);
    command.env_clear().env("PATH", programs).envs(variables.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{recipe}{output:?}");
}

#[test]
fn a_copy_of_sqlite_under_load_is_a_ledger() {
    let server = Server::start();
    let restored = taken_under_load(&server, || {
        let (place, data) = (new_data(), new_data());
        symlink(server.data(), place.path().join("data")).unwrap();
        follow(recipe("umask 077 && mkdir backup\n"), place.path(), &[]);
        for file in ["ledger.db", "signing.key"] {
            fs::copy(place.path().join("backup").join(file), data.path().join(file)).unwrap();
        }
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
        let (place, data) = (new_data(), new_data());
        let restored = cluster.url("restored");
        let other = restored.strip_suffix("/restored").unwrap();
        // What is set for the live ledger must not be what the last command reads.
        let live = [("URL", &*url), ("OTHER", other), ("RINGLEDGER__STORE__REPLICA_URL", &url)];
        follow(recipe("umask 077\n"), place.path(), &live);
        // With another key the server would not start.
        fs::copy(server.data().join("signing.key"), data.path().join("signing.key")).unwrap();
        Server::start_set_in(data, &[], &[("store.url", &restored)])
    });
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
