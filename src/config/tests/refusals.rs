//! What is refused, and how it is said.

use std::ffi::OsString;

use super::*;

#[test]
fn a_secret_file_that_is_missing_or_doubled_is_refused() {
    let bench = Bench::new();
    let missing = bench.path("gone");
    assert_eq!(
        bench.env("DATABASE_URL_FILE", missing).problems(),
        ["cannot read gone: No such file or directory (os error 2) (environment DATABASE_URL_FILE)"]
    );
    let bench = Bench::new();
    let secret = bench.write("secret", "postgres://h/db");
    let bench = bench.env("DATABASE_URL", "postgres://h/db").env("DATABASE_URL_FILE", secret);
    assert_eq!(bench.problems(), ["DATABASE_URL and DATABASE_URL_FILE are both set; set one"]);
}

#[test]
fn an_endless_file_is_refused() {
    let problems = Bench::new().env("DATABASE_URL_FILE", "/dev/zero").problems();
    assert!(problems[0].contains("larger than"), "{problems:?}");
}

#[test]
fn unknown_names_of_every_layer_are_listed_with_source_and_guess() {
    let bench = Bench::new()
        .yaml("limits:\n  fieldz: 9\ndata_dir: /x\nzebra: 1\nbogus:\n")
        .dotenv("RINGLEDGER__LOG__LEVLE=info\n")
        .env("RINGLEDGER__SERVER__WORKERS", "")
        .env("RINGLEDGER__Server__listen", "x");
    assert_eq!(
        bench.problems(),
        [
            "RINGLEDGER__LOG__LEVLE: unknown setting; did you mean RINGLEDGER__LOG__LEVEL? (file .env, RINGLEDGER__LOG__LEVLE)",
            "RINGLEDGER__SERVER__WORKERS: unknown setting; did you mean RINGLEDGER__RUNTIME__WORKERS? (environment RINGLEDGER__SERVER__WORKERS)",
            "RINGLEDGER__Server__listen: unknown setting; did you mean RINGLEDGER__SERVER__LISTEN? (environment RINGLEDGER__Server__listen)",
            "limits.fieldz: unknown setting; did you mean limits.fields? (file ringledger.yaml, line 2)",
            "data_dir: unknown setting; did you mean store.data_dir? (file ringledger.yaml, line 3)",
            "zebra: unknown setting (file ringledger.yaml, line 4)",
            "bogus: unknown setting (file ringledger.yaml, line 5)",
        ]
    );
}

#[test]
fn wrong_values_of_every_kind_are_listed_with_source_and_what_is_allowed() {
    let mut bench = Bench::new()
        .yaml("limits: {fields: many, head_bytes: 70000}\nlog: {level: loud}\nserver: 5\n")
        .env("RINGLEDGER__AUTH__TOKEN_TTL_S", "0")
        .env("RINGLEDGER__SERVER__LISTEN", "localhost:80")
        .env("RINGLEDGER__METRICS__PUBLIC", "perhaps")
        .env("RINGLEDGER__SERVER__BACKLOG", "-1");
    bench.sources.flags.workers = Some(0);
    assert_eq!(
        bench.problems(),
        [
            "server: is a section; give its settings as keys below it (file ringledger.yaml, line 3)",
            "limits.fields: found string \"many\"; allowed: 8..=100 fields (file ringledger.yaml, line 1)",
            "log.level: found \"loud\"; allowed: off, error, warn, info, debug, trace (file ringledger.yaml, line 2)",
            "metrics.public: found string \"perhaps\"; allowed: true, false (environment RINGLEDGER__METRICS__PUBLIC)",
            "server.backlog: found signed int `-1`; allowed: 1..=65535 connections (environment RINGLEDGER__SERVER__BACKLOG)",
            "server.listen: invalid socket address syntax; allowed: an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080 (environment RINGLEDGER__SERVER__LISTEN)",
            "auth.token_ttl_s: 0 is out of range; allowed: 1..=31536000 s (environment RINGLEDGER__AUTH__TOKEN_TTL_S)",
            "runtime.workers: 0 is out of range; allowed: 1..=1024 threads (flag --workers)",
            "limits.head_bytes: 70000 is out of range; allowed: 1024..=65536 bytes (file ringledger.yaml, line 1)",
        ]
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let bench = Bench::new().yaml("limits: {head_bytes: 4096}\n");
    assert_eq!(
        bench.problems(),
        [
            "limits.head_bytes: 4096 is less than limits.target_bytes; allowed: at least 8192: the target is a part of the head (file ringledger.yaml, line 1)"
        ]
    );
}

#[test]
fn a_value_that_a_later_layer_replaces_is_not_judged() {
    let bench = Bench::new().yaml("runtime: {workers: 0}\n").env("RINGLEDGER__RUNTIME__WORKERS", "1");
    assert_eq!(bench.settings().runtime.workers, Some(1));
}

#[test]
fn a_file_that_is_not_yaml_is_named_with_its_line() {
    let problems = Bench::new().yaml("log:\n  level: info\n bad: [1,\n").problems();
    assert!(problems[0].starts_with("ringledger.yaml: "), "{problems:?}");
    assert!(problems[0].contains("line 3"), "{problems:?}");
    assert_eq!(Bench::new().yaml("just text").problems(), ["ringledger.yaml: is not a mapping of sections"]);
    assert_eq!(Bench::new().yaml("- a\n- b\n").problems(), ["ringledger.yaml: is not a mapping of sections"]);
}

#[test]
fn a_setting_given_twice_is_refused() {
    let bench = Bench::new()
        .yaml("log: {level: info}\nauth: {token_ttl_s: 5}\nlog: {level: warn}\n")
        .dotenv("RINGLEDGER__LOG__ACCESS=off\nRINGLEDGER__LOG__ACCESS=all\n");
    assert_eq!(
        bench.problems(),
        [
            "log.level: given twice (file ringledger.yaml, line 3)",
            "log.access: given twice (file .env, RINGLEDGER__LOG__ACCESS)",
        ]
    );
}

#[test]
fn a_config_file_must_exist_but_a_dotenv_file_need_not() {
    let mut bench = Bench::new();
    bench.sources.dotenv = Some(bench.path("none.env"));
    assert_eq!(bench.settings(), Settings::default());
    bench.sources.config_file = Some(bench.path("none.yaml"));
    assert_eq!(
        bench.problems(),
        ["cannot read none.yaml: No such file or directory (os error 2) (flag --config)"]
    );
}

#[test]
fn a_broken_dotenv_line_is_named_without_its_value() {
    let problems = Bench::new().dotenv("DATABASE_URL='postgres://u:hunter2@h\n").problems();
    assert_eq!(problems, [".env: the line of DATABASE_URL is not NAME=value; quote values with blanks"]);
    assert_eq!(Bench::new().dotenv("aHVudGVyMg== x\n").problems(), [".env: a line is not NAME=value"]);
}

#[test]
fn text_that_is_not_utf8_is_refused_not_altered() {
    use std::os::unix::ffi::OsStringExt;
    let broken = OsString::from_vec(vec![b'p', 0xff]);
    let mut bench = Bench::new().env("DATABASE_URL", broken.clone());
    bench.sources.flags.data_dir = Some(broken.into());
    assert_eq!(
        bench.problems(),
        [
            "DATABASE_URL: is not UTF-8; allowed: UTF-8 text (environment DATABASE_URL)",
            "store.data_dir: p\u{fffd} is not UTF-8; allowed: a UTF-8 path (flag --data)",
        ]
    );
}

#[test]
fn a_refused_url_is_never_quoted() {
    for text in ["mysql://u:hunter2@h", "postgres://u:hunter2/x@h", "postgres://u:hunter2@h /db"] {
        let error = Bench::new().env("DATABASE_URL", text).load().unwrap_err();
        assert!(error.to_string().starts_with("store.url: "), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
