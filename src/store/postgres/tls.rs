//! TLS to Postgres by rustls, as libpq's `sslmode` asks (its manual, "SSL Support"). Knows nothing of hosts,
//! sockets and sessions.
//!
//! No channel binding is offered: SCRAM then runs without it, which every server takes. Certificates are checked by
//! today's rules: the name must be in `subjectAltName`, since the common name alone is not read.

mod stream;
mod verifier;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_postgres::config::SslMode;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

pub(super) use self::stream::{Encrypted, HandshakeError, StartTls};
use self::verifier::Verifier;

/// `sslrootcert` of the system's certificates.
const SYSTEM: &str = "system";

/// libpq's `sslmode`, from the weakest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// The names of the modes.
pub(super) const MODES: [(&str, Mode); 6] = [
    ("disable", Mode::Disable),
    ("allow", Mode::Allow),
    ("prefer", Mode::Prefer),
    ("require", Mode::Require),
    ("verify-ca", Mode::VerifyCa),
    ("verify-full", Mode::VerifyFull),
];

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum BadTls {
    /// `sslrootcert` with a mode that checks nothing.
    #[error(
        "sslrootcert is not looked at with sslmode=allow or prefer; use require, verify-ca or verify-full"
    )]
    RootsUnused,
    /// `sslrootcert=system` with a mode that does not check the name.
    #[error(
        "sslrootcert=system needs sslmode=verify-full: anybody can get a certificate of a public authority"
    )]
    WeakSystem,
    /// `verify-ca` without `sslrootcert`.
    #[error("sslmode=verify-ca needs sslrootcert=FILE: anybody can get a certificate of a public authority")]
    NoRoots,
    /// A certificate without key, or the other way round.
    #[error("sslcert and sslkey belong together")]
    HalfIdentity,
    /// A file that cannot be used.
    #[error("{parameter} {}: {detail}", path.display())]
    File {
        /// The parameter that names it.
        parameter: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The system has no certificates to verify against.
    #[error(
        "this system has no certificates of authorities; install ca-certificates or say sslrootcert=FILE"
    )]
    NoSystemRoots,
    /// The certificate and key do not fit, or are of a kind that is not supported.
    #[error("sslcert and sslkey: {0}")]
    Identity(rustls::Error),
}

/// What is checked of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verification {
    Nothing,
    Chain,
    ChainAndName,
}

/// Which authorities are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Roots {
    Nobody,
    System,
    File(PathBuf),
}

/// What a URL says about TLS, and that it makes sense. Nothing is loaded yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    mode: Mode,
    verification: Verification,
    roots: Roots,
    /// Our certificate and its key.
    identity: Option<(PathBuf, PathBuf)>,
}

impl Wanted {
    /// From the parameters `sslmode`, `sslrootcert`, `sslcert` and `sslkey`.
    pub(super) fn new(
        mode: Option<Mode>,
        root: Option<String>,
        certificate: Option<String>,
        key: Option<String>,
    ) -> Result<Self, BadTls> {
        let system = root.as_deref() == Some(SYSTEM);
        let mode = mode.unwrap_or(if system { Mode::VerifyFull } else { Mode::Prefer });
        let (verification, roots) = match (mode, root) {
            (Mode::VerifyFull, None) => (Verification::ChainAndName, Roots::System),
            (Mode::VerifyFull, Some(_)) if system => (Verification::ChainAndName, Roots::System),
            (Mode::Allow | Mode::Prefer | Mode::Require | Mode::VerifyCa, Some(_)) if system => {
                return Err(BadTls::WeakSystem);
            }
            (Mode::VerifyFull, Some(file)) => (Verification::ChainAndName, Roots::File(file.into())),
            (Mode::VerifyCa | Mode::Require, Some(file)) => (Verification::Chain, Roots::File(file.into())),
            (Mode::VerifyCa, None) => return Err(BadTls::NoRoots),
            (Mode::Allow | Mode::Prefer, Some(_)) => return Err(BadTls::RootsUnused),
            (Mode::Disable, _) | (Mode::Allow | Mode::Prefer | Mode::Require, None) => {
                (Verification::Nothing, Roots::Nobody)
            }
        };
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(BadTls::HalfIdentity),
        };
        Ok(Self { mode, verification, roots, identity })
    }

    /// Whether the certificate must be for the name of the host.
    pub(super) fn verifies_name(&self) -> bool {
        self.verification == Verification::ChainAndName
    }
}

/// How connections of a target are encrypted.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    mode: Mode,
    verification: Verification,
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Loads what is wanted.
    pub(super) fn load(wanted: &Wanted) -> Result<Self, BadTls> {
        let (roots, given) = trusted(&wanted.roots)?;
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Verifier { verification: wanted.verification, roots, given, algorithms };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider speaks the default versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &wanted.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates("sslcert", certificate)?;
                let key =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("sslkey", key, &error))?;
                builder.with_client_auth_cert(chain, key).map_err(BadTls::Identity)?
            }
        };
        let &Wanted { mode, verification, .. } = wanted;
        Ok(Self { mode, verification, config: Arc::new(config) })
    }

    /// Whether the certificate must be for the name of the host.
    pub(super) fn verifies_name(&self) -> bool {
        self.verification == Verification::ChainAndName
    }

    /// What is tried with a server over TCP, in this order: the second only if the first fails as
    /// [`HandshakeError`] or because the server does not let us in.
    pub(super) fn plan(&self) -> &'static [SslMode] {
        match self.mode {
            Mode::Disable => &[SslMode::Disable],
            Mode::Allow => &[SslMode::Disable, SslMode::Require],
            Mode::Prefer => &[SslMode::Prefer, SslMode::Disable],
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => &[SslMode::Require],
        }
    }

    /// What encrypts one connection to `server`.
    pub(super) fn start(&self, server: ServerName<'static>) -> StartTls {
        StartTls::new(TlsConnector::from(Arc::clone(&self.config)), server)
    }
}

/// The authorities, and the certificates that were given one by one.
fn trusted(roots: &Roots) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), BadTls> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::Nobody => Ok((store, Vec::new())),
        Roots::System => {
            let (added, _) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if added == 0 { Err(BadTls::NoSystemRoots) } else { Ok((store, Vec::new())) }
        }
        Roots::File(path) => {
            let given = certificates("sslrootcert", path)?;
            for certificate in &given {
                store.add(certificate.clone()).map_err(|error| unusable("sslrootcert", path, &error))?;
            }
            Ok((store, given))
        }
    }
}

/// At least one certificate.
fn certificates(parameter: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, BadTls> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match certificates {
        Ok(none) if none.is_empty() => Err(unusable(parameter, path, &"it holds no certificate")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(parameter, path, &error)),
    }
}

fn unusable(parameter: &'static str, path: &Path, detail: &dyn fmt::Display) -> BadTls {
    BadTls::File { parameter, path: path.to_owned(), detail: detail.to_string() }
}
