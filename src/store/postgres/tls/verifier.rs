//! What is checked of a server's certificate. Knows nothing of connections.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::Verification;

/// Checks a certificate as far as `sslmode` asks.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) verification: Verification,
    pub(super) roots: RootCertStore,
    /// The certificates of `sslrootcert`.
    pub(super) given: Vec<CertificateDer<'static>>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// A signature by a key that nobody vouches for proves nothing, and certificates of the old kind, which
    /// rustls cannot parse, would fail here.
    fn signature(
        &self,
        verify: impl FnOnce() -> Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.verification {
            Verification::Nothing => Ok(HandshakeSignatureValid::assertion()),
            Verification::Chain | Verification::ChainAndName => verify(),
        }
    }

    fn verify_chain(
        &self,
        parsed: &ParsedCertificate<'_>,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let algorithms = self.algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(parsed, &self.roots, intermediates, now, algorithms) {
            // A server that shows the very certificate which the URL names is who it is, although the recipe of the
            // Postgres manual makes it an authority. Its dates were checked before.
            Err(error) if is_authority_as_server(&error) && self.given.contains(end_entity) => Ok(()),
            outcome => outcome,
        }
    }
}

/// What rustls has no word for, but what recipes for Postgres often end in.
#[derive(Debug, thiserror::Error)]
enum BadCertificate {
    #[error(
        "the server shows the certificate of an authority; name that very one with sslrootcert, or have it \
         sign one for the server"
    )]
    Authority,
    #[error(
        "the server's certificate is of X.509 version 1; issue one with a subjectAltName, which is of version 3"
    )]
    Version1,
}

fn is_authority_as_server(error: &Error) -> bool {
    matches!(webpki_error(error), Some(webpki::Error::CaUsedAsEndEntity))
}

fn webpki_error(error: &Error) -> Option<&webpki::Error> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => cause.downcast_ref(),
        _ => None,
    }
}

fn in_words(error: Error) -> Error {
    match webpki_error(&error) {
        Some(webpki::Error::CaUsedAsEndEntity) => {
            Error::Other(OtherError(Arc::new(BadCertificate::Authority)))
        }
        Some(webpki::Error::UnsupportedCertVersion) => {
            Error::Other(OtherError(Arc::new(BadCertificate::Version1)))
        }
        _ => error,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.verification != Verification::Nothing {
            let parsed = ParsedCertificate::try_from(end_entity).map_err(in_words)?;
            self.verify_chain(&parsed, end_entity, intermediates, now).map_err(in_words)?;
            if self.verification == Verification::ChainAndName {
                verify_server_name(&parsed, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(|| verify_tls12_signature(message, certificate, signature, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(|| verify_tls13_signature(message, certificate, signature, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
