//! `/openapi.json`, `/docs` and `ringledger openapi`: what is told of the API is what it does.

mod described;

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use self::described::{Described, Operation};
use crate::events::Follower;
use crate::support::raw::{Connection, Request};
use crate::support::{Answer, Api, Server, World, act, on_both_engines, on_both_stores, path_of, run};

on_both_engines!(
    the_document_is_what_the_command_prints,
    pages_are_cached_by_their_content_and_do_only_their_own
);

on_both_stores!(every_example_is_answered_as_it_is_told, refusals_are_told_of);

/// The accounts that examples name.
const PAYER: &str = "01990f7e-8a52-7c3a-9f10-3d2f6a1b4c01";
const PAID: &str = "01990f7e-8a52-7c3a-9f10-3d2f6a1b4c02";

fn the_document_is_what_the_command_prints(engine: &str) {
    let server = Server::start_with(&["--io", engine]);
    let reply = Connection::open(server.address()).call(Request::get("/openapi.json").bytes());
    assert_eq!((reply.status, reply.field("content-type")), (200, Some("application/json")));
    let printed = run(server.data(), &["openapi"]).ok();
    assert!(printed.as_bytes() == reply.body, "the command prints something else");
    let document: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (&document["openapi"], &document["info"]["version"]),
        (&json!("3.1.1"), &json!(env!("CARGO_PKG_VERSION")))
    );
}

fn pages_are_cached_by_their_content_and_do_only_their_own(engine: &str) {
    let server = Server::start_with(&["--io", engine]);
    let mut connection = Connection::open(server.address());
    for (path, media_type) in [
        ("/openapi.json", "application/json"),
        ("/docs", "text/html; charset=utf-8"),
        ("/dashboard", "text/html; charset=utf-8"),
    ] {
        let reply = connection.call(Request::get(path).bytes());
        let fields = ["content-type", "cache-control", "x-content-type-options"];
        assert_eq!(
            fields.map(|name| reply.field(name)),
            [media_type, "no-cache", "nosniff"].map(Some),
            "{path}"
        );
        let tag = reply.field("etag").unwrap().to_owned();
        let again = connection.call(Request::get(path).field("If-None-Match", &tag).bytes());
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        let other = connection.call(Request::get(path).field("If-None-Match", "\"0\"").bytes());
        assert_eq!((other.status, other.body.len()), (200, reply.body.len()), "{path}");
        if let Some(policy) = reply.field("content-security-policy") {
            assert!(
                policy.contains("default-src 'none'") && policy.contains("script-src 'sha256-"),
                "{policy}"
            );
            let html = String::from_utf8(reply.body).unwrap();
            // The one URL is the name of a vocabulary, which nobody asks for.
            let html = html.replace("http://www.w3.org/2000/svg", "");
            let elsewhere =
                ["http://", "https://", " src=", "@import", ": url("].map(|text| html.contains(text));
            assert_eq!(elsewhere, [false; 5], "{path} needs something from elsewhere");
        } else {
            assert_eq!(path, "/openapi.json");
        }
    }
}

#[tokio::test]
async fn examples_are_of_their_schemas() {
    let world = World::new().await;
    let described = Described::by(&world.nobody).await;
    let examples = described.examples();
    assert!(examples.len() > 20, "{}", examples.len());
    for (name, schema, example) in examples {
        assert_eq!(described.flaws(schema, example), None, "{name}");
    }
    let problem = json!({"$ref": "#/components/schemas/Problem"});
    for example in described.problems() {
        assert_eq!(described.flaws(&problem, example), None);
    }
    for operation in described.operations() {
        for (name, body) in operation.bodies() {
            let schema = &operation.words["requestBody"]["content"]["application/json"]["schema"];
            assert_eq!(described.flaws(schema, body), None, "{} {name}", operation.path);
        }
    }
}

/// Each example of a body, or the examples of all parameters where there is no body, by the operator.
async fn every_example_is_answered_as_it_is_told(store: crate::support::Store) {
    let world = World::of(store).await;
    let described = Described::by(&world.nobody).await;
    let mut sent = 0;
    for operation in described.operations() {
        if operation.success() == 101 {
            // `tests/it/events.rs` speaks to it.
            continue;
        }
        let bodies: Vec<_> = operation.bodies().into_iter().map(|(_, body)| Some(body)).collect();
        for body in if bodies.is_empty() { vec![None] } else { bodies } {
            let answer = send(&world, &described, operation, body).await;
            assert_eq!(answer.status, operation.success(), "{} {body:?}: {}", operation.path, answer.text());
            described.check(operation, &answer);
            sent += 1;
        }
    }
    assert!(sent > described.operations().len(), "{sent}");
}

/// Sends an example, with the accounts and transfers of `world` in place of those that it names.
async fn send(
    world: &World,
    described: &Described,
    operation: Operation<'_>,
    body: Option<&Value>,
) -> Answer {
    let of_world = |text: String| text.replace(PAYER, &world.alice.account).replace(PAID, &world.bob.account);
    let id = id_for(world, operation).await;
    let mut path = operation.path_with(&id).into_owned();
    let mut fields = Vec::new();
    let parameters = operation.words["parameters"].as_array().cloned().unwrap_or_default();
    for parameter in parameters.iter().map(|parameter| described.resolved(parameter)) {
        let name = parameter["name"].as_str().unwrap();
        let example = &parameter["example"];
        let example = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        match parameter["in"].as_str().unwrap() {
            "header" if name == "Idempotency-Key" => fields.push((name, Uuid::now_v7().to_string())),
            "header" => fields.push((name, example)),
            "query" if parameter["example"].is_null() => {}
            "query" => {
                let joint = if path.contains('?') { '&' } else { '?' };
                path = of_world(format!("{path}{joint}{name}={example}"));
            }
            place => assert_eq!(place, "path"),
        }
    }
    let method = Method::from_bytes(operation.method.to_uppercase().as_bytes()).unwrap();
    let request = world.operator.request(method, &path);
    let request = fields.iter().fold(request, |request, (name, value)| request.header(name, value));
    match body {
        Some(body) => {
            request.header("content-type", "application/json").body(of_world(body.to_string())).send().await
        }
        None => request.send().await,
    }
}

/// The id of what an operation is about: of a transfer, one that stands as the operation wants it.
async fn id_for(world: &World, operation: Operation<'_>) -> String {
    let transfer = match operation.words["operationId"].as_str().unwrap() {
        "postTransfer" | "voidTransfer" => world.hold(1_000).await,
        "reverseTransfer" | "readTransfer" => {
            world.alice.api.transfer(&world.payment(10)).send().await.json(201)
        }
        _ => return world.alice.account.clone(),
    };
    transfer["id"].as_str().unwrap().to_owned()
}

/// A frame for each of what a user can bring about.
#[tokio::test]
async fn frames_are_as_they_are_told() {
    let world = World::new().await;
    let described = Described::by(&world.nobody).await;
    for verb in ["post", "void"] {
        act(&world.alice.api, &world.hold(10).await, verb, verb).send().await.is(200);
    }
    let paid = world.alice.api.transfer(&world.payment(10)).send().await.json(201);
    act(&world.operator, &paid, "reverse", "back").send().await.is(201);
    let frame = &described.operation("followEvents").words["x-websocket-frame"];
    let query = format!("?after=0&account={}", world.alice.account);
    let mut follower = Follower::new(world.server.address(), world.operator.token(), &query);
    let mut missing =
        BTreeSet::from(["created", "posted", "voided", "reversed"].map(|what| format!("transfer.{what}")));
    while !missing.is_empty() {
        let told = follower.read().unwrap();
        assert_eq!(described.flaws(frame, &told), None);
        missing.remove(told["type"].as_str().unwrap());
    }
}

/// Callers and what they ask, for as many problems as can be met without breaking the server.
async fn refusals_are_told_of(store: crate::support::Store) {
    let world = World::of_set(store, &[("rate_limit.per_second", "1000000")]).await;
    let described = Described::by(&world.nobody).await;
    let mut codes = BTreeSet::new();
    for (operation, answer) in refusals(&world, &described).await {
        described.check(operation, &answer);
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        codes.insert(problem["code"].as_str().unwrap().to_owned());
    }
    assert!(codes.len() >= 25, "{codes:?}");
}

type Refusal<'d> = (Operation<'d>, Answer);

async fn refusals<'d>(world: &World, described: &'d Described) -> Vec<Refusal<'d>> {
    let mut refusals = of_any(world, described).await;
    refusals.extend(of_transfers(world, described).await);
    refusals.extend(of_others(world, described).await);
    refusals
}

/// What any operation of its kind may be answered with, from each.
async fn of_any<'d>(world: &World, described: &'d Described) -> Vec<Refusal<'d>> {
    let mut refusals = Vec::new();
    let nothing = Uuid::now_v7().to_string();
    for operation in described.operations().into_iter().filter(|operation| operation.success() != 101) {
        let path = operation.path_with(&nothing);
        let method = Method::from_bytes(operation.method.to_uppercase().as_bytes()).unwrap();
        let mut push =
            async |request: crate::support::Request| refusals.push((operation, request.send().await));
        let ask = |api: &Api, path: &str| api.request(method.clone(), path).key(&Uuid::now_v7().to_string());
        push(ask(&world.operator, &format!("{path}?{}", "x".repeat(9_000)))).await;
        push(ask(&world.operator, &path).header("x-long", &"x".repeat(17_000))).await;
        push(ask(&world.operator, &path).header("expect", "the unexpected")).await;
        push(ask(&world.operator, &path).header("accept", "image/png")).await;
        if operation.words["security"] == json!([{"bearer": []}]) {
            push(ask(&world.nobody, &path)).await;
            push(ask(&world.nobody.with_token("x.y.z"), &path)).await;
        }
        if operation.words["requestBody"].is_object() {
            let json = |text: String| {
                ask(&world.operator, &path).header("content-type", "application/json").body(text)
            };
            push(ask(&world.operator, &path).header("content-type", "text/plain").body("{}")).await;
            push(json("{".into())).await;
            push(json(r#"{"strange":1}"#.into())).await;
            push(json(" ".repeat(5 * 1024 * 1024))).await;
        }
        if operation.path.contains("{id}") && operation.words["requestBody"].is_null() {
            push(ask(&world.operator, &path)).await;
        }
    }
    refusals
}

async fn of_transfers<'d>(world: &World, described: &'d Described) -> Vec<Refusal<'d>> {
    let alice = &world.alice.api;
    let dollars = world.open(&json!({"currency": "USD"})).await;
    let nothing = Uuid::now_v7().to_string();
    let with = |member: &str, value: Value| {
        let mut body = world.payment(5);
        body[member] = value;
        body
    };
    let create = described.operation("createTransfer");
    let mut refusals = Vec::new();
    for body in [
        with("credit_account", json!(world.alice.account)),
        with("credit_account", json!(nothing)),
        with("credit_account", json!(dollars)),
        with("debit_account", json!(world.bob.account)),
        with("amount", json!(9_007_199_254_740_991_i64)),
        with("amount", json!(0)),
        with("currency", json!("XQQ")),
    ] {
        refusals.push((create, alice.transfer(&body).send().await));
    }
    alice.transfer_as("once", &world.payment(5)).send().await.is(201);
    refusals.push((create, alice.transfer_as("once", &world.payment(6)).send().await));
    refusals.push((create, alice.post("/api/v1/transfers", &world.payment(5)).send().await));
    let batch = json!({"atomic": true, "transfers": [world.payment(1), with("amount", json!(1_000_000))]});
    let key = Uuid::now_v7().to_string();
    let batched = alice.post("/api/v1/transfers/batch", &batch).key(&key).send().await;
    refusals.push((described.operation("createBatch"), batched));
    refusals.extend(of_endings(world, described).await);
    refusals
}

/// What is refused to a transfer that stands otherwise.
async fn of_endings<'d>(world: &World, described: &'d Described) -> Vec<Refusal<'d>> {
    let held = world.hold(100).await;
    let paid = world.alice.api.transfer(&world.payment(10)).send().await.json(201);
    let act = async |name: &str, transfer: &Value, body: Value| {
        let operation = described.operation(name);
        let verb = operation.path.rsplit('/').next().unwrap();
        let request = world.operator.post(&format!("{}/{verb}", path_of(transfer)), &body);
        (operation, request.key(&Uuid::now_v7().to_string()).send().await)
    };
    let (_, reversal) = act("reverseTransfer", &paid, json!({})).await;
    vec![
        act("postTransfer", &held, json!({"amount": 101})).await,
        act("postTransfer", &paid, json!({})).await,
        act("voidTransfer", &paid, json!({})).await,
        act("reverseTransfer", &held, json!({})).await,
        act("reverseTransfer", &paid, json!({})).await,
        act("reverseTransfer", &reversal.json(201), json!({})).await,
    ]
}

async fn of_others<'d>(world: &World, described: &'d Described) -> Vec<Refusal<'d>> {
    let alice = &world.alice.api;
    let user = |name: &str, password: &str| json!({"username": name, "password": password});
    let account = format!("/api/v1/accounts/{}", world.bob.account);
    let open = described.operation("openAccount");
    let opening = |api: &Api, body: Value| api.post("/api/v1/accounts", &body);
    let asked = [
        ("registerUser", world.nobody.post("/api/v1/users", &user("alice", "long enough"))),
        ("registerUser", world.nobody.post("/api/v1/users", &user("-", "short"))),
        ("issueToken", world.nobody.post("/api/v1/tokens", &user("alice", "wrong"))),
        ("readAccount", alice.get(&account)),
        ("readBalance", alice.get(&format!("{account}/balance?at=2999-01-01T00:00:00Z"))),
        ("readBalance", world.operator.get(&format!("{account}/balance?at=2999-01-01T00:00:00Z"))),
        ("listEntries", alice.get(&format!("{account}/entries"))),
        ("listEntries", alice.get(&format!("{account}/entries?limit=201"))),
        ("readStatement", alice.get(&format!("{account}/statement"))),
        ("listAccounts", alice.get("/api/v1/accounts?cursor=00")),
        ("listTransfers", alice.get("/api/v1/transfers?status=lost")),
        ("followEvents", world.nobody.get("/api/v1/events")),
        ("followEvents", alice.get("/api/v1/events")),
        ("followEvents", alice.get("/api/v1/events?after=x")),
    ];
    let mut refusals = vec![
        (open, opening(alice, json!({"currency": "EUR", "min_balance": -1})).send().await),
        (open, opening(&world.operator, json!({"currency": "XQQ"})).send().await),
        (open, opening(&world.operator, json!({"currency": "EUR", "owner": "nobody"})).send().await),
    ];
    for (name, request) in asked {
        refusals.push((described.operation(name), request.send().await));
    }
    refusals
}
