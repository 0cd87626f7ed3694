//! Metrics as a scraper sees them. Knows no metric by name.

use super::raw::{Connection, Request};

/// The text of one scrape.
pub(crate) struct Scrape(pub(crate) String);

impl Scrape {
    /// What `/metrics` says now.
    pub(crate) fn on(connection: &mut Connection) -> Self {
        let reply = connection.call(Request::get("/metrics").bytes());
        assert_eq!(reply.status, 200, "{reply:?}");
        Self(String::from_utf8(reply.body).unwrap())
    }

    /// The sum of the samples of `name` that have all of `labels`; those of this service that tests ask for are
    /// whole numbers. 0 when there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.samples(name, labels).into_iter().sum()
    }

    /// The samples of `name` that have all of `labels`, in their order.
    pub(crate) fn samples(&self, name: &str, labels: &[(&str, &str)]) -> Vec<u64> {
        let wanted: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let samples = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, has) = series.split_once('{').unwrap_or((series, "}"));
            let has: Vec<_> = has.trim_end_matches('}').split(',').collect();
            let matches = found == name && wanted.iter().all(|label| has.contains(&label.as_str()));
            matches.then(|| value.parse().unwrap_or_else(|error| panic!("{line}: {error}")))
        });
        samples.collect()
    }
}
