//! What stands between a head whose route is known and its handler: a place, a user, a rate, a body. Each is a refusal or
//! what the handler needs; knows nothing of handlers and replies.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use super::Exchanges;
use super::record::Record;
use crate::api::routes::BodyRule;
use crate::api::{AppError, AuthUser, Endpoint, Route};
use crate::server::batches::{Arrival, Place};
use crate::server::body::Arriving;
use crate::telemetry::metrics::Held;
use crate::telemetry::split::{Part, spent};
use crate::web::negotiate;

impl Exchanges {
    /// A place among the requests under way, or the refusal of one that would wait with too many others. What
    /// answers at once waits for nobody, and who watches over the server must see that it is busy.
    pub(super) fn admit(&self, route: &Route) -> Result<Option<Held<'_>>, AppError> {
        match route.endpoint {
            Endpoint::Now(_) | Endpoint::Always(_) => Ok(None),
            Endpoint::Public(_) | Endpoint::User(_) | Endpoint::Socket(_) => {
                let in_flight = usize::try_from(self.metrics.in_flight()).unwrap_or(usize::MAX);
                if in_flight >= self.limits.in_flight_per_core {
                    return Err(AppError::Overloaded("Too many requests are under way."));
                }
                Ok(Some(self.metrics.request_begins()))
            }
        }
    }

    /// Who calls, if not too often.
    pub(super) fn user(&self, record: &Record<'_>) -> Result<AuthUser, AppError> {
        let user = AuthUser::from_headers(&record.head.headers, &self.api.services.tokens)?;
        spent(Part::Auth, record.begin.elapsed());
        let Some(standing) = self.api.rate_limiter.admit(user.actor().id, record.begin) else {
            return Ok(user);
        };
        record.stands(standing);
        match standing.refused_for_s {
            Some(retry_after_s) => Err(AppError::TooManyRequests { retry_after_s }),
            None => Ok(user),
        }
    }

    /// The body of a request; of a batch, with the place that it takes.
    pub(super) async fn arrived(
        &self,
        head: &Parts,
        route: &Route,
        user: Option<&AuthUser>,
        body: &mut Arriving,
    ) -> Result<(Bytes, Option<Place>), AppError> {
        let (BodyRule::BatchJson, Some(user)) = (route.body, user) else {
            return Ok((self.body(head, route, body, None).await?, None));
        };
        let user = user.actor().id;
        self.batches.check_room(user)?;
        let mut arrival = self.batches.arrival(user);
        let whole = self.body(head, route, body, Some(&mut arrival)).await?;
        Ok((whole, Some(self.batches.place(user)?)))
    }

    async fn body(
        &self,
        head: &Parts,
        route: &Route,
        body: &mut Arriving,
        arrival: Option<&mut Arrival<'_>>,
    ) -> Result<Bytes, AppError> {
        let bound_bytes = match route.body {
            BodyRule::None => return Ok(Bytes::new()),
            BodyRule::OptionalJson if body.has_ended() => return Ok(Bytes::new()),
            BodyRule::Json | BodyRule::OptionalJson => self.live.get().body_bytes,
            BodyRule::BatchJson => self.live.get().batch_body_bytes,
        };
        let patience = Duration::from_millis(self.live.get().body_timeout_ms);
        if is_plain_json(&head.headers) {
            return body.collect(bound_bytes, patience, arrival).await;
        }
        if route.body != BodyRule::OptionalJson {
            return Err(AppError::UnsupportedMediaType);
        }
        // Chunks tell only at their end that there are none.
        body.collect(0, patience, None).await.map_err(|error| match error {
            AppError::PayloadTooLarge(_) => AppError::UnsupportedMediaType,
            other => other,
        })
    }
}

pub(super) fn check_accept(record: &Record<'_>, route: &Route) -> Result<(), AppError> {
    if !record.fields.accepts {
        // Anything is acceptable.
        return Ok(());
    }
    negotiate::best(&record.head.headers, route.produces).map(drop).ok_or(AppError::NotAcceptable)
}

/// JSON without a content coding; we decode none (RFC 9110 §8.4).
fn is_plain_json(headers: &HeaderMap) -> bool {
    let identity = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    negotiate::content_type_is_json(headers) && headers.get_all(CONTENT_ENCODING).iter().all(identity)
}
