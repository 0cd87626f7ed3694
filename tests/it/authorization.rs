//! Who may do what: every route, asked by everybody, about what is theirs and what is not.
//!
//! The table must have a row for each route of the server's, so a new route fails here until somebody has said who may
//! call it.

use std::collections::BTreeSet;

use reqwest::Method;
use ringledger::api::routes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::raw::{Connection, Reply, Request};
use crate::support::{PASSWORD, Signer, Store, World, euros, on_both_stores, path_of};

on_both_stores!(every_route_for_everybody, closed_routes_for_everybody, lists_show_a_user_nothing_of_others);

/// Whose what is asked about is, as alice sees it.
#[derive(Debug, Clone, Copy)]
enum Whose {
    /// Hers; of transfers, she pays.
    Own,
    /// Of one who pays her; of transfers, those that pay her.
    Received,
    /// Of others, whom she has nothing to do with.
    Others,
    /// There is no such thing.
    Nobodys,
}

const WHOSE: [Whose; 4] = [Whose::Own, Whose::Received, Whose::Others, Whose::Nobodys];

/// What a request is about.
struct Subject {
    debit: String,
    credit: String,
    owner: String,
    /// A posted transfer and a hold from the one to the other.
    posted: String,
    hold: String,
}

/// How a route is asked.
enum Ask {
    Plain,
    Query(fn(&Subject) -> String),
    Body(fn(&Subject) -> Value),
    Socket(fn(&Subject) -> String),
}

/// A route and the statuses that it is answered with.
struct Row {
    method: Method,
    route: &'static str,
    ask: Ask,
    /// To those who are nobody: without a token, or with one that does not count.
    nobody: u16,
    /// To a user, by [`WHOSE`].
    user: [u16; 4],
    /// To an operator, likewise.
    operator: [u16; 4],
}

const fn row(
    method: Method,
    route: &'static str,
    ask: Ask,
    nobody: u16,
    user: [u16; 4],
    operator: [u16; 4],
) -> Row {
    Row { method, route, ask, nobody, user, operator }
}

/// Ownership does not matter.
const fn all(status: u16) -> [u16; 4] {
    [status; 4]
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const OF_ACCOUNT: [u16; 4] = [200, 403, 403, 404];
const TO_OPERATOR: [u16; 4] = [200, 200, 200, 404];

/// With default settings and the endpoints of benchmarks. Of a batch, the status is that of its one transfer.
#[rustfmt::skip] // one line a route
static TABLE: [Row; 29] = [
    row(POST, "/api/v1/users", Ask::Body(stranger), 201, all(201), all(201)),
    row(GET, "/api/v1/users/me", Ask::Plain, 401, all(200), all(200)),
    row(POST, "/api/v1/tokens", Ask::Body(|_| json!({"username": "alice", "password": PASSWORD})), 200, all(200), all(200)),
    row(POST, "/api/v1/accounts", Ask::Body(|s| json!({"currency": "EUR", "owner": s.owner})), 401, [201, 403, 403, 403], [201, 201, 201, 422]),
    row(GET, "/api/v1/accounts", Ask::Plain, 401, all(200), all(200)),
    row(GET, "/api/v1/accounts/{id}", Ask::Plain, 401, OF_ACCOUNT, TO_OPERATOR),
    row(GET, "/api/v1/accounts/{id}/balance", Ask::Plain, 401, OF_ACCOUNT, TO_OPERATOR),
    row(GET, "/api/v1/accounts/{id}/entries", Ask::Plain, 401, OF_ACCOUNT, TO_OPERATOR),
    row(GET, "/api/v1/accounts/{id}/statement", Ask::Plain, 401, OF_ACCOUNT, TO_OPERATOR),
    row(POST, "/api/v1/transfers", Ask::Body(|s| euros(&s.debit, &s.credit, 1)), 401, [201, 403, 403, 422], [201, 201, 201, 422]),
    row(GET, "/api/v1/transfers", Ask::Query(|s| format!("account={}", s.debit)), 401, OF_ACCOUNT, TO_OPERATOR),
    row(POST, "/api/v1/transfers/batch", Ask::Body(|s| json!({"transfers": [euros(&s.debit, &s.credit, 1)]})), 401, [201, 403, 403, 422], [201, 201, 201, 422]),
    row(POST, "/api/v1/transfers/{id}/post", Ask::Plain, 401, [200, 403, 403, 404], TO_OPERATOR),
    row(POST, "/api/v1/transfers/{id}/reverse", Ask::Plain, 401, [403, 201, 403, 404], [201, 201, 201, 404]),
    row(POST, "/api/v1/transfers/{id}/void", Ask::Plain, 401, [200, 403, 403, 404], TO_OPERATOR),
    row(GET, "/api/v1/transfers/{id}", Ask::Plain, 401, [200, 200, 403, 404], TO_OPERATOR),
    row(GET, "/api/v1/events", Ask::Socket(|s| format!("account={}", s.debit)), 401, [101, 403, 403, 404], [101, 101, 101, 404]),
    row(POST, "/api/v1/events/tickets", Ask::Plain, 401, all(201), all(201)),
    row(GET, "/dashboard", Ask::Plain, 200, all(200), all(200)),
    row(GET, "/dashboard/data", Ask::Plain, 401, all(403), all(200)),
    row(GET, "/docs", Ask::Plain, 200, all(200), all(200)),
    row(GET, "/health", Ask::Plain, 200, all(200), all(200)),
    row(GET, "/metrics", Ask::Plain, 200, all(200), all(200)),
    row(GET, "/openapi.json", Ask::Plain, 200, all(200), all(200)),
    row(GET, "/ready", Ask::Plain, 200, all(200), all(200)),
    row(GET, "/plaintext", Ask::Plain, 200, all(200), all(200)),
    row(GET, "/json", Ask::Plain, 200, all(200), all(200)),
    row(GET, "/cpu", Ask::Query(|_| "ms=1".to_owned()), 200, all(200), all(200)),
    row(GET, "/ws-echo", Ask::Socket(|_| String::new()), 101, all(101), all(101)),
];

/// Where registration is closed and metrics are not public.
static CLOSED: [Row; 2] = [
    row(POST, "/api/v1/users", Ask::Body(stranger), 401, all(403), all(201)),
    row(GET, "/metrics", Ask::Plain, 401, all(403), all(200)),
];

/// A user that there is not yet.
fn stranger(_: &Subject) -> Value {
    json!({"username": format!("u{}", Uuid::now_v7().simple()), "password": PASSWORD})
}

#[test]
fn every_route_has_a_row_and_every_row_a_route() {
    let routes = routes::labels(true);
    let routes: BTreeSet<_> = routes.iter().map(|label| (&*label.method, &*label.route)).collect();
    let rows: BTreeSet<_> = TABLE.iter().map(|row| (row.method.as_str(), row.route)).collect();
    assert_eq!(rows, routes);
    assert_eq!(rows.len(), TABLE.len(), "a route has two rows");
}

async fn every_route_for_everybody(store: Store) {
    let world = World::of_set(store, &[("runtime.bench_endpoints", "true")]).await;
    assert_table(&world, &TABLE).await;
    world.server.verify(None);
}

async fn closed_routes_for_everybody(store: Store) {
    let settings = [("auth.open_registration", "false"), ("metrics.public", "false")];
    assert_table(&World::of_closed(store, &settings).await, &CLOSED).await;
}

/// Asks everything of everybody, and tells all that is answered otherwise than the table says.
async fn assert_table(world: &World, table: &[Row]) {
    let mut wrong = Vec::new();
    let nobodies = nobodies(world);
    let (alice, operator) = (world.alice.api.token(), world.operator.token());
    for row in table {
        let mut check = |who: &str, whose: Whose, token: Option<&str>, subject: &Subject, status: u16| {
            let got = ask(world, row, subject, token);
            if got != status {
                wrong.push(format!("{} {} by {who} of {whose:?}: {got} for {status}", row.method, row.route));
            }
        };
        let own = Subject::of(world, Whose::Own).await;
        for (who, token) in &nobodies {
            check(who, Whose::Own, token.as_deref(), &own, row.nobody);
        }
        for (whose, (user, by_operator)) in WHOSE.into_iter().zip(row.user.into_iter().zip(row.operator)) {
            check("a user", whose, Some(alice), &Subject::of(world, whose).await, user);
            check("an operator", whose, Some(operator), &Subject::of(world, whose).await, by_operator);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Those whom nothing identifies, with their tokens. Each of these would be an operator's if it counted.
fn nobodies(world: &World) -> [(&'static str, Option<String>); 6] {
    let signer = Signer::of(&world.server);
    let mut claims = Signer::claims(&world.alice.id, "operator");
    let valid = signer.sign(&claims);
    let stranger = Signer::with(&[1; 32]);
    let of_unknown_key = stranger.sign(&claims);
    let of_another_key = stranger.sign_text(&signer.header().to_string(), &claims.to_string());
    let (message, _) = valid.rsplit_once('.').unwrap();
    let unsigned = format!("{message}.");
    claims["exp"] = json!(1_000_000_000);
    let expired = signer.sign(&claims);
    claims = Signer::claims(&world.alice.id, "operator");
    claims["aud"] = json!("ringledger/events");
    claims["jti"] = json!(Uuid::now_v7());
    [
        ("nobody", None),
        ("one whose time is up", Some(expired)),
        ("one with a key of their own", Some(of_unknown_key)),
        ("one with a key of their own under our name", Some(of_another_key)),
        ("one without a signature", Some(unsigned)),
        ("one with a ticket", Some(signer.sign(&claims))),
    ]
}

impl Subject {
    async fn of(world: &World, whose: Whose) -> Self {
        let nothing = Uuid::now_v7().to_string();
        let (debit, credit, owner) = match whose {
            Whose::Own => (&world.alice.account, &world.bob.account, &*world.alice.id),
            Whose::Received => (&world.bob.account, &world.alice.account, &*world.bob.id),
            Whose::Others => (&world.bank, &world.bob.account, "operator"),
            Whose::Nobodys => {
                let (debit, credit) = (nothing.clone(), world.bob.account.clone());
                let (posted, hold) = (nothing.clone(), nothing);
                return Self { debit, credit, owner: "ghost".to_owned(), posted, hold };
            }
        };
        let mut body = euros(debit, credit, 1);
        let posted = world.operator.transfer(&body).send().await.json(201);
        body["pending"] = json!(true);
        let hold = world.operator.transfer(&body).send().await.json(201);
        let id = |transfer: &Value| transfer["id"].as_str().unwrap().to_owned();
        Self {
            debit: debit.clone(),
            credit: credit.clone(),
            owner: owner.to_owned(),
            posted: id(&posted),
            hold: id(&hold),
        }
    }

    fn path(&self, route: &str) -> String {
        let id = match route {
            _ if route.starts_with("/api/v1/accounts") => &self.debit,
            _ if route.ends_with("/post") || route.ends_with("/void") => &self.hold,
            _ => &self.posted,
        };
        route.replace("{id}", id)
    }
}

/// The status that a route answers with on a connection of its own.
fn ask(world: &World, row: &Row, subject: &Subject, token: Option<&str>) -> u16 {
    let path = subject.path(row.route);
    let target = match row.ask {
        Ask::Plain | Ask::Body(_) => path,
        Ask::Query(query) | Ask::Socket(query) => format!("{path}?{}", query(subject)),
    };
    let mut request = Request::new(row.method.as_str(), &target);
    request = request.field("Idempotency-Key", &Uuid::now_v7().to_string());
    if let Some(token) = token {
        request = request.bearer(token);
    }
    let request = match row.ask {
        Ask::Plain | Ask::Query(_) => request,
        Ask::Body(body) => request.json(body(subject).to_string()),
        Ask::Socket(_) => {
            let request = request.field("Connection", "upgrade").field("Upgrade", "websocket");
            request
                .field("Sec-WebSocket-Version", "13")
                .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        }
    };
    let reply = Connection::open(world.server.address()).call(request.bytes());
    check_refusal(&reply);
    status_of(&reply)
}

/// The status, or of a batch that of its one transfer.
fn status_of(reply: &Reply) -> u16 {
    let is_json = reply.field("content-type") == Some("application/json");
    let inner = is_json.then(|| reply.json()["results"][0]["status"].as_u64()).flatten();
    inner.map_or(reply.status, |status| status.try_into().unwrap())
}

/// A refusal is a problem that tells nothing of whose the thing is.
fn check_refusal(reply: &Reply) {
    let code = match reply.status {
        401 => "unauthenticated",
        403 => "forbidden",
        404 => "not_found",
        _ => return,
    };
    assert_eq!(reply.problem_code(), code);
    assert_eq!(reply.field("www-authenticate").is_some(), reply.status == 401, "{reply:?}");
    let text = String::from_utf8_lossy(&reply.body);
    for word in ["alice", "bob", "balance", "currency"] {
        assert!(!text.contains(word), "{word:?} in {text}");
    }
}

/// What a user does not own stays out of every list.
async fn lists_show_a_user_nothing_of_others(store: Store) {
    let world = World::of(store).await;
    let foreign = world.operator.transfer(&euros(&world.bank, &world.bob.account, 7)).send().await;
    let foreign = foreign.json(201);
    world.alice.api.get(&path_of(&foreign)).send().await.problem(403, "forbidden");
    let own = [world.alice.account.as_str()];
    for account in world.alice.api.get("/api/v1/accounts").send().await.json(200)["data"].as_array().unwrap()
    {
        assert!(own.contains(&account["id"].as_str().unwrap()), "{account}");
    }
    let seen = world.alice.api.get("/api/v1/transfers").send().await.json(200);
    for transfer in seen["data"].as_array().unwrap() {
        let touches = |side: &str| own.contains(&transfer[side].as_str().unwrap());
        assert!(touches("debit_account") || touches("credit_account"), "{transfer}");
    }
    for filter in ["reference=x", "status=posted", "idempotency_key=x"] {
        let found = world.alice.api.get(&format!("/api/v1/transfers?{filter}")).send().await.json(200);
        assert!(!found["data"].to_string().contains(foreign["id"].as_str().unwrap()), "{found}");
    }
}
