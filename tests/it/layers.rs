//! The layers of the source tree, read from the sources: which module may name which, what the pure and the
//! thin layers must never name, where `unsafe` may stand, and how long a file may be.
//!
//! main → commands → app → server → api → services → store → models; `web`, `runtime`, `telemetry`,
//! `config` and `assets` are leaves that know nothing of the domain. A path counts wherever it stands, in a `use` or in a
//! body.

mod paths;

use std::fs;
use std::path::{Path, PathBuf};

use paths::{NamedPath, named_paths};

/// From the top down. Each may name those behind it and the leaves.
const LAYERS: [&str; 7] = ["commands", "app", "server", "api", "services", "store", "models"];
/// Each names nothing but itself.
const LEAVES: [&str; 5] = ["web", "runtime", "telemetry", "config", "assets"];
/// The process itself and the module map: they stand above all layers.
const ROOTS: [&str; 4] = ["main", "lib", "program", "ledger"];

/// The longest that a file may be, in lines.
const FILE_LINES: usize = 800;

/// Paths that a module must not name, and why.
struct Ban {
    module: &'static str,
    paths: &'static [&'static str],
    reason: &'static str,
}

const BANS: [Ban; 2] = [
    Ban {
        module: "api",
        paths: &["hyper", "hyper_util", "tokio_uring", "io_uring"],
        reason: "handlers never see a socket",
    },
    Ban {
        module: "models",
        paths: &[
            "async",
            "await",
            "tokio",
            "tokio_uring",
            "hyper",
            "rusqlite",
            "serde_json",
            "simd_json",
            "std::fs",
            "std::io",
            "std::net",
            "std::thread",
            "SystemTime",
            "Instant",
            "Timestamp::now",
            "Uuid::now_v7",
        ],
        reason: "the domain is pure: no async, I/O, JSON text or clock",
    },
];

/// Whether code of one top-level module may name another.
fn may_name(module: &str, other: &str) -> bool {
    let depth = |name| LAYERS.iter().position(|&layer| layer == name);
    if module == other || ROOTS.contains(&module) {
        return true;
    }
    match (depth(module), depth(other)) {
        (Some(from), Some(to)) => from < to,
        // The rules need nothing but the language.
        (Some(_), None) if module == "models" => false,
        (Some(_), None) => {
            LEAVES.contains(&other) || (other == "cli" && ["commands", "app"].contains(&module))
        }
        (None, _) => module == "cli" && ["config", "assets"].contains(&other),
    }
}

fn is_module(name: &str) -> bool {
    LAYERS.contains(&name) || LEAVES.contains(&name) || name == "cli"
}

/// A source file; `path` is relative to `src`.
struct Source<'a> {
    path: &'a str,
    code: &'a str,
}

impl Source<'_> {
    /// The modules from the crate's root to this file.
    fn modules(&self) -> Vec<&str> {
        let path = self.path.strip_suffix(".rs").unwrap_or(self.path);
        path.split('/').filter(|&module| module != "mod").collect()
    }

    /// Everything in this file that breaks a rule, a line each.
    fn offences(&self) -> Vec<String> {
        let module = self.modules()[0];
        let mut offences = Vec::new();
        if !is_module(module) && !ROOTS.contains(&module) {
            offences.push(format!("{}: `{module}` has no place among the layers", self.path));
        }
        for path in named_paths(self.code) {
            let found = self.upward(module, &path).or_else(|| banned(module, &path));
            offences.extend(found.map(|what| format!("{}:{}: {what}", self.path, path.line)));
        }
        offences
    }

    fn upward(&self, module: &str, path: &NamedPath) -> Option<String> {
        let other = self.top_level(path)?;
        (!may_name(module, other)).then(|| format!("`{module}` names `{other}`"))
    }

    /// The layer that a path leads to: by its crate, by `crate::` or by enough `super::`.
    fn top_level<'p>(&self, path: &'p NamedPath) -> Option<&'p str> {
        let segments = &path.segments;
        match segments.first().and_then(|first| first.strip_prefix("ringledger_")) {
            Some("ledger") => return segments.get(1).map(String::as_str),
            Some(layer) => return Some(layer),
            None => {}
        }
        let climbs = segments.iter().take_while(|&segment| segment == "super").count();
        let place = match segments.iter().position(|segment| segment == "crate") {
            Some(root) => root + 1,
            None if climbs >= self.modules().len() => climbs,
            None => return None,
        };
        segments.get(place).map(String::as_str).filter(|name| is_module(name))
    }
}

/// What must never be named in a module, wherever it comes from.
fn banned(module: &str, path: &NamedPath) -> Option<String> {
    if path.names("unsafe") && module != "runtime" {
        return Some("`unsafe` belongs to `runtime`".to_owned());
    }
    let mut bans = BANS.iter().filter(|ban| ban.module == module);
    bans.find_map(|ban| {
        let named = ban.paths.iter().find(|banned| path.names(banned))?;
        Some(format!("`{module}` names `{named}`: {}", ban.reason))
    })
}

/// Every `.rs` file below a folder of the package, sorted.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn every_module_keeps_to_its_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = Vec::new();
    let mut offences = Vec::new();
    for file in rust_files("src") {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap();
        let source = Source { path, code: &fs::read_to_string(&file).unwrap() };
        seen.push(source.modules()[0].to_owned());
        offences.extend(source.offences());
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
    let missing: Vec<_> =
        LAYERS.iter().chain(&LEAVES).filter(|&&name| !seen.contains(&name.into())).collect();
    assert!(missing.is_empty(), "rules for modules that are not there: {missing:?}");
}

#[test]
fn no_file_is_too_long() {
    let files = ["src", "tests", "benches"].into_iter().flat_map(rust_files);
    let lines = files.map(|file| (fs::read_to_string(&file).unwrap().lines().count(), file));
    let long: Vec<_> = lines.filter(|(lines, _)| *lines > FILE_LINES).collect();
    assert!(long.is_empty(), "longer than {FILE_LINES} lines: {long:#?}");
}

#[test]
fn a_breach_is_found_where_it_stands() {
    let cases = [
        ("models/money.rs", "use crate::store::Reader;", "models/money.rs:1: `models` names `store`"),
        (
            "store/mod.rs",
            "\n\nuse crate::{models::Id, services};",
            "store/mod.rs:3: `store` names `services`",
        ),
        ("web/json/text.rs", "fn f() { crate::models::f() }", "web/json/text.rs:1: `web` names `models`"),
        ("web/host.rs", "use super::super::api;", "web/host.rs:1: `web` names `api`"),
        ("runtime/net.rs", "use crate::config::IoMode;", "runtime/net.rs:1: `runtime` names `config`"),
        ("models/id.rs", "use crate::web::page;", "models/id.rs:1: `models` names `web`"),
        ("cli.rs", "use crate::app;", "cli.rs:1: `cli` names `app`"),
        ("server/mod.rs", "use crate::cli::Serve;", "server/mod.rs:1: `server` names `cli`"),
        ("app.rs", "use crate::commands::run;", "app.rs:1: `app` names `commands`"),
        ("models/mod.rs", "use ringledger_ledger::store;", "models/mod.rs:1: `models` names `store`"),
        ("util.rs", "", "util.rs: `util` has no place among the layers"),
        (
            "api/users.rs",
            "type B = hyper::body::Incoming;",
            "api/users.rs:1: `api` names `hyper`: handlers never see a socket",
        ),
        (
            "models/time.rs",
            "use std::{fmt, fs::File};",
            "models/time.rs:1: `models` names `std::fs`: the domain is pure: no async, I/O, JSON text or clock",
        ),
        ("web/mod.rs", "/* a\nb */ unsafe { f() }", "web/mod.rs:2: `unsafe` belongs to `runtime`"),
    ];
    for (path, code, offence) in cases {
        assert_eq!(Source { path, code }.offences(), [offence], "{code}");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    let cases = [
        ("main.rs", "use ringledger::app; use crate::server;"),
        ("app/mod.rs", "use crate::{cli::Token, config, server::{self, x}, store::*};"),
        ("api/users.rs", "use crate::models::UserId; use crate::web::Reply; use crate::services::Services;"),
        ("runtime/ring/ops.rs", "use crate::runtime::sys; unsafe { f() }"),
        ("models/mod.rs", "// use crate::store;\nconst S: &str = \"crate::store unsafe\";"),
        ("models/mod.rs", "const R: &str = r#\"\"crate::api\"#; fn f<'a>(c: char) -> bool { c == '\"' }"),
        ("store/mod.rs", "use ringledger_ledger::models;"),
        ("web/host.rs", "mod tests { use super::super::page; } #![allow(unsafe_code)]"),
        ("api/mod.rs", "use http::Method; let hyperlink = 1;"),
    ];
    for (path, code) in cases {
        assert_eq!(Source { path, code }.offences(), Vec::<String>::new(), "{code}");
    }
}
