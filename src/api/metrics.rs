//! What the process has counted, for Prometheus.

use http::{HeaderValue, StatusCode};

use super::{Answer, Api, AppError, AuthUser};
use crate::telemetry::metrics::{Format, TooManyScrapes};
use crate::web::call::Call;
use crate::web::negotiate;
use crate::web::reply::Reply;

/// What is on offer; without a wish, the first.
const FORMATS: [Format; 2] = [Format::Prometheus, Format::OpenMetrics];
/// Their media types, with the versions that Prometheus asks for.
pub(super) const MEDIA_TYPES: [&str; 2] = [FORMATS[0].content_type(), FORMATS[1].content_type()];

/// Everything that is measured, as text. The core does not write it itself.
pub(super) async fn written(api: &Api, format: Format) -> Result<String, AppError> {
    let metrics = api.metrics.as_ref().ok_or(AppError::NotFound)?;
    let text = metrics.scrape(format).await;
    text.map_err(|TooManyScrapes| AppError::Overloaded("Too many scrapes are under way."))
}

/// GET `/metrics`. On the public listener for operators alone unless `metrics.public`; not there unless
/// `metrics.enabled`.
pub(super) async fn scrape(api: &Api, call: Call<'_>) -> Answer {
    if api.metrics.is_none() {
        return Err(AppError::NotFound);
    }
    if !(api.metrics_public.get() || api.is_admin) {
        let user = AuthUser::from_headers(call.headers, &api.services.tokens)?;
        user.require_operator("Only operators may read metrics.")?;
    }
    let format = FORMATS[negotiate::best(call.headers, &MEDIA_TYPES).unwrap_or_default()];
    let media_type = HeaderValue::from_static(format.content_type());
    Ok(Reply::bytes(StatusCode::OK, media_type, written(api, format).await?))
}
