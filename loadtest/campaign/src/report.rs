//! What a campaign has found, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::audit::{Findings, INVARIANTS};
use crate::clients::Tally;

/// What came of a campaign.
#[derive(Debug, Default)]
pub struct Report {
    /// How often the server was killed.
    pub server_kills: u64,
    /// How often Postgres was killed.
    pub postgres_kills: u64,
    /// How often a start ended because Postgres did not answer, and was tried again.
    pub failed_starts: u64,
    /// Transfers that were acknowledged.
    pub acknowledged: u64,
    /// Orders that were refused for want of funds, which is an answer as well.
    pub refused: u64,
    /// What happened to requests.
    pub tally: Tally,
    /// From each kill of the server to the first answer to a later request.
    pub after_server: Recovery,
    /// The same of Postgres.
    pub after_postgres: Recovery,
    /// Of that, until Postgres itself takes connections again.
    pub postgres_away: Recovery,
    /// How long the clients were at work, in seconds.
    pub seconds: f64,
    /// What the audit found.
    pub findings: Findings,
}

/// Times of recoveries.
#[derive(Debug, Default)]
pub struct Recovery(Vec<Duration>);

impl Recovery {
    pub(crate) fn push(&mut self, after: Duration) {
        self.0.push(after);
        self.0.sort_unstable();
    }

    /// The median; `None` where there was none.
    pub fn median(&self) -> Option<Duration> {
        self.0.get(self.0.len() / 2).copied()
    }

    /// The longest.
    pub fn longest(&self) -> Option<Duration> {
        self.0.last().copied()
    }

    fn to_json(&self) -> Value {
        let ms = |time: Option<Duration>| time.map(|time| time.as_millis());
        json!({"count": self.0.len(), "p50_ms": ms(self.median()), "max_ms": ms(self.longest())})
    }
}

impl Report {
    pub(crate) fn count(&mut self, more: &Tally) {
        self.tally.lost_answers += more.lost_answers;
        self.tally.had_been_decided += more.had_been_decided;
        self.tally.unavailable += more.unavailable;
        self.tally.replayed += more.replayed;
    }

    pub(crate) const fn recoveries(&mut self, of_server: bool) -> &mut Recovery {
        if of_server { &mut self.after_server } else { &mut self.after_postgres }
    }

    /// Whether every invariant holds.
    pub fn holds(&self) -> bool {
        self.findings.breaches.is_empty()
    }

    /// The whole report.
    pub fn to_json(&self) -> Value {
        let invariant = |(number, _): (&str, &str)| {
            let breaches = self.findings.breaches.iter().filter(|(broken, _)| *broken == number);
            let breaches: Vec<_> = breaches.map(|(_, detail)| detail).collect();
            (number.to_owned(), json!({"holds": breaches.is_empty(), "breaches": breaches}))
        };
        json!({
            "kills": {"server": self.server_kills, "postgres": self.postgres_kills},
            "failed_starts": self.failed_starts,
            "acknowledged": self.acknowledged,
            "refused": self.refused,
            "lost_answers": {
                "resolved": self.tally.lost_answers,
                "had_been_decided": self.tally.had_been_decided,
                "decided_when_sent_again": self.tally.lost_answers - self.tally.had_been_decided,
            },
            "unavailable_replies": self.tally.unavailable,
            "replayed": self.tally.replayed,
            "events": self.findings.events,
            "invariants": INVARIANTS.into_iter().map(invariant).collect::<serde_json::Map<_, _>>(),
            "recovery": {"server": self.after_server.to_json(), "postgres": self.after_postgres.to_json(),
                "postgres_away": self.postgres_away.to_json()},
            "seconds": self.seconds,
            "holds": self.holds(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { lost_answers, had_been_decided, unavailable, replayed } = self.tally;
        writeln!(f, "kills: {} of the server, {} of Postgres", self.server_kills, self.postgres_kills)?;
        writeln!(f, "acknowledged: {} transfers, {} refusals", self.acknowledged, self.refused)?;
        writeln!(f, "lost answers: {lost_answers} resolved, of which {had_been_decided} had been decided")?;
        writeln!(f, "replies with 503: {unavailable}; replays asked for: {replayed}")?;
        for (what, times) in [("server", &self.after_server), ("Postgres", &self.after_postgres)] {
            if let (Some(median), Some(longest)) = (times.median(), times.longest()) {
                writeln!(
                    f,
                    "first answer after a kill of {what}: {median:.1?} at the median, {longest:.1?} at most"
                )?;
            }
        }
        for (number, what) in INVARIANTS {
            let breaches = self.findings.breaches.iter().filter(|(broken, _)| *broken == number);
            let mut breaches = breaches.map(|(_, detail)| detail).peekable();
            writeln!(f, "{number} {}: {what}", if breaches.peek().is_none() { "holds" } else { "BROKEN" })?;
            for detail in breaches {
                writeln!(f, "   {detail}")?;
            }
        }
        write!(f, "{} events in {:.0} s", self.findings.events, self.seconds)
    }
}
