//! Walks through paged lists, and checks on the way what holds for every page of every list.

use serde_json::Value;

use super::{Answer, Api, assert_members};

/// More pages than any test has; ends a list that never ends.
const PAGES_MAX: usize = 200;

/// The pages of a list, from `path` on, by the `Link` of each.
pub(crate) async fn pages(api: &Api, path: &str) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let answer = api.get(&path).send().await;
        let page = answer.is_not_stored().json(200);
        assert_members(&page, &["data", "next_cursor"]);
        next = next_of(&answer, &page);
        pages.push(page["data"].as_array().unwrap().clone());
        assert!(pages.len() <= PAGES_MAX, "{path} does not end");
    }
    pages
}

/// The whole list.
pub(crate) async fn whole_list(api: &Api, path: &str) -> Vec<Value> {
    pages(api, path).await.concat()
}

/// Path and query of the next page: `next_cursor` and `Link` must tell the same, and null means the end.
#[track_caller]
fn next_of(answer: &Answer, page: &Value) -> Option<String> {
    let Some(cursor) = page["next_cursor"].as_str() else {
        assert!(page["next_cursor"].is_null(), "{page}");
        assert_eq!(answer.header("link"), None);
        return None;
    };
    let link = answer.header("link").unwrap();
    let target = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")).unwrap();
    assert!(target.contains(&format!("cursor={cursor}")), "{link} lacks {cursor}");
    let path_start = target.find("/api/").unwrap();
    Some(target[path_start..].to_owned())
}
