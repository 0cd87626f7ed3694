//! What holds for every request: its id, methods, negotiation, bounds; health, readiness, bench endpoints.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Frame;
use reqwest::{Body, Method};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Api, Server, World, assert_members, assert_uuid_v7};

const ACCOUNTS: &str = "/api/v1/accounts";
/// How long a log line may take from a request's end to stderr; the writer stands beside the serving path.
const LOG_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn every_answer_carries_an_id() {
    let world = World::new().await;
    let path = world.alice.path();
    let requests = |id: Option<&'static str>| {
        let tag = "*";
        let requests = [
            world.alice.api.get("/health"),
            world.alice.api.get("/ready"),
            world.alice.api.get(&path),
            world.alice.api.get(&path).header("if-none-match", tag),
            world.alice.api.request(Method::HEAD, &path),
            world.alice.api.request(Method::OPTIONS, &path),
            world.alice.api.request(Method::DELETE, &path),
            world.alice.api.get("/nowhere"),
            world.nobody.get(&path),
            world.alice.api.post(ACCOUNTS, &json!({"currency": "EUR"})),
            world.alice.api.post_text(ACCOUNTS, " ".repeat(70_000)),
        ];
        requests.map(|request| match id {
            Some(id) => request.header("x-request-id", id),
            None => request,
        })
    };
    let mut made = Vec::new();
    for request in requests(None) {
        let answer = request.send().await;
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert_uuid_v7(&id);
        made.push(id);
    }
    made.sort();
    made.dedup();
    assert_eq!(made.len(), requests(None).len(), "ids are used once");
    for request in requests(Some("mine-1._Z")) {
        assert_eq!(request.send().await.header("x-request-id"), Some("mine-1._Z"));
    }
}

#[tokio::test]
async fn an_id_of_the_caller_is_kept_if_it_is_plain() {
    let server = Server::start();
    let api = Api::anonymous(&server);
    let longest = "x".repeat(128);
    for good in ["a", "0", ".", "A-b_c.9", &longest] {
        let answer = api.get("/health").header("x-request-id", good).send().await;
        assert_eq!(answer.header("x-request-id"), Some(good));
    }
    let too_long = "x".repeat(129);
    for bad in ["", "a b", "a/b", "a:b", "é", "<script>", "a,b", "\"a\"", &too_long] {
        let answer = api.get("/health").header("x-request-id", bad).send().await;
        assert_uuid_v7(answer.header("x-request-id").unwrap());
    }
    let twice = api.get("/health").header("x-request-id", "a").header("x-request-id", "b b");
    assert!(twice.send().await.header("x-request-id").is_some());
}

#[tokio::test]
async fn a_request_leaves_a_line_with_its_id_route_and_trace() {
    let world = World::new().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = world.alice.api.get(&world.alice.path()).header("x-request-id", "find.me");
    request.header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")).send().await.json(200);
    let deadline = Instant::now() + LOG_TIMEOUT;
    let line = loop {
        let found = world.server.log_lines().into_iter().find(|line| line.contains("find.me"));
        if let Some(line) = found {
            break line;
        }
        assert!(Instant::now() < deadline, "no line names the request");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    for part in ["/api/v1/accounts/{id}", "GET", "200", trace] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(!line.contains(world.alice.api.token()), "{line}");
}

#[tokio::test]
async fn head_tells_what_get_would() {
    let world = World::new().await;
    for path in ["/health", "/ready", "/nowhere", ACCOUNTS, &world.alice.path()] {
        let get = world.alice.api.get(path).send().await;
        let head = world.alice.api.request(Method::HEAD, path).send().await;
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        for field in ["content-type", "content-length", "etag", "cache-control"] {
            assert_eq!(head.header(field), get.header(field), "{field} of {path}");
        }
        assert_eq!(get.header("content-length"), Some(&*get.body.len().to_string()));
    }
}

#[tokio::test]
async fn methods_are_told_by_allow() {
    let world = World::new().await;
    let account = world.alice.path();
    let entries = format!("{account}/entries");
    let transfer = format!("/api/v1/transfers/{}", world.alice.account);
    for (path, allowed) in [
        ("/api/v1/users", "OPTIONS POST"),
        ("/api/v1/users/me", "GET HEAD OPTIONS"),
        ("/api/v1/tokens", "OPTIONS POST"),
        (ACCOUNTS, "GET HEAD OPTIONS POST"),
        (&account, "GET HEAD OPTIONS"),
        (&entries, "GET HEAD OPTIONS"),
        (&transfer, "GET HEAD OPTIONS"),
        ("/health", "GET HEAD OPTIONS"),
        ("/ready", "GET HEAD OPTIONS"),
    ] {
        let sorted = |allow: &str| {
            let mut methods: Vec<_> = allow.split(',').map(str::trim).collect();
            methods.sort_unstable();
            methods.join(" ")
        };
        // Nobody needs a token to ask what there is.
        let options = world.nobody.request(Method::OPTIONS, path).send().await;
        assert_eq!(sorted(options.header("allow").unwrap()), allowed, "{path}");
        assert!((200..300).contains(&options.status) && options.body.is_empty(), "{options:?}");
        for method in [Method::PUT, Method::PATCH, Method::DELETE] {
            let refused = world.alice.api.request(method, path).send().await;
            refused.problem(405, "method_not_allowed");
            assert_eq!(sorted(refused.header("allow").unwrap()), allowed, "{path}");
        }
    }
    world.nobody.request(Method::OPTIONS, "/nowhere").send().await.problem(404, "not_found");
}

#[tokio::test]
async fn accept_is_honoured() {
    let world = World::with(&["--bench-endpoints"]).await;
    for accept in ["application/json", "*/*", "application/*", "text/html, */*;q=0.1", "Application/JSON", ""]
    {
        world.alice.api.get(ACCOUNTS).header("accept", accept).send().await.json(200);
    }
    for accept in ["text/html", "text/*", "application/xml, image/*", "application/json;q=0", "*/*;q=0"] {
        let answer = world.alice.api.get(ACCOUNTS).header("accept", accept).send().await;
        answer.problem(406, "not_acceptable");
    }
    world.nobody.get("/plaintext").header("accept", "text/plain").send().await.is(200);
    let answer = world.nobody.get("/plaintext").header("accept", "application/json").send().await;
    answer.problem(406, "not_acceptable");
    // What is not acceptable is not done either.
    let open = world.alice.api.post(ACCOUNTS, &json!({"currency": "EUR"})).header("accept", "text/html");
    open.send().await.problem(406, "not_acceptable");
    let page = world.alice.api.get(ACCOUNTS).send().await.json(200);
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_body_says_that_it_is_json() {
    let world = World::new().await;
    let post = |content_type: Option<&str>| {
        let request = world.alice.api.request(Method::POST, ACCOUNTS).body("{\"currency\":\"EUR\"}");
        match content_type {
            Some(content_type) => request.header("content-type", content_type).send(),
            None => request.send(),
        }
    };
    for good in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\""]
    {
        post(Some(good)).await.json(201);
    }
    for bad in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=latin1",
        "json",
        "",
    ] {
        post(Some(bad)).await.problem(415, "unsupported_media_type");
    }
    post(None).await.problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_coded_body_is_not_read_as_if_it_were_plain() {
    let world = World::new().await;
    // RFC 9110 §8.4 and §15.5.16.
    for coding in ["gzip", "br", "identity, zstd"] {
        let post = world.alice.api.post(ACCOUNTS, &json!({"currency": "EUR"}));
        let answer = post.header("content-encoding", coding).send().await;
        answer.problem(415, "unsupported_media_type");
    }
}

#[tokio::test]
async fn unknown_expectations_are_refused() {
    let server = Server::start();
    let api = Api::anonymous(&server);
    for unknown in ["the-unexpected", "200-ok", "100-continue, more"] {
        let answer = api.get("/health").header("expect", unknown).send().await;
        answer.problem(417, "expectation_failed");
    }
    for known in ["100-continue", "100-Continue"] {
        api.get("/health").header("expect", known).send().await.json(200);
    }
}

/// A body of unknown length, which HTTP/1.1 sends in chunks.
struct Chunks {
    chunk: Bytes,
    left: usize,
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.chunk.clone()))))
    }
}

fn chunked(chunk: &str, times: usize) -> Body {
    Body::wrap(Chunks { chunk: Bytes::copy_from_slice(chunk.as_bytes()), left: times })
}

#[tokio::test]
async fn bodies_have_a_bound_however_they_come() {
    const BOUND: usize = 65_536;
    let world = World::new().await;
    let open = "{\"currency\":\"EUR\"}";
    let padded = |len: usize| format!("{open}{}", " ".repeat(len - open.len()));
    for (body, fits) in [
        (Body::from(padded(BOUND)), true),
        (chunked(&padded(BOUND / 64), 1), true),
        (chunked(&padded(BOUND), 1), true),
        (Body::from(padded(BOUND + 1)), false),
        (chunked(&padded(BOUND + 1), 1), false),
        (chunked(&" ".repeat(1_024), 65), false),
    ] {
        let answer = world.alice.api.post_text(ACCOUNTS, body).send().await;
        if fits {
            answer.json(201);
        } else {
            answer.problem(413, "payload_too_large");
            // Connections that a refusal closed do not matter to the next request.
            Api::anonymous(&world.server).get("/health").send().await.json(200);
        }
    }
    world.alice.api.post_text(ACCOUNTS, chunked(&padded(1_024), 0)).send().await.problem(400, "invalid_json");
}

#[tokio::test]
async fn a_client_that_sends_a_megabyte_too_much_still_reads_why() {
    let world = World::new().await;
    // A reset that overtakes the reply comes by chance only, so once is not enough.
    for _ in 0..40 {
        for body in [Body::from(" ".repeat(1 << 20)), chunked(&" ".repeat(1_024), 1_024)] {
            let fresh = Api::anonymous(&world.server).with_token(world.alice.api.token());
            fresh.post_text(ACCOUNTS, body).send().await.problem(413, "payload_too_large");
        }
    }
}

#[tokio::test]
async fn targets_and_fields_have_bounds() {
    let server = Server::start();
    let api = Api::anonymous(&server);
    api.get(&format!("/{}", "x".repeat(8_191))).send().await.problem(404, "not_found");
    api.get(&format!("/{}", "x".repeat(8_192))).send().await.problem(414, "uri_too_long");
    api.get(&format!("/health?{}", "x".repeat(12_000))).send().await.problem(414, "uri_too_long");
    let with_fields = |count: usize| {
        (0..count)
            .fold(api.get("/health"), |request, index| request.header(&format!("x-{index}"), "x"))
            .send()
    };
    // The client itself adds a few.
    with_fields(55).await.json(200);
    with_fields(70).await.problem(431, "headers_too_large");
    with_fields(95).await.problem(431, "headers_too_large");
    api.get("/health").header("x-long", &"x".repeat(15_000)).send().await.json(200);
    let too_long = api.get("/health").header("x-long", &"x".repeat(16_384)).send().await;
    too_long.problem(431, "headers_too_large");
}

#[tokio::test]
async fn bounds_are_settings() {
    let world = World::configured("limits: {body_bytes: 2048, target_bytes: 256, fields: 20}").await;
    let alice = &world.alice.api;
    alice.post_text(ACCOUNTS, " ".repeat(2_049)).send().await.problem(413, "payload_too_large");
    alice.post_text(ACCOUNTS, " ".repeat(2_048)).send().await.problem(400, "invalid_json");
    alice.get(&format!("/{}", "x".repeat(256))).send().await.problem(414, "uri_too_long");
    let many =
        (0..21).fold(alice.get("/health"), |request, index| request.header(&format!("x-{index}"), "x"));
    many.send().await.problem(431, "headers_too_large");
}

#[tokio::test]
async fn health_and_readiness_ask_for_nothing() {
    let server = Server::start();
    let api = Api::anonymous(&server);
    assert_eq!(api.get("/health").send().await.json(200), json!({"status": "ok"}));
    let ready = api.get("/ready").send().await.json(200);
    assert_members(&ready, &["status", "checks"]);
    assert!(ready["checks"].as_object().unwrap().contains_key("store"), "{ready}");
    // A bad token does not matter where none is asked for.
    api.with_token("nonsense").get("/health").send().await.json(200);
    api.with_token("nonsense").get("/ready").send().await.json(200);
}

#[tokio::test]
async fn bench_endpoints_answer_when_asked_for() {
    let server = Server::start_with(&["--bench-endpoints"]);
    let api = Api::anonymous(&server);
    let plaintext = api.get("/plaintext").send().await;
    assert_eq!(plaintext.is(200).text(), "Hello, World!");
    assert!(plaintext.header("content-type").unwrap().starts_with("text/plain"));
    let json = api.get("/json").send().await;
    assert_eq!(json.json(200), json!({"message": "Hello, World!"}));
    assert_eq!(json.text(), r#"{"message":"Hello, World!"}"#);
    let begin = Instant::now();
    api.get("/cpu?ms=30").send().await.is(200);
    assert!(begin.elapsed() >= Duration::from_millis(30));
    api.get("/cpu?ms=1").send().await.is(200);
    for query in ["?ms=0", "?ms=1001", "?ms=-1", "?ms=1.5", "?ms=x", "?ms=", "?ms=1&ms=1", ""] {
        api.get(&format!("/cpu{query}")).send().await.invalid("invalid_request", "/ms");
    }
    api.get("/cpu?ms=1&s=1").send().await.invalid("invalid_request", "/s");

    let plain = Server::start();
    let api = Api::anonymous(&plain);
    for path in ["/plaintext", "/json", "/cpu?ms=1"] {
        api.get(path).send().await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_full_cpu_pool_says_so_at_once() {
    let server = Server::start_set(&["--bench-endpoints"], &[("limits.cpu_queue", "1")]);
    let mut crowd = JoinSet::new();
    for _ in 0..30 {
        crowd.spawn(Api::anonymous(&server).get("/cpu?ms=100").send());
    }
    let answers = crowd.join_all().await;
    let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(!served.is_empty() && !refused.is_empty(), "{} served", served.len());
    for answer in refused {
        answer.problem(503, "overloaded");
        assert!(answer.header("retry-after").unwrap().parse::<u32>().is_ok());
    }
    Api::anonymous(&server).get("/cpu?ms=1").send().await.is(200);
}
