//! Signs tokens with a server's own key that say what the server would never say. Shares no code with it.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Server;

/// The key of a server, in the wrong hands.
pub(crate) struct Signer {
    secret: Vec<u8>,
}

impl Signer {
    /// With the key that `server` signs with.
    pub(crate) fn of(server: &Server) -> Self {
        let hex = std::fs::read_to_string(server.data().join("signing.key")).unwrap();
        Self::with(&const_hex::decode(hex.trim()).unwrap())
    }

    /// With a key of one's own.
    pub(crate) fn with(secret: &[u8]) -> Self {
        Self { secret: secret.to_vec() }
    }

    /// What the server calls its key.
    pub(crate) fn kid(&self) -> String {
        const_hex::encode(&Sha256::digest(&self.secret)[..8])
    }

    /// The header of the server's tokens.
    pub(crate) fn header(&self) -> Value {
        json!({"typ": "JWT", "alg": "HS256", "kid": self.kid()})
    }

    /// A token of this header and these claims, as they are written.
    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let mac = Hmac::<Sha256>::new_from_slice(&self.secret).unwrap().chain_update(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    /// A token with the header of the server's.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_text(&self.header().to_string(), &claims.to_string())
    }

    /// Claims that the server would make for this user for the next minute.
    pub(crate) fn claims(user: &str, role: &str) -> Value {
        let now = now_s();
        json!({
            "iss": "ringledger", "aud": "ringledger", "sub": user, "role": role,
            "iat": now, "nbf": now, "exp": now + 60,
        })
    }
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
