//! What the process has counted, for Prometheus.

use http::{HeaderValue, StatusCode};

use super::{Answer, Api, AuthUser};
use crate::telemetry::metrics::Format;
use crate::web::call::Call;
use crate::web::negotiate;
use crate::web::reply::Reply;

/// What is on offer; without a wish, the first.
const FORMATS: [Format; 2] = [Format::Prometheus, Format::OpenMetrics];
/// Their media types, with the versions that Prometheus asks for.
pub(super) const MEDIA_TYPES: [&str; 2] = [FORMATS[0].content_type(), FORMATS[1].content_type()];

/// Everything that is measured, as Prometheus gets it without a wish.
pub(super) fn prometheus(api: &Api) -> String {
    api.metrics.render(Format::Prometheus)
}

/// GET `/metrics`. For operators alone unless `metrics.public`.
pub(super) fn scrape(api: &Api, call: &Call<'_>) -> Answer {
    if !api.metrics_public {
        let user = AuthUser::from_headers(call.headers, &api.services.tokens)?;
        user.require_operator("Only operators may read metrics.")?;
    }
    let format = FORMATS[negotiate::best(call.headers, &MEDIA_TYPES).unwrap_or_default()];
    let media_type = HeaderValue::from_static(format.content_type());
    Ok(Reply::bytes(StatusCode::OK, media_type, api.metrics.render(format)))
}
