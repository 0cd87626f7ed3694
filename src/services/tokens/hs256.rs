//! HMAC-SHA-256 (RFC 2104) as the JWT library's only algorithm.
//!
//! Knows keys as bytes; what is signed and by whom is not its matter.

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use sha2::Sha256;

/// HMAC-SHA-256 and nothing else: what is not compiled in cannot be chosen by a token's header.
pub(super) static HS256_ONLY: CryptoProvider = CryptoProvider {
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
