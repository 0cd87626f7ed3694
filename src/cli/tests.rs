//! What the command line takes and what it refuses.

use std::path::Path;

use ringledger_assets::{completions, manual};

use super::*;

fn parse(line: &str) -> Result<Invocation, clap::Error> {
    Invocation::parse(line.split_whitespace().map(OsString::from))
}

fn command(line: &str) -> Command {
    parse(line).unwrap().command
}

fn usage_error(line: &str) -> String {
    let error = parse(line).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{line}");
    error.to_string()
}

#[test]
fn definition_is_sound() {
    definition().debug_assert();
}

#[test]
fn no_command_is_serve() {
    assert_eq!(command("ringledger"), Command::Serve(Serve::default()));
    assert_eq!(
        parse("ringledger --listen [::1]:9").unwrap(),
        parse("ringledger serve --listen [::1]:9").unwrap()
    );
}

#[test]
fn every_serve_flag_becomes_a_setting() {
    let line = "ringledger --data /d serve --listen 1.2.3.4:5 --workers 7 --io uring --bench-endpoints";
    assert_eq!(
        parse(line).unwrap().overrides(),
        Overrides {
            listen: Some("1.2.3.4:5".parse().unwrap()),
            workers: Some(7),
            io: Some(IoMode::Uring),
            data_dir: Some("/d".into()),
            bench_endpoints: Some(true),
        }
    );
    assert_eq!(parse("ringledger").unwrap().overrides(), Overrides::default());
}

#[test]
fn place_is_taken_before_and_behind_every_command() {
    let commands = [
        "serve",
        "token --operator",
        "user add bob --password-stdin",
        "migrate",
        "verify",
        "config show",
        "config check",
    ];
    let place = Place { config: Some("c.yaml".into()), data: Some("d".into()) };
    for command in commands {
        let before = parse(&format!("ringledger --config c.yaml --data d {command}"));
        let behind = parse(&format!("ringledger {command} --config c.yaml --data d"));
        assert_eq!(before.unwrap().place, place, "{command}");
        assert_eq!(behind.unwrap().place, place, "{command}");
    }
}

#[test]
fn serve_flags_do_not_fit_other_commands() {
    usage_error("ringledger --listen 1.2.3.4:5 verify");
    usage_error("ringledger --workers 1 serve --workers 2");
    usage_error("ringledger verify --listen 1.2.3.4:5");
}

#[test]
fn values_out_of_bounds_are_usage_errors() {
    usage_error("ringledger --workers 0");
    usage_error("ringledger --workers 1025");
    usage_error("ringledger --io kqueue");
    usage_error("ringledger --listen localhost:80");
    usage_error("ringledger token --operator --ttl 0");
    usage_error("ringledger token --operator --ttl 31536001");
    usage_error("ringledger nonsense");
}

#[test]
fn a_token_is_for_somebody() {
    usage_error("ringledger token");
    usage_error("ringledger token --ttl 5");
    let both = command("ringledger token --user alice --operator --ttl 5");
    assert_eq!(both, Command::Token(Token { user: Some("alice".into()), operator: true, ttl: Some(5) }));
    assert!(parse("ringledger token --user alice").is_ok());
}

#[test]
fn a_password_comes_from_stdin_only() {
    assert!(usage_error("ringledger user add bob").contains("--password-stdin"));
    usage_error("ringledger user add --password-stdin");
    assert_eq!(
        command("ringledger user add bob --password-stdin"),
        Command::User(User::Add(UserAdd { name: "bob".into(), operator: false, password_stdin: true }))
    );
}

#[test]
fn heads_are_read_exactly() {
    let digits = "00ff".repeat(16);
    let head: ExpectedHead = format!("18446744073709551615:{digits}").parse().unwrap();
    assert_eq!(head.seq, u64::MAX);
    assert_eq!(head.hash[..4], [0, 0xff, 0, 0xff]);
    assert_eq!(format!("7:{}", "AB".repeat(32)).parse::<ExpectedHead>().unwrap().hash, [0xab; 32]);
    let wrong = [
        "7".to_owned(),
        format!(":{digits}"),
        format!("+7:{digits}"),
        format!("-7:{digits}"),
        format!("18446744073709551616:{digits}"),
        format!("7:{}", &digits[1..]),
        format!("7:{digits}0"),
        format!("7:{}", "é".repeat(32)),
        format!("7:+{}", &digits[1..]),
    ];
    for text in wrong {
        assert_eq!(text.parse::<ExpectedHead>(), Err(BadHead), "{text}");
    }
}

#[test]
fn help_and_version_are_no_failures() {
    for line in ["ringledger --help", "ringledger --version", "ringledger token --help"] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 0, "{line}");
    }
}

/// The scripts in `src/assets/completions` and the pages in `src/assets/man` are what clap makes of the definition. After a
/// change of it: `RINGLEDGER_MAKE_ASSETS=1 cargo test -p ringledger-program what_clap_makes`, twice, since they are built in.
#[test]
fn what_clap_makes_of_the_command_line_is_what_the_binary_carries() {
    let carried = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets");
    let is_made = std::env::var_os("RINGLEDGER_MAKE_ASSETS").is_some();
    let assert_carried = |file: &str, carries: &str, expected: String| {
        if is_made {
            std::fs::write(carried.join(file), expected.replace(VERSION, "{{version}}")).unwrap();
        } else {
            assert!(carries == expected, "{file} is not what the command line says");
        }
    };
    for (shell, name, script) in [
        (clap_complete::Shell::Bash, "bash", completions::BASH),
        (clap_complete::Shell::Elvish, "elvish", completions::ELVISH),
        (clap_complete::Shell::Fish, "fish", completions::FISH),
        (clap_complete::Shell::PowerShell, "powershell", completions::POWERSHELL),
        (clap_complete::Shell::Zsh, "zsh", completions::ZSH),
    ] {
        let mut expected = Vec::new();
        clap_complete::generate(shell, &mut definition(), "ringledger", &mut expected);
        // `completions` prints the last line's end itself.
        let expected = String::from_utf8(expected).unwrap().trim_end().to_owned() + "\n";
        assert_carried(&format!("completions/{name}"), &script.text(), expected);
    }
    let fresh = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(definition(), fresh.path()).unwrap();
    let pages = manual(VERSION);
    for page in std::fs::read_dir(fresh.path()).unwrap().map(Result::unwrap) {
        let name = page.file_name().into_string().unwrap();
        let carries = pages.iter().find(|(carried, _)| *carried == name).map_or("", |(_, page)| page);
        assert_carried(&format!("man/{name}"), carries, std::fs::read_to_string(page.path()).unwrap());
    }
    assert!(is_made || pages.len() == std::fs::read_dir(fresh.path()).unwrap().count());
}
