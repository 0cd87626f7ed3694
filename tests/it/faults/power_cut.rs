//! Power cuts: what was written and not synced is lost, wholly or in parts.
//!
//! SIGKILL keeps the page cache, so it shows nothing of this. Here the real server's system calls are recorded with
//! strace(1), and the data directory is built anew as a disk could hold it at each sync and each acknowledgement of the
//! run: with synced writes only, and with some sectors of the others. Each of these directories must open, hold every invariant and every
//! transfer that had been acknowledged by then.

mod disk;
mod postgres;
mod trace;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ringledger::models::TransferId;
use ringledger::services::SigningKey;
use ringledger::services::audit::audit;
use ringledger::store::{Location, Store};
use tempfile::TempDir;

use self::disk::{Disk, Files};
use self::trace::{CALLS, Event, read};
use crate::support::books::{Books, FUNDS, Order, expect_created};
use crate::support::raw::Connection;
use crate::support::{Server, new_data};

/// Clients at once, so that transfers share batches.
const CLIENTS: usize = 3;
/// Transfers of each client in each life of the server.
const TRANSFERS: usize = 8;
/// Ways in which unsynced writes are torn at each sync.
const TORN: u64 = 3;
/// How long a server may take to end.
const END_WITHIN: Duration = Duration::from_secs(20);

/// Lives of a server on one ledger, with all that they did to its files.
struct Recorded {
    /// The data directory as they left it.
    data: TempDir,
    events: Vec<Event>,
    books: Books,
}

/// How a life of the server ends.
#[derive(Clone, Copy)]
enum End {
    Drained,
    Killed,
}

/// The first makes the ledger, one starts on an orderly end, one on a crash.
const LIVES: [End; 3] = [End::Drained, End::Killed, End::Killed];

fn record() -> Recorded {
    let mut data = new_data();
    let traces = new_data();
    let directory = data.path().to_owned();
    let (mut events, mut books) = (Vec::new(), None);
    for (life, end) in LIVES.into_iter().enumerate() {
        let trace = traces.path().join("trace");
        let mut server = Server::start_traced(data, CALLS, &trace);
        let books = books.get_or_insert_with(|| Books::open(&server, CLIENTS));
        pay(server.address(), books, life);
        match end {
            End::Drained => {
                server.terminate();
                assert!(server.wait(END_WITHIN).success());
            }
            End::Killed => server.kill(),
        }
        data = server.into_data();
        events.extend(read(&trace, &directory, END_WITHIN));
    }
    Recorded { data, events, books: books.unwrap() }
}

/// Each client pays its neighbour, one transfer after the other.
fn pay(address: SocketAddr, books: &Books, life: usize) {
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                for number in 0..TRANSFERS {
                    let key = format!("{life}-{client}-{number}");
                    let order = Order { key, debit: client, credit: (client + 1) % CLIENTS, amount: 1 };
                    expect_created(&connection.call(books.request(&order).bytes()));
                }
            });
        }
    });
}

/// A directory that a power cut could leave, and what had been acknowledged by then.
struct Remains {
    /// For people.
    moment: String,
    files: Files,
    acknowledged: Vec<String>,
}

impl Remains {
    fn write(&self, directory: &Path) {
        for (name, content) in &self.files {
            let path = directory.join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// What power cuts at every sync and acknowledgement of a run leave. With `is_sync` false, the disk takes no sync for one.
fn cuts(recorded: &Recorded, is_sync: impl Fn(&Path) -> bool) -> Vec<Remains> {
    let mut disk = Disk::new(recorded.data.path());
    let (mut acknowledged, mut cuts) = (Vec::new(), Vec::new());
    let mut keep = |disk: &Disk, acknowledged: &[String], moment: String| {
        let torn = (0..TORN).map(|seed| disk.torn(seed));
        for (way, files) in std::iter::once(disk.synced()).chain(torn).enumerate() {
            let moment = format!("{moment}, way {way}");
            cuts.push(Remains { moment, files, acknowledged: acknowledged.to_vec() });
        }
    };
    for (place, event) in recorded.events.iter().enumerate() {
        match event {
            Event::Acknowledged(id) => {
                acknowledged.push(id.clone());
                keep(&disk, &acknowledged, format!("event {place}, after a reply"));
            }
            Event::SyncBegun { path, .. } | Event::SyncEnded { path, .. } if !is_sync(path) => {}
            Event::SyncEnded { path, .. } => {
                keep(&disk, &acknowledged, format!("event {place}, in the sync of {}", path.display()));
                disk.take(event);
            }
            _ => disk.take(event),
        }
    }
    keep(&disk, &acknowledged, "the end".to_owned());
    cuts
}

/// Builds the directory, and says what is wrong with it.
fn examine(remains: &Remains) -> Result<(), String> {
    let place = scratch();
    remains.write(place.path());
    let told = |what: &str, error: String| format!("{}: {what}: {error}", remains.moment);
    let location = Location::Sqlite { directory: place.path().to_owned() };
    let store = Store::open(&location).map_err(|error| told("opening", error.to_string()))?;
    let view = store.audit().map_err(|error| told("reading", error.to_string()))?;
    audit(&view, None, |_| ()).map_err(|error| told("the audit", error.to_string()))?;
    let reader = store.reader().map_err(|error| told("reading", error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for id in &remains.acknowledged {
        let transfer: TransferId = id.parse().unwrap();
        let found =
            runtime.block_on(reader.transfer(transfer)).map_err(|error| told(id, error.to_string()))?;
        if found.is_none() {
            return Err(told("acknowledged and lost", id.clone()));
        }
    }
    let key = SigningKey::read_or_make(&place.path().join("signing.key"));
    key.map(drop).map_err(|error| told("the key", error.to_string()))
}

/// In memory where there is some to be had: no sync of these places means anything.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Examines all on two threads; what is wrong with each.
fn examine_all(remains: &[Remains]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let taken = std::iter::from_fn(|| remains.get(next.fetch_add(1, Ordering::Relaxed)));
        taken.filter_map(|remains| examine(remains).err()).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

#[test]
fn a_power_cut_at_any_sync_loses_nothing_that_was_acknowledged() {
    let recorded = record();
    assert_is_whole(&recorded);
    let remains = cuts(&recorded, |_| true);
    let last = remains.last().unwrap();
    assert_eq!(
        last.acknowledged.len(),
        CLIENTS + LIVES.len() * CLIENTS * TRANSFERS,
        "replies that were recorded"
    );
    let wrong = examine_all(&remains);
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), remains.len(), &wrong[..wrong.len().min(5)]);
    let cuts_of_power = remains.len() / (1 + usize::try_from(TORN).unwrap());
    eprintln!("{cuts_of_power} moments, {} directories", remains.len());
    assert!(cuts_of_power > last.acknowledged.len() + LIVES.len() * TRANSFERS, "{cuts_of_power} moments");
    serve_what_is_left(&recorded.books, last);

    // The proof that the examination can fail: a disk, or a setting, that does not sync the log.
    let lost = examine_all(&cuts(&recorded, |path| !path.ends_with("ledger.db-wal")));
    assert!(lost.iter().any(|wrong| wrong.contains("acknowledged and lost")), "{lost:#?}");
}

/// Asserts that the record tells of everything: replayed without a cut, it leaves what the server has left.
fn assert_is_whole(recorded: &Recorded) {
    let mut disk = Disk::new(recorded.data.path());
    recorded.events.iter().for_each(|event| disk.take(event));
    for (name, content) in disk.written() {
        let real = fs::read(recorded.data.path().join(&name)).unwrap();
        assert!(content == real, "{name}: {} bytes, not {}", content.len(), real.len());
    }
}

/// The server itself starts on what is left, has all of it, and goes on.
fn serve_what_is_left(books: &Books, remains: &Remains) {
    let data = new_data();
    remains.write(data.path());
    let server = Server::start_in(data, &[]);
    let head = server.verify(None);
    let events = remains.acknowledged.len();
    assert!(head.starts_with(&format!("{events}:")), "{events} were acknowledged, the head is {head}");
    let order = Order { key: "afterwards".into(), debit: 0, credit: 1, amount: 1 };
    let mut connection = Connection::open(server.address());
    expect_created(&connection.call(books.request(&order).bytes()));
    assert_eq!(books.balances(&mut connection), [FUNDS - 1, FUNDS + 1, FUNDS]);
    server.verify(Some(&head));
}
