//! How often a request asks the allocator for memory, on the thread of its core. The figures are what was
//! measured, so that one more fails a test; who makes one fewer lowers the figure.

#[path = "../benches/subjects/request.rs"]
mod subject;

use std::time::{Duration, Instant};

use subject::{Exchange, Rig};

/// Requests until buffers have grown, statements are prepared and the token is known.
const WARM_UP: u64 = 1_000;
/// Requests that are counted.
const REQUESTS: u64 = 1_000;
/// One in so many requests may ask once more: a buffer of some 500 access lines is handed over, or the lane's
/// queue has used up a block.
const RARELY: u64 = 20;
/// In so much time one may ask once more, however slow the disk makes the requests: access lines are handed over
/// every 100 ms, and each second has a text of its own.
const SOON: Duration = Duration::from_millis(50);

/// What some requests in a row have asked for.
struct Counted {
    /// Allocations of a usual request; a buffer that grows is one more.
    usual: u64,
    /// What all of them asked for beyond that.
    rare: u64,
    took: Duration,
}

fn count(rig: &Rig, exchange: &mut Exchange) -> Counted {
    rig.repeat(exchange, WARM_UP);
    let begin = Instant::now();
    let one = |_| allocation_counter::measure(|| rig.repeat(exchange, 1)).count_total;
    let mut counts: Vec<_> = (0..REQUESTS).map(one).collect();
    counts.sort_unstable();
    let usual = counts[counts.len() / 2];
    let rare = counts.iter().map(|count| count.saturating_sub(usual)).sum();
    Counted { usual, rare, took: begin.elapsed() }
}

#[track_caller]
fn assert_at_most(allocations: u64, rig: &Rig, exchange: &mut Exchange) {
    let Counted { usual, rare, took } = count(rig, exchange);
    assert!(usual <= allocations, "{usual} allocations a request");
    let now_and_then = u128::from(REQUESTS / RARELY) + took.as_nanos() / SOON.as_nanos();
    assert!(u128::from(rare) <= now_and_then, "{rare} more in {REQUESTS} requests and {took:?}");
}

#[test]
fn the_rig_itself_asks_for_nothing() {
    let counted = count(&Rig::canned(), &mut subject::plaintext());
    assert_eq!((counted.usual, counted.rare), (0, 0));
}

/// | | of them |
/// |---|---|
/// | the request id as a field | 1 |
#[test]
fn plaintext() {
    let (rig, _ledger) = Rig::new();
    assert_at_most(1, &rig, &mut subject::plaintext());
}

/// | | of them |
/// |---|---|
/// | the request id as a field | 1 |
/// | the futures of the request and of its handler | 2 |
/// | rusqlite: the key of its statement cache | 1 |
/// | the account's id as a parameter of the query | 1 |
/// | JSON, and its owner, since its buffer is longer | 2 |
/// | `ETag` | 1 |
#[test]
fn account_with_a_known_token() {
    let (rig, ledger) = Rig::new();
    assert_at_most(8, &rig, &mut ledger.account());
}

/// | | of them |
/// |---|---|
/// | hyper: the name `idempotency-key`, which `http` does not know | 1 |
/// | hyper: the channel of the body | 1 |
/// | the request id as a field | 1 |
/// | the futures of the request and of its handler | 2 |
/// | the command: key, description, reference, request id | 4 |
/// | the buffer of the fingerprint | 1 |
/// | the lane's answer | 1 |
/// | `Location` as text, grown, and as a field | 3 |
/// | JSON, and its owner, since its buffer is longer | 2 |
///
/// What the lane itself needs is shared by a batch and not counted here.
#[test]
fn transfer() {
    let (rig, ledger) = Rig::new();
    assert_at_most(16, &rig, &mut ledger.transfer());
}
