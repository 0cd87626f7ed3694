//! Who may listen between the server and Postgres, and who may say that he is it: `sslmode` and passwords.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ringledger::store::postgres::{Carrier, Options, Target};
use ringledger::store::{Location, Store};
use tempfile::TempDir;
use throwaway_postgres::{Cluster, ClusterOptions};

use super::{ask, payment};
use crate::support::books::{Books, FUNDS, expect_created};
use crate::support::on_both_engines;
use crate::support::postgres::serve_with;

/// Bounds what should be refused at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// An authority, which signs for one name.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// A certificate for a host and the user `postgres`, and its key, in PEM.
    fn sign(&self, host: &str) -> (String, String) {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "postgres");
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A cluster that takes encrypted connections only, and the files of its clients.
struct Encrypted {
    cluster: Cluster,
    database: String,
    files: TempDir,
}

impl Encrypted {
    /// Its certificate is for `localhost`. `method` is how it lets clients in (`pg_hba.conf`).
    fn new(method: &str) -> Self {
        let authority = Authority::new();
        let (certificate, key) = authority.sign("localhost");
        let files = tempfile::tempdir().unwrap();
        let (client_certificate, client_key) = authority.sign("client");
        for (name, content) in [
            ("ca.pem", authority.issuer.pem()),
            ("other.pem", Authority::new().issuer.pem()),
            ("client.pem", client_certificate),
            ("client.key", client_key),
        ] {
            fs::write(files.path().join(name), content).unwrap();
        }
        // The tests themselves look in by the database `postgres`.
        let access = format!(
            "local all all trust\nhostssl all all all {method}\nhostnossl postgres all all trust\n\
             hostnossl all all all reject\n"
        );
        let options = ClusterOptions::new()
            .file("server.pem", certificate)
            .file("server.key", key)
            .file("ca.pem", authority.issuer.pem())
            .file("pg_hba.conf", access)
            .setting("ssl", "on")
            .setting("ssl_cert_file", "server.pem")
            .setting("ssl_key_file", "server.key")
            .setting("ssl_ca_file", "ca.pem");
        let cluster = Cluster::start(&options).unwrap();
        let database = cluster.database().unwrap();
        Self { cluster, database, files }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// A URL of a database that only encrypted connections may use. `{ca.pem}` stands for that file.
    fn url(&self, host: &str, parameters: &str) -> String {
        let mut parameters = parameters.to_owned();
        for name in ["ca.pem", "other.pem", "client.pem", "client.key"] {
            parameters = parameters.replace(&format!("{{{name}}}"), self.file(name).to_str().unwrap());
        }
        let url = self.cluster.url(&self.database);
        format!("{}?{parameters}", url.replace("127.0.0.1", host))
    }
}

/// Opens a connection and asks something, as `migrate --status` does.
fn reach(url: &str) -> Result<(), String> {
    let options = Options {
        target: Target::parse(url).map_err(|error| error.to_string())?,
        replica: None,
        carrier: Carrier::Tokio,
        connections_per_core: 1,
        connect_timeout: PATIENCE,
        acquire_timeout: PATIENCE,
        statement_timeout: PATIENCE,
        commit_timeout: PATIENCE,
    };
    let status = Store::migration_status(&Location::Postgres(Box::new(options)));
    status.map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_server_is_believed_as_far_as_sslmode_says() {
    let place = Encrypted::new("trust");
    for (host, parameters, refused) in [
        ("localhost", "sslmode=verify-full&sslrootcert={ca.pem}", None),
        ("localhost", "sslmode=verify-ca&sslrootcert={ca.pem}", None),
        ("localhost", "sslmode=require&sslrootcert={ca.pem}", None),
        ("localhost", "sslmode=require", None),
        ("localhost", "sslmode=prefer", None),
        ("localhost", "", None),
        // Another name than the certificate's.
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={ca.pem}", Some("certificate")),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert={ca.pem}", None),
        ("localhost", "hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={ca.pem}", None),
        // Another authority.
        ("localhost", "sslmode=verify-full&sslrootcert={other.pem}", Some("certificate")),
        ("localhost", "sslmode=verify-ca&sslrootcert={other.pem}", Some("certificate")),
        ("localhost", "sslmode=require&sslrootcert={other.pem}", Some("certificate")),
        ("localhost", "sslmode=verify-full&sslrootcert=system", Some("certificate")),
        // What the server does not allow.
        ("localhost", "sslmode=disable", Some("no encryption")),
    ] {
        let reached = reach(&place.url(host, parameters));
        match (refused, reached) {
            (None, Ok(())) => {}
            (Some(reason), Err(told)) => assert!(told.contains(reason), "{host} {parameters}: {told}"),
            (_, other) => panic!("{host} {parameters}: {other:?}"),
        }
    }
}

#[test]
fn a_server_without_tls_is_used_only_where_sslmode_allows_it() {
    let cluster = Cluster::start(&ClusterOptions::new()).unwrap();
    let url = |mode: &str| format!("{}?sslmode={mode}", cluster.url("postgres"));
    for mode in ["disable", "allow", "prefer"] {
        reach(&url(mode)).unwrap_or_else(|error| panic!("{mode}: {error}"));
    }
    for mode in ["require", "verify-full"] {
        reach(&url(mode)).expect_err(mode);
    }
    // A unix socket leads to no other host.
    reach(&format!("{}?sslmode=require", cluster.unix_url("postgres"))).unwrap();
}

#[test]
fn a_client_is_known_by_its_certificate() {
    let place = Encrypted::new("cert");
    let with = "sslmode=verify-full&sslrootcert={ca.pem}&sslcert={client.pem}&sslkey={client.key}";
    reach(&place.url("localhost", with)).unwrap();
    let told = reach(&place.url("localhost", "sslmode=verify-full&sslrootcert={ca.pem}")).unwrap_err();
    assert!(told.contains("certificate"), "{told}");
}

#[test]
fn a_wrong_password_is_told_without_it() {
    let cluster = Cluster::start(&ClusterOptions::new().password("rightpassword")).unwrap();
    for url in [cluster.url("postgres"), cluster.unix_url("postgres")] {
        reach(&url).unwrap();
        let told = reach(&url.replace("rightpassword", "wrongpassword")).unwrap_err();
        assert!(told.contains("password"), "{told}");
        assert!(!told.contains("wrongpassword"), "{told}");
    }
}

on_both_engines!(a_server_on_an_encrypted_connection_serves);

fn a_server_on_an_encrypted_connection_serves(engine: &str) {
    let place = Encrypted::new("trust");
    let url = place.url("localhost", "sslmode=verify-full&sslrootcert={ca.pem}");
    let server = serve_with(&["--io", engine], &url, &[]);
    let books = Books::open(&server, 2);
    expect_created(&ask(server.address(), &books.request(&payment("secret"))).0);
    let account = format!("/api/v1/accounts/{}", books.accounts[0]);
    let (reply, _) = ask(server.address(), &books.get(&account));
    assert_eq!(reply.json()["balance"], FUNDS - 1, "{reply:?}");
    let sessions = "select count(*) filter (where not ssl) = 0, count(*) >= 2
                    from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'ringledger'";
    assert_eq!(place.cluster.query("postgres", sessions).unwrap(), [["t", "t"]]);
    server.verify(None);
}

#[test]
fn a_certificate_file_that_is_missing_is_named() {
    let missing = Path::new("/nonexistent/ca.pem");
    let url = format!("postgres://localhost/x?sslmode=verify-full&sslrootcert={}", missing.display());
    let told = reach(&url).unwrap_err();
    assert!(told.contains("/nonexistent/ca.pem"), "{told}");
}
