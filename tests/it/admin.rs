//! The admin listener: what it serves, to whom, and beside what load.

use std::time::Duration;

use crate::support::raw::{Connection, Request};
use crate::support::{Scrape, Server, new_data, on_both_engines, run_command};

on_both_engines!(
    it_serves_metrics_and_probes_and_nothing_else,
    its_requests_are_counted_as_its_own,
    it_ends_with_the_server,
);

fn server_on(engine: &str, settings: &[(&str, &str)]) -> Server {
    let settings = [&[("admin.listen", "127.0.0.1:0")], settings].concat();
    Server::start_set(&["--io", engine, "--workers", "1", "--bench-endpoints"], &settings)
}

fn it_serves_metrics_and_probes_and_nothing_else(engine: &str) {
    let server = server_on(engine, &[("metrics.public", "false")]);
    let mut admin = Connection::open(server.admin_address());
    for (path, status) in [
        ("/health", 200),
        ("/ready", 200),
        ("/metrics", 200),
        ("/plaintext", 404),
        ("/api/v1/accounts", 404),
        ("/api/v1/users/me", 404),
    ] {
        assert_eq!(admin.call(Request::get(path).bytes()).status, status, "{path}");
    }
    let public = Connection::open(server.address()).call(Request::get("/metrics").bytes());
    assert_eq!(public.status, 401, "{public:?}");
}

fn its_requests_are_counted_as_its_own(engine: &str) {
    let server = server_on(engine, &[]);
    let mut admin = Connection::open(server.admin_address());
    assert_eq!(admin.call(Request::get("/health").bytes()).status, 200);
    let mut public = Connection::open(server.address());
    let scrape = Scrape::on(&mut public);
    let of = |core| scrape.samples("http_requests_total", &[("core", core), ("route", "/health")]);
    assert_eq!(of("admin"), [1], "{}", scrape.0);
    assert_eq!(of("0"), [] as [u64; 0], "{}", scrape.0);
}

fn it_ends_with_the_server(engine: &str) {
    let mut server = server_on(engine, &[]);
    let mut admin = Connection::open(server.admin_address());
    assert_eq!(admin.call(Request::get("/ready").bytes()).status, 200);
    server.terminate();
    assert!(server.wait(Duration::from_secs(10)).success());
    admin.assert_over();
}

#[test]
fn it_has_an_address_of_its_own() {
    let data = new_data();
    let mut command = crate::support::ledger_command(data.path());
    command.args(["config", "check"]);
    command.env("RINGLEDGER__SERVER__LISTEN", "127.0.0.1:9").env("RINGLEDGER__ADMIN__LISTEN", "127.0.0.1:9");
    assert!(run_command(command, "").fails(78).stderr.contains("admin.listen"));
}
