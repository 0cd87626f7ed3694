//! Who signs now, and whose signatures count: a keyring made ready for JWTs. Knows nothing of what they say.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Keyring;
use super::key::SigningKey;

/// The keys of a keyring as the library takes them.
#[derive(Clone)]
pub(super) struct Signatures {
    header: Header,
    signing: EncodingKey,
    /// By `kid`; the one that signs comes first, as most tokens are its own.
    verifying: Vec<(String, DecodingKey)>,
}

impl Signatures {
    pub(super) fn of(keys: &Keyring) -> Self {
        let signing = keys.signing();
        let verifying = |key: &SigningKey| (key.id().to_owned(), DecodingKey::from_secret(key.secret()));
        Self {
            header: Header { kid: Some(signing.id().to_owned()), ..Header::new(Algorithm::HS256) },
            signing: EncodingKey::from_secret(signing.secret()),
            verifying: keys.all().map(verifying).collect(),
        }
    }

    /// What is signed here says by its `kid` with which key.
    pub(super) const fn header(&self) -> &Header {
        &self.header
    }

    /// Whether these are the same keys, and the same one signs.
    pub(super) fn are_of(&self, keys: &Keyring) -> bool {
        keys.ids().into_iter().eq(self.verifying.iter().map(|(kid, _)| kid.as_str()))
    }

    pub(super) fn sign(&self, claims: &impl Serialize) -> jsonwebtoken::errors::Result<String> {
        jsonwebtoken::encode(&self.header, claims, &self.signing)
    }

    /// What a token says, if one of the keys has signed it and it is valid.
    pub(super) fn claims<T: DeserializeOwned + Clone>(
        &self,
        token: impl AsRef<[u8]>,
        validation: &Validation,
    ) -> jsonwebtoken::errors::Result<T> {
        let header = jsonwebtoken::decode_header(&token)?;
        if header.crit.is_some() {
            // We understand no extension, and a token with one that is not understood is invalid (RFC 7515 §4.1.11).
            return Err(ErrorKind::InvalidToken.into());
        }
        let kid = header.kid.ok_or(ErrorKind::InvalidToken)?;
        let key = self.verifying.iter().find(|(known, _)| *known == kid);
        let (_, key) = key.ok_or(ErrorKind::InvalidSignature)?;
        jsonwebtoken::decode(token, key, validation).map(|data| data.claims)
    }
}
