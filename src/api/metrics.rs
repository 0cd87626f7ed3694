//! What the process has counted, for Prometheus.

use http::{HeaderValue, StatusCode};

use super::{Answer, Api, AuthUser};
use crate::telemetry::metrics::Format;
use crate::web::call::Call;
use crate::web::negotiate;
use crate::web::reply::Reply;

/// The media types on offer, in the order of the route table, with what writes them.
const FORMATS: [(&str, Format); 2] =
    [("text/plain", Format::Prometheus), ("application/openmetrics-text", Format::OpenMetrics)];

/// GET `/metrics`. For operators alone unless `metrics.public`.
pub(super) fn scrape(api: &Api, call: &Call<'_>) -> Answer {
    if !api.metrics_public {
        let user = AuthUser::from_headers(call.headers, &api.services.tokens)?;
        user.require_operator("Only operators may read metrics.")?;
    }
    let chosen = negotiate::best(call.headers, &FORMATS.map(|(media_type, _)| media_type));
    let (_, format) = FORMATS[chosen.unwrap_or_default()];
    let media_type = HeaderValue::from_static(format.content_type());
    Ok(Reply::bytes(StatusCode::OK, media_type, api.metrics.render(format)))
}
