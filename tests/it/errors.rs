//! The table of problems: each refusal's status, code and document; how bodies that are not what they
//! should be are told apart.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    FUNDS, Request, Server, Store, World, assert_members, assert_uuid_v7, euros, on_both_stores, raw,
};

const ACCOUNTS: &str = "/api/v1/accounts";
const TRANSFERS: &str = "/api/v1/transfers";
const NOTHING: &str = "01900000-0000-7000-8000-0000000000ff";

/// What is refused, with which status and code, and how to ask for it.
type Case = (u16, &'static str, fn(&World) -> Request);

/// Every code that a request alone can bring about.
const CASES: &[Case] = &[
    (400, "invalid_json", |w| w.alice.api.post_text(ACCOUNTS, "{")),
    (400, "idempotency_key_missing", |w| w.alice.api.post(TRANSFERS, &w.payment(1))),
    (401, "unauthenticated", |w| w.nobody.get(ACCOUNTS)),
    (401, "unauthenticated", |w| w.nobody.with_token("forged").get(ACCOUNTS)),
    (401, "unauthenticated", |w| w.nobody.post("/api/v1/tokens", &json!({"username": "x", "password": "y"}))),
    (403, "forbidden", |w| w.alice.api.get(&w.bob.path())),
    (403, "forbidden", |w| w.alice.api.transfer(&euros(&w.bob.account, &w.alice.account, 1))),
    (403, "forbidden", |w| w.alice.api.post(ACCOUNTS, &json!({"currency": "EUR", "min_balance": -1}))),
    (404, "not_found", |w| w.alice.api.get("/")),
    (404, "not_found", |w| w.alice.api.get("/api/v1/accounts/")),
    (404, "not_found", |w| w.alice.api.get("/api/v1/Accounts")),
    (404, "not_found", |w| w.alice.api.get("/api/v2/accounts")),
    (404, "not_found", |w| w.alice.api.get("/plaintext")),
    (404, "not_found", |w| w.alice.api.get(&format!("{ACCOUNTS}/{NOTHING}"))),
    (404, "not_found", |w| w.alice.api.get(&format!("{TRANSFERS}/{NOTHING}"))),
    (405, "method_not_allowed", |w| w.alice.api.request(Method::DELETE, &w.alice.path())),
    (406, "not_acceptable", |w| w.alice.api.get(ACCOUNTS).header("accept", "text/html")),
    (409, "username_taken", |w| {
        w.nobody.post("/api/v1/users", &json!({"username": "alice", "password": "long enough"}))
    }),
    (413, "payload_too_large", |w| w.alice.api.post_text(ACCOUNTS, " ".repeat(65_537))),
    (414, "uri_too_long", |w| w.alice.api.get(&format!("/{}", "x".repeat(8_192)))),
    (415, "unsupported_media_type", |w| w.alice.api.request(Method::POST, ACCOUNTS).body("{}")),
    (417, "expectation_failed", |w| w.alice.api.get(ACCOUNTS).header("expect", "the-unexpected")),
    (422, "invalid_request", |w| w.alice.api.transfer(&w.payment(0))),
    (422, "invalid_request", |w| w.alice.api.get("/api/v1/accounts?limit=0")),
    (422, "idempotency_key_reused", |w| w.alice.api.transfer_as("used", &w.payment(2))),
    (422, "insufficient_funds", |w| w.alice.api.transfer(&w.payment(FUNDS + 1))),
    (422, "currency_mismatch", |w| {
        let mut body = w.payment(1);
        body["currency"] = json!("JPY");
        w.alice.api.transfer(&body)
    }),
    (422, "currency_unknown", |w| w.alice.api.post(ACCOUNTS, &json!({"currency": "ZZZ"}))),
    (422, "account_not_found", |w| w.alice.api.transfer(&euros(&w.alice.account, NOTHING, 1))),
    (422, "user_not_found", |w| w.operator.post(ACCOUNTS, &json!({"currency": "EUR", "owner": "ghost"}))),
    (422, "same_account", |w| w.alice.api.transfer(&euros(&w.alice.account, &w.alice.account, 1))),
    (422, "balance_overflow", |w| w.operator.transfer(&euros(&w.bank, &w.alice.account, (1 << 53) - 1))),
    (431, "headers_too_large", |w| {
        (0..70).fold(w.alice.api.get(ACCOUNTS), |request, index| request.header(&format!("x-{index}"), "x"))
    }),
];

/// The standard members of a problem.
const MEMBERS: [&str; 6] = ["type", "title", "status", "detail", "instance", "code"];

on_both_stores!(every_refusal_has_its_status_code_and_document);

async fn every_refusal_has_its_status_code_and_document(store: Store) {
    let world = World::of(store).await;
    world.alice.api.transfer_as("used", &world.payment(1)).send().await.json(201);
    for (index, &(status, code, request)) in CASES.iter().enumerate() {
        let answer = request(&world).send().await;
        let problem = answer.problem(status, code);
        let id = answer.header("x-request-id").unwrap();
        assert_uuid_v7(id);
        assert_eq!(problem["instance"], format!("urn:uuid:{id}"), "case {index}");
        check_members(&problem);
        tells_no_secrets(answer.text());
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "case {index}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "case {index}");

        let named = request(&world).header("x-request-id", "case.7").send().await;
        assert_eq!(named.header("x-request-id"), Some("case.7"), "{code}");
        assert_eq!(named.problem(status, code)["instance"], "urn:request:case.7");
    }
}

#[track_caller]
fn check_members(problem: &Value) {
    let Some(errors) = problem.get("errors") else {
        assert_ne!(problem["code"], "invalid_request", "{problem}");
        return assert_members(problem, &MEMBERS);
    };
    assert_members(problem, &[&MEMBERS[..], &["errors"]].concat());
    let errors = errors.as_array().unwrap();
    assert!(!errors.is_empty(), "{problem}");
    for error in errors {
        assert_members(error, &["pointer", "detail"]);
    }
}

#[track_caller]
fn tells_no_secrets(text: &str) {
    let lower = text.to_ascii_lowercase();
    for word in ["sql", "select ", "insert ", "panicked", "src/", ".rs:", "/tmp", "ledger.db", "rusqlite"] {
        assert!(!lower.contains(word), "{word:?} in {text}");
    }
}

#[tokio::test]
async fn text_that_is_not_json_is_400() {
    let world = World::new().await;
    let bodies: &[&[u8]] = &[
        b"",
        b" ",
        b"{",
        b"}",
        b"nil",
        b"{currency:\"EUR\"}",
        b"{'currency':'EUR'}",
        b"{\"currency\":\"EUR\",}",
        b"{\"currency\":\"EUR\"",
        b"{\"currency\":\"EUR}",
        b"{\"currency\" \"EUR\"}",
        b"{\"currency\":\"EUR\"}x",
        b"{\"currency\":\"EUR\"}{}",
        b"{\"currency\":\"E\nUR\"}",
        b"{\"currency\":\"\\x45UR\"}",
        b"{\"currency\":\"EUR\",\"name\":\"\\ud800\"}",
        b"{\"currency\":\"EUR\",\"name\":\"\xff\"}",
        b"{\"currency\":\"EUR\",\"name\":\"\xed\xa0\x80\"}",
        b"{\"currency\":\"EUR\",\"min_balance\":NaN}",
        b"{\"currency\":\"EUR\",\"min_balance\":-}",
        b"{\"currency\":\"EUR\",\"min_balance\":00}",
        b"// comment\n{\"currency\":\"EUR\"}",
        b"\xef\xbb\xbf{\"currency\":\"EUR\"}",
        b"\0",
    ];
    for body in bodies {
        let answer = world.operator.post_text(ACCOUNTS, body.to_vec()).send().await;
        assert_eq!(answer.status, 400, "{}: {}", body.escape_ascii(), answer.text());
        answer.problem(400, "invalid_json");
    }
    for deep in [
        "[".repeat(60_000),
        "{\"a\":".repeat(10_000),
        format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)),
    ] {
        world.operator.post_text(ACCOUNTS, deep).send().await.problem(400, "invalid_json");
    }
    // Nothing of this hurt anybody.
    world.operator.post(ACCOUNTS, &json!({"currency": "EUR"})).send().await.json(201);
}

#[tokio::test]
async fn json_of_another_shape_is_422_with_a_pointer() {
    let world = World::new().await;
    for (body, pointer) in [
        ("[]", ""),
        ("null", ""),
        ("7", ""),
        ("\"EUR\"", ""),
        ("[\"EUR\"]", ""),
        ("[{\"currency\":\"EUR\"}]", ""),
        ("{}", "/currency"),
        ("{\"currency\":7}", "/currency"),
        ("{\"currency\":{}}", "/currency"),
        ("{\"currency\":[\"EUR\"]}", "/currency"),
        ("{\"currency\":\"EUR\",\"colour\":1}", "/colour"),
        ("{\"currency\":\"EUR\",\"\":1}", "/"),
        ("{\"currency\":\"EUR\",\"a/b~c\":1}", "/a~1b~0c"),
        ("{\"currency\":\"EUR\",\"currency\":\"EUR\"}", "/currency"),
        ("{\"currency\":\"EUR\",\"c\\u0075rrency\":\"EUR\"}", "/currency"),
        ("{\"Currency\":\"EUR\"}", "/Currency"),
        ("{\"currency\":\"EUR\",\"name\":false}", "/name"),
        ("{\"currency\":\"EUR\",\"min_balance\":-1.0}", "/min_balance"),
        ("{\"currency\":\"EUR\",\"min_balance\":-1e0}", "/min_balance"),
        ("{\"currency\":\"EUR\",\"min_balance\":-99999999999999999999}", "/min_balance"),
        ("{\"currency\":\"EUR\",\"min_balance\":{\"$gt\":0}}", "/min_balance"),
    ] {
        let answer = world.operator.post_text(ACCOUNTS, body).send().await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        answer.invalid("invalid_request", pointer);
    }
    // A doubled member inside the caller's own object is refused as well.
    let payment = world.payment(1).to_string();
    let doubled = payment.replacen('{', "{\"metadata\":{\"a\":1,\"a\":2},", 1);
    let answer = world.alice.api.post_text(TRANSFERS, doubled).key("doubled").send().await;
    let problem = answer.problem(422, "invalid_request");
    assert!(problem["errors"][0]["pointer"].as_str().unwrap().starts_with("/metadata"), "{problem}");
}

#[tokio::test]
async fn several_flaws_are_told_at_once() {
    let world = World::new().await;
    let body = json!({"username": "a b", "password": "short"});
    let problem = world.nobody.post("/api/v1/users", &body).send().await.problem(422, "invalid_request");
    let pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/username", "/password"]);
    check_members(&problem);
}

#[tokio::test]
async fn text_may_be_spelled_with_escapes_and_space() {
    let world = World::new().await;
    let body = "\r\n\t { \"name\" : \"\\u00e9\\ud83c\\udfe6\\/\\\"\" , \"currency\" : \"\\u0045UR\" } \n";
    let account = world.operator.post_text(ACCOUNTS, body).send().await.json(201);
    assert_eq!((&account["name"], &account["currency"]), (&json!("é🏦/\""), &json!("EUR")));
}

/// However little the log lets through, a failure's line names its request.
#[test]
fn a_failure_is_logged_under_its_request() {
    let settings =
        [("log.filter", "warn,ringledger_program::app=info"), ("limits.request_timeout_ms", "100")];
    let server = Server::start_set(&["--bench-endpoints"], &settings);
    let request = raw::Request::get("/cpu?ms=1000").field("X-Request-Id", "slow-one");
    let reply = raw::Connection::open(server.address()).call(request.bytes());
    assert_eq!((reply.status, reply.problem_code().as_str()), (503, "overloaded"));
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| line.contains("slow-one")) {
        assert!(Instant::now() < deadline, "{lines:#?}");
        std::thread::sleep(Duration::from_millis(5));
        lines.extend(server.log_lines());
    }
}
