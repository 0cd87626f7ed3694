//! Registration, login, tokens and what they let through.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Answer, Api, PASSWORD, Server, Store, World, add_user, assert_members, assert_uuid_v7, new_data,
    on_both_stores, run, time_of,
};

/// A token's life is counted in seconds and clocks may differ by some; after this long it must be dead.
const EXPIRY_TIMEOUT: Duration = Duration::from_secs(20);

fn credentials(username: &str, password: &str) -> Value {
    json!({"username": username, "password": password})
}

async fn register(api: &Api, username: &str, password: &str) -> Answer {
    api.post("/api/v1/users", &credentials(username, password)).send().await
}

async fn log_in(api: &Api, username: &str, password: &str) -> Answer {
    api.post("/api/v1/tokens", &credentials(username, password)).send().await
}

on_both_stores!(
    a_registered_user_logs_in_and_is_known,
    two_registrations_of_one_name_make_one_user,
    every_endpoint_asks_who_is_there,
);

async fn a_registered_user_logs_in_and_is_known(store: Store) {
    let server = store.serve(&[]);
    let nobody = Api::anonymous(&server);
    let user = register(&nobody, "Carol", PASSWORD).await.json(201);
    assert_members(&user, &["id", "username", "role", "created_at"]);
    assert_uuid_v7(user["id"].as_str().unwrap());
    assert_eq!((&user["username"], &user["role"]), (&json!("Carol"), &json!("user")));
    time_of(&user["created_at"]);

    let answer = log_in(&nobody, "Carol", PASSWORD).await;
    let token = answer.is_not_stored().json(200);
    assert_members(&token, &["access_token", "token_type", "expires_in"]);
    assert_eq!((&token["token_type"], &token["expires_in"]), (&json!("Bearer"), &json!(3600)));

    let carol = nobody.with_token(token["access_token"].as_str().unwrap());
    assert_eq!(carol.get("/api/v1/users/me").send().await.json(200), user);
}

#[tokio::test]
async fn names_are_unique_whatever_their_case() {
    let data = new_data();
    add_user(data.path(), "dora", &[]).ok();
    let server = Server::start_in(data, &[]);
    let nobody = Api::anonymous(&server);
    for taken in ["dora", "DORA", "operator", "Operator"] {
        register(&nobody, taken, PASSWORD).await.problem(409, "username_taken");
    }
}

async fn two_registrations_of_one_name_make_one_user(store: Store) {
    let server = store.serve(&[]);
    let nobody = Api::anonymous(&server);
    let (one, other) = tokio::join!(register(&nobody, "erin", PASSWORD), register(&nobody, "erin", PASSWORD));
    let (won, lost) = if one.status == 201 { (one, other) } else { (other, one) };
    won.is(201);
    lost.problem(409, "username_taken");
}

#[tokio::test]
async fn names_and_passwords_have_bounds() {
    let server = Server::start();
    let nobody = Api::anonymous(&server);
    let cases = [
        (json!({"password": PASSWORD}), "/username"),
        (json!({"username": "x"}), "/password"),
        (json!({"username": 1, "password": PASSWORD}), "/username"),
        (json!({"username": "x", "password": null}), "/password"),
        (json!({"username": "x", "password": PASSWORD, "role": "operator"}), "/role"),
        (credentials("", PASSWORD), "/username"),
        (credentials(".x", PASSWORD), "/username"),
        (credentials("-x", PASSWORD), "/username"),
        (credentials("a b", PASSWORD), "/username"),
        (credentials("a/b", PASSWORD), "/username"),
        (credentials("zoë", PASSWORD), "/username"),
        (credentials(&"x".repeat(65), PASSWORD), "/username"),
        (credentials("x", "seven77"), "/password"),
        (credentials("x", &"p".repeat(1025)), "/password"),
    ];
    for (body, pointer) in cases {
        nobody.post("/api/v1/users", &body).send().await.invalid("invalid_request", pointer);
    }
    for (name, password) in [("0a.b_c@d+e-f", "ünïcödé!"), (&*"y".repeat(64), &*"p".repeat(1024))] {
        register(&nobody, name, password).await.json(201);
        log_in(&nobody, name, password).await.json(200);
    }
}

#[tokio::test]
async fn closed_registration_is_for_operators() {
    let world = World::configured("auth: {open_registration: false}").await;
    let refused = register(&world.nobody, "carol", PASSWORD).await;
    refused.problem(401, "unauthenticated");
    assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer"));
    register(&world.alice.api, "carol", PASSWORD).await.problem(403, "forbidden");
    register(&world.operator, "carol", PASSWORD).await.json(201);
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_look_the_same() {
    let data = new_data();
    add_user(data.path(), "dora", &[]).ok();
    let server = Server::start_in(data, &[]);
    let nobody = Api::anonymous(&server);
    let mut seen = Vec::new();
    for (name, password) in [
        ("dora", "wrong horse battery"),
        ("nobody", PASSWORD),
        // The built-in operator has no password.
        ("operator", PASSWORD),
        ("operator", "operator"),
    ] {
        let answer = log_in(&nobody, name, password).await;
        assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
        let mut problem = answer.is_not_stored().problem(401, "unauthenticated");
        problem["instance"].take();
        seen.push(problem);
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
}

#[tokio::test]
async fn a_login_of_nobody_takes_as_long_as_any_other() {
    let data = new_data();
    add_user(data.path(), "dora", &[]).ok();
    let server = Server::start_in(data, &[]);
    let nobody = Api::anonymous(&server);
    // The built-in operator is somebody without a password.
    let names = ["dora", "ghost", "operator"];
    let mut times = names.map(|_| Vec::new());
    for _ in 0..9 {
        for (times, name) in times.iter_mut().zip(names) {
            let begin = Instant::now();
            log_in(&nobody, name, "wrong horse battery").await.is(401);
            times.push(begin.elapsed());
        }
    }
    // Without the hash one of them is fifty times faster.
    let medians = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    assert!(*most < *least * 3, "{names:?} took {medians:?}");
}

#[tokio::test]
async fn logins_are_read_strictly() {
    let server = Server::start();
    let nobody = Api::anonymous(&server);
    for (body, pointer) in [
        (json!({"username": "x"}), "/password"),
        (json!({"password": "x"}), "/username"),
        (json!({"username": "x", "password": 1}), "/password"),
        (json!({"username": "x", "password": "x", "ttl": 1}), "/ttl"),
        (json!([]), ""),
    ] {
        nobody.post("/api/v1/tokens", &body).send().await.invalid("invalid_request", pointer);
    }
}

async fn every_endpoint_asks_who_is_there(store: Store) {
    let world = World::of(store).await;
    let account = world.alice.path();
    let transfers = world.nobody.transfer(&world.payment(1));
    let requests = [
        world.nobody.get("/api/v1/users/me"),
        world.nobody.get("/api/v1/accounts"),
        world.nobody.get(&account),
        world.nobody.get(&format!("{account}/entries")),
        world.nobody.get(&format!("/api/v1/transfers/{}", world.alice.account)),
        world.nobody.get(&format!("{account}/balance")),
        world.nobody.get(&format!("{account}/statement")),
        world.nobody.get("/api/v1/transfers"),
        world.nobody.get("/api/v1/events"),
        world.nobody.post("/api/v1/events/tickets", &json!({})),
        world.nobody.post("/api/v1/transfers/batch", &json!({"transfers": [world.payment(1)]})),
        world.nobody.post("/api/v1/accounts", &json!({"currency": "EUR"})),
        transfers,
    ];
    let actions = ["post", "void", "reverse"].map(|verb| {
        world.nobody.post(&format!("/api/v1/transfers/{}/{verb}", world.alice.account), &json!({}))
    });
    for request in requests.into_iter().chain(actions) {
        let answer = request.send().await;
        answer.problem(401, "unauthenticated");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer"), "{challenge}");
        // RFC 6750 §3.1: no error code when no token was sent.
        assert!(!challenge.contains("error="), "{challenge}");
    }
}

#[tokio::test]
async fn only_our_tokens_open() {
    let world = World::new().await;
    let me = |authorization: &str| {
        world.nobody.get("/api/v1/users/me").header("authorization", authorization).send()
    };
    let token = world.alice.api.token();
    let (head, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = head.split_once('.').unwrap();
    let stranger = run(new_data().path(), &["token", "--operator"]).ok();
    // {"alg":"none","typ":"JWT"} and the same for HS512, as base64url.
    let (none, hs512) = ("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9");
    let (_, operators_claims) = world.operator.token().split_once('.').unwrap();
    let operators_claims = operators_claims.rsplit_once('.').unwrap().0;
    for wrong in [
        String::new(),
        ".".into(),
        "..".into(),
        "a.b.c".into(),
        head.into(),
        format!("{head}."),
        format!("{head}.{}", signature.chars().rev().collect::<String>()),
        format!("{header}.{operators_claims}.{signature}"),
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{hs512}.{claims}.{signature}"),
        format!("{token}.{token}"),
        format!("{token} {token}"),
        stranger.trim().into(),
        "x".repeat(6_000),
    ] {
        let answer = me(&format!("Bearer {wrong}")).await;
        answer.problem(401, "unauthenticated");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{wrong}");
        assert!(!answer.text().contains(signature), "{}", answer.text());
    }
    for scheme in ["Basic", "Digest", "Bearer:", "JWT"] {
        me(&format!("{scheme} {token}")).await.problem(401, "unauthenticated");
    }
    me(token).await.problem(401, "unauthenticated");
    // RFC 9110 §11.1: schemes are compared without case.
    for scheme in ["Bearer", "bearer", "BEARER"] {
        me(&format!("{scheme} {token}")).await.json(200);
    }
}

#[tokio::test]
async fn a_refused_token_is_named_as_such() {
    let world = World::new().await;
    let answer = world.nobody.with_token("a.b.c").get("/api/v1/users/me").send().await;
    answer.problem(401, "unauthenticated");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.contains(r#"error="invalid_token""#), "RFC 6750 §3: {challenge}");
}

#[tokio::test]
async fn a_token_dies_at_its_time() {
    let world = World::new().await;
    let token = run(world.server.data(), &["token", "--user", "alice", "--ttl", "1"]).ok();
    let alice = world.nobody.with_token(token.trim());
    alice.get("/api/v1/users/me").send().await.json(200);
    let deadline = Instant::now() + EXPIRY_TIMEOUT;
    loop {
        let answer = alice.get("/api/v1/users/me").send().await;
        if answer.status != 200 {
            answer.problem(401, "unauthenticated");
            break;
        }
        assert!(Instant::now() < deadline, "a token of one second still opens");
        // Time itself is what is awaited.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn the_life_of_a_token_is_a_setting() {
    let data = new_data();
    add_user(data.path(), "dora", &[]).ok();
    let settings = data.path().join("settings.yaml");
    std::fs::write(&settings, "auth: {token_ttl_s: 77}").unwrap();
    let server = Server::start_in(data, &["--config", settings.to_str().unwrap()]);
    let nobody = Api::anonymous(&server);
    assert_eq!(log_in(&nobody, "dora", PASSWORD).await.json(200)["expires_in"], 77);
}

#[tokio::test]
async fn the_built_in_operator_is_a_user_like_others() {
    let world = World::new().await;
    let operator = world.operator.get("/api/v1/users/me").send().await.json(200);
    assert_members(&operator, &["id", "username", "role", "created_at"]);
    assert_eq!((&operator["username"], &operator["role"]), (&json!("operator"), &json!("operator")));
    assert_uuid_v7(operator["id"].as_str().unwrap());
}
