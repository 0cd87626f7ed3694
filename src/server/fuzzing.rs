//! What our check of heads makes of one, without a connection, for the targets of `fuzz/`. No part of the interface.

use http::request::Parts;

use super::head::{self, Fields, KnownHost};
use crate::config::Limits;

/// The status of the refusal of a head; `None` where it is in order.
pub fn refusal(request: &Parts) -> Option<u16> {
    let fields = Fields::of(&request.headers);
    let checked = head::check(request, &fields, &Limits::default(), &KnownHost::default());
    checked.err().map(|error| error.into_reply("fuzz").status.as_u16())
}
