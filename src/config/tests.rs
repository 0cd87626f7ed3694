//! The layers as a whole: what is read, and what wins.

mod refusals;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

/// Sources below a directory of their own.
struct Bench {
    dir: TempDir,
    sources: Sources,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), sources: Sources::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn yaml(mut self, text: &str) -> Self {
        self.sources.config_file = Some(self.write("ringledger.yaml", text));
        self
    }

    fn dotenv(mut self, text: &str) -> Self {
        self.sources.dotenv = Some(self.write(".env", text));
        self
    }

    fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.sources.env.push((name.into(), value.into()));
        self
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        load(&self.sources)
    }

    fn loaded(&self) -> Loaded {
        self.load().unwrap()
    }

    fn settings(&self) -> Settings {
        self.loaded().settings
    }

    /// The problems as printed, with the directory's name left out.
    fn problems(&self) -> Vec<String> {
        let dir = format!("{}/", self.dir.path().display());
        let error = self.load().unwrap_err().to_string();
        error.replace(&dir, "").lines().map(str::to_owned).collect()
    }
}

fn url(settings: &Settings) -> Option<&str> {
    settings.store.url.as_ref().map(StoreUrl::expose)
}

#[test]
fn nothing_given_is_the_defaults() {
    let loaded = Bench::new().loaded();
    assert_eq!(loaded.settings, Settings::default());
    assert!(loaded.table(Secrets::Shown).iter().all(|row| row.origin == Origin::Default));
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = Settings::default();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.store.data_dir, Path::new("./data"));
    assert_eq!(settings.store.url, None);
    assert!(settings.auth.open_registration);
    assert_eq!(settings.auth.token_ttl_s, 3600);
    assert_eq!(settings.log.access, AccessLog::All);
    assert_eq!(settings.runtime.busy_poll, BusyPoll::Off);
    assert!(!settings.runtime.bench_endpoints);
    assert_eq!(settings.shutdown.drain_delay_ms, 0);
    assert_eq!(settings.limits.batch_body_bytes, 4_194_304);
    assert_eq!(settings.rate_limit, RateLimit::default());
    assert!(settings.metrics.public);
}

#[test]
fn each_layer_wins_over_the_one_before() {
    let listen =
        |loaded: &Loaded| (loaded.settings.server.listen.port(), loaded.origin("server.listen").to_string());
    let bench = Bench::new().yaml("server:\n  listen: 127.0.0.1:1001\n");
    let yaml = bench.path("ringledger.yaml");
    assert_eq!(listen(&bench.loaded()), (1001, format!("file {}, line 2", yaml.display())));

    let bench = bench.dotenv("RINGLEDGER__SERVER__LISTEN=127.0.0.1:1002\n");
    let dotenv = bench.path(".env");
    let variable = "RINGLEDGER__SERVER__LISTEN";
    assert_eq!(listen(&bench.loaded()), (1002, format!("file {}, {variable}", dotenv.display())));

    let mut bench = bench.env(variable, "127.0.0.1:1003");
    assert_eq!(listen(&bench.loaded()), (1003, format!("environment {variable}")));

    bench.sources.flags.listen = Some("127.0.0.1:1004".parse().unwrap());
    assert_eq!(listen(&bench.loaded()), (1004, "flag --listen".to_owned()));
}

#[test]
fn every_flag_reaches_its_setting() {
    let mut bench = Bench::new();
    bench.sources.flags = Overrides {
        listen: Some("[::1]:0".parse().unwrap()),
        workers: Some(3),
        io: Some(IoMode::Epoll),
        data_dir: Some("/srv/007".into()),
        bench_endpoints: Some(true),
    };
    let settings = bench.settings();
    assert_eq!(settings.server.listen.to_string(), "[::1]:0");
    assert_eq!(settings.runtime.workers, Some(3));
    assert_eq!(settings.runtime.io, IoMode::Epoll);
    assert_eq!(settings.store.data_dir, Path::new("/srv/007"));
    assert!(settings.runtime.bench_endpoints);
}

#[test]
fn a_layer_leaves_the_rest_of_a_section_alone() {
    let settings = Bench::new()
        .yaml("limits: {fields: 32, body_bytes: 4096}\nlog: {level: off, access: off}\n")
        .env("RINGLEDGER__LIMITS__FIELDS", "16")
        .settings();
    assert_eq!((settings.limits.fields, settings.limits.body_bytes), (16, 4096));
    assert_eq!(settings.limits.head_bytes, 16_384);
    assert_eq!((settings.log.level, settings.log.access), (LogLevel::Off, AccessLog::Off));
}

#[test]
fn variables_of_every_type_are_read() {
    let settings = Bench::new()
        .env("RINGLEDGER__AUTH__OPEN_REGISTRATION", "false")
        .env("RINGLEDGER__RUNTIME__WORKERS", "2")
        .env("RINGLEDGER__RUNTIME__BUSY_POLL", "adaptive")
        .env("RINGLEDGER__RATE_LIMIT__PER_SECOND", "100")
        .env("RINGLEDGER__LOG__FILTER", "info,ringledger_ledger=debug")
        .settings();
    assert!(!settings.auth.open_registration);
    assert_eq!(settings.runtime.workers, Some(2));
    assert_eq!(settings.runtime.busy_poll, BusyPoll::Adaptive);
    assert_eq!(settings.rate_limit.per_second, Some(100));
    assert_eq!(settings.log.filter.as_deref(), Some("info,ringledger_ledger=debug"));
}

#[test]
fn digits_and_truth_words_can_be_text() {
    let settings = Bench::new()
        .env("RINGLEDGER__STORE__DATA_DIR", "12345")
        .env("RINGLEDGER__AUTH__KEY_FILE", "1e9")
        .settings();
    assert_eq!(settings.store.data_dir, Path::new("12345"));
    assert_eq!(settings.auth.key_file.as_deref(), Some(Path::new("1e9")));
    let settings = Bench::new().env("RINGLEDGER__AUTH__KEY_DIR", "true").settings();
    assert_eq!(settings.auth.key_dir.as_deref(), Some(Path::new("true")));
}

#[test]
fn key_file_is_a_setting_and_not_a_secret_file() {
    let bench = Bench::new();
    let missing = bench.path("no-such-key");
    let settings = bench.env("RINGLEDGER__AUTH__KEY_FILE", missing.clone()).settings();
    assert_eq!(settings.auth.key_file, Some(missing));
}

#[test]
fn database_url_is_the_store_and_the_specific_name_wins() {
    let bench = Bench::new().env("DATABASE_URL", "postgres://a/db");
    assert_eq!(url(&bench.settings()), Some("postgres://a/db"));
    let bench = bench.env("RINGLEDGER__STORE__URL", "postgres://b/db");
    assert_eq!(url(&bench.settings()), Some("postgres://b/db"));
}

#[test]
fn secrets_are_read_from_files_without_the_line_end() {
    for variable in ["DATABASE_URL_FILE", "RINGLEDGER__STORE__URL_FILE"] {
        let bench = Bench::new();
        let secret = bench.write("secret", "postgres://u:p@h/db\r\n");
        let loaded = bench.env(variable, secret).loaded();
        assert_eq!(url(&loaded.settings), Some("postgres://u:p@h/db"));
        assert_eq!(loaded.origin("store.url").to_string(), format!("environment {variable}"));
    }
    let bench = Bench::new();
    let secret = bench.write("secret", "postgres://h/db\n");
    let bench = bench.dotenv(&format!("DATABASE_URL_FILE={}\n", secret.display()));
    assert_eq!(url(&bench.settings()), Some("postgres://h/db"));
}

#[test]
fn empty_variables_count_as_not_set() {
    let settings = Bench::new()
        .yaml("store: {url: postgres://h/db}")
        .env("DATABASE_URL", "")
        .env("DATABASE_URL_FILE", "")
        .env("RINGLEDGER__RUNTIME__WORKERS", "")
        .settings();
    assert_eq!(url(&settings), Some("postgres://h/db"));
    assert_eq!(settings.runtime.workers, None);
}

#[test]
fn a_dotenv_file_may_export_quote_and_bear_a_byte_order_mark() {
    let bench = Bench::new().dotenv("\u{feff}export DATABASE_URL=\"postgres://h/db\" # remark\r\n");
    assert_eq!(url(&bench.settings()), Some("postgres://h/db"));
}

#[test]
fn foreign_variables_are_passed_over() {
    let bench = Bench::new()
        .dotenv("OTHER_APP=1\nRINGLEDGER_PORT=tcp://10.0.0.1:80\n")
        .env("RINGLEDGER_SERVICE_HOST", "10.0.0.1")
        .env("PATH", "/bin");
    assert_eq!(bench.settings(), Settings::default());
}

#[test]
fn an_empty_file_or_section_says_nothing() {
    for text in ["", "# only a remark\n", "---\n", "log:\nstore:\n  url:\n", "{}"] {
        assert_eq!(Bench::new().yaml(text).settings(), Settings::default(), "{text:?}");
    }
}

#[test]
fn a_password_is_shown_only_when_asked_for() {
    let loaded = Bench::new().env("DATABASE_URL", "postgres://u:hunter2@h/db").loaded();
    let shown = |secrets| {
        let rows = loaded.table(secrets);
        rows.into_iter().find(|row| row.key == "store.url").and_then(|row| row.value)
    };
    assert_eq!(shown(Secrets::Shown).as_deref(), Some("postgres://u:hunter2@h/db"));
    assert_eq!(shown(Secrets::Redacted).as_deref(), Some("postgres://u:***@h/db"));
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn the_table_has_every_setting_in_the_order_of_the_keys() {
    let table = Bench::new().env("RINGLEDGER__RUNTIME__WORKERS", "2").loaded().table(Secrets::Redacted);
    let keys: Vec<_> = table.iter().map(|row| row.key.as_str()).collect();
    assert!(keys.is_sorted());
    assert_eq!(keys.len(), 54);
    let value = |key: &str| {
        let row = table.iter().find(|row| row.key == key).unwrap();
        row.value.clone()
    };
    assert_eq!(value("runtime.workers").as_deref(), Some("2"));
    assert_eq!(value("server.listen").as_deref(), Some("127.0.0.1:8080"));
    assert_eq!(value("limits.body_bytes").as_deref(), Some("65536"));
    assert_eq!(value("store.url"), None);
}

#[test]
fn what_is_shown_of_settings_has_every_key_and_no_password() {
    let mut settings = Settings::default();
    let url = StoreUrl::try_from("postgres://reader:open-sesame@db/ledger".to_owned()).unwrap();
    (settings.store.url, settings.store.replica_url) = (Some(url.clone()), Some(url));
    let shown = shown(&settings);
    assert!(shown.contains(&("limits.fields".to_owned(), Some("64".to_owned()))), "{shown:?}");
    assert!(shown.iter().any(|(key, value)| key == "store.replica_url" && value.is_some()), "{shown:?}");
    assert!(!format!("{shown:?}").contains("open-sesame"), "{shown:?}");
}
