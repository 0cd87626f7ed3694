//! GET `/openapi.json` and `/docs`: the API as tools and people read of it.
//!
//! Both are made at their first use, which takes some milliseconds, and kept.

mod document;
mod problems;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use super::{Answer, Api};
use crate::web::asset::Asset;
use crate::web::call::Call;

/// Where the document belongs in its page.
const PLACE: &str = "{{document}}";

static DOCUMENT: LazyLock<Asset> = LazyLock::new(|| {
    let mut text = serde_json::to_vec(&document::build()).expect("keys are strings");
    text.push(b'\n');
    Asset::new("application/json", text)
});

static DOCS: LazyLock<Asset> = LazyLock::new(|| {
    // Inside a page `</script>` and `<!--` would mean something.
    let document = text().trim_end().replace('<', "\\u003c");
    Asset::page(ringledger_assets::DOCS.text().replace(PLACE, &document))
});

/// The document as JSON, a line without its end.
pub fn text() -> &'static str {
    std::str::from_utf8(DOCUMENT.body()).unwrap_or_default().trim_end()
}

/// GET `/openapi.json`
#[expect(clippy::unnecessary_wraps, reason = "every handler has this shape")]
pub(super) fn json(_: &Api, call: &Call<'_>) -> Answer {
    Ok(DOCUMENT.reply(call.headers))
}

/// GET `/docs`
#[expect(clippy::unnecessary_wraps, reason = "every handler has this shape")]
pub(super) fn page(_: &Api, call: &Call<'_>) -> Answer {
    Ok(DOCS.reply(call.headers))
}
