//! Bounds of a core: what is beyond them is refused at once, and the rest goes on.

use std::time::{Duration, Instant};

use super::{BODY, LATE, assert_usable, begun, rested};
use crate::support::books::{Books, expect_created};
use crate::support::raw::{Connection, Reply, Request};
use crate::support::{Server, on_both_engines, wait_until};

/// The bound of requests in flight or of connections that each test sets.
const BOUND: usize = 2;
/// Refusals that are timed.
const REFUSALS: usize = 21;
/// The longest median of a refusal.
const REFUSED_IN: Duration = Duration::from_millis(100);

on_both_engines!(
    requests_beyond_the_bound_are_refused_at_once,
    jobs_hold_their_place_among_the_requests_in_flight,
    connections_beyond_the_bound_are_closed,
);

fn server_with(engine: &str, key: &str) -> Server {
    let bound = BOUND.to_string();
    let settings = [(key, &*bound), ("limits.body_timeout_ms", "60000")];
    Server::start_set(&["--io", engine, "--workers", "1", "--bench-endpoints"], &settings)
}

fn assert_overloaded(reply: &Reply) {
    assert_eq!((reply.status, reply.problem_code().as_str()), (503, "overloaded"));
    let retry_after = reply.field("retry-after").unwrap_or_else(|| panic!("no Retry-After: {reply:?}"));
    assert!(retry_after.parse::<u32>().is_ok_and(|seconds| seconds > 0), "{reply:?}");
}

/// A request that takes its place among those in flight. Nobody is named, so it is 401 when there is one.
fn waiting() -> Vec<u8> {
    Request::get("/api/v1/users/me").bytes()
}

fn requests_beyond_the_bound_are_refused_at_once(engine: &str) {
    let server = server_with(engine, "limits.in_flight_per_core");
    let books = Books::open(&server, 0);
    let mut under_way: Vec<_> = (0..BOUND).map(|_| begun(&server, &books)).collect();
    let mut connection = Connection::open(server.address());
    let refusal = |_| {
        let begin = Instant::now();
        assert_overloaded(&connection.call(waiting()));
        begin.elapsed()
    };
    let mut times: Vec<_> = (0..REFUSALS).map(refusal).collect();
    times.sort_unstable();
    assert!(times[REFUSALS / 2] < REFUSED_IN, "{times:?}");
    // Also with a body, which need not be read.
    assert_overloaded(&connection.call(books.account_request().json(BODY).bytes()));
    // What waits for nobody is answered.
    assert_usable(&mut connection);
    let mut last = under_way.pop().unwrap();
    expect_created(&last.call(BODY));
    assert_eq!(connection.call(waiting()).status, 401);
    for mut connection in under_way {
        expect_created(&connection.call(BODY));
    }
}

fn jobs_hold_their_place_among_the_requests_in_flight(engine: &str) {
    let server = server_with(engine, "limits.in_flight_per_core");
    let mut connection = rested(&server);
    let jobs = [(); BOUND].map(|()| {
        let mut job = Connection::open(server.address());
        job.send(Request::get("/cpu?ms=300").bytes());
        job
    });
    // The jobs' requests come on other connections, perhaps later than this one's.
    wait_until(LATE, || match connection.call(waiting()) {
        reply if reply.status == 401 => Err("nothing was refused".to_owned()),
        reply => {
            assert_overloaded(&reply);
            Ok(())
        }
    });
    assert_usable(&mut connection);
    for mut job in jobs {
        assert_eq!(job.reply().status, 200);
    }
    assert_eq!(connection.call(waiting()).status, 401);
}

fn connections_beyond_the_bound_are_closed(engine: &str) {
    let server = server_with(engine, "limits.connections_per_core");
    let mut connections: Vec<_> = (0..BOUND).map(|_| rested(&server)).collect();
    let begin = Instant::now();
    Connection::open(server.address()).assert_over();
    assert!(begin.elapsed() < LATE, "closed after {:?} only", begin.elapsed());
    connections.iter_mut().for_each(assert_usable);
    drop(connections.pop());
    // Until the server has seen that one go, a new one may still be closed.
    wait_until(LATE, || {
        let mut connection = Connection::open(server.address());
        let reply = connection.try_send(waiting()).and_then(|()| connection.try_reply());
        reply.map(drop).map_err(|error| error.to_string())
    });
    connections.iter_mut().for_each(assert_usable);
}
