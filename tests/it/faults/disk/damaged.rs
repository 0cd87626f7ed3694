//! Database files that were damaged while no server ran: found at the start, named, refused, and left as they are.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::books::{Books, Order, expect_created};
use crate::support::raw::Connection;
use crate::support::{Ran, Server, new_data, run};

const PAGE_BYTES: usize = 4_096;
/// Enough for every table to have more than one page.
const PAYMENTS: usize = 300;

/// The file of a ledger that was closed in order.
fn ledger() -> Vec<u8> {
    let mut server = Server::start();
    let books = Books::open(&server, 2);
    let mut connection = Connection::open(server.address());
    for number in 0..PAYMENTS {
        let order = Order { key: format!("payment-{number}"), debit: 0, credit: 1, amount: 1 };
        expect_created(&connection.call(books.request(&order).bytes()));
    }
    server.terminate();
    server.wait(Duration::from_secs(20));
    // A page that nothing is kept in could be damaged and nobody the worse for it.
    let sqlite = rusqlite::Connection::open(database(server.data())).unwrap();
    sqlite.execute_batch("vacuum").unwrap();
    sqlite.close().unwrap();
    fs::read(database(server.data())).unwrap()
}

/// `serve` on such a file, which must end by itself; also looks whether it has left the file alone.
fn serve(name: &str, content: &[u8]) -> Ran {
    let data = new_data();
    let path = database(data.path());
    fs::write(&path, content).unwrap();
    let ran = run(data.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(fs::read(path).unwrap() == content, "{name}: the file was changed");
    ran
}

fn database(data: &Path) -> PathBuf {
    data.join("ledger.db")
}

/// Each kind of damage with its name.
fn damages(whole: &[u8]) -> Vec<(String, Vec<u8>)> {
    let pages = whole.len() / PAGE_BYTES;
    let mut damages = vec![
        ("not a database".to_owned(), b"precious notes\n".repeat(1_000)),
        ("cut in half".to_owned(), whole[..pages / 2 * PAGE_BYTES].to_vec()),
        ("cut within its last page".to_owned(), whole[..whole.len() - PAGE_BYTES / 2].to_vec()),
    ];
    for page in [1, pages / 3, pages / 2, pages - 1] {
        // As a write leaves it of which the disk kept only a part, or none.
        for (what, from) in [("torn", page * PAGE_BYTES + 512), ("lost", page * PAGE_BYTES)] {
            let mut damaged = whole.to_vec();
            damaged[from..(page + 1) * PAGE_BYTES].fill(0);
            if damaged != whole {
                damages.push((format!("page {page} {what}"), damaged));
            }
        }
    }
    damages
}

#[test]
fn a_damaged_file_is_found_at_the_start_and_named_and_refused() {
    let whole = ledger();
    let damages = damages(&whole);
    assert!(damages.len() >= 8, "{} kinds of damage", damages.len());
    for (name, content) in damages {
        eprintln!("{name}");
        let ran = serve(&name, &content);
        ran.fails(1);
        let is_named = ran.stderr.contains("the store is damaged") && ran.stderr.contains("ledger.db");
        assert!(is_named, "{name}: {}", ran.stderr);
    }
}

/// An event that was changed where no structure of the file shows it.
#[test]
fn a_changed_event_at_the_end_of_the_log_is_found_at_the_start() {
    let whole = ledger();
    let data = new_data();
    fs::write(database(data.path()), whole).unwrap();
    let sqlite = rusqlite::Connection::open(database(data.path())).unwrap();
    sqlite.execute("update events set body = cast(body || x'00' as blob) where seq = 200", ()).unwrap();
    sqlite.close().unwrap();
    let ran = run(data.path(), &["serve", "--listen", "127.0.0.1:0"]);
    ran.fails(1);
    assert!(ran.stderr.contains("event 200") && ran.stderr.contains("ledger.db"), "{ran:?}");
}

/// A torn end of the log is what a crash leaves, and no damage.
#[test]
fn a_torn_end_of_the_log_is_recovered_from() {
    let mut server = Server::start();
    let books = Books::open(&server, 2);
    let mut connection = Connection::open(server.address());
    let order = Order { key: "kept".into(), debit: 0, credit: 1, amount: 1 };
    expect_created(&connection.call(books.request(&order).bytes()));
    let head = server.verify(None);
    server.kill();
    let data = server.into_data();
    let log = data.path().join("ledger.db-wal");
    let whole = fs::read(&log).unwrap();
    // A further frame of which half was written.
    let torn = [&whole[..], &whole[whole.len() - PAGE_BYTES..whole.len() - PAGE_BYTES / 2]].concat();
    fs::write(&log, torn).unwrap();
    let server = Server::start_in(data, &[]);
    assert_eq!(server.verify(None), head);
}

#[test]
fn an_empty_file_is_no_damage() {
    let data = new_data();
    File::create(database(data.path())).unwrap();
    let server = Server::start_in(data, &[]);
    Books::open(&server, 1);
}
