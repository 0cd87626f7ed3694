//! Tokens: JWTs (RFC 7519) signed with HMAC-SHA-256, checked as RFC 8725 asks.
//!
//! One algorithm is compiled in, so a token cannot choose another; `kid`, `iss`, `aud`, `exp`, `nbf` and
//! `sub` are all required and checked.

mod hs256;
mod key;

use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::ServiceError;
use crate::models::{Actor, Role, UserId};
use hs256::HS256_ONLY;
pub use key::{KEY_FILE, KeyError, SigningKey};

/// The issuer and the audience of our tokens.
const ISSUER: &str = "ringledger";
/// How far the clocks of two hosts may differ, in seconds.
const LEEWAY_S: u64 = 5;

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
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

/// Makes and verifies tokens.
#[derive(Clone)]
pub struct Tokens {
    header: Header,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("kid", &self.header.kid).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Tokens signed with this key.
    pub fn new(key: &SigningKey) -> Self {
        // A second call finds the first one's provider in place.
        let _ = CryptoProvider::install_default(&HS256_ONLY);
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_S;
        Self {
            header: Header { kid: Some(key.id().to_owned()), ..Header::new(Algorithm::HS256) },
            signing: EncodingKey::from_secret(key.secret()),
            verifying: DecodingKey::from_secret(key.secret()),
            validation,
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
            nbf: now,
            exp: now + u64::from(ttl_s),
        };
        jsonwebtoken::encode(&self.header, &claims, &self.signing)
            .map_err(|error| ServiceError::Internal(format!("cannot sign a token: {error}")))
    }

    /// Who a token speaks for.
    pub fn verify(&self, token: &str) -> Result<Actor, InvalidToken> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| InvalidToken)?;
        if header.kid != self.header.kid {
            return Err(InvalidToken);
        }
        let data = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation)
            .map_err(|_| InvalidToken)?;
        Ok(Actor { id: data.claims.sub, role: data.claims.role })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use key::KEY_BYTES;

    fn tokens(byte: u8) -> Tokens {
        Tokens::new(&SigningKey::from_secret([byte; KEY_BYTES]))
    }

    fn actor() -> Actor {
        Actor { id: UserId::from_uuid(Uuid::from_u128(7)), role: Role::Operator }
    }

    fn signed(header: &Header, claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(header, claims, &tokens(1).signing).unwrap()
    }

    #[test]
    fn a_token_speaks_for_its_user() {
        let token = tokens(1).issue(actor(), 60).unwrap();
        assert_eq!(tokens(1).verify(&token), Ok(actor()));
        assert_eq!(tokens(2).verify(&token), Err(InvalidToken), "another key");
        let tampered = token.replace('.', ".A");
        assert_eq!(tokens(1).verify(&tampered), Err(InvalidToken));
        for text in ["", ".", "..", "a.b.c", &"x".repeat(10_000)] {
            assert_eq!(tokens(1).verify(text), Err(InvalidToken));
        }
    }

    #[test]
    fn every_claim_and_the_header_are_checked() {
        let good = tokens(1).header;
        let now = jsonwebtoken::get_current_timestamp();
        let claims = serde_json::json!({
            "iss": ISSUER, "aud": ISSUER, "sub": actor().id, "role": "operator",
            "iat": now, "nbf": now, "exp": now + 60,
        });
        assert_eq!(tokens(1).verify(&signed(&good, &claims)), Ok(actor()));
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
            assert_eq!(tokens(1).verify(&signed(&good, &changed)), Err(InvalidToken), "{claim} wrong");
            changed.as_object_mut().unwrap().remove(claim);
            assert_eq!(tokens(1).verify(&signed(&good, &changed)), Err(InvalidToken), "{claim} absent");
        }
        let other_kid = Header { kid: Some("other".into()), ..good.clone() };
        assert_eq!(tokens(1).verify(&signed(&other_kid, &claims)), Err(InvalidToken));
        let no_kid = Header { kid: None, ..good };
        assert_eq!(tokens(1).verify(&signed(&no_kid, &claims)), Err(InvalidToken));
    }

    #[test]
    fn no_token_chooses_its_algorithm() {
        let token = tokens(1).issue(actor(), 60).unwrap();
        let (_, rest) = token.split_once('.').unwrap();
        for header in ["eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9"] {
            assert_eq!(tokens(1).verify(&format!("{header}.{rest}")), Err(InvalidToken));
        }
    }
}
