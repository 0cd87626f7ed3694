//! Several servers on one database: one order, one ledger.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::load::under_load;
use super::{DEADLINE, LATE, RECOVERED_WITHIN, UNREADY_WITHIN, ask, payment, settle, wait_for_ready};
use crate::support::books::{Books, FUNDS, Order, expect_created};
use crate::support::postgres::{serve_on, serve_on_set, shared_cluster};
use crate::support::raw::{Connection, Reply};
use crate::support::{Server, wait_until};

const CLIENTS: usize = 64;
const PAYMENTS_EACH: usize = 30;
const SAME_KEY_CALLERS: usize = 50;
const FREEZE_CALLERS: usize = 16;
/// When the database ends a session that idles in a transaction; the store asks for 5 s.
const SESSION_ENDS_WITHIN: Duration = Duration::from_secs(6);

/// Two servers on a new database.
pub(super) fn replicas() -> [Server; 2] {
    let url = shared_cluster().url(&shared_cluster().database().unwrap());
    replicas_at([url.clone(), url])
}

/// Two servers that share the first one's key.
pub(super) fn replicas_at([first, second]: [String; 2]) -> [Server; 2] {
    let first = serve_on(&first);
    let key = first.data().join("signing.key");
    let second = serve_on_set(&second, &[("auth.key_file", key.to_str().unwrap())]);
    [first, second]
}

#[test]
fn two_replicas_under_load_make_one_gapless_order() {
    let replicas = replicas();
    let books = Books::open(&replicas[0], CLIENTS);
    let addresses = replicas.each_ref().map(Server::address);
    let start = Barrier::new(CLIENTS);
    let pay = |client: usize| {
        let mut connection = Connection::open(addresses[client % 2]);
        start.wait();
        let payment = |number| {
            let order = Order {
                key: format!("{client}-{number}"),
                debit: client,
                credit: (client + 1) % CLIENTS,
                amount: 1,
            };
            let reply = connection.call(books.request(&order).bytes());
            assert_eq!(reply.status, 201, "{reply:?}");
            let transfer = reply.json();
            (transfer["seq"].as_u64().unwrap(), transfer["created_at"].as_str().unwrap().to_owned())
        };
        (0..PAYMENTS_EACH).map(payment).collect::<Vec<_>>()
    };
    let paid: BTreeMap<u64, String> = thread::scope(|scope| {
        let pay = &pay;
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || pay(client))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    // Each account was funded by one transfer before.
    let first = CLIENTS as u64 + 1;
    let expected: Vec<_> = (first..first + (CLIENTS * PAYMENTS_EACH) as u64).collect();
    assert_eq!(paid.keys().copied().collect::<Vec<_>>(), expected, "no number twice, none left out");
    let times: Vec<jiff::Timestamp> = paid.values().map(|at| at.parse().unwrap()).collect();
    assert!(times.is_sorted(), "time never falls as numbers grow");
    assert_eq!(books.balances(&mut Connection::open(replicas[1].address())), [FUNDS; CLIENTS]);
    assert_eq!(replicas[0].verify(None), replicas[1].verify(None));
}

#[test]
fn what_one_replica_acknowledged_the_other_one_knows() {
    let [first, second] = replicas();
    let books = Books::open(&first, 2);
    let mut connections = [&first, &second].map(|server| Connection::open(server.address()));
    for number in 0..50 {
        let order = payment(&format!("{number}"));
        let [here, there] = &mut connections;
        let id = expect_created(&here.call(books.request(&order).bytes()));
        let reply = there.call(books.get(&format!("/api/v1/transfers/{id}")).bytes());
        assert_eq!(reply.status, 200, "{reply:?}");
        let replay = there.call(books.request(&order).bytes());
        assert_eq!(expect_created(&replay), id);
        assert_eq!(replay.field("idempotency-replayed"), Some("true"), "{replay:?}");
        connections.reverse();
    }
}

#[test]
fn fifty_at_once_with_one_key_over_two_replicas_make_one_transfer() {
    let replicas = replicas();
    let books = Books::open(&replicas[0], 2);
    let order = Order { amount: 7, ..payment("everyone") };
    let addresses = replicas.each_ref().map(Server::address);
    let start = Barrier::new(SAME_KEY_CALLERS);
    let call = |caller: usize| {
        let mut connection = Connection::open(addresses[caller % 2]);
        start.wait();
        connection.call(books.request(&order).bytes())
    };
    let replies: Vec<Reply> = thread::scope(|scope| {
        let call = &call;
        let callers: Vec<_> = (0..SAME_KEY_CALLERS).map(|caller| scope.spawn(move || call(caller))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let (waiting, decided): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 409);
    assert!(waiting.iter().all(|reply| reply.problem_code() == "idempotency_in_flight"), "{waiting:?}");
    let ids: Vec<_> = decided.iter().map(|reply| expect_created(reply)).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let originals = decided.iter().filter(|reply| reply.field("idempotency-replayed").is_none()).count();
    assert_eq!(originals, 1, "one reply is the original, the others are replays");
    assert_eq!(settle(&replicas[1], &books, &order), ids[0]);
    assert_eq!(books.balances(&mut Connection::open(replicas[1].address())), [FUNDS - 7, FUNDS + 7]);
}

#[test]
fn a_replica_ends_and_the_other_one_goes_on() {
    let [mut first, second] = replicas();
    let books = Books::open(&first, 2);
    first.terminate();
    for number in 0..20 {
        let (reply, _) = ask(second.address(), &books.request(&payment(&format!("{number}"))));
        expect_created(&reply);
    }
    assert!(first.wait(DEADLINE + LATE).success());
    second.verify(None);
}

/// A replica that stops in the midst of a batch holds the lock that orders all of them; the database ends its session.
#[test]
fn a_replica_that_is_frozen_in_a_batch_does_not_stop_the_other_one() {
    let database = shared_cluster().database().unwrap();
    let url = shared_cluster().url(&database);
    let replicas = replicas_at([url.clone(), url]);
    let books = Books::open(&replicas[0], FREEZE_CALLERS);
    // A session of the replica that goes on idles for as long as its rule takes to decide.
    let in_a_batch = format!(
        "select count(*) from pg_stat_activity where datname = '{database}' and state = 'idle in transaction'
         and clock_timestamp() - state_change > interval '200ms'"
    );
    under_load(&replicas.each_ref(), &books, |load| {
        load.wait_for_more(100);
        wait_until(3 * DEADLINE, || {
            replicas[0].pause();
            let look = Instant::now();
            while look.elapsed() < Duration::from_millis(500) {
                if shared_cluster().query("postgres", &in_a_batch).unwrap() == [["1"]] {
                    return Ok(());
                }
            }
            replicas[0].resume();
            Err("it was never stopped in the midst of a batch".to_owned())
        });
        wait_for_ready(&replicas[1], 503, UNREADY_WITHIN + LATE);
        wait_for_ready(&replicas[1], 200, SESSION_ENDS_WITHIN + LATE);
        load.wait_for_more(100);
        replicas[0].resume();
        wait_for_ready(&replicas[0], 200, RECOVERED_WITHIN + LATE);
        load.wait_for_more(100);
    });
}
