//! Both servers answer the same requests the same way: status, fields that clients rely on, JSON members.
//!
//! What differs from one run to the next (ids, times, tokens) is masked, and so are the words of details.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use serde_json::{Value, json};
use support::party::{Case, Party, batch, compare, euros, get, post, transfer};
use support::{PASSWORD, Server, Store};

fn both(store: Store) -> (Party, Party) {
    (Party::new(Server::axum(store, &[])), Party::new(Server::ringledger(store)))
}

/// Users, their tokens, and accounts with money in them.
fn world() -> Vec<Case> {
    let user = |name: &str| json!({"username": name, "password": PASSWORD}).to_string();
    vec![
        post("/api/v1/users", &user("alice")).keep("alice-id"),
        post("/api/v1/users", &user("bob")).keep("bob-id"),
        post("/api/v1/tokens", &user("alice")).keep("alice"),
        post("/api/v1/tokens", &user("Bob")).keep("bob"),
        post("/api/v1/accounts", r#"{"currency":"EUR","min_balance":null,"name":"bank"}"#)
            .by("operator")
            .keep("bank"),
        post("/api/v1/accounts", r#"{"currency":"EUR"}"#).by("alice").keep("a"),
        post("/api/v1/accounts", r#"{"currency":"EUR","owner":"bob"}"#).by("operator").keep("b"),
        post("/api/v1/accounts", r#"{"currency":"USD","owner":"{bob-id}","min_balance":-5}"#)
            .by("operator")
            .keep("d"),
        transfer("fund", &euros("{bank}", "{a}", 1_000)).keep("funding"),
    ]
}

#[test]
fn reads_and_serving_routes() {
    let (axum, ringledger) = both(Store::Sqlite);
    reads(axum, ringledger);
}

#[test]
fn reads_and_serving_routes_on_postgres() {
    let (axum, ringledger) = both(Store::Postgres);
    reads(axum, ringledger);
}

#[test]
fn reads_on_the_threads_of_the_runtime() {
    let axum = Server::axum(Store::Sqlite, &["--inline-reads"]);
    reads(Party::new(axum), Party::new(Server::ringledger(Store::Sqlite)));
}

fn reads(mut axum: Party, mut ringledger: Party) {
    compare(&world(), &mut axum, &mut ringledger);
    let mut cases = vec![
        get("/plaintext"),
        get("/json"),
        get("/cpu?ms=1"),
        get("/cpu?ms=0"),
        get("/cpu?ms=1001"),
        get("/cpu?ms=x"),
        get("/cpu"),
        get("/health"),
        get("/ready"),
        get("/api/v1/accounts?limit=2").by("operator"),
        get("/api/v1/accounts?limit=200").by("operator"),
        get("/api/v1/accounts").by("alice"),
        get("/api/v1/accounts?limit=0").by("alice"),
        get("/api/v1/accounts?limit=201").by("alice"),
        get("/api/v1/accounts?limit=x").by("alice"),
        get("/api/v1/accounts?cursor=x").by("alice"),
        get("/api/v1/accounts?nope=1").by("alice"),
        get("/api/v1/accounts/{a}").by("alice").field("if-none-match", "\"2\""),
        get("/api/v1/accounts/{a}").by("alice").field("if-none-match", "\"1\", W/\"2\""),
        get("/api/v1/accounts/{a}").by("alice").field("if-none-match", "\"3\""),
        get("/api/v1/accounts/{a}").field("authorization", "Basic YTpi"),
        get("/api/v1/accounts/{a}").field("authorization", "Bearer a.b.c"),
        get("/nowhere"),
        get("/plaintext").field("x-request-id", "mine.1"),
        Case { method: "DELETE", ..get("/api/v1/accounts") },
        Case { method: "PUT", ..get("/api/v1/transfers/{funding}") },
        post("/plaintext", "{}"),
    ];
    for path in [
        "accounts/{a}",
        "accounts/{nobody}",
        "accounts/x",
        "transfers/{funding}",
        "transfers/{nobody}",
        "transfers/x",
    ] {
        let path = format!("/api/v1/{path}");
        cases.extend([get(&path), get(&path).by("alice"), get(&path).by("bob"), get(&path).by("operator")]);
    }
    compare(&cases, &mut axum, &mut ringledger);
}

#[test]
fn bodies_of_users_tokens_and_accounts() {
    bodies(both(Store::Sqlite));
}

#[test]
fn bodies_of_users_tokens_and_accounts_on_postgres() {
    bodies(both(Store::Postgres));
}

fn bodies((mut axum, mut ringledger): (Party, Party)) {
    compare(&world(), &mut axum, &mut ringledger);
    let users = [
        r#"{"username":"ALICE","password":"correct horse battery"}"#,
        r#"{"username":"c","password":"short"}"#,
        r#"{"username":"a b","password":"short"}"#,
        r#"{"username":"c"}"#,
        r#"{"username":"c","password":"correct horse battery","role":"operator"}"#,
        r#"{"username":"c","username":"c","password":"correct horse battery"}"#,
        r#"{"username":7,"password":"correct horse battery"}"#,
        r#"{"username":"c""#,
        "",
        "7",
        "null",
        "\"\u{0}\"",
    ];
    let tokens = [
        r#"{"username":"alice","password":"wrong horse battery"}"#,
        r#"{"username":"nobody","password":"wrong horse battery"}"#,
        r#"{"username":"operator","password":"wrong horse battery"}"#,
        r#"{"username":"alice"}"#,
        "[]",
    ];
    let accounts = [
        r#"{"currency":"EUR","name":"purse","min_balance":0}"#,
        r#"{"currency":"EUR","owner":"alice"}"#,
        r#"{"currency":"EUR","owner":"{alice-id}"}"#,
        r#"{"currency":"EUR","owner":"bob"}"#,
        r#"{"currency":"EUR","owner":"nobody.at.all"}"#,
        r#"{"currency":"EUR","owner":"{nobody}"}"#,
        r#"{"currency":"EUR","owner":"a b","name":""}"#,
        r#"{"currency":"EUR","min_balance":1}"#,
        r#"{"currency":"EUR","min_balance":-1}"#,
        r#"{"currency":"EUR","min_balance":null}"#,
        r#"{"currency":"EUR","min_balance":1.5}"#,
        r#"{"currency":"EUR","min_balance":9007199254740992}"#,
        r#"{"currency":"euro"}"#,
        r#"{"name":"x"}"#,
    ];
    let mut cases: Vec<_> = users.iter().map(|body| post("/api/v1/users", body)).collect();
    cases.extend(tokens.iter().map(|body| post("/api/v1/tokens", body)));
    for body in accounts {
        let case = post("/api/v1/accounts", body);
        cases.extend([case.clone().by("alice"), case.by("operator")]);
    }
    cases.push(post("/api/v1/accounts", r#"{"currency":"EUR"}"#));
    compare(&cases, &mut axum, &mut ringledger);
}

#[test]
fn transfers() {
    transfers_of(both(Store::Sqlite));
}

#[test]
fn transfers_on_postgres() {
    transfers_of(both(Store::Postgres));
}

fn transfers_of((mut axum, mut ringledger): (Party, Party)) {
    compare(&world(), &mut axum, &mut ringledger);
    let with = |name: &str, value: Value| {
        let mut body = euros("{a}", "{b}", 1);
        body[name] = value;
        body
    };
    let flawed = [
        with("amount", json!(0)),
        with("amount", json!(-1)),
        with("amount", json!(1.0)),
        with("amount", json!("1")),
        with("amount", json!(1_u64 << 53)),
        with("currency", json!("XXL")),
        with("debit_account", json!("x")),
        with("credit_account", json!(null)),
        with("description", json!("")),
        with("reference", json!("x".repeat(129))),
        with("timeout_seconds", json!(5)),
        with("nope", json!(1)),
        with("metadata", json!([1])),
        with("metadata", json!({"long": "x".repeat(4_096)})),
        json!({}),
    ];
    let mut cases: Vec<_> =
        flawed.iter().enumerate().map(|(n, body)| transfer(&format!("flawed-{n}"), body)).collect();
    let full = json!({
        "debit_account": "{a}", "credit_account": "{b}", "amount": 5, "currency": "EUR", "description": "äöü",
        "reference": "r-1", "metadata": {"z": [1, 2.5, {"deep": null}], "a": "\"quoted\""}, "pending": false,
    });
    let decided = [
        ("own", full),
        ("same", euros("{a}", "{a}", 1)),
        ("missing", euros("{nobody}", "{a}", 1)),
        ("missing-too", euros("{a}", "{nobody}", 1)),
        ("mismatch", euros("{a}", "{d}", 1)),
        ("too-much", euros("{a}", "{b}", 1_000_000)),
    ];
    for (key, body) in &decided {
        // The second is a replay, and so is the key as a quoted string.
        cases.extend([transfer(key, body), transfer(key, body), transfer(&format!("\"{key}\""), body)]);
    }
    let payment = euros("{a}", "{b}", 1);
    let text = payment.to_string();
    cases.extend([
        transfer("own", &payment),
        transfer("by-alice", &payment).by("alice"),
        transfer("by-bob", &payment).by("bob"),
        transfer("", &payment),
        transfer("a b", &payment),
        transfer(&"k".repeat(256), &payment),
        post("/api/v1/transfers", &text).by("alice"),
        post("/api/v1/transfers", &text).field("idempotency-key", "no-token"),
        transfer("type", &payment).field("content-type", "text/plain"),
        transfer("charset", &payment).field("content-type", "application/json; charset=utf-8"),
        transfer("coding", &payment).field("content-encoding", "gzip"),
        Case { body: Some(" ".repeat(65_537)), ..transfer("large", &payment) },
        Case { body: Some("{".into()), ..transfer("broken", &payment) },
        Case { body: Some(format!("{text} x")), ..transfer("trailing", &payment) },
        get("/api/v1/accounts/{a}").by("alice"),
        get("/api/v1/accounts/{b}").by("bob"),
        get("/api/v1/transfers/{funding}").by("alice"),
    ]);
    compare(&cases, &mut axum, &mut ringledger);
    for party in [&axum, &ringledger] {
        party.server.command(&["verify"]);
    }
}

#[test]
fn batches() {
    batches_of(both(Store::Sqlite));
}

#[test]
fn batches_on_postgres() {
    batches_of(both(Store::Postgres));
}

#[test]
fn batches_through_the_posting_lane() {
    let axum = Server::axum(Store::Sqlite, &["--variant", "lane"]);
    batches_of((Party::new(axum), Party::new(Server::ringledger(Store::Sqlite))));
}

fn batches_of((mut axum, mut ringledger): (Party, Party)) {
    compare(&world(), &mut axum, &mut ringledger);
    let with = |name: &str, value: Value| {
        let mut body = euros("{a}", "{b}", 1);
        body[name] = value;
        body
    };
    let good = || euros("{a}", "{b}", 1);
    let of = |items: &[Value]| json!({"transfers": items});
    let flawed = [
        of(&[]),
        of(&vec![json!({}); 8_193]),
        of(&[good(), with("amount", json!(0))]),
        of(&[good(), with("currency", json!("XXL"))]),
        of(&[good(), with("description", json!("")), with("reference", json!(""))]),
        of(&[good(), with("timeout_seconds", json!(5))]),
        of(&[good(), with("nope", json!(1))]),
        of(&[json!(7)]),
        json!({"transfers": 7}),
        json!({"transfers": [good()], "atomic": 1}),
        json!({"atomic": true}),
        json!([]),
    ];
    let mixed = [good(), euros("{a}", "{a}", 1), euros("{nobody}", "{a}", 1), euros("{a}", "{d}", 1), good()];
    let decided = [
        ("one", of(&[with("metadata", json!({"z": 1, "a": [2]}))])),
        ("some", of(&mixed)),
        ("all", json!({"transfers": mixed, "atomic": true})),
        ("too-much", of(&[euros("{a}", "{b}", 999), euros("{a}", "{b}", 990), euros("{a}", "{b}", 1)])),
        ("none", json!({"transfers": [good(), good()], "atomic": true})),
    ];
    let mut cases: Vec<_> =
        flawed.iter().enumerate().map(|(n, body)| batch(&format!("flawed-{n}"), body)).collect();
    for (key, body) in &decided {
        // The second is a replay.
        cases.extend([batch(key, body), batch(key, body)]);
    }
    // Longer than other bodies may be, and than what ringledger reads on a core that serves others.
    let mut long = vec![with("description", json!("x".repeat(200))); 900];
    assert!(of(&long).to_string().len() > 256 * 1024);
    cases.extend([batch("long", &of(&long)), batch("long", &of(&long))]);
    cases.push(batch("long-all", &json!({"transfers": long, "atomic": true})));
    long.push(with("amount", json!(0)));
    cases.push(batch("long-flawed", &of(&long)));
    cases.extend([
        batch("one", &of(&[good()])),
        transfer("one", &good()),
        batch("by-alice", &of(&mixed)).by("alice"),
        batch("by-bob", &of(&mixed)).by("bob"),
        batch("by-bob-all", &json!({"transfers": mixed, "atomic": true})).by("bob"),
        post("/api/v1/transfers/batch", &of(&[good()]).to_string()).by("alice"),
        batch("type", &of(&[good()])).field("content-type", "text/plain"),
        Case { body: Some(" ".repeat(4 * 1024 * 1024 + 1)), ..batch("large", &json!(null)) },
        get("/api/v1/transfers/batch").by("alice"),
        get("/api/v1/accounts/{a}").by("alice"),
        get("/api/v1/accounts/{b}").by("bob"),
    ]);
    compare(&cases, &mut axum, &mut ringledger);
    for party in [&axum, &ringledger] {
        party.server.command(&["verify"]);
    }
}

#[test]
fn money_that_moves_at_once_adds_up() {
    move_money_at_once(Store::Sqlite);
}

#[test]
fn money_that_moves_at_once_adds_up_on_postgres() {
    move_money_at_once(Store::Postgres);
}

/// Two keys at once and one key twice, over and over, on every way to the store.
fn move_money_at_once(store: Store) {
    const ROUNDS: usize = 50;
    for variant in ["full", "lane"] {
        let mut party = Party::new(Server::axum(store, &["--variant", variant]));
        for case in world() {
            assert!(party.ask(&case).status < 300, "{}", case.path);
        }
        std::thread::scope(|scope| {
            for (caller, debit, credit) in
                [(0, "{a}", "{b}"), (1, "{b}", "{a}"), (2, "{a}", "{b}"), (3, "{b}", "{a}")]
            {
                let party = &party;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        // Callers 0 and 2 share their keys, and so do 1 and 3.
                        let case = transfer(&format!("{}-{round}", caller % 2), &euros(debit, credit, 1));
                        let status = party.send(&case).status().as_u16();
                        assert!(status == 201 || status == 422, "{variant}: {status}");
                    }
                });
            }
        });
        let balance = |name: &str| -> i64 {
            let reply = party.send(&get(&format!("/api/v1/accounts/{{{name}}}")).by("operator"));
            let account: Value = serde_json::from_str(&reply.text().unwrap()).unwrap();
            account["balance"].as_i64().unwrap()
        };
        assert_eq!(balance("a") + balance("b"), 1_000, "{variant}");
        assert_eq!(balance("bank"), -1_000, "{variant}");
        let Party { mut server, .. } = party;
        server.terminate();
        server.command(&["verify"]);
    }
}

#[test]
fn metrics_count_by_route_and_the_id_is_kept() {
    let server = Server::axum(Store::Sqlite, &[]);
    let reply = server.request("GET", "/api/v1/accounts/x").header("x-request-id", "mine.1").send().unwrap();
    assert_eq!(reply.headers()["x-request-id"], "mine.1");
    let problem: Value = serde_json::from_str(&reply.text().unwrap()).unwrap();
    assert_eq!(problem["instance"], "urn:request:mine.1");
    let malformed = server.request("GET", "/health").header("x-request-id", "not mine").send().unwrap();
    assert_eq!(malformed.headers()["x-request-id"].len(), 36);
    let text = server.request("GET", "/metrics").send().unwrap().text().unwrap();
    let counted = r#"http_requests_total{method="GET",route="/api/v1/accounts/{id}",status="401"} 1"#;
    assert!(text.contains(counted), "{text}");
    assert!(
        text.contains(
            r#"http_request_duration_seconds_bucket{method="GET",route="/health",status="200",le="0.00005"}"#
        ),
        "{text}"
    );
    assert!(text.contains("http_requests_in_flight 1"), "{text}");
}

#[test]
fn the_bare_variant_serves_the_serving_routes_alone() {
    let server = Server::axum(Store::Sqlite, &["--variant", "bare", "--workers", "1"]);
    let plaintext = server.request("GET", "/plaintext").send().unwrap();
    assert_eq!(plaintext.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(plaintext.text().unwrap(), "Hello, World!");
    assert_eq!(
        server.request("GET", "/json").send().unwrap().text().unwrap(),
        r#"{"message":"Hello, World!"}"#
    );
    assert_eq!(server.request("GET", "/health").send().unwrap().status(), 404);
}

#[test]
fn a_data_directory_has_one_server() {
    let first = Server::axum(Store::Sqlite, &[]);
    let second = first.output(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use"), "{second:?}");
}
