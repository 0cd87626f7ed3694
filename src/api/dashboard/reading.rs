//! The metrics of `/metrics`, added up as the dashboard shows them: by core, by route, and as a whole.
//!
//! Read from the text that scrapers get, so that whatever is measured there comes here, too, and only its names and
//! labels are relied on. Knows the four families of requests by name and shows every other as it is.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

const REQUESTS: &str = "http_requests_total";
const DURATIONS: &str = "http_request_duration_seconds";
const BUCKET: &str = "_bucket";
const SUM: &str = "_sum";
const COUNT: &str = "_count";

/// Everything at one moment. Counts are since the start; who asks twice knows what came between.
#[derive(Debug, Default, Serialize)]
pub(super) struct Reading {
    cores: BTreeMap<String, Core>,
    /// By method and template.
    routes: BTreeMap<String, Histogram>,
    /// Requests answered, by status.
    statuses: BTreeMap<String, Number>,
    /// Histograms of the process, by name and labels.
    histograms: BTreeMap<String, Histogram>,
    /// All else of the process, by name and labels.
    numbers: BTreeMap<String, Number>,
}

#[derive(Debug, Default, Serialize)]
struct Core {
    requests: Number,
    durations: Histogram,
    /// All else of the core, by name and further labels.
    numbers: BTreeMap<String, Number>,
}

/// Cumulative buckets, by ascending bounds; the last is of all.
#[derive(Debug, Default, Serialize)]
struct Histogram {
    /// Inclusive; the last is absent, as there is none.
    bounds: Vec<f64>,
    counts: Vec<Number>,
    sum: Number,
}

/// A number that is written without a fraction if it has none.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const EXACT: f64 = 9_007_199_254_740_991.0;
        if self.0.fract() == 0.0 && self.0.abs() <= EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
            return serializer.serialize_i64(self.0 as i64);
        }
        serializer.serialize_f64(self.0)
    }
}

/// A line of the text.
struct Sample<'t> {
    name: &'t str,
    labels: Vec<(&'t str, &'t str)>,
    value: f64,
}

impl<'t> Sample<'t> {
    /// `name{label="value"} 1`; `None` for comments. No label here has a quote in its value.
    fn parse(line: &'t str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.strip_suffix('}').unwrap_or_default();
        let labels = labels.split("\",").filter_map(|label| label.split_once("=\""));
        let labels = labels.map(|(label, value)| (label, value.trim_end_matches('"'))).collect();
        Some(Self { name, labels, value: value.parse().ok()? })
    }

    fn label(&self, name: &str) -> Option<&'t str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| *value)
    }

    /// Name and labels but `core` and `le`.
    fn series(&self, name: &str) -> String {
        let shown = self.labels.iter().filter(|(label, _)| !["core", "le"].contains(label));
        let labels: Vec<_> = shown.map(|(label, value)| format!("{label}={value}")).collect();
        if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
    }
}

impl Histogram {
    /// Adds a line of a histogram, if it is one: `part` is what stands behind the family's name.
    fn add(&mut self, part: &str, sample: &Sample<'_>) {
        match (part, sample.label("le")) {
            (BUCKET, Some("+Inf")) => self.count_at(self.bounds.len(), sample.value),
            (BUCKET, Some(bound)) => {
                let Ok(bound) = bound.parse() else { return };
                let place = self.bounds.partition_point(|&known| known < bound);
                if self.bounds.get(place) != Some(&bound) {
                    self.bounds.insert(place, bound);
                    self.counts.insert(place.min(self.counts.len()), Number::default());
                }
                self.count_at(place, sample.value);
            }
            (SUM, _) => self.sum.0 += sample.value,
            _ => {}
        }
    }

    fn count_at(&mut self, place: usize, value: f64) {
        if self.counts.len() <= place {
            self.counts.resize(place + 1, Number::default());
        }
        self.counts[place].0 += value;
    }
}

impl Reading {
    /// What the text of a scrape says.
    pub(super) fn of(text: &str) -> Self {
        let mut reading = Self::default();
        let mut histogram = "";
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                histogram = family.strip_suffix(" histogram").unwrap_or_default();
            } else if let Some(sample) = Sample::parse(line) {
                match sample.name.strip_prefix(histogram).filter(|_| !histogram.is_empty()) {
                    Some(part @ (BUCKET | SUM | COUNT)) => reading.add_duration(histogram, part, &sample),
                    Some(_) | None => reading.add_number(&sample),
                }
            }
        }
        reading
    }

    fn add_duration(&mut self, family: &str, part: &str, sample: &Sample<'_>) {
        if family == DURATIONS {
            let word = |label| sample.label(label).unwrap_or_default();
            let route = format!("{} {}", word("method"), word("route"));
            self.routes.entry(route).or_default().add(part, sample);
            self.core(word("core")).durations.add(part, sample);
            return;
        }
        self.histograms.entry(sample.series(family)).or_default().add(part, sample);
    }

    fn add_number(&mut self, sample: &Sample<'_>) {
        match sample.label("core") {
            Some(core) if sample.name == REQUESTS => {
                let status = sample.label("status").unwrap_or_default();
                self.statuses.entry(status.to_owned()).or_default().0 += sample.value;
                self.core(core).requests.0 += sample.value;
            }
            Some(core) => {
                let series = sample.series(sample.name);
                self.core(core).numbers.entry(series).or_default().0 += sample.value;
            }
            None => self.numbers.entry(sample.series(sample.name)).or_default().0 += sample.value,
        }
    }

    fn core(&mut self, name: &str) -> &mut Core {
        self.cores.entry(name.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = r#"# HELP http_requests_total Requests answered.
# TYPE http_requests_total counter
http_requests_total{method="GET",route="/a/{id}",status="200",core="0"} 3
http_requests_total{method="GET",route="/a/{id}",status="404",core="1"} 2
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{method="GET",route="/a/{id}",status="200",core="0",le="5e-05"} 1
http_request_duration_seconds_bucket{method="GET",route="/a/{id}",status="200",core="0",le="+Inf"} 3
http_request_duration_seconds_sum{method="GET",route="/a/{id}",status="200",core="0"} 0.5
http_request_duration_seconds_count{method="GET",route="/a/{id}",status="200",core="0"} 3
http_request_duration_seconds_bucket{method="GET",route="/a/{id}",status="404",core="1",le="5e-05"} 2
http_request_duration_seconds_bucket{method="GET",route="/a/{id}",status="404",core="1",le="+Inf"} 2
http_request_duration_seconds_sum{method="GET",route="/a/{id}",status="404",core="1"} 0.25
# TYPE connections gauge
connections{core="0"} 7
# TYPE lane_batch_size histogram
lane_batch_size_bucket{le="1.0"} 4
lane_batch_size_bucket{le="+Inf"} 5
lane_batch_size_sum 12
lane_batch_size_count 5
# TYPE transfers_posted_total counter
transfers_posted_total{result="posted"} 9
"#;

    #[test]
    fn families_are_added_up_by_core_by_route_and_as_a_whole() {
        let reading = serde_json::to_value(Reading::of(TEXT)).unwrap();
        let zero = json!({
            "requests": 3, "numbers": {"connections": 7},
            "durations": {"bounds": [5e-5], "counts": [1, 3], "sum": 0.5}
        });
        assert_eq!(reading["cores"]["0"], zero);
        let route = json!({"bounds": [5e-5], "counts": [3, 5], "sum": 0.75});
        assert_eq!(reading["routes"], json!({"GET /a/{id}": route}));
        assert_eq!(reading["statuses"], json!({"200": 3, "404": 2}));
        let batches = json!({"bounds": [1.0], "counts": [4, 5], "sum": 12});
        assert_eq!(reading["histograms"], json!({"lane_batch_size": batches}));
        assert_eq!(reading["numbers"], json!({"transfers_posted_total{result=posted}": 9}));
    }
}
