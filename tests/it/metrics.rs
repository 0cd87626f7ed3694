//! `/metrics`: what scrapers, dashboards and alerts rely on.

use std::time::Duration;

use crate::support::books::{Books, FUNDS, Order};
use crate::support::raw::{Connection, Reply, Request};
use crate::support::{Scrape, Server, add_user, on_both_engines, run, wait_until};

/// How late a busy machine may be.
const LATE: Duration = Duration::from_secs(2);

on_both_engines!(
    requests_are_counted_by_method_route_status_and_core,
    durations_are_counted_in_buckets,
    connections_are_counted_while_they_are_open,
    requests_in_flight_are_counted_until_they_are_answered,
    jobs_of_the_pool_are_measured,
    the_process_is_measured,
    openmetrics_is_sent_to_those_who_ask,
    prometheus_gets_openmetrics,
    metrics_that_are_not_public_are_for_operators,
    metrics_that_are_off_are_not_there,
    the_lane_and_the_store_are_measured,
    refusals_are_counted,
    what_a_core_does_is_measured,
    a_scrape_is_never_refused_for_load,
);

/// A server of one worker, so that every number is of core 0.
fn server_on(engine: &str) -> Server {
    Server::start_with(&["--io", engine, "--workers", "1", "--bench-endpoints"])
}

fn ask(connection: &mut Connection, method: &str, target: &str) -> u16 {
    connection.call(Request::new(method, target).bytes()).status
}

fn requests_are_counted_by_method_route_status_and_core(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 1);
    let mut connection = Connection::open(server.address());
    for _ in 0..3 {
        assert_eq!(ask(&mut connection, "GET", "/health"), 200);
    }
    assert_eq!(ask(&mut connection, "DELETE", "/health"), 405);
    assert_eq!(ask(&mut connection, "GET", "/nowhere"), 404);
    let account = format!("/api/v1/accounts/{}", books.accounts[0]);
    assert_eq!(ask(&mut connection, "GET", &account), 401);
    assert_eq!(connection.call(books.get(&account).bytes()).status, 200);
    let scrape = Scrape::on(&mut connection);
    for (method, route, status, count) in [
        ("GET", "/health", "200", 3),
        ("other", "unmatched", "405", 1),
        ("other", "unmatched", "404", 1),
        ("GET", "/api/v1/accounts/{id}", "401", 1),
        ("GET", "/api/v1/accounts/{id}", "200", 1),
        ("POST", "/api/v1/accounts", "201", 2),
        ("POST", "/api/v1/transfers", "201", 1),
    ] {
        let labels = [("method", method), ("route", route), ("status", status), ("core", "0")];
        assert_eq!(scrape.samples("http_requests_total", &labels), [count], "{labels:?}: {}", scrape.0);
    }
    // This scrape was not yet answered, and nothing else was asked.
    assert_eq!(scrape.sum("http_requests_total", &[]), 10, "{}", scrape.0);
}

fn durations_are_counted_in_buckets(engine: &str) {
    const NAME: &str = "http_request_duration_seconds";
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    for _ in 0..5 {
        assert_eq!(ask(&mut connection, "GET", "/health"), 200);
    }
    assert_eq!(ask(&mut connection, "GET", "/cpu?ms=20"), 200);
    let scrape = Scrape::on(&mut connection);
    for (route, count) in [("/health", 5), ("/cpu", 1)] {
        let labels = [("method", "GET"), ("route", route), ("status", "200"), ("core", "0")];
        let buckets = scrape.samples(&format!("{NAME}_bucket"), &labels);
        assert!(buckets.is_sorted() && buckets.len() > 5, "{buckets:?}");
        assert_eq!(buckets.last(), Some(&count));
        assert_eq!(scrape.samples(&format!("{NAME}_count"), &labels), [count]);
        assert_eq!(scrape.sum(&format!("{NAME}_bucket"), &[("route", route), ("le", "+Inf")]), count);
    }
    let below = |le| scrape.samples(&format!("{NAME}_bucket"), &[("route", "/cpu"), ("le", le)]);
    assert_eq!(below("5e-05"), [0], "the first bound is 50 µs: {}", scrape.0);
}

fn connections_are_counted_while_they_are_open(engine: &str) {
    let server = Server::start_with(&["--io", engine]);
    let mut connection = Connection::open(server.address());
    let mut wait_for = |count| {
        wait_until(LATE, || match Scrape::on(&mut connection).sum("connections", &[]) {
            found if found == count => Ok(()),
            found => Err(format!("{found} connections of {count}")),
        });
    };
    wait_for(1);
    let mut others: Vec<_> = (0..20).map(|_| Connection::open(server.address())).collect();
    wait_for(21);
    others.truncate(5);
    wait_for(6);
    others.clear();
    wait_for(1);
    let scrape = Scrape::on(&mut connection);
    assert_eq!(scrape.sum("connections_accepted_total", &[]), 21);
    let cores = scrape.samples("connections", &[]).len();
    assert_eq!(cores, std::thread::available_parallelism().unwrap().get(), "{}", scrape.0);
}

fn requests_in_flight_are_counted_until_they_are_answered(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let body = r#"{"currency":"EUR"}"#;
    let mut watcher = Connection::open(server.address());
    let mut in_flight = || Scrape::on(&mut watcher).samples("http_requests_in_flight", &[("core", "0")]);
    assert_eq!(in_flight(), [0]);
    let mut begun = Connection::open(server.address());
    let request = books.account_request().field("Expect", "100-continue").json(body);
    assert_eq!(begun.call(request.head()).status, 100);
    assert_eq!(in_flight(), [1]);
    assert_eq!(begun.call(body).status, 201);
    assert_eq!(in_flight(), [0]);
}

fn jobs_of_the_pool_are_measured(engine: &str) {
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    let mut counts = || {
        let scrape = Scrape::on(&mut connection);
        ["cpu_pool_queue_seconds_count", "cpu_pool_run_seconds_count"].map(|name| scrape.samples(name, &[]))
    };
    assert_eq!(counts(), [[0], [0]]);
    let mut asking = Connection::open(server.address());
    for _ in 0..3 {
        assert_eq!(ask(&mut asking, "GET", "/cpu?ms=5"), 200);
    }
    assert_eq!(counts(), [[3], [3]]);
    // Three jobs of 5 ms.
    let scrape = Scrape::on(&mut asking);
    let quick = scrape.samples("cpu_pool_run_seconds_bucket", &[("le", "0.0025")]);
    assert_eq!(quick, [0], "{}", scrape.0);
}

fn the_process_is_measured(engine: &str) {
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    let before = Scrape::on(&mut connection).sum("process_open_fds", &[]);
    let others: Vec<_> = (0..10).map(|_| Connection::open(server.address())).collect();
    wait_until(LATE, || match Scrape::on(&mut connection).sum("process_open_fds", &[]) {
        open if open == before + others.len() as u64 => Ok(()),
        open => Err(format!("{open} open descriptors, before {before}")),
    });
    let scrape = Scrape::on(&mut connection);
    assert_eq!(scrape.sum("process_open_fds", &[]), server.process().open_files() as u64);
    let (said, seen) = (scrape.sum("process_resident_memory_bytes", &[]), server.process().resident_bytes());
    assert!(said.abs_diff(seen) < seen / 4, "{said} and {seen} bytes");
    let features = if cfg!(feature = "otlp") { "otlp,postgres" } else { "postgres" };
    let build = [("version", env!("CARGO_PKG_VERSION")), ("commit", "unknown"), ("features", features)];
    assert_eq!(scrape.samples("build_info", &build), [1]);
    assert_eq!(scrape.sum("process_max_fds", &[]), server.process().file_limits().0);
}

fn content_type(reply: &Reply) -> &str {
    reply.field("content-type").unwrap_or_default()
}

fn openmetrics_is_sent_to_those_who_ask(engine: &str) {
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    let prometheus = connection.call(Request::get("/metrics").bytes());
    assert_eq!(content_type(&prometheus), "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(prometheus.body).unwrap();
    assert!(text.contains("\n# TYPE http_requests_total counter\n"), "{text}");
    let accept = "text/plain;q=0.5,application/openmetrics-text";
    let open = connection.call(Request::get("/metrics").field("Accept", accept).bytes());
    assert_eq!(content_type(&open), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = String::from_utf8(open.body).unwrap();
    assert!(text.contains("# TYPE http_requests counter\n") && text.ends_with("\n# EOF\n"), "{text}");
    assert!(text.contains("http_requests_total{method=\"GET\",route=\"/metrics\",status=\"200\""), "{text}");
    let neither = connection.call(Request::get("/metrics").field("Accept", "image/png").bytes());
    assert_eq!((neither.status, neither.problem_code().as_str()), (406, "not_acceptable"));
}

/// Prometheus names the versions that it knows.
fn prometheus_gets_openmetrics(engine: &str) {
    let server = server_on(engine);
    let accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let reply =
        Connection::open(server.address()).call(Request::get("/metrics").field("Accept", accept).bytes());
    assert_eq!(content_type(&reply), "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

fn metrics_that_are_not_public_are_for_operators(engine: &str) {
    let server = Server::start_set(&["--io", engine], &[("metrics.public", "false")]);
    add_user(server.data(), "alice", &[]).ok();
    let user = run(server.data(), &["token", "--user", "alice"]).ok();
    let mut connection = Connection::open(server.address());
    let nobody = connection.call(Request::get("/metrics").bytes());
    assert_eq!((nobody.status, nobody.problem_code().as_str()), (401, "unauthenticated"));
    assert!(
        nobody.field("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")),
        "{nobody:?}"
    );
    let user = connection.call(Request::get("/metrics").bearer(user.trim()).bytes());
    assert_eq!((user.status, user.problem_code().as_str()), (403, "forbidden"));
    let operator = connection.call(Request::get("/metrics").bearer(&server.operator_token()).bytes());
    assert_eq!(operator.status, 200, "{operator:?}");
}

fn metrics_that_are_off_are_not_there(engine: &str) {
    let server = Server::start_set(&["--io", engine], &[("metrics.enabled", "false")]);
    let reply = Connection::open(server.address()).call(Request::get("/metrics").bytes());
    assert_eq!((reply.status, reply.problem_code().as_str()), (404, "not_found"));
}

fn the_lane_and_the_store_are_measured(engine: &str) {
    let server = server_on(engine);
    // Three accounts are opened, and two of them are funded.
    let books = Books::open(&server, 2);
    let mut connection = Connection::open(server.address());
    let order = |key: &str, amount| Order { key: key.into(), debit: 0, credit: 1, amount };
    for (order, status) in [
        (order("a", 1), 201),
        (order("a", 1), 201),
        (order("b", FUNDS + 1), 422),
        (Order { credit: 0, ..order("c", 1) }, 422),
    ] {
        assert_eq!(connection.call(books.request(&order).bytes()).status, status, "{order:?}");
    }
    assert_eq!(connection.call(books.get("/api/v1/accounts").bytes()).status, 200);
    let scrape = Scrape::on(&mut connection);
    for (result, count) in [
        ("posted", 3),
        ("replayed", 1),
        ("insufficient_funds", 1),
        ("same_account", 1),
        ("pending", 0),
        ("not_found", 0),
    ] {
        let found = scrape.samples("transfers_posted_total", &[("result", result)]);
        assert_eq!(found, [count], "{result}: {}", scrape.0);
    }
    // One at a time, each is a batch.
    assert_eq!(scrape.samples("lane_batch_size_bucket", &[("le", "1.0")]), [9]);
    assert_eq!(scrape.samples("lane_batch_size_sum", &[]), [9]);
    assert_eq!(scrape.samples("lane_wait_seconds_count", &[]), [9]);
    assert_eq!(scrape.samples("store_seconds_count", &[("operation", "commit")]), [9]);
    assert!(scrape.sum("store_seconds_count", &[("operation", "read")]) >= 1, "{}", scrape.0);
    assert_eq!(scrape.samples("store_errors_total", &[]), [0, 0]);
}

fn refusals_are_counted(engine: &str) {
    let settings = [("rate_limit.per_second", "1"), ("rate_limit.burst", "2")];
    let server = Server::start_set(&["--io", engine, "--workers", "1"], &settings);
    let token = server.operator_token();
    let mut connection = Connection::open(server.address());
    let me = Request::get("/api/v1/users/me").bearer(&token).bytes();
    let mut refused = 0;
    while refused == 0 {
        refused += u64::from(connection.call(&me).status == 429);
    }
    for bad in ["", "x.y.z"] {
        let reply = connection.call(Request::get("/api/v1/users/me").bearer(bad).bytes());
        assert_eq!(reply.status, 401, "{reply:?}");
    }
    let scrape = Scrape::on(&mut connection);
    assert_eq!(scrape.samples("auth_failures_total", &[("core", "0")]), [2]);
    assert_eq!(scrape.samples("rate_limited_total", &[("core", "0")]), [1]);
}

fn what_a_core_does_is_measured(engine: &str) {
    let arguments = ["--io", engine, "--workers", "1", "--bench-endpoints"];
    let server = Server::start_set(&arguments, &[("runtime.busy_poll", "adaptive")]);
    let mut connection = Connection::open(server.address());
    let before = Scrape::on(&mut connection);
    let request = Request::get("/plaintext").bytes();
    let mut received = 0;
    for _ in 0..50 {
        let reply = connection.call(&request);
        received += reply.body.len() as u64;
    }
    let after = Scrape::on(&mut connection);
    let grown = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    let scrape_bytes = Request::get("/metrics").bytes().len() as u64;
    assert_eq!(grown("http_received_bytes_total", &[]), 50 * request.len() as u64 + scrape_bytes);
    assert!(grown("http_sent_bytes_total", &[]) > received + before.0.len() as u64);
    assert!(grown("core_wakeups_total", &[]) > 0, "{}", after.0);
    assert!(grown("busy_poll_turns_total", &[("found", "something")]) > 0, "{}", after.0);
    if engine == "uring" {
        // A receive and a send each.
        assert!(grown("ring_completions_total", &[]) >= 100, "{}", after.0);
        assert!(after.sum("ring_operations_in_flight", &[]) >= 1, "the accept: {}", after.0);
    }
}

/// Who watches must see that the server is busy.
fn a_scrape_is_never_refused_for_load(engine: &str) {
    let settings = [("limits.in_flight_per_core", "1")];
    let server = Server::start_set(&["--io", engine, "--workers", "1", "--bench-endpoints"], &settings);
    let mut busy = Connection::open(server.address());
    busy.send(Request::get("/cpu?ms=1000").bytes());
    let mut connection = Connection::open(server.address());
    let in_flight = || Scrape::on(&mut connection).samples("http_requests_in_flight", &[("core", "0")]);
    wait_for(in_flight, &[1]);
    assert_eq!(ask(&mut connection, "GET", "/cpu?ms=1"), 503);
    assert_eq!(ask(&mut connection, "GET", "/ready"), 200);
    assert_eq!(busy.reply().status, 200);
}

#[track_caller]
fn wait_for(mut look: impl FnMut() -> Vec<u64>, wanted: &[u64]) {
    wait_until(LATE, || match look() {
        found if found == wanted => Ok(()),
        found => Err(format!("{found:?} and not {wanted:?}")),
    });
}
