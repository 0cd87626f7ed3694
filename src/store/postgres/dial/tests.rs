//! Dialling, on both carriers, to servers that follow a script.

mod script;

use std::net::TcpListener;

use deadpool_postgres::{Connect as _, Manager, ManagerConfig, Pool};
use tokio_postgres::Config;
use tokio_postgres::error::SqlState;

use self::script::{Scripted, admits, refuses};
use super::*;
use crate::runtime::{Engine, IoMode, block_on, choose};

/// The limit for one address, where it is not to be reached.
const PATIENCE: Duration = Duration::from_secs(20);
/// The limit for one address, where it is.
const SOON: Duration = Duration::from_millis(500);

/// Makes each named case a test on each carrier.
macro_rules! on_both_carriers {
    ($($case:ident)+) => {
        mod ring { $(#[test] fn $case() {
            let engine = super::choose(super::IoMode::Uring).unwrap().engine;
            super::run(engine, super::$case(super::Carrier::Ring));
        })+ }
        mod tokio { $(#[test] fn $case() {
            super::run(super::Engine::Epoll, super::$case(super::Carrier::Tokio));
        })+ }
    };
}

on_both_carriers! {
    the_first_host_that_lets_us_in_is_taken
    every_host_says_why_it_failed
    a_silent_host_costs_its_limit_and_no_more
    a_wrong_password_ends_the_search
    a_server_of_the_wrong_kind_is_passed_over
    a_standby_is_preferred_and_not_needed
    an_error_of_a_pool_leads_to_what_was_behind_it
    a_dropped_connection_leaves_nothing_behind
}

fn run(engine: Engine, case: impl Future<Output = ()>) {
    block_on(engine, async { timeout(2 * PATIENCE, case).await.expect("the case hangs") }).unwrap();
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn target(hosts: &[&str], parameters: &str) -> Target {
    let url = format!("postgres://user:password@{}/db?sslmode=disable{parameters}", hosts.join(","));
    Target::parse(&url).unwrap()
}

async fn the_first_host_that_lets_us_in_is_taken(carrier: Carrier) {
    let (dead, full, open) = (nobody(), Scripted::new(refuses("53300")), Scripted::new(admits("off", "f")));
    let target = target(&[&dead, full.address(), open.address()], "");
    let dialled = dial(&target, carrier, PATIENCE).await.unwrap();
    assert_eq!(dialled.place.to_string(), open.address());
    let rows = dialled.client.simple_query("show transaction_read_only").await.unwrap();
    assert_eq!(rows.len(), 3, "{rows:?}");
}

async fn every_host_says_why_it_failed(carrier: Carrier) {
    let dead = nobody();
    let (full, starting) = (Scripted::new(refuses("53300")), Scripted::new(refuses("57P03")));
    let target = target(&[&dead, full.address(), starting.address()], "");
    let error = dial(&target, carrier, PATIENCE).await.unwrap_err();
    let text = error.to_string();
    let said = [format!("{dead}: Connection refused"), format!("{}: scripted (53300)", full.address())];
    assert!(said.iter().all(|words| text.contains(words)), "{text}");
    assert!(text.contains(&format!("{}: scripted (57P03)", starting.address())), "{text}");
    assert_eq!(error.cause(), Cause::TooManyConnections);
}

async fn a_silent_host_costs_its_limit_and_no_more(carrier: Carrier) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let open = Scripted::new(admits("off", "f"));
    let alone = dial(&target(&[&silent], ""), carrier, SOON).await.unwrap_err();
    assert_eq!(alone.cause(), Cause::Unreachable);
    assert!(alone.to_string().contains("no session within 500 ms"), "{alone}");
    let target = target(&[&silent, open.address()], "");
    assert_eq!(dial(&target, carrier, SOON).await.unwrap().place.to_string(), open.address());
}

async fn a_wrong_password_ends_the_search(carrier: Carrier) {
    let (refusing, open) = (Scripted::new(refuses("28P01")), Scripted::new(admits("off", "f")));
    let target = target(&[refusing.address(), open.address()], "");
    let error = dial(&target, carrier, PATIENCE).await.unwrap_err();
    assert_eq!(error.cause(), Cause::Credentials);
    assert!(!error.to_string().contains(open.address()), "{error}");
}

async fn a_server_of_the_wrong_kind_is_passed_over(carrier: Carrier) {
    let (standby, primary) = (Scripted::new(admits("on", "t")), Scripted::new(admits("off", "f")));
    let (first, second) = (standby.address(), primary.address());
    for (attrs, taken) in [
        ("any", first),
        ("read-write", second),
        ("read-only", first),
        ("primary", second),
        ("standby", first),
    ] {
        let target = target(&[first, second], &format!("&target_session_attrs={attrs}"));
        assert_eq!(dial(&target, carrier, PATIENCE).await.unwrap().place.to_string(), taken, "{attrs}");
    }
    let target = target(&[first], "&target_session_attrs=read-write");
    let error = dial(&target, carrier, PATIENCE).await.unwrap_err();
    assert_eq!(error.cause(), Cause::WrongRole);
    assert!(error.to_string().contains("its sessions are read-only"), "{error}");
}

async fn a_standby_is_preferred_and_not_needed(carrier: Carrier) {
    let (primary, standby) = (Scripted::new(admits("off", "f")), Scripted::new(admits("on", "t")));
    let attrs = "&target_session_attrs=prefer-standby";
    let both = target(&[primary.address(), standby.address()], attrs);
    assert_eq!(dial(&both, carrier, PATIENCE).await.unwrap().place.to_string(), standby.address());
    let one = target(&[primary.address()], attrs);
    assert_eq!(dial(&one, carrier, PATIENCE).await.unwrap().place.to_string(), primary.address());
}

async fn an_error_of_a_pool_leads_to_what_was_behind_it(carrier: Carrier) {
    let full = Scripted::new(refuses("53300"));
    let connector = Connector::new(target(&[full.address()], ""), carrier, PATIENCE);
    let error = connector.connect(&Config::new()).await.unwrap_err();
    let behind = DialError::behind(&error).unwrap();
    assert_eq!(behind.cause(), Cause::TooManyConnections);
    assert!(behind.to_string().contains("scripted (53300)"), "{behind}");
}

async fn a_dropped_connection_leaves_nothing_behind(carrier: Carrier) {
    let open = Scripted::new(admits("off", "f"));
    let target = target(&[open.address()], "");
    let config = target.config().clone();
    let manager =
        Manager::from_connect(config, Connector::new(target, carrier, PATIENCE), ManagerConfig::default());
    let pool = Pool::builder(manager).max_size(1).build().unwrap();
    let client = pool.get().await.unwrap();
    client.simple_query("show transaction_read_only").await.unwrap();
    drop((client, pool));
    open.hung_up().await;
}

/// Holds if it compiles.
fn _futures_for_a_pool_may_change_threads(target: &Target) -> impl Send {
    reach::<OnTokio>(target, PATIENCE)
}

#[test]
fn the_cause_that_tells_most_counts() {
    let of = |code: &str| {
        let message = "m".to_owned();
        Failure::Server { code: SqlState::from_code(code), message }
    };
    let cases = [
        (vec![Failure::Timeout(SOON)], Cause::Unreachable),
        (vec![of("57P03"), Failure::Timeout(SOON)], Cause::NotReady),
        (vec![Failure::Role("r"), of("57P01")], Cause::WrongRole),
        (vec![of("53300"), Failure::Role("r")], Cause::TooManyConnections),
        (vec![Failure::Tls("t".to_owned()), of("53300")], Cause::Tls),
        (vec![of("3D000"), Failure::Tls("t".to_owned())], Cause::Refused),
        (vec![of("28000"), of("3D000")], Cause::Credentials),
        (vec![of("28P01")], Cause::Credentials),
    ];
    for (failures, cause) in cases {
        let mut error = DialError::default();
        for failure in failures {
            error.note(Attempt { place: "h".to_owned(), failure });
        }
        assert_eq!(error.cause(), cause, "{error}");
    }
}
