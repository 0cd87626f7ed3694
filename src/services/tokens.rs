//! Tokens: JWTs (RFC 7519) signed with HMAC-SHA-256, checked as RFC 8725 asks.
//!
//! One algorithm is compiled in, so a token cannot choose another; `kid`, `iss`, `aud`, `exp`, `nbf` and
//! `sub` are all required and checked.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ServiceError;
use crate::models::{Actor, Role, UserId};

/// The issuer and the audience of our tokens.
const ISSUER: &str = "ringledger";
/// The name of the key file in the data directory.
pub const KEY_FILE: &str = "signing.key";
/// Bytes of a key: as many as HMAC-SHA-256 gives security for (RFC 7518 §3.2).
const KEY_BYTES: usize = 32;
/// How far the clocks of two hosts may differ, in seconds.
const LEEWAY_S: u64 = 5;

/// The key that signs tokens.
#[derive(Debug, Clone)]
pub struct SigningKey {
    secret: SecretSlice<u8>,
    id: String,
}

/// Why there is no signing key. All are faults of the set-up.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("cannot use the signing key {}: {source}", path.display())]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not hold 64 hexadecimal digits.
    #[error("{} is not a signing key: it must hold 64 hexadecimal digits (openssl rand -hex 32)", .0.display())]
    Malformed(PathBuf),
    /// Others can read the file.
    #[error("the signing key {} can be read by others (mode {mode:03o}): chmod 600 it", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl SigningKey {
    /// Reads the key of a file that must exist.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let io_error = |source| KeyError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io_error)?;
        let mode = file.metadata().map_err(io_error)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut hex = String::new();
        file.take(1_024).read_to_string(&mut hex).map_err(io_error)?;
        let secret =
            const_hex::decode_to_array(hex.trim()).map_err(|_| KeyError::Malformed(path.to_owned()))?;
        Ok(Self::from_secret(secret))
    }

    /// Reads the key of a file, or makes both with mode 0600. Two programs that start at once get one key.
    pub fn read_or_make(path: &Path) -> Result<Self, KeyError> {
        match make_key_file(path) {
            Ok(()) => tracing::info!(path = %path.display(), "made a new signing key"),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(KeyError::Io { path: path.to_owned(), source }),
        }
        Self::read(path)
    }

    fn from_secret(secret: [u8; KEY_BYTES]) -> Self {
        let digest = Sha256::digest(secret);
        let id = const_hex::encode(&digest[..8]);
        Self { secret: secret.to_vec().into(), id }
    }

    /// The key's public name, its `kid`: the start of its SHA-256.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Writes the key beside its place and links it there, so that nobody reads half a key.
fn make_key_file(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut secret = [0; KEY_BYTES];
    getrandom::fill(&mut secret)?;
    let hex = const_hex::encode(secret);
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = writeln!(file, "{hex}").and_then(|()| file.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft)?;
    linked
}

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
        let secret = key.secret.expose_secret();
        Self {
            header: Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::HS256) },
            signing: EncodingKey::from_secret(secret),
            verifying: DecodingKey::from_secret(secret),
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

/// HMAC-SHA-256 and nothing else: what is not compiled in cannot be chosen by a token's header.
static HS256_ONLY: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        let mac = hs256(*algorithm, key.family(), || Ok(key.as_bytes()))?;
        Ok(Box::new(mac))
    },
    verifier_factory: |algorithm, key| {
        let mac = hs256(*algorithm, key.family(), || key.try_get_as_bytes())?;
        Ok(Box::new(mac))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Hs256(Hmac<Sha256>);

fn hs256<'a>(
    algorithm: Algorithm,
    family: AlgorithmFamily,
    secret: impl FnOnce() -> jsonwebtoken::errors::Result<&'a [u8]>,
) -> jsonwebtoken::errors::Result<Hs256> {
    if algorithm != Algorithm::HS256 || family != AlgorithmFamily::Hmac {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Hmac::new_from_slice(secret()?).map(Hs256).map_err(|_| ErrorKind::InvalidKeyFormat.into())
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> Result<(), signature::Error> {
        self.0.clone().chain_update(message).verify_slice(tag).map_err(signature::Error::from_source)
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

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

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(KEY_FILE);
        let made = SigningKey::read_or_make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(SigningKey::read_or_make(&path).unwrap().id(), made.id());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);

        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(SigningKey::read(&path), Err(KeyError::Exposed { mode: 0o644, .. })));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(SigningKey::read(&path), Err(KeyError::Malformed(_))));
    }
}
