//! `/api/v1/events`: the feed over a WebSocket, and tickets for browsers.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use http::StatusCode;
use http::header::AUTHORIZATION;
use serde::{Deserialize, Serialize};

use super::transfers::TransferView;
use super::{Answer, Api, AppError, AuthUser};
use crate::models::{AccountId, Actor, EventKind, Timestamp};
use crate::services::events::{End, Feed, News, Told};
use crate::services::tokens::{TICKET_TTL_S, Ticket, TicketError};
use crate::web::call::Call;
use crate::web::json::{self, Text};
use crate::web::reply::Reply;
use crate::web::websocket::{self, Close, Message, Said, Talk, Upgrade};

/// Bytes of a message from a reader, at most. Nothing is asked of readers, so what they say is read and forgotten.
const HEARD_BYTES: usize = 4 * 1024;

#[derive(Deserialize)]
pub(super) struct Query<'a> {
    after: Option<u64>,
    account: Option<AccountId>,
    #[serde(borrow)]
    ticket: Option<Text<'a>>,
}

#[derive(Serialize)]
struct TicketView {
    ticket: String,
    expires_in: u32,
}

/// An event or a place as a frame's text shows it.
#[derive(Serialize)]
struct NewsView<'a> {
    r#type: &'static str,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer: Option<TransferView<'a>>,
    at: Timestamp,
}

impl<'a> From<&News<'a>> for NewsView<'a> {
    fn from(news: &News<'a>) -> Self {
        match *news {
            News::Event(event, transfer) => Self {
                r#type: name(&event.kind),
                seq: event.seq,
                transfer: Some(transfer.into()),
                at: event.at,
            },
            News::Position(place) => {
                Self { r#type: "position", seq: place.seq, transfer: None, at: place.at }
            }
        }
    }
}

const fn name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Created(_) => "transfer.created",
        EventKind::Posted { .. } => "transfer.posted",
        EventKind::Voided => "transfer.voided",
        EventKind::Expired => "transfer.expired",
        EventKind::Reversed { .. } => "transfer.reversed",
    }
}

/// Appends the frame that tells the news.
pub fn encode(news: &News<'_>, to: &mut Vec<u8>) {
    // Strings, numbers and text that is JSON already: encoding these cannot fail.
    let text = json::to_bytes(&NewsView::from(news)).unwrap_or_default();
    websocket::text_frame(&text, to);
}

/// POST `/api/v1/events/tickets`
pub(super) async fn ticket(api: &Api, user: AuthUser, _: Call<'_>) -> Answer {
    let ticket = api.services.tickets.issue(user.actor())?;
    Ok(Reply::json(StatusCode::CREATED, &TicketView { ticket, expires_in: TICKET_TTL_S })?.no_store())
}

/// GET `/api/v1/events`
///
/// Checked in this order: who asks and how often, the handshake, parameters, the account, how many are open; then a
/// ticket is used up.
pub(super) async fn follow(api: &Api, call: Call<'_>) -> Result<Upgrade, AppError> {
    let query = call.query::<Query<'_>>();
    let (actor, ticket) = match &query {
        Ok(query) => caller(api, &call, query.ticket.as_deref())?,
        Err(_) => caller(api, &call, shown_ticket(call.query))?,
    };
    let standing = api.rate_limiter.admit(actor.id, Instant::now());
    if let Some(retry_after_s) = standing.and_then(|standing| standing.refused_for_s) {
        return Err(AppError::TooManyRequests { retry_after_s });
    }
    let accept = websocket::accept(call.method, call.headers)?;
    let query = query?;
    let feed = api.services.subscribe(actor, query.account, query.after).await?;
    if let Some(ticket) = ticket {
        api.services.tickets.redeem(&ticket)?;
    }
    Ok(Upgrade { accept, talk: Rc::new(Telling(feed)) })
}

/// The ticket of a query that is not in order otherwise: who shows one is told what is wrong with it, nobody else is.
fn shown_ticket(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("ticket="))
}

/// Who asks: by a token, or else by a ticket.
fn caller(api: &Api, call: &Call<'_>, ticket: Option<&str>) -> Result<(Actor, Option<Ticket>), AppError> {
    match ticket.filter(|_| !call.headers.contains_key(AUTHORIZATION)) {
        Some(ticket) => {
            let ticket = api.services.tickets.read(ticket)?;
            Ok((ticket.actor, Some(ticket)))
        }
        None => Ok((AuthUser::from_headers(call.headers, &api.services.tokens)?.actor(), None)),
    }
}

/// A feed as what is said on a WebSocket.
struct Telling(Feed);

impl Talk for Telling {
    fn max_message_bytes(&self) -> usize {
        HEARD_BYTES
    }

    fn next(self: Rc<Self>) -> Pin<Box<dyn Future<Output = Said>>> {
        Box::pin(async move {
            match self.0.next().await {
                Told::Frames(frames) => Said::Frames(frames),
                Told::Nothing => Said::Nothing,
                Told::End(end) => Said::End(close(end)),
            }
        })
    }

    fn hear(&self, _: Message) -> Option<Message> {
        None
    }
}

const fn close(end: End) -> Close {
    match end {
        End::Behind => Close { code: 1013, reason: "too far behind; resume with after" },
        End::Unavailable => Close { code: 1013, reason: "the store does not answer; resume with after" },
        End::GoingAway => Close { code: 1001, reason: "the server is shutting down; resume with after" },
    }
}

impl From<TicketError> for AppError {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::Invalid => Self::Unauthenticated { presented: true },
            TicketError::TooMany => Self::Overloaded("Too many tickets were used within their lifetime."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::events::Place;

    #[test]
    fn each_end_has_its_code() {
        let code = |end| close(end).code;
        assert_eq!([End::Behind, End::Unavailable, End::GoingAway].map(code), [1013, 1013, 1001]);
    }

    #[test]
    fn a_place_has_no_transfer() {
        let mut frame = Vec::new();
        encode(&News::Position(Place { seq: 7, at: Timestamp::EPOCH }), &mut frame);
        let text = br#"{"type":"position","seq":7,"at":"1970-01-01T00:00:00.000000Z"}"#;
        assert_eq!(frame[..2], [0x81, u8::try_from(text.len()).unwrap()]);
        assert_eq!(&frame[2..], text);
    }
}
