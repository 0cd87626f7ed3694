//! `/dashboard/data`: who may see it, and that it tells of what has happened.

use serde_json::{Value, json};

use crate::support::raw::{Connection, Request};
use crate::support::{Server, add_user, on_both_engines, run};

on_both_engines!(
    only_operators_see_the_data,
    who_reaches_the_admin_listener_needs_no_token,
    it_tells_of_requests_and_of_problems,
);

fn only_operators_see_the_data(engine: &str) {
    let server = Server::start_with(&["--io", engine]);
    add_user(server.data(), "alice", &[]).ok();
    let user = run(server.data(), &["token", "--user", "alice"]).ok();
    let mut connection = Connection::open(server.address());
    let mut ask = |token: Option<&str>| {
        let mut request = Request::get("/dashboard/data");
        if let Some(token) = token {
            request = request.bearer(token);
        }
        connection.call(request.bytes())
    };
    let nobody = ask(None);
    assert_eq!((nobody.status, nobody.problem_code().as_str()), (401, "unauthenticated"));
    let user = ask(Some(user.trim()));
    assert_eq!((user.status, user.problem_code().as_str()), (403, "forbidden"));
    let operator = ask(Some(&server.operator_token()));
    assert_eq!((operator.status, operator.field("cache-control")), (200, Some("no-store")));
}

fn who_reaches_the_admin_listener_needs_no_token(engine: &str) {
    let server = Server::start_set(&["--io", engine], &[("admin.listen", "127.0.0.1:0")]);
    let mut connection = Connection::open(server.admin_address());
    assert_eq!(connection.call(Request::get("/dashboard").bytes()).status, 200);
    let data = connection.call(Request::get("/dashboard/data").bytes());
    assert_eq!(data.status, 200, "{data:?}");
    assert!(data.json()["histograms"]["lane_batch_size"].is_object());
    assert_eq!(connection.call(Request::get("/docs").bytes()).status, 404);
}

fn it_tells_of_requests_and_of_problems(engine: &str) {
    let server = Server::start_with(&["--io", engine, "--workers", "1"]);
    let token = server.operator_token();
    let mut connection = Connection::open(server.address());
    let mut data = |requests: &[&str]| -> Value {
        for path in requests {
            connection.call(Request::get(path).field("X-Request-Id", "mine").bytes());
        }
        connection.call(Request::get("/dashboard/data").bearer(&token).bytes()).json()
    };
    let before = data(&[]);
    let after = data(&["/health", "/health", "/nowhere", "/api/v1/accounts"]);
    let counted = |data: &Value| data["cores"]["0"]["requests"].as_u64().unwrap();
    // And the look before.
    assert_eq!(counted(&after) - counted(&before), 5, "{after}");
    let health = &after["routes"]["GET /health"];
    assert_eq!(health["counts"].as_array().unwrap().last(), Some(&json!(2)), "{health}");
    assert_eq!((&after["statuses"]["404"], &after["statuses"]["401"]), (&json!(1), &json!(1)));
    let problems: Vec<_> = after["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| {
            assert_eq!(problem["request_id"], "mine");
            (problem["status"].as_u64(), problem["code"].as_str(), problem["route"].as_str())
        })
        .collect();
    let latest_first = [
        (Some(401), Some("unauthenticated"), Some("/api/v1/accounts")),
        (Some(404), Some("not_found"), None),
    ];
    assert_eq!(problems, latest_first);
    let engine_names = [("uring", "io_uring"), ("epoll", "epoll")];
    let named = engine_names.iter().find(|(option, _)| *option == engine).unwrap().1;
    assert_eq!(after["about"]["engine"], named);
}
