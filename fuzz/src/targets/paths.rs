//! Targets of requests: paths, queries, cursors, times.

use http::Method;
use ringledger::api::{fuzzing, routes};
use ringledger::models::{AccountId, Timestamp};
use ringledger::services::statements::Period;
use ringledger::web::page::{List, next_link};
use ringledger::web::router::{Match, Router};

const METHODS: [Method; 5] = [Method::GET, Method::HEAD, Method::POST, Method::DELETE, Method::OPTIONS];

/// Those that there are, and one more.
const LISTS: [List; 4] = [List(1), List(2), List(3), List(4)];

thread_local! {
    static ROUTER: Router<routes::Route> = routes::router(true);
}

/// A path leads to one route or none, whatever the method, and an id in it has one spelling apart from case.
pub(crate) fn path(bytes: &[u8]) {
    let Ok(path) = std::str::from_utf8(bytes) else { return };
    ROUTER.with(|router| {
        for method in METHODS {
            let Match::Found { route, params } = router.find(&method, path) else { continue };
            assert_eq!(path.split('/').count(), route.template.split('/').count(), "{path}");
            if let Ok(id) = params.parse::<AccountId>("id") {
                let text = params.text("id").expect("it was parsed");
                assert!(id.to_string().eq_ignore_ascii_case(&text), "{text} is {id}");
            }
        }
    });
}

/// A query is accepted or refused with 422, and the link to the next page is a header field that names it once.
pub(crate) fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for status in [fuzzing::search(text), fuzzing::follow(text)] {
        assert!(matches!(status, 200 | 422), "status {status}");
    }
    let link = next_link("/a", text, "00ff");
    let link = link.to_str().expect("a link is visible ASCII");
    let target = link.strip_prefix("</a?").and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
    let target = target.unwrap_or_else(|| panic!("{link}"));
    assert!(!target.contains(['<', '>', '"', ' ', '\r', '\n']), "{link}");
    let cursors = target.split('&').filter(|pair| pair.starts_with("cursor=")).count();
    assert_eq!(cursors, 1, "{link}");
}

/// A cursor is of one list and of keys of one length, and a key has one cursor.
pub(crate) fn cursor(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut taken = 0;
    for list in LISTS {
        if let Ok(key) = list.key::<8>(text) {
            assert_eq!(list.cursor(key), text);
            taken += 1;
        }
        if let Ok(key) = list.key::<16>(text) {
            assert_eq!(list.cursor(key), text);
            taken += 1;
        }
    }
    assert!(taken <= 1, "{text} is taken {taken} times");
}

/// A time that is read is written and read again as the same; a period ends after it begins.
pub(crate) fn period(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (from, to) = text.split_once('&').unwrap_or((text, text));
    let read = |text: &str| text.parse::<Timestamp>().ok();
    for time in [read(from), read(to)].into_iter().flatten() {
        let written = time.to_string();
        assert_eq!(written.parse(), Ok(time), "{written}");
        assert!(written.ends_with('Z'), "{written}");
    }
    if let (Some(from), Some(to)) = (read(from), read(to))
        && let Some(period) = Period::new(from, to)
    {
        assert!(period.from() <= period.to());
    }
}
