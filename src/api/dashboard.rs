//! `/dashboard`: a page that shows the process at work, and `/dashboard/data`, what it shows.
//!
//! The page asks for a token, keeps it for as long as its tab lives, and asks for the data each second. It works out
//! rates and percentiles itself, from the differences of counts.

mod reading;

use std::sync::{Arc, LazyLock};

use http::StatusCode;
use serde::Serialize;

use self::reading::Reading;
use super::recent::Seen;
use super::{Answer, Api, AuthUser, metrics};
use crate::models::Timestamp;
use crate::services::now;
use crate::telemetry::metrics::Format;
use crate::web::asset::Asset;
use crate::web::call::Call;
use crate::web::reply::Reply;

static PAGE: LazyLock<Asset> = LazyLock::new(|| Asset::page(ringledger_assets::DASHBOARD.text()));

/// What the process is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct About {
    /// The version of the package.
    pub version: &'static str,
    /// The I/O engine.
    pub engine: String,
    /// Why it was chosen.
    pub engine_reason: String,
    /// The store, without secrets.
    pub store: String,
    /// The settings that are in force, without secrets, by key; absent ones are null.
    pub settings: Vec<(String, Option<String>)>,
}

#[derive(Serialize)]
struct Data<'a> {
    at: Timestamp,
    about: &'a About,
    #[serde(flatten)]
    reading: Reading,
    problems: Vec<Seen>,
}

/// GET `/dashboard`
#[expect(clippy::unnecessary_wraps, reason = "every handler has this shape")]
pub(super) fn page(_: &Api, call: &Call<'_>) -> Answer {
    Ok(PAGE.reply(call.headers))
}

/// GET `/dashboard/data`: for operators; at the admin listener for anyone.
pub(super) async fn data(api: &Api, call: Call<'_>) -> Answer {
    if !api.is_admin {
        let user = AuthUser::from_headers(call.headers, &api.services.tokens)?;
        user.require_operator("Only operators may see the dashboard's data.")?;
    }
    let text = metrics::written(api, Format::Prometheus).await?;
    let about = Arc::clone(&api.about.borrow());
    let data = Data { at: now(), about: &about, reading: Reading::of(&text), problems: api.recent.latest() };
    Ok(Reply::json(StatusCode::OK, &data)?.no_store())
}
