//! Findings as a table for people and as JSON for machines. Knows nothing of how they were made.

use std::fmt::Write as _;

use serde::Serialize;

use super::finding::{Finding, Group, Level, worst};
use crate::cli::Profile;

/// Columns of the names and of what is now; longer ones push the rest to the right.
const NAME_WIDTH: usize = 36;
const NOW_WIDTH: usize = 38;

/// How a table looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    /// Whether the terminal takes colours.
    pub(super) colours: bool,
    /// Whether what is as wanted is explained too.
    pub(super) all: bool,
}

/// The word and the colour (ECMA-48, "select graphic rendition") of a level.
const fn mark(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::Ok => ("ok", "32"),
        Level::Note => ("note", "36"),
        Level::Warning => ("warn", "33"),
        Level::Blocker => ("BLOCK", "1;31"),
    }
}

/// A table, a verdict at its end.
pub(super) fn table(groups: &[Group], profile: Profile, style: Style) -> String {
    let mut text = String::new();
    for group in groups {
        line(&mut text, format_args!("{}", paint(group.title, "1", style)));
        for finding in &group.findings {
            row(&mut text, finding, finding.level(profile), style);
        }
    }
    line(&mut text, format_args!("{}", verdict(groups, profile)));
    text
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    writeln!(text, "{words}").expect("a String takes every line");
}

fn paint(words: &str, colour: &str, style: Style) -> String {
    if style.colours { format!("\x1b[{colour}m{words}\x1b[0m") } else { words.to_owned() }
}

fn row(text: &mut String, finding: &Finding, level: Level, style: Style) {
    let (word, colour) = mark(level);
    // Padded first: a colour takes no room on the screen.
    let word = paint(&format!("{word:5}"), colour, style);
    let (name, now, wanted) = (&finding.name, &finding.now, &finding.wanted);
    line(text, format_args!("  {word} {name:NAME_WIDTH$} {now:NOW_WIDTH$} wanted: {wanted}"));
    if level != Level::Ok || style.all {
        for (title, words) in [("why", finding.why), ("how", &finding.how), ("source", finding.source)] {
            line(text, format_args!("        {title}: {words}"));
        }
    }
}

/// One line: how many of each level, and what the exit code will be.
fn verdict(groups: &[Group], profile: Profile) -> String {
    let levels: Vec<_> =
        groups.iter().flat_map(|group| &group.findings).map(|finding| finding.level(profile)).collect();
    let count = |wanted| levels.iter().filter(|&&level| level == wanted).count();
    format!(
        "{} (profile {}): {} as wanted, {} notes, {} warnings, {} blockers",
        word(worst(groups, profile)),
        profile.as_str(),
        count(Level::Ok),
        count(Level::Note),
        count(Level::Warning),
        count(Level::Blocker)
    )
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::Ok | Level::Note => "ok",
        Level::Warning => "warnings",
        Level::Blocker => "blocker",
    }
}

#[derive(Serialize)]
struct Report<'a> {
    profile: &'static str,
    verdict: &'static str,
    checks: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    group: &'static str,
    check: &'a str,
    level: Level,
    now: &'a str,
    wanted: &'a str,
    why: &'static str,
    how: &'a str,
    source: &'static str,
}

/// One JSON object: `profile`, `verdict` (`ok`, `warnings`, `blocker`) and `checks`.
pub(super) fn json(groups: &[Group], profile: Profile) -> Result<String, serde_json::Error> {
    let lines = groups.iter().flat_map(|group| {
        group.findings.iter().map(|finding| Line {
            group: group.title,
            check: &finding.name,
            level: finding.level(profile),
            now: &finding.now,
            wanted: &finding.wanted,
            why: finding.why,
            how: &finding.how,
            source: finding.source,
        })
    });
    let verdict = word(worst(groups, profile));
    serde_json::to_string(&Report { profile: profile.as_str(), verdict, checks: lines.collect() })
}

#[cfg(test)]
mod tests {
    use super::super::finding::{Check, Weight};
    use super::*;

    const CHECK: Check = Check {
        name: "knob",
        wanted: "1",
        why: "reason",
        how: "turn it",
        source: "knob(7)",
        weight: Weight::Server,
    };
    const PLAIN: Style = Style { colours: false, all: false };

    fn groups(fits: bool) -> [Group; 1] {
        [Group { title: "knobs", findings: vec![CHECK.found("0", fits)] }]
    }

    #[test]
    fn what_is_not_as_wanted_is_explained() {
        let text = table(&groups(false), Profile::Container, PLAIN);
        for words in [
            "knobs\n",
            "  warn  knob ",
            "wanted: 1\n",
            "why: reason\n",
            "how: turn it\n",
            "source: knob(7)\n",
        ] {
            assert!(text.contains(words), "{words:?} in {text}");
        }
        assert!(
            text.ends_with("warnings (profile container): 0 as wanted, 0 notes, 1 warnings, 0 blockers\n")
        );
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn what_is_as_wanted_takes_a_line_unless_all_is_asked_for() {
        let short = table(&groups(true), Profile::Container, PLAIN);
        assert!(short.contains("  ok    knob") && !short.contains("why:"), "{short}");
        let long = table(&groups(true), Profile::Container, Style { all: true, ..PLAIN });
        assert!(long.contains("why: reason"), "{long}");
    }

    #[test]
    fn colours_are_asked_for() {
        let text = table(&groups(false), Profile::Container, Style { colours: true, all: false });
        assert!(text.contains("\x1b[33mwarn \x1b[0m knob"), "{text}");
    }

    #[test]
    fn machines_get_every_field() {
        let text = json(&groups(false), Profile::Dev).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "profile": "dev",
                "verdict": "ok",
                "checks": [{
                    "group": "knobs", "check": "knob", "level": "note", "now": "0", "wanted": "1",
                    "why": "reason", "how": "turn it", "source": "knob(7)",
                }],
            })
        );
    }
}
