//! Tickets: what a browser shows where it cannot send a token, since its WebSockets take no header fields. A JWT of its
//! own audience for one caller, which works once and soon.
//!
//! It is signed with the service's key, so any core and any replica takes it. That it works once is known to the cores
//! of one process: within its 30 s each replica would take it once, and a replica that is started again once more.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::hs256::HS256_ONLY;
use super::signatures::Signatures;
use super::{ISSUER, Keyring};
use crate::models::{Actor, Role, UserId};
use crate::services::ServiceError;

/// How long a ticket works, in seconds.
pub const TICKET_TTL_S: u32 = 30;
/// Who takes tickets. No token has this audience, and no ticket that of tokens.
const AUDIENCE: &str = "ringledger/events";
/// Used tickets that are remembered until they end by themselves: some 5 MiB. Protects memory from a caller who does
/// nothing but use tickets; beyond it, tickets are refused for a while.
const REMEMBERED: usize = 64 * 1024;

#[derive(Clone, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    role: Role,
    jti: Uuid,
    exp: u64,
}

/// Why a ticket does not let its caller in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Malformed, forged, expired, used, or something else than a ticket.
    #[error("the ticket is not valid")]
    Invalid,
    /// So many were used lately that no more can be remembered.
    #[error("too many tickets are in use")]
    TooMany,
}

/// A ticket that was found valid and is not used yet.
#[derive(Debug)]
pub struct Ticket {
    /// Whom it lets in.
    pub actor: Actor,
    id: Uuid,
    exp_s: u64,
}

/// Makes and redeems tickets. A clone shares with this one what was used.
#[derive(Clone)]
pub struct Tickets {
    signatures: RefCell<Signatures>,
    validation: Validation,
    /// When each used ticket ends, in seconds since the Unix epoch.
    used: Arc<Mutex<HashMap<Uuid, u64>>>,
}

impl Tickets {
    /// Tickets signed with the last of these keys.
    pub fn new(keys: &Keyring) -> Self {
        // A second call finds the first one's provider in place.
        let _ = CryptoProvider::install_default(&HS256_ONLY);
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // It lives for seconds: a leeway would be a good part of them.
        validation.leeway = 0;
        Self { signatures: RefCell::new(Signatures::of(keys)), validation, used: Arc::default() }
    }

    /// Goes over to these keys.
    pub fn adopt(&self, keys: &Keyring) {
        if !self.signatures.borrow().are_of(keys) {
            self.signatures.replace(Signatures::of(keys));
        }
    }

    /// A ticket for `actor`.
    pub fn issue(&self, actor: Actor) -> Result<String, ServiceError> {
        let claims = Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: actor.id,
            role: actor.role,
            jti: Uuid::new_v4(),
            exp: jsonwebtoken::get_current_timestamp() + u64::from(TICKET_TTL_S),
        };
        let signed = self.signatures.borrow().sign(&claims);
        signed.map_err(|error| ServiceError::Internal(format!("cannot sign a ticket: {error}")))
    }

    /// Whom a ticket speaks for. It stays unused.
    pub fn read(&self, ticket: &str) -> Result<Ticket, TicketError> {
        let claims = self.signatures.borrow().claims::<Claims>(ticket, &self.validation);
        let claims = claims.map_err(|_| TicketError::Invalid)?;
        let actor = Actor { id: claims.sub, role: claims.role };
        Ok(Ticket { actor, id: claims.jti, exp_s: claims.exp })
    }

    /// Uses a ticket up.
    pub fn redeem(&self, ticket: &Ticket) -> Result<(), TicketError> {
        let now_s = jsonwebtoken::get_current_timestamp();
        // The map is whole at every moment.
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= REMEMBERED {
            used.retain(|_, exp_s| *exp_s >= now_s);
        }
        if used.len() >= REMEMBERED {
            return Err(TicketError::TooMany);
        }
        match used.insert(ticket.id, ticket.exp_s) {
            None => Ok(()),
            Some(_) => Err(TicketError::Invalid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::KEY_BYTES;
    use super::super::{SigningKey, Tokens};
    use super::*;

    fn key(byte: u8) -> Keyring {
        SigningKey::from_secret([byte; KEY_BYTES]).into()
    }

    fn actor() -> Actor {
        Actor { id: UserId::from_uuid(Uuid::from_u128(7)), role: Role::User }
    }

    #[test]
    fn a_ticket_lets_in_once_on_whatever_core() {
        let here = Tickets::new(&key(1));
        let there = here.clone();
        let ticket = here.issue(actor()).unwrap();
        let read = there.read(&ticket).unwrap();
        assert_eq!(read.actor, actor());
        assert_eq!(there.redeem(&read), Ok(()));
        assert_eq!(here.redeem(&here.read(&ticket).unwrap()), Err(TicketError::Invalid));
        let another = here.read(&here.issue(actor()).unwrap()).unwrap();
        assert_eq!(here.redeem(&another), Ok(()));
    }

    #[test]
    fn tokens_are_no_tickets_and_tickets_no_tokens() {
        let (tickets, tokens) = (Tickets::new(&key(1)), Tokens::new(&key(1)));
        let token = tokens.issue(actor(), 60).unwrap();
        assert_eq!(tickets.read(&token).unwrap_err(), TicketError::Invalid);
        assert!(tokens.verify(tickets.issue(actor()).unwrap().as_bytes()).is_err());
    }

    #[test]
    fn another_keys_ticket_and_an_old_one_are_refused() {
        let tickets = Tickets::new(&key(1));
        let foreign = Tickets::new(&key(2)).issue(actor()).unwrap();
        assert_eq!(tickets.read(&foreign).unwrap_err(), TicketError::Invalid);
        for text in ["", "..", "a.b.c"] {
            assert_eq!(tickets.read(text).unwrap_err(), TicketError::Invalid);
        }
        let claims = serde_json::json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": actor().id, "role": "user", "jti": Uuid::new_v4(),
            "exp": jsonwebtoken::get_current_timestamp() - 1,
        });
        let old = tickets.signatures.borrow().sign(&claims).unwrap();
        assert_eq!(tickets.read(&old).unwrap_err(), TicketError::Invalid);
    }

    #[test]
    fn no_more_are_remembered_than_the_bound() {
        let tickets = Tickets::new(&key(1));
        let live = jsonwebtoken::get_current_timestamp() + 60;
        let ticket = |n, exp_s| Ticket { actor: actor(), id: Uuid::from_u128(n), exp_s };
        for n in 0..REMEMBERED as u128 {
            assert_eq!(tickets.redeem(&ticket(n, if n == 0 { 1 } else { live })), Ok(()));
        }
        assert_eq!(tickets.redeem(&ticket(1 << 40, live)), Ok(()), "an ended one gave its place");
        assert_eq!(tickets.redeem(&ticket(1 << 41, live)), Err(TicketError::TooMany));
    }
}
