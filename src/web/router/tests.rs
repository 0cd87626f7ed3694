use proptest::prelude::*;

use super::*;

/// Method, template; the route is its own template and method.
const TABLE: &[(&Method, &str)] = &[
    (&Method::GET, "/"),
    (&Method::GET, "/health"),
    (&Method::GET, "/openapi.json"),
    (&Method::POST, "/users"),
    (&Method::GET, "/users/me"),
    (&Method::GET, "/users/{id}"),
    (&Method::DELETE, "/users/{id}"),
    (&Method::POST, "/transfers"),
    (&Method::GET, "/transfers"),
    (&Method::POST, "/transfers/batch"),
    (&Method::GET, "/transfers/{id}"),
    (&Method::POST, "/transfers/{transfer}/post"),
    (&Method::GET, "/a/{b}/c/{d}"),
];

fn router() -> Router<String> {
    Router::new(
        TABLE.iter().map(|(method, template)| ((*method).clone(), *template, format!("{method} {template}"))),
    )
}

/// The outcome as one line: the route with its parameters, or the refusal with its `Allow`.
fn outcome(method: &Method, path: &str) -> String {
    let router = router();
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    match router.find(method, path) {
        Match::Found { route, params } => {
            let values = params.names.iter().zip(params.values);
            values.fold(route.clone(), |line, (name, value)| format!("{line} {name}={value}"))
        }
        Match::Options { allow } => format!("options {}", text(allow)),
        Match::MethodNotAllowed { allow } => format!("405 {}", text(allow)),
        Match::NotFound => "404".to_owned(),
    }
}

#[test]
fn finds_routes() {
    let cases = [
        (Method::GET, "/", "GET /"),
        (Method::GET, "/health", "GET /health"),
        (Method::HEAD, "/health", "GET /health"),
        (Method::GET, "/openapi.json", "GET /openapi.json"),
        (Method::GET, "/users/me", "GET /users/me"),
        (Method::GET, "/users/you", "GET /users/{id} id=you"),
        (Method::GET, "/users/me%20", "GET /users/{id} id=me%20"),
        (Method::GET, "/users/mee", "GET /users/{id} id=mee"),
        (Method::POST, "/transfers/batch", "POST /transfers/batch"),
        (Method::POST, "/transfers/batch/post", "POST /transfers/{transfer}/post transfer=batch"),
        (Method::POST, "/transfers/7/post", "POST /transfers/{transfer}/post transfer=7"),
        (Method::HEAD, "/transfers/7", "GET /transfers/{id} id=7"),
        (Method::GET, "/a/1/c/2", "GET /a/{b}/c/{d} b=1 d=2"),
    ];
    for (method, path, expected) in cases {
        assert_eq!(outcome(&method, path), expected, "{method} {path}");
    }
}

#[test]
fn answers_what_is_not_in_the_table() {
    let cases = [
        (Method::GET, "", "404"),
        (Method::OPTIONS, "*", "options GET, HEAD, POST, DELETE, OPTIONS"),
        (Method::GET, "*", "405 GET, HEAD, POST, DELETE, OPTIONS"),
        (Method::OPTIONS, "**", "404"),
        (Method::GET, "health", "404"),
        (Method::GET, "//", "404"),
        (Method::GET, "/health/", "404"),
        (Method::GET, "//health", "404"),
        (Method::GET, "/Health", "404"),
        (Method::GET, "/%68ealth", "404"),
        (Method::GET, "/users/", "404"),
        (Method::GET, "/users/me/", "404"),
        (Method::GET, "/users/me/x", "404"),
        (Method::GET, "/transfers//post", "404"),
        (Method::GET, "/a/1/c", "404"),
        (Method::OPTIONS, "/nowhere", "404"),
        (Method::POST, "/health", "405 GET, HEAD, OPTIONS"),
        (Method::HEAD, "/users", "405 POST, OPTIONS"),
        (Method::DELETE, "/users/me", "405 GET, HEAD, OPTIONS"),
        (Method::GET, "/transfers/batch", "405 POST, OPTIONS"),
        (Method::PUT, "/transfers", "405 POST, GET, HEAD, OPTIONS"),
        (Method::OPTIONS, "/users/1", "options GET, HEAD, DELETE, OPTIONS"),
    ];
    for (method, path, expected) in cases {
        assert_eq!(outcome(&method, path), expected, "{method} {path}");
    }
}

#[test]
fn parameters_are_decoded_and_typed() {
    let router = Router::new([(Method::GET, "/x/{id}", ())]);
    let parse = |path| match router.find(&Method::GET, path) {
        Match::Found { params, .. } => (params.text("id"), params.parse::<u32>("id")),
        other => panic!("{path}: {other:?}"),
    };
    let bad_value = Err(ParamError::Value { name: "id" });
    let bad_encoding = ParamError::Encoding { name: "id" };

    assert_eq!(parse("/x/42"), (Ok("42".into()), Ok(42)));
    assert_eq!(parse("/x/%34%32"), (Ok("42".into()), Ok(42)));
    assert_eq!(parse("/x/a%2Fb+c"), (Ok("a/b+c".into()), bad_value));
    assert_eq!(parse("/x/%zz"), (Err(bad_encoding), Err(bad_encoding)));
    assert_eq!(parse("/x/%ff"), (Err(bad_encoding), Err(bad_encoding)));
}

#[test]
fn asking_for_a_parameter_the_template_lacks_is_an_error() {
    let params = Params::default();
    let unknown = Err(ParamError::Unknown { name: "id" });
    assert_eq!(params.parse::<u32>("id"), unknown);
}

#[test]
fn bad_route_tables_are_refused_with_the_reason() {
    let cases: &[(&[(&Method, &str)], &str)] = &[
        (&[(&Method::GET, "/a"), (&Method::GET, "/a")], "given twice"),
        (&[(&Method::GET, "/a/{x}"), (&Method::GET, "/a/{y}")], "given twice"),
        (&[(&Method::HEAD, "/a")], "derived"),
        (&[(&Method::OPTIONS, "/a")], "derived"),
        (&[(&Method::GET, "")], "does not start"),
        (&[(&Method::GET, "a")], "does not start"),
        (&[(&Method::GET, "/a/")], "bad segment"),
        (&[(&Method::GET, "/a//b")], "bad segment"),
        (&[(&Method::GET, "/a b")], "bad segment"),
        (&[(&Method::GET, "/a%20b")], "bad segment"),
        (&[(&Method::GET, "/{}")], "bad segment"),
        (&[(&Method::GET, "/{a")], "bad segment"),
        (&[(&Method::GET, "/x{a}")], "bad segment"),
        (&[(&Method::GET, "/{a}/{a}")], "twice"),
        (&[(&Method::GET, "/{a}/{b}/{c}/{d}/{e}")], "more than 4"),
    ];
    for (table, reason) in cases {
        let routes = table.iter().map(|(method, template)| ((*method).clone(), *template, ()));
        let refusal = std::panic::catch_unwind(|| Router::new(routes)).unwrap_err();
        let text = refusal.downcast_ref::<String>().unwrap();
        assert!(text.contains(reason), "{table:?}: {text}");
    }
}

proptest! {
    #[test]
    fn any_path_is_answered(path in "[/a-c%{}é]{0,24}|/(users|transfers|a)(/[a-z%]{0,3}){0,5}") {
        let router = router();
        for method in [Method::GET, Method::OPTIONS] {
            if let Match::Found { params, .. } = router.find(&method, &path) {
                let _ = params.text("id");
            }
        }
    }
}
