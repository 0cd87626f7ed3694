//! Code that panics: in a handler it costs one request, in the lane or a worker the server, which says so and ends; the
//! whole process is in `process`. What a panic in a job of the CPU pool costs is told by that pool's own tests.

#[path = "../../../benches/subjects/request.rs"]
mod subject;

mod process;

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use ringledger::api::routes::BodyRule;
use ringledger::api::{Answer, AppError, Endpoint, Route};
use ringledger::app::build::BUILD;
use ringledger::config::{LiveLimits, Settings};
use ringledger::models::posting::{Command, Outcome};
use ringledger::models::{Role, Username};
use ringledger::runtime::{self, BusyPoll, IoMode};
use ringledger::server::{LiveSettings, Stage, Worker, liveness};
use ringledger::services::events::Commits;
use ringledger::services::posting::{LaneError, Round};
use ringledger::services::users::register_command;
use ringledger::services::{PostingLane, SigningKey};
use ringledger::store::{Location, Store};
use ringledger::telemetry::access::Sampling;
use ringledger::telemetry::metrics::{Metrics, Subject};
use ringledger::web::reply::Reply;
use ringledger::web::router::Router;
use ringledger::web::websocket::Upgrade;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use self::subject::Rig;
use crate::support::{new_data, on_both_engines};

/// What no caller may read.
const SECRET: &str = "the handler's own words";

fn route(
    template: &'static str,
    produces: &'static [&'static str],
    endpoint: Endpoint,
) -> (Method, &'static str, Route) {
    (Method::GET, template, Route { row: 0, template, body: BodyRule::None, produces, endpoint })
}

fn words() -> Answer {
    panic!("{SECRET}")
}

fn number() -> Answer {
    std::panic::panic_any(7)
}

fn no_socket() -> Result<Upgrade, AppError> {
    words()?;
    Err(AppError::NotFound)
}

/// Handlers of every kind that panic, and one that does not.
fn routes() -> Router<Route> {
    const TEXT: &[&str] = &["text/plain"];
    Router::new([
        route("/fine", TEXT, Endpoint::Now(|_, _| Ok(Reply::text(StatusCode::OK, "fine")))),
        route("/now", TEXT, Endpoint::Now(|_, _| words())),
        route("/public", TEXT, Endpoint::Public(|_, _| Box::pin(async { words() }))),
        route("/always", TEXT, Endpoint::Always(|_, _| Box::pin(async { words() }))),
        route(
            "/later",
            TEXT,
            Endpoint::Public(|_, _| {
                Box::pin(async {
                    tokio::task::yield_now().await;
                    words()
                })
            }),
        ),
        route("/no-text", TEXT, Endpoint::Public(|_, _| Box::pin(async { number() }))),
        route(
            "/job",
            TEXT,
            Endpoint::Public(|api, _| {
                Box::pin(async move {
                    api.services.compute(|| drop(words())).await?;
                    Ok(Reply::text(StatusCode::OK, "fine"))
                })
            }),
        ),
        route("/socket", &[], Endpoint::Socket(|_, _| Box::pin(async { no_socket() }))),
    ])
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: ledger\r\n\r\n")
}

#[test]
fn a_handler_that_panics_costs_one_request() {
    let (rig, _ground) = Rig::routing(routes());
    for _ in 0..3 {
        for path in ["/now", "/public", "/always", "/later", "/no-text", "/job", "/socket"] {
            let reply = rig.call(&get(path));
            assert!(reply.starts_with("HTTP/1.1 500 "), "{path}: {reply}");
            let (head, body) = reply.split_once("\r\n\r\n").unwrap();
            let problem: Value = serde_json::from_str(body).unwrap();
            assert_eq!(problem["code"], "internal", "{path}: {problem}");
            assert!(head.to_ascii_lowercase().contains("x-request-id: "), "{head}");
            assert!(!reply.contains(SECRET) && !reply.contains("panick"), "{path}: {reply}");
            // On the same connection.
            assert!(rig.call(&get("/fine")).ends_with("fine"), "behind {path}");
        }
    }
}

fn registration(name: &str) -> Command {
    register_command(name.parse::<Username>().unwrap(), Role::User, "none".to_owned())
}

/// The lane's thread ends, its callers are told that nothing is known, and the application hears of it, which then
/// drains. What was committed before the panic is there at the next start.
#[tokio::test]
async fn a_lane_that_panics_ends_and_says_so() {
    let data = new_data();
    let store = Store::open(&Location::Sqlite { directory: data.path().to_owned() }).unwrap();
    let mut batches = 0;
    let panics_at_the_second = move |_: &Round<'_>| {
        batches += 1;
        assert!(batches < 2, "this panic belongs to the test");
    };
    let writer = store.writer().unwrap();
    let (commits, _) = Commits::new(1);
    let (lane, mut thread) = PostingLane::start_telling(writer, 8, 8, commits, panics_at_the_second).unwrap();
    assert!(matches!(lane.submit(registration("first")).await, Ok(Outcome::Registered(_))));
    assert_eq!(lane.submit(registration("second")).await.unwrap_err(), LaneError::Ended);
    assert_eq!(lane.submit(registration("third")).await.unwrap_err(), LaneError::Ended);
    assert_eq!(lane.check().await.unwrap_err(), LaneError::Ended);
    thread.ended().await;
    assert!(thread.join().unwrap_err().to_string().contains("panicked"));

    let (lane, thread) = PostingLane::start(store.writer().unwrap(), 8, 8).unwrap();
    for (name, is_there) in [("first", true), ("second", true), ("third", false)] {
        let outcome = lane.submit(registration(name)).await.unwrap();
        assert_eq!(matches!(outcome, Outcome::UsernameTaken), is_there, "{name}: {outcome:?}");
    }
    drop(lane);
    thread.join().unwrap();
}

on_both_engines!(a_worker_that_panics_ends_and_says_so);

/// The application hears of it, and drains the others.
fn a_worker_that_panics_ends_and_says_so(engine: &str) {
    const INDEX: usize = 3;
    let mode = if engine == "uring" { IoMode::Uring } else { IoMode::Epoll };
    let (data, settings) = (new_data(), Settings::default());
    let live = LiveSettings {
        limits: LiveLimits::from(&settings.limits),
        access: Sampling::All,
        slow: Duration::MAX,
        metrics_public: true,
        keys: SigningKey::read_or_make(&data.path().join("key")).unwrap().into(),
        about: Arc::default(),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let dropped_lines = subject::log().dropped();
    let (_metrics, mut tallies) = Metrics::new(Subject {
        build: BUILD,
        rows: Vec::new(),
        cores: vec!["0".to_owned()],
        results: &[],
        dropped_lines,
    });
    let (ended, mut ends) = mpsc::channel(1);
    let (unsettled, _settles) = mpsc::channel(1);
    let (accepts, accepting) = oneshot::channel();
    let worker = Worker {
        index: INDEX,
        name: "worker-3".to_owned(),
        core: None,
        engine: runtime::choose(mode).unwrap().engine,
        busy_poll: BusyPoll::Off,
        listener: listener.into(),
        share: None,
        limits: settings.limits,
        access: subject::log().access_lines(0, Sampling::All),
        metrics: tallies.remove(0),
        api: Box::new(|| panic!("this panic belongs to the test")),
        live: watch::channel(Arc::new(live)).1,
        liveness: liveness().1,
        stage: watch::channel(Stage::Serving).1,
        accept_back_off: Duration::ZERO,
        drain_deadline: Duration::ZERO,
        accepts,
        ended,
        unsettled,
    };
    let thread = worker.start().unwrap();
    assert_eq!(ends.blocking_recv(), Some(INDEX));
    assert!(accepting.blocking_recv().is_err(), "it never accepts");
    assert!(thread.join().is_err());
    assert!(TcpStream::connect(address).is_err(), "nobody listens where nobody serves");
}
