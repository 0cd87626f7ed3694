//! Tokens: what was never signed, and what was signed but says something else than ours.

use std::os::unix::fs::PermissionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use ringledger::models::Role;
use ringledger::services::{Keyring, SigningKey, Tickets, Tokens};
use serde_json::Value;
use sha2::{Digest, Sha256};

const SECRET: [u8; 32] = [7; 32];
/// How far clocks may differ, in seconds.
const LEEWAY_S: u64 = 5;

struct Verifiers {
    tokens: Tokens,
    tickets: Tickets,
    kid: String,
}

thread_local! {
    static VERIFIERS: Verifiers = Verifiers::new();
}

impl Verifiers {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory for a key");
        let path = directory.path().join("key");
        std::fs::write(&path, const_hex::encode(SECRET)).expect("a file for a key");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("a private file");
        let keys = Keyring::from(SigningKey::read(&path).expect("a key"));
        let kid = const_hex::encode(&Sha256::digest(SECRET)[..8]);
        Self { tokens: Tokens::new(&keys), tickets: Tickets::new(&keys), kid }
    }
}

/// Bytes as a token, and the two lines of them as header and claims of a signed one. Who is let in has said all that a
/// token must say, and was signed for with the one algorithm; claims alone, and no other header than ours, name a user.
pub(crate) fn token(bytes: &[u8]) {
    VERIFIERS.with(|verifiers| {
        // Nobody signs these, and nobody guesses 32 bytes.
        assert!(verifiers.tokens.verify(bytes).is_err());
        let (header, claims) = bytes.split_at(bytes.iter().position(|&byte| byte == b'\n').unwrap_or(0));
        let claims = claims.strip_prefix(b"\n").unwrap_or(claims);
        let ours = format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{}"}}"#, verifiers.kid);
        for header in [header, ours.as_bytes()] {
            let token = signed(header, claims);
            if let Ok(actor) = verifiers.tokens.verify(token.as_bytes()) {
                assert!(is_valid(header, claims, "ringledger", &verifiers.kid), "{token}");
                assert!(matches!(actor.role, Role::User | Role::Operator));
            }
            if verifiers.tickets.read(&token).is_ok() {
                assert!(is_valid(header, claims, "ringledger/events", &verifiers.kid), "{token}");
            }
        }
    });
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mac = Hmac::<Sha256>::new_from_slice(&SECRET).expect("a key of any length");
    let tag = mac.chain_update(message.as_bytes()).finalize().into_bytes();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Whether another decoder finds in header and claims what must be there.
fn is_valid(header: &[u8], claims: &[u8], audience: &str, kid: &str) -> bool {
    let (Ok(header), Ok(claims)) =
        (serde_json::from_slice::<Value>(header), serde_json::from_slice::<Value>(claims))
    else {
        return false;
    };
    let names = |claim: &Value, name: &str| match claim {
        Value::Array(items) => items.iter().any(|item| item == name),
        other => other == name,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    header["alg"] == "HS256"
        && header["kid"] == kid
        && names(&claims["iss"], "ringledger")
        && names(&claims["aud"], audience)
        && claims["exp"].as_u64().is_some_and(|exp| exp.saturating_add(LEEWAY_S) >= now)
        && claims["nbf"].as_u64().is_none_or(|nbf| nbf <= now + LEEWAY_S)
        && claims["sub"].as_str().is_some_and(|sub| sub.parse::<uuid::Uuid>().is_ok())
        && matches!(claims["role"].as_str(), Some("user" | "operator"))
}
