//! Handshakes over a pipe with a server of our own.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::tls::TlsConnect;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;

use super::*;

/// The name that the server's certificates are for.
const NAME: &str = "db.example";

/// An authority and its files.
struct Pki {
    directory: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// What a server shows.
struct Shown {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Shown {
    fn self_signed(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { directory: TempDir::new().unwrap(), authority }
    }

    fn issue(&self, mut params: CertificateParams) -> Shown {
        let key = KeyPair::generate().unwrap();
        params.is_ca = IsCa::ExplicitNoCa;
        Shown { certificate: params.signed_by(&key, &self.authority).unwrap(), key }
    }

    fn server(&self) -> Shown {
        self.issue(CertificateParams::new([NAME.to_owned()]).unwrap())
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn ca_file(&self) -> String {
        self.write("ca.pem", &self.authority.pem())
    }
}

/// A certificate that is its own authority.
fn self_signed_params() -> CertificateParams {
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn tls(mode: Mode, root: Option<String>, identity: Option<(String, String)>) -> Tls {
    let (certificate, key) = identity.unzip();
    Tls::load(&Wanted::new(Some(mode), root, certificate, key).unwrap()).unwrap()
}

/// Shakes hands with a server of this certificate, and tells whether a byte then comes back.
fn handshake(tls: &Tls, name: &str, shown: &Shown, clients: Option<&Pki>) -> Result<bool, HandshakeError> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(shown.key.serialize_der()));
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(pki) => {
            let mut roots = RootCertStore::empty();
            roots.add(pki.authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![shown.certificate.der().clone()];
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let start = tls.start(ServerName::try_from(name.to_owned()).unwrap());
    let (ours, theirs) = tokio::io::duplex(4096);
    let server = async move {
        let mut stream = acceptor.accept(theirs).await?;
        let byte = stream.read_u8().await?;
        stream.write_u8(byte + 1).await?;
        stream.flush().await
    };
    let client = async move {
        let mut stream = TlsConnect::connect(start, ours).await?;
        let echo = async {
            stream.write_u8(1).await?;
            stream.flush().await?;
            stream.read_u8().await
        };
        Ok(echo.await.is_ok_and(|byte: u8| byte == 2))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (client, server) = runtime.block_on(async { tokio::join!(client, server) });
    assert_eq!(client.as_ref().is_ok_and(|&echoed| echoed), server.is_ok(), "{server:?}");
    client
}

#[test]
fn each_mode_checks_what_libpq_checks() {
    let (own, other) = (Pki::new(), Pki::new());
    let (right, wrong) = (own.ca_file(), other.ca_file());
    let cases = [
        (Mode::Prefer, None, "elsewhere.example", true),
        (Mode::Require, None, "elsewhere.example", true),
        (Mode::Require, Some(&right), "elsewhere.example", true),
        (Mode::Require, Some(&wrong), NAME, false),
        (Mode::VerifyCa, Some(&right), "elsewhere.example", true),
        (Mode::VerifyCa, Some(&wrong), NAME, false),
        (Mode::VerifyFull, Some(&right), NAME, true),
        (Mode::VerifyFull, Some(&right), "elsewhere.example", false),
        (Mode::VerifyFull, Some(&right), "10.0.0.1", false),
        (Mode::VerifyFull, Some(&wrong), NAME, false),
    ];
    for (mode, root, name, accepted) in cases {
        let outcome = handshake(&tls(mode, root.cloned(), None), name, &own.server(), None);
        assert_eq!(outcome.is_ok(), accepted, "{mode:?} {root:?} {name}: {outcome:?}");
    }
}

#[test]
fn a_certificate_that_signed_itself_is_trusted_where_it_is_given() {
    let pki = Pki::new();
    let shown = Shown::self_signed(&self_signed_params());
    let same_name = Shown::self_signed(&self_signed_params());
    let full = tls(Mode::VerifyFull, Some(pki.write("self.pem", &shown.certificate.pem())), None);
    assert!(handshake(&full, NAME, &shown, None).unwrap());
    handshake(&full, "elsewhere.example", &shown, None).unwrap_err();
    handshake(&full, NAME, &same_name, None).unwrap_err();
    let unknown = tls(Mode::VerifyCa, Some(pki.ca_file()), None);
    let error = handshake(&unknown, NAME, &shown, None).unwrap_err().to_string();
    assert!(error.contains("name that very one with sslrootcert"), "{error}");
}

#[test]
fn one_that_has_expired_is_refused_where_it_is_given() {
    let pki = Pki::new();
    let mut params = self_signed_params();
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let shown = Shown::self_signed(&params);
    let given = tls(Mode::VerifyCa, Some(pki.write("expired.pem", &shown.certificate.pem())), None);
    let error = handshake(&given, NAME, &shown, None).unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[test]
fn our_certificate_is_shown_to_a_server_that_asks() {
    let pki = Pki::new();
    let ours = pki.issue(CertificateParams::new([]).unwrap());
    let certificate = pki.write("client.pem", &ours.certificate.pem());
    let key = pki.write("client.key", &ours.key.serialize_pem());
    let with = tls(Mode::VerifyFull, Some(pki.ca_file()), Some((certificate, key)));
    let without = tls(Mode::VerifyFull, Some(pki.ca_file()), None);
    assert!(handshake(&with, NAME, &pki.server(), Some(&pki)).unwrap());
    assert!(!handshake(&without, NAME, &pki.server(), Some(&pki)).unwrap());
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let pki = Pki::new();
    let empty = pki.write("empty.pem", "");
    let (certificate, key) = (pki.ca_file(), pki.write("key.pem", &pki.server().key.serialize_pem()));
    let cases = [
        ((Some(empty.clone()), None, None), "sslrootcert", "empty.pem"),
        ((Some("/nowhere".to_owned()), None, None), "sslrootcert", "/nowhere"),
        ((None, Some(empty.clone()), Some(key.clone())), "sslcert", "empty.pem"),
        ((None, Some(certificate.clone()), Some(empty)), "sslkey", "empty.pem"),
        ((None, Some(certificate), Some(key)), "sslcert and sslkey", "Key"),
    ];
    for ((root, certificate, key), parameter, words) in cases {
        let wanted = Wanted::new(Some(Mode::Require), root, certificate, key).unwrap();
        let error = Tls::load(&wanted).unwrap_err().to_string();
        assert!(error.starts_with(parameter) && error.contains(words), "{error}");
    }
}
