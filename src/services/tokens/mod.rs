//! Tokens: JWTs (RFC 7519) signed with HMAC-SHA-256, checked as RFC 8725 asks.
//!
//! One algorithm is compiled in, so a token cannot choose another; `kid`, `iss`, `aud`, `exp`, `nbf` and
//! `sub` are all required and checked. A token that was found valid is remembered for a while.

mod cache;
mod hs256;
mod key;
mod keyring;
mod signatures;
mod tickets;

use std::cell::RefCell;

use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};

use super::ServiceError;
use crate::models::{Actor, Role, UserId};
use cache::{Cache, Lifetime};
use hs256::HS256_ONLY;
pub use key::{KEY_FILE, KeyError, SigningKey};
pub use keyring::Keyring;
use signatures::Signatures;
pub use tickets::{TICKET_TTL_S, Ticket, TicketError, Tickets};

/// The issuer and the audience of our tokens.
const ISSUER: &str = "ringledger";
/// How far the clocks of two hosts may differ, in seconds.
const LEEWAY_S: u64 = 5;
/// How far a clock may be set back, in seconds, before it takes the tokens with it that were issued until then: they
/// are valid from so long before they were made. Nobody can have one earlier, so that gives nothing away.
const CLOCK_STEP_S: u64 = 86_400;

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    role: Role,
    iat: u64,
    nbf: u64,
    exp: u64,
}

/// The token is missing, malformed, forged, expired or meant for somebody else. Callers are told no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid")]
pub struct InvalidToken;

impl Claims {
    /// The caller that the token names.
    const fn actor(&self) -> Actor {
        Actor { id: self.sub, role: self.role }
    }

    /// When [`Validation`] lets the token through, with the leeway it was told.
    const fn lifetime(&self) -> Lifetime {
        Lifetime { from_s: self.nbf.saturating_sub(LEEWAY_S), until_s: self.exp.saturating_add(LEEWAY_S) }
    }
}

/// Makes and verifies tokens.
///
/// It is one core's own, for it remembers the tokens that it found valid. A clone, and one made anew for
/// another key, remembers none.
#[derive(Clone)]
pub struct Tokens {
    signatures: RefCell<Signatures>,
    validation: Validation,
    verified: RefCell<Cache>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("kid", &self.signatures.borrow().header().kid).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Tokens signed with the last of these keys, or before with another.
    pub fn new(keys: &Keyring) -> Self {
        // A second call finds the first one's provider in place.
        let _ = CryptoProvider::install_default(&HS256_ONLY);
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_S;
        Self {
            signatures: RefCell::new(Signatures::of(keys)),
            validation,
            verified: RefCell::new(Cache::new()),
        }
    }

    /// Goes over to these keys. Tokens of a key that is not among them are refused from now on.
    pub fn adopt(&self, keys: &Keyring) {
        if !self.signatures.borrow().are_of(keys) {
            self.signatures.replace(Signatures::of(keys));
            self.verified.replace(Cache::new());
        }
    }

    /// A token for `actor`, valid from now for `ttl_s` seconds.
    pub fn issue(&self, actor: Actor, ttl_s: u32) -> Result<String, ServiceError> {
        let now = jsonwebtoken::get_current_timestamp();
        let claims = Claims {
            iss: ISSUER.into(),
            aud: ISSUER.into(),
            sub: actor.id,
            role: actor.role,
            iat: now,
            nbf: now.saturating_sub(CLOCK_STEP_S),
            exp: now + u64::from(ttl_s),
        };
        let signed = self.signatures.borrow().sign(&claims);
        signed.map_err(|error| ServiceError::Internal(format!("cannot sign a token: {error}")))
    }

    /// Who a token speaks for; `token` is its text as sent.
    pub fn verify(&self, token: &[u8]) -> Result<Actor, InvalidToken> {
        let known = self.verified.borrow().find(token, jsonwebtoken::get_current_timestamp());
        known.map_or_else(|| self.verify_anew(token), Ok)
    }

    fn verify_anew(&self, token: &[u8]) -> Result<Actor, InvalidToken> {
        let claims = self.claims(token)?;
        self.verified.borrow_mut().insert(token, claims.actor(), claims.lifetime());
        Ok(claims.actor())
    }

    fn claims(&self, token: &[u8]) -> Result<Claims, InvalidToken> {
        self.signatures.borrow().claims(token, &self.validation).map_err(|_| InvalidToken)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header};
    use uuid::Uuid;

    use super::*;
    use key::KEY_BYTES;

    fn tokens(byte: u8) -> Tokens {
        Tokens::new(&SigningKey::from_secret([byte; KEY_BYTES]).into())
    }

    fn actor() -> Actor {
        Actor { id: UserId::from_uuid(Uuid::from_u128(7)), role: Role::Operator }
    }

    fn signed(header: &Header, claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(&[1; KEY_BYTES])).unwrap()
    }

    /// What tokens of the first key, none of them remembered, are taken for.
    fn verified(token: &str) -> Result<Actor, InvalidToken> {
        tokens(1).verify(token.as_bytes())
    }

    #[test]
    fn a_token_speaks_for_its_user() {
        let token = tokens(1).issue(actor(), 60).unwrap();
        assert_eq!(verified(&token), Ok(actor()));
        assert_eq!(tokens(2).verify(token.as_bytes()), Err(InvalidToken), "another key");
        let tampered = token.replace('.', ".A");
        assert_eq!(verified(&tampered), Err(InvalidToken));
        for text in ["", ".", "..", "a.b.c", &"x".repeat(10_000)] {
            assert_eq!(verified(text), Err(InvalidToken));
        }
    }

    #[test]
    fn keys_take_turns_and_a_key_that_goes_takes_its_tokens_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let ring = |files: &[(&str, u8)]| {
            std::fs::remove_dir_all(&directory).unwrap();
            std::fs::create_dir(&directory).unwrap();
            for (name, byte) in files {
                let path = directory.path().join(name);
                std::fs::write(&path, const_hex::encode([*byte; KEY_BYTES])).unwrap();
                std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            }
            Keyring::read(directory.path()).unwrap()
        };
        let tokens = Tokens::new(&ring(&[("a.key", 1)]));
        let of_first = tokens.issue(actor(), 60).unwrap();
        assert_eq!(tokens.verify(of_first.as_bytes()), Ok(actor()));
        // Accepted beforehand, under a name that does not sign.
        tokens.adopt(&ring(&[("0.key", 2), ("a.key", 1)]));
        assert_eq!(verified(&tokens.issue(actor(), 60).unwrap()), Ok(actor()), "the first one signs still");
        tokens.adopt(&ring(&[("a.key", 1), ("b.key", 2)]));
        let of_second = tokens.issue(actor(), 60).unwrap();
        assert_eq!(verified(&of_second), Err(InvalidToken), "the second one signs");
        for token in [&of_first, &of_second] {
            assert_eq!(tokens.verify(token.as_bytes()), Ok(actor()));
        }
        tokens.adopt(&ring(&[("b.key", 2)]));
        assert_eq!(tokens.verify(of_first.as_bytes()), Err(InvalidToken), "a remembered one, too");
        assert_eq!(tokens.verify(of_second.as_bytes()), Ok(actor()));
    }

    #[test]
    fn every_claim_and_the_header_are_checked() {
        let good = tokens(1).signatures.borrow().header().clone();
        let now = jsonwebtoken::get_current_timestamp();
        let claims = serde_json::json!({
            "iss": ISSUER, "aud": ISSUER, "sub": actor().id, "role": "operator",
            "iat": now, "nbf": now, "exp": now + 60,
        });
        assert_eq!(verified(&signed(&good, &claims)), Ok(actor()));
        let wrong = [
            ("iss", serde_json::json!("other")),
            ("aud", serde_json::json!("other")),
            ("exp", serde_json::json!(now - 60)),
            ("nbf", serde_json::json!(now + 60)),
            ("sub", serde_json::json!("root")),
            ("role", serde_json::json!("god")),
        ];
        for (claim, value) in wrong {
            let mut changed = claims.clone();
            changed[claim] = value;
            assert_eq!(verified(&signed(&good, &changed)), Err(InvalidToken), "{claim} wrong");
            changed.as_object_mut().unwrap().remove(claim);
            assert_eq!(verified(&signed(&good, &changed)), Err(InvalidToken), "{claim} absent");
        }
        let other_kid = Header { kid: Some("other".into()), ..good.clone() };
        assert_eq!(verified(&signed(&other_kid, &claims)), Err(InvalidToken));
        let no_kid = Header { kid: None, ..good };
        assert_eq!(verified(&signed(&no_kid, &claims)), Err(InvalidToken));
    }

    #[test]
    fn no_token_chooses_its_algorithm() {
        let token = tokens(1).issue(actor(), 60).unwrap();
        let (_, rest) = token.split_once('.').unwrap();
        for header in ["eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9"] {
            assert_eq!(verified(&format!("{header}.{rest}")), Err(InvalidToken));
        }
    }

    #[test]
    fn a_token_is_remembered_by_who_verified_it() {
        let first = tokens(1);
        let token = first.issue(actor(), 60).unwrap();
        let known = |tokens: &Tokens| {
            let now_s = jsonwebtoken::get_current_timestamp();
            tokens.verified.borrow().find(token.as_bytes(), now_s)
        };
        assert_eq!(known(&first), None);
        for _ in 0..2 {
            assert_eq!(first.verify(token.as_bytes()), Ok(actor()));
            assert_eq!(known(&first), Some(actor()));
        }
        assert_eq!(known(&first.clone()), None, "another core has its own");

        let (message, signature) = token.rsplit_once('.').unwrap();
        let forged = format!("{}A.{signature}", &message[..message.len() - 1]);
        assert_eq!(first.verify(forged.as_bytes()), Err(InvalidToken));
        assert_eq!(known(&first), Some(actor()));
    }

    #[test]
    fn what_is_refused_is_not_remembered() {
        let other = tokens(2).issue(actor(), 60).unwrap();
        let tokens = tokens(1);
        assert_eq!(tokens.verify(other.as_bytes()), Err(InvalidToken));
        let now_s = jsonwebtoken::get_current_timestamp();
        assert_eq!(tokens.verified.borrow().find(other.as_bytes(), now_s), None);
    }

    #[test]
    fn a_remembered_token_ends_in_the_second_in_which_the_validator_refuses_it() {
        let tokens = tokens(1);
        // Tries again until the clock has stood still between the two judgements.
        let judged = |nbf_in_s: i64, exp_in_s: i64| loop {
            let now = jsonwebtoken::get_current_timestamp();
            let at = |in_s| now.saturating_add_signed(in_s);
            let claims = Claims {
                iss: ISSUER.into(),
                aud: ISSUER.into(),
                sub: actor().id,
                role: actor().role,
                iat: now,
                nbf: at(nbf_in_s),
                exp: at(exp_in_s),
            };
            let token = tokens.signatures.borrow().sign(&claims).unwrap();
            let let_through = tokens.claims(token.as_bytes()).is_ok();
            if jsonwebtoken::get_current_timestamp() == now {
                return (let_through, claims.lifetime().includes(now));
            }
        };
        let leeway = i64::try_from(LEEWAY_S).unwrap();
        for (nbf_in_s, exp_in_s, valid) in [
            (0, 60, true),
            (-60, -leeway, true),
            (-60, -leeway - 1, false),
            (leeway, 60, true),
            (leeway + 1, 60, false),
        ] {
            assert_eq!(judged(nbf_in_s, exp_in_s), (valid, valid), "nbf {nbf_in_s}, exp {exp_in_s}");
        }
    }
}
