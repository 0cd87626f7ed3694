use super::*;
use crate::store::postgres::target::hosts::{Host, Place};

fn parsed(url: &str) -> Target {
    Target::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

#[test]
fn hosts_ports_and_database_are_read_as_libpq_does() {
    let cases = [
        ("postgres://", "localhost:5432"),
        ("postgresql://h", "h:5432"),
        ("postgres://h/db", "h:5432/db"),
        ("postgres://u@h", "h:5432/u"),
        ("postgres://u:s@h:5433/db?connect_timeout=1", "h:5433/db"),
        ("postgres://h1:1,h2,h3:3/db", "h1:1,h2:5432,h3:3/db"),
        ("postgres://h1,h2/db?port=7", "h1:7,h2:7/db"),
        ("postgres://h1:1,:2/db", "h1:1,localhost:2/db"),
        ("postgres://[::1]:5433,[fe80::1]/db", "[::1]:5433,[fe80::1]:5432/db"),
        ("postgres://h/db?hostaddr=10.0.0.1", "h:5432/db"),
        ("postgres:///db?hostaddr=10.0.0.1,::1&port=1,2", "10.0.0.1:1,[::1]:2/db"),
        ("postgres://%2Frun%2Fpostgresql/db", "/run/postgresql:5432/db"),
        ("postgres:///db?host=/run/postgresql&port=5433", "/run/postgresql:5433/db"),
        ("postgres://ignored/db?host=h1,h2", "h1:5432,h2:5432/db"),
        ("postgres://h/a?dbname=b", "h:5432/b"),
        ("postgres://h/?user=u&dbname=b%20c", "h:5432/b c"),
    ];
    for (url, place) in cases {
        assert_eq!(parsed(url).describe(), format!("Postgres at {place}"), "{url}");
    }
}

#[test]
fn a_socket_directory_and_an_address_are_no_names() {
    let hosts = |url| parsed(url).hosts().to_vec();
    let directory = Place::Directory("/run/postgresql".into());
    assert_eq!(hosts("postgres://%2Frun%2Fpostgresql:1"), [Host { place: directory, port: 1 }]);
    let address = Place::Address([10, 0, 0, 1].into(), Some("h".to_owned()));
    assert_eq!(hosts("postgres://h?hostaddr=10.0.0.1"), [Host { place: address, port: 5432 }]);
}

#[test]
fn user_password_and_session_settings_reach_the_server() {
    let target = parsed("postgres://u%40x:p%40%2F%3A%25@h/db?options=-c%20a%3Db&application_name=me");
    let config = target.config();
    assert_eq!(config.get_user(), Some("u@x"));
    assert_eq!(config.get_password(), Some(b"p@/:%".as_slice()));
    assert_eq!(config.get_dbname(), Some("db"));
    assert_eq!(config.get_options(), Some("-c a=b"));
    assert_eq!(config.get_application_name(), Some("me"));
    assert_eq!(target.config().get_options(), Some("-c a=b"));
}

#[test]
fn what_the_url_leaves_out_has_a_default() {
    let target = parsed("postgres://h");
    assert_eq!(target.config().get_user(), None);
    assert_eq!(target.config().get_application_name(), Some("ringledger"));
    assert_eq!(target.connect_timeout(), None);
    assert_eq!(target.session(), SessionAttrs::Any);
    assert!(!target.load_balance());
    assert!(target.socket().keepalive.is_some());
    assert_eq!(target.socket().user_timeout, None);
}

#[test]
fn session_attributes_have_their_names() {
    let cases = [
        ("any", SessionAttrs::Any),
        ("read-write", SessionAttrs::ReadWrite),
        ("read-only", SessionAttrs::ReadOnly),
        ("primary", SessionAttrs::Primary),
        ("standby", SessionAttrs::Standby),
        ("prefer-standby", SessionAttrs::PreferStandby),
    ];
    for (name, attrs) in cases {
        assert_eq!(parsed(&format!("postgres://h?target_session_attrs={name}")).session(), attrs);
    }
}

#[test]
fn times_have_the_units_of_libpq() {
    let target = parsed(
        "postgres://h?connect_timeout=3&tcp_user_timeout=1500&keepalives_idle=90&keepalives_interval=5&keepalives_count=2&load_balance_hosts=random",
    );
    assert_eq!(target.connect_timeout(), Some(Duration::from_secs(3)));
    assert_eq!(target.socket().user_timeout, Some(Duration::from_millis(1500)));
    assert!(target.load_balance());
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(90))
        .with_interval(Duration::from_secs(5))
        .with_retries(2);
    assert_eq!(format!("{:?}", target.socket().keepalive), format!("{:?}", Some(keepalive)));
    for url in ["postgres://h?connect_timeout=0", "postgres://h?connect_timeout=-1"] {
        assert_eq!(parsed(url).connect_timeout(), None, "{url}");
    }
    assert!(parsed("postgres://h?keepalives=0").socket().keepalive.is_none());
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let cases = [
        ("mysql://h", "postgres://"),
        ("host=h dbname=db", "postgres://"),
        ("postgres://u:p@w@h/db", "unescaped"),
        ("postgres://u:p/w@h/db", "unescaped"),
        ("postgres://u:p?w@h/db", "unescaped"),
        ("postgres://[::1/db", "brackets"),
        ("postgres://[::1]5432/db", "brackets"),
        ("postgres://h:0/db", "`port`"),
        ("postgres://h:65536/db", "`port`"),
        ("postgres://h:x/db", "`port`"),
        ("postgres://h/db?port=1,2", "1 hosts, but 2 values in `port`"),
        ("postgres://h1,h2/db?hostaddr=10.0.0.1", "2 hosts, but 1 values in `hostaddr`"),
        ("postgres://h/db?hostaddr=h", "`hostaddr` must be an IP address"),
        ("postgres://h/db%", "hexadecimal"),
        ("postgres://h/db%zz", "hexadecimal"),
        ("postgres://h/db%00", "hexadecimal"),
        ("postgres://h/db%ff", "UTF-8"),
        ("postgres://h/db?sslmode", "one `=`"),
        ("postgres://h/db?options=a=b", "one `=`"),
        ("postgres://h/db?sslmodes=require", "unknown or unsupported parameter `sslmodes`"),
        ("postgres://h/db?sslcrl=", "`sslcrl`"),
        (
            "postgres://h/db?sslmode=on",
            "`sslmode` must be disable, allow, prefer, require, verify-ca, verify-full",
        ),
        ("postgres://h/db?target_session_attrs=rw", "read-write"),
        ("postgres://h/db?load_balance_hosts=yes", "random"),
        ("postgres://h/db?connect_timeout=2s", "`connect_timeout` must be a whole number"),
        ("postgres://h/db?channel_binding=require", "channel_binding=require"),
        ("postgres://h/db?channel_binding=yes", "`channel_binding`"),
        ("postgres:///db?hostaddr=10.0.0.1&sslmode=verify-full", "host name beside `hostaddr`"),
        ("postgres://h/db?sslmode=verify-ca", "sslrootcert=FILE"),
        ("postgres://h/db?sslrootcert=/ca.pem", "sslmode=allow or prefer"),
        ("postgres://h/db?sslmode=require&sslrootcert=system", "verify-full"),
        ("postgres://h/db?sslcert=/a.pem", "sslcert and sslkey"),
        ("postgres://h/db?sslmode=require&sslrootcert=/nowhere/ca.pem", "sslrootcert /nowhere/ca.pem"),
    ];
    for (url, words) in cases {
        let error = Target::parse(url).unwrap_err().to_string();
        assert!(error.contains(words), "{url}: {error}");
        assert!(!error.contains('\n'), "{url}: {error}");
    }
}

#[test]
fn no_secret_is_shown() {
    for url in [
        "postgres://u:hunter2@h/db",
        "postgres://u@h/db?password=hunter2",
        "postgres://u:hunter2@h/db?unknown=1",
        "postgres://u:hunter2@h:port/db",
        "postgres://u:hunter2/@h/db",
        "postgres://u:%hunter2@h/db",
        "postgres://u:hunter2:x@h/db?sslmode=hunter2",
        "postgres://h/db?sslpassword=hunter2",
    ] {
        let shown = match Target::parse(url) {
            Ok(target) => format!("{target:?} {}", target.describe()),
            Err(error) => format!("{error:?} {error}"),
        };
        assert!(!shown.contains("hunter2"), "{url}: {shown}");
    }
}

#[test]
fn ssl_true_means_require() {
    let required = Target::parse("postgres://h?ssl=true&sslrootcert=/nowhere").unwrap_err();
    // With any weaker mode it would not look for the file.
    assert!(required.to_string().contains("/nowhere"), "{required}");
}

#[test]
fn who_writes_wants_a_server_that_takes_writes() {
    let session = |url: &str| Target::parse(url).unwrap().for_writing().session();
    assert_eq!(session("postgres://a,b/db"), SessionAttrs::ReadWrite);
    assert_eq!(session("postgres://a/db"), SessionAttrs::ReadWrite);
    assert_eq!(session("postgres://a,b/db?target_session_attrs=primary"), SessionAttrs::Primary);
}
