//! What is refused when a hold is made, posted or voided, and in which order.

use reqwest::Method;
use serde_json::{Value, json};

use super::purse;
use crate::support::{FUNDS, LAST_SEQ, Store, World, act, on_both_stores, path_of, raw};

/// A well-formed id of nothing.
const NOTHING: &str = "01900000-0000-7000-8000-0000000000ff";
const MAX: i64 = (1 << 53) - 1;

on_both_stores!(
    a_time_limit_is_a_whole_number_of_seconds_of_a_hold,
    what_a_post_may_not_be,
    a_body_may_be_left_out_and_must_be_json_else,
    a_hold_is_ended_by_the_side_that_pays,
    a_key_is_asked_for_and_stands_for_one_action,
    refusals_have_an_order,
    the_actions_know_one_method,
);

async fn a_time_limit_is_a_whole_number_of_seconds_of_a_hold(store: Store) {
    let world = World::of(store).await;
    let limited = |pending: Value, seconds: Value| {
        let mut body = world.payment(1);
        body["pending"] = pending;
        body["timeout_seconds"] = seconds;
        world.alice.api.transfer(&body).send()
    };
    for seconds in [json!(0), json!(-1), json!(1.0), json!("1"), json!(1_u64 << 32), json!(true), json!([])] {
        let answer = limited(json!(true), seconds.clone()).await;
        assert_eq!(answer.status, 422, "{seconds}: {}", answer.text());
        answer.invalid("invalid_request", "/timeout_seconds");
    }
    for pending in [json!(false), Value::Null] {
        limited(pending, json!(5)).await.invalid("invalid_request", "/timeout_seconds");
    }
    let far = limited(json!(true), json!(u32::MAX)).await.json(201);
    assert!(far["expires_at"].as_str().unwrap().starts_with("21"), "{far}");
    assert!(limited(json!(true), Value::Null).await.json(201)["expires_at"].is_null());
}

async fn what_a_post_may_not_be(store: Store) {
    let world = World::of(store).await;
    let hold = world.hold(10).await;
    let post = |text: &str, key: &str| {
        world.alice.api.post_text(&format!("{}/post", path_of(&hold)), text.to_owned()).key(key).send()
    };
    for amount in ["0", "-1", "1.0", "1e0", "\"1\"", "true", "[]", "{}", "9007199254740992", "1e300"] {
        let answer = post(&format!(r#"{{"amount":{amount}}}"#), "k").await;
        assert_eq!(answer.status, 422, "{amount}: {}", answer.text());
        answer.invalid("invalid_request", "/amount");
    }
    for (text, pointer) in [
        (r#"{"fee":1}"#, "/fee"),
        (r#"{"amount":1,"amount":1}"#, "/amount"),
        ("[]", ""),
        ("[1]", ""),
        ("null", ""),
        ("\"\"", ""),
        ("1", ""),
    ] {
        let answer = post(text, "k").await;
        assert_eq!(answer.status, 422, "{text}: {}", answer.text());
        answer.invalid("invalid_request", pointer);
    }
    for text in ["{", "{}x", "{\"amount\":01}", " ", "\u{feff}{}"] {
        let answer = post(text, "k").await;
        assert_eq!(answer.status, 400, "{text:?}: {}", answer.text());
        answer.problem(400, "invalid_json");
    }
    for (n, amount) in [11, MAX].into_iter().enumerate() {
        let answer = post(&format!(r#"{{"amount":{amount}}}"#), &format!("too-much-{n}")).await;
        answer.is_not_stored().problem(422, "amount_exceeds_pending");
    }
    for verb in ["void", "reverse"] {
        let path = format!("{}/{verb}", path_of(&hold));
        for (text, pointer) in [(r#"{"amount":1}"#, "/amount"), ("[]", "")] {
            let answer = world.operator.post_text(&path, text).key("k").send().await;
            assert_eq!(answer.status, 422, "{verb} {text}: {}", answer.text());
            answer.invalid("invalid_request", pointer);
        }
    }
    post(r#"{"amount":10}"#, "k").await.json(200);
}

async fn a_body_may_be_left_out_and_must_be_json_else(store: Store) {
    let world = World::of(store).await;
    let request = |hold: &Value, verb: &str| act(&world.operator, hold, verb, verb);
    let hold = world.hold(1).await;
    for verb in ["post", "void", "reverse"] {
        let unnamed = request(&hold, verb).body("{}").send().await;
        unnamed.problem(415, "unsupported_media_type");
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-type", "application/problem+json"),
        ] {
            let answer = request(&hold, verb).header(name, value).body("{}").send().await;
            answer.problem(415, "unsupported_media_type");
        }
        let coded = request(&hold, verb).header("content-type", "application/json");
        coded
            .header("content-encoding", "gzip")
            .body("{}")
            .send()
            .await
            .problem(415, "unsupported_media_type");
        let long = request(&hold, verb).header("content-type", "application/json").body(" ".repeat(65_537));
        long.send().await.problem(413, "payload_too_large");
        request(&hold, verb).header("accept", "text/html").send().await.problem(406, "not_acceptable");
    }
    // A media type of nothing is that of no body, also of one that tells only at its end that it is empty.
    let raw = |key: &str| {
        let request = raw::Request::post(&format!("{}/post", path_of(&hold))).bearer(world.operator.token());
        request.field("Idempotency-Key", key).field("Transfer-Encoding", "chunked").head()
    };
    let mut connection = raw::Connection::open(world.server.address());
    let reply = connection.call([raw("chunked"), b"2\r\n{}\r\n0\r\n\r\n".to_vec()].concat());
    assert_eq!((reply.status, &*reply.problem_code()), (415, "unsupported_media_type"), "{reply:?}");
    let reply = connection.call([raw("post"), b"0\r\n\r\n".to_vec()].concat());
    assert_eq!(reply.status, 200, "{reply:?}");
    request(&hold, "post").header("content-type", "text/plain").send().await.json(200);
    let utf_8 = request(&hold, "reverse").header("content-type", "application/json; charset=utf-8");
    utf_8.body("{}").send().await.json(201);
}

async fn a_hold_is_ended_by_the_side_that_pays(store: Store) {
    let world = World::of(store).await;
    let mine = world.hold(1).await;
    let bank = crate::support::euros(&world.bank, &world.alice.account, 1);
    let mut theirs = bank.clone();
    theirs["pending"] = json!(true);
    let theirs = world.operator.transfer(&theirs).send().await.json(201);
    for (n, verb) in ["post", "void"].into_iter().enumerate() {
        let key = format!("k{n}");
        act(&world.nobody, &mine, verb, &key).send().await.problem(401, "unauthenticated");
        act(&world.bob.api, &mine, verb, &key).send().await.problem(403, "forbidden");
        act(&world.alice.api, &theirs, verb, &key).send().await.problem(403, "forbidden");
        act(&world.bob.api, &theirs, verb, &key).send().await.problem(403, "forbidden");
        for id in [NOTHING, "x", "00000000-0000-0000-0000-000000000000", &world.alice.account] {
            let nothing = json!({"id": id});
            act(&world.alice.api, &nothing, verb, &key).send().await.problem(404, "not_found");
        }
    }
    // None of that has used up a key.
    act(&world.alice.api, &mine, "post", "k0").send().await.json(200);
    act(&world.operator, &theirs, "void", "k1").send().await.json(200);
    world.alice.api.get(&path_of(&theirs)).send().await.json(200);
    world.bob.api.get(&path_of(&theirs)).send().await.problem(403, "forbidden");
}

async fn a_key_is_asked_for_and_stands_for_one_action(store: Store) {
    let world = World::of(store).await;
    let (first, second) = (world.hold(10).await, world.hold(10).await);
    let api = &world.alice.api;
    for verb in ["post", "void", "reverse"] {
        let path = format!("{}/{verb}", path_of(&first));
        api.request(Method::POST, &path).send().await.problem(400, "idempotency_key_missing");
        act(api, &first, verb, "a b").send().await.invalid("invalid_request", "");
        act(api, &first, verb, &"k".repeat(256)).send().await.invalid("invalid_request", "");
    }
    let part = |hold: &Value, amount: i64| {
        api.post(&format!("{}/post", path_of(hold)), &json!({"amount": amount})).key("k").send()
    };
    part(&first, 4).await.json(200);
    for other in [
        part(&first, 5).await,
        part(&second, 4).await,
        act(api, &first, "post", "k").send().await,
        act(api, &first, "void", "k").send().await,
        act(api, &second, "void", "k").send().await,
        act(api, &first, "reverse", "k").send().await,
        api.transfer_as("k", &world.payment(4)).send().await,
        api.post("/api/v1/transfers/batch", &json!({"transfers": [world.payment(4)]})).key("k").send().await,
    ] {
        assert_eq!(other.header("idempotency-replayed"), None);
        other.problem(422, "idempotency_key_reused");
    }
    // The same amount as a hold, with and without a limit, is not the same command.
    let mut body = world.payment(1);
    api.transfer_as("t", &body).send().await.json(201);
    for (pending, seconds) in [(true, Value::Null), (true, json!(60))] {
        body["pending"] = json!(pending);
        body["timeout_seconds"] = seconds;
        api.transfer_as("t", &body).send().await.problem(422, "idempotency_key_reused");
    }
    // Keys are a user's own.
    act(&world.operator, &second, "void", "k").send().await.json(200);
    let (balance, held, _, _) = purse(&world, &world.alice.account).await;
    assert_eq!((balance, held), (FUNDS - 5, 0));
}

/// Each request has every flaw of those that come after it.
async fn refusals_have_an_order(store: Store) {
    let world = World::of(store).await;
    let hold = world.hold(10).await;
    let path = format!("{}/post", path_of(&hold));
    let nothing = format!("/api/v1/transfers/{NOTHING}/post");
    let exceeding = r#"{"amount":11}"#;
    let (alice, bob) = (&world.alice.api, &world.bob.api);
    world.nobody.post_text(&path, "{").send().await.problem(401, "unauthenticated");
    bob.request(Method::POST, &path).body("{").send().await.problem(415, "unsupported_media_type");
    bob.post_text(&path, "{").send().await.problem(400, "idempotency_key_missing");
    bob.post_text(&path, "{").key("").send().await.problem(400, "idempotency_key_missing");
    bob.post_text(&path, "{").key("k").send().await.problem(400, "invalid_json");
    bob.post_text(&nothing, r#"{"amount":0}"#).key("k").send().await.problem(422, "invalid_request");
    bob.post_text("/api/v1/transfers/x/post", exceeding).key("k").send().await.problem(404, "not_found");
    bob.post_text(&nothing, exceeding).key("k").send().await.problem(404, "not_found");
    bob.post_text(&path, exceeding).key("k").send().await.problem(403, "forbidden");
    alice.post_text(&path, exceeding).key("exceeding").send().await.problem(422, "amount_exceeds_pending");
    act(alice, &hold, "void", "k").send().await.json(200);
    alice.post_text(&path, exceeding).key("ended").send().await.problem(409, "transfer_not_pending");
    // A key that stands for something comes before what it is used for now.
    alice.post_text(&nothing, exceeding).key("k").send().await.problem(422, "idempotency_key_reused");
    assert_eq!(world.next_seq().await, LAST_SEQ + 3);
}

async fn the_actions_know_one_method(store: Store) {
    let world = World::of(store).await;
    let hold = path_of(&world.hold(1).await);
    for verb in ["post", "void", "reverse"] {
        let path = format!("{hold}/{verb}");
        for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = world.alice.api.request(method, &path).send().await;
            answer.problem(405, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
        }
        world.alice.api.request(Method::HEAD, &path).send().await.is(405);
        let options = world.nobody.request(Method::OPTIONS, &path).send().await;
        assert_eq!((options.is(204).header("allow"), options.text()), (Some("POST, OPTIONS"), ""));
        world.alice.api.request(Method::POST, &format!("{path}/")).send().await.problem(404, "not_found");
    }
    let answer = world.alice.api.request(Method::POST, &hold).send().await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
    let head = world.alice.api.request(Method::HEAD, &hold).send().await;
    assert!(head.is(200).is_not_stored().body.is_empty());
}
