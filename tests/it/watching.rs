//! The alert rules and the dashboard that are shipped: they must ask for metrics that there are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::raw::Connection;
use crate::support::{Scrape, Server};

fn shipped(path: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tuning", path].iter().collect();
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", Path::display(&path)))
}

/// The names of all samples of a fresh server.
fn samples() -> BTreeSet<String> {
    let server = Server::start_with(&["--bench-endpoints"]);
    let mut connection = Connection::open(server.address());
    // Of requests, only what was counted is shown: the scrape before.
    Scrape::on(&mut connection);
    let Scrape(text) = Scrape::on(&mut connection);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// The metrics that an expression asks for: its words that are neither a function, nor a keyword, nor within the braces
/// or quotes of a selector or the parentheses of a list of labels.
fn metrics(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric() || "{[\"$".contains(c)) {
        rest = &rest[start..];
        let end = match rest.as_bytes()[0] {
            b'{' => rest.find('}'),
            b'[' => rest.find(']'),
            b'"' => rest[1..].find('"').map(|end| end + 1),
            _ => rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_$:".contains(c))).map(|end| end - 1),
        };
        let (word, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        rest = after;
        if ["by", "without", "on", "ignoring"].contains(&word) {
            rest = rest.split_once(')').map_or("", |(_, rest)| rest);
        } else if word.as_bytes()[0].is_ascii_alphabetic() && !is_operator(rest) {
            found.push(word.to_owned());
        }
    }
    found
}

/// Whether what stands before this is a function or an aggregation.
fn is_operator(rest: &str) -> bool {
    ["(", "by ", "by(", "without "].iter().any(|next| rest.trim_start().starts_with(next))
}

#[test]
fn metrics_are_told_from_all_else_in_an_expression() {
    let expression = r#"histogram_quantile(0.99, sum by (le, core) (rate(a_bucket{x="y z"}[$__rate_interval]))) / b > 1e3"#;
    assert_eq!(metrics(expression), ["a_bucket", "b"]);
}

#[test]
fn alert_rules_ask_for_metrics_that_there_are() {
    let (samples, rules) = (samples(), shipped("prometheus/alerts.yml"));
    let expressions: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert_eq!(expressions.len(), rules.matches("- alert:").count(), "each in a line of its own");
    for expression in expressions {
        let metrics = metrics(expression);
        assert!(!metrics.is_empty(), "{expression}");
        for metric in metrics {
            // Prometheus' own.
            assert!(metric == "up" || samples.contains(&metric), "{metric} of {expression}");
        }
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let (samples, dashboard) = (samples(), shipped("grafana/ringledger.json"));
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10);
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let metrics = metrics(expression);
            assert!(!metrics.is_empty(), "{expression}");
            for metric in metrics {
                assert!(samples.contains(&metric), "{metric} of {:?}: {expression}", panel["title"]);
            }
        }
    }
}
