//! The families that a scrape shows. Names and labels are an interface: dashboards and alerts know them.

use std::time::SystemTime;

use super::cells::{Histogram, OneWriter, Reading, SECONDS, Scale, THINGS, Tally};
use super::per_core::{CoreCells, STATUSES};
use super::process::Usage;
use super::text::{Format, Kind, Labels, Text};
use super::turning::{Asked, Turning};
use super::{Build, Core, Metrics};

/// The method and route of requests that no row of the table serves.
const UNMATCHED: [&str; 2] = ["other", "unmatched"];

/// A series of requests: its labels and its durations.
type Series<'a> = (Labels, &'a Histogram<OneWriter>);

impl Metrics {
    /// Everything that is known now, as text. Series that have counted no request are left out.
    pub fn render(&self, format: Format) -> String {
        let mut text = Text::new(format);
        self.requests(&mut text);
        self.cores(&mut text);
        self.loops(&mut text);
        self.ledger(&mut text);
        self.store(&mut text);
        self.cpu_pool(&mut text);
        self.process(&mut text);
        text.finish()
    }

    fn requests(&self, text: &mut Text) {
        let series: Vec<Series<'_>> = self.cores.iter().flat_map(|core| self.series(core)).collect();
        text.family("http_requests", Kind::Counter, "Requests answered.");
        for (labels, durations) in &series {
            text.sample(labels, durations.read().count());
        }
        text.family(
            "http_request_duration_seconds",
            Kind::Histogram,
            "Time from a request's head to its reply.",
        );
        for (labels, durations) in &series {
            text.histogram(&SECONDS, labels, &durations.read());
        }
    }

    /// The series of a core that have counted something.
    fn series<'a>(&'a self, core: &'a Core) -> impl Iterator<Item = Series<'a>> {
        let known = self.rows.iter().map(|row| [row.method.as_str(), row.route.as_str()]);
        let slots = known.chain([UNMATCHED]).zip(core.cells.rows()).flat_map(|(row, slots)| {
            let statuses = STATUSES.iter().map(Some).chain([None]);
            statuses.zip(slots).map(move |(status, durations)| (row, status, durations))
        });
        slots.filter(|(_, _, durations)| durations.read().count() > 0).map(
            |([method, route], status, durations)| {
                let labels = Labels::default().and("method", method).and("route", route);
                let labels = match status {
                    Some(status) => labels.and("status", status),
                    None => labels.and("status", "other"),
                };
                (labels.and("core", &core.name), durations)
            },
        )
    }

    fn cores(&self, text: &mut Text) {
        type Cell = fn(&CoreCells) -> u64;
        let families: [(&str, Kind, &str, Cell); 6] = [
            ("http_requests_in_flight", Kind::Gauge, "Requests being answered.", |core| {
                core.in_flight.value()
            }),
            ("connections", Kind::Gauge, "Connections open.", |core| core.connections.value()),
            ("connections_accepted", Kind::Counter, "Connections accepted.", |core| core.accepted.value()),
            ("auth_failures", Kind::Counter, "Requests refused with 401.", |core| core.answered_with(401)),
            ("rate_limited", Kind::Counter, "Requests refused with 429.", |core| core.answered_with(429)),
            ("events_readers", Kind::Gauge, "Readers of events.", |core| core.event_readers.value()),
        ];
        for (name, kind, help, cell) in families {
            text.family(name, kind, help);
            for core in &self.cores {
                text.sample(&core.labels(), cell(&core.cells));
            }
        }
        text.family(
            "events_lag",
            Kind::Gauge,
            "Events committed here that a core's readers were not given yet.",
        );
        let last_seq = self.last_seq.read();
        for core in &self.cores {
            let cells = &core.cells;
            let behind = last_seq.saturating_sub(cells.events_given.value());
            text.sample(&core.labels(), if cells.event_readers.value() > 0 { behind } else { 0 });
        }
    }

    /// Of those cores that have settled.
    fn loops(&self, text: &mut Text) {
        type Number = fn(&Turning) -> u64;
        let told = |core: &Core| core.cells.turning.get().map(|Asked(ask)| (core.labels(), ask()));
        let cores: Vec<(Labels, Turning)> = self.cores.iter().filter_map(told).collect();
        let families: [(&str, Kind, &str, Number); 5] = [
            ("core_wakeups", Kind::Counter, "Times that a core's loop woke up.", |core| core.wakeups),
            ("ring_completions", Kind::Counter, "Operations that the ring has completed.", |core| {
                core.completed
            }),
            ("ring_operations_in_flight", Kind::Gauge, "Operations that the ring holds.", |core| {
                core.in_flight
            }),
            ("http_received_bytes", Kind::Counter, "Bytes from clients.", |core| core.received_bytes),
            ("http_sent_bytes", Kind::Counter, "Bytes to clients.", |core| core.sent_bytes),
        ];
        for (name, kind, help, number) in families {
            text.family(name, kind, help);
            for (labels, turning) in &cores {
                text.sample(labels, number(turning));
            }
        }
        text.family("core_busy_seconds", Kind::Counter, "Time that a core's loop ran tasks.");
        for (labels, turning) in &cores {
            text.sample(labels, turning.busy.as_secs_f64());
        }
        text.family("busy_poll_turns", Kind::Counter, "Turns of busy polling, by what they found.");
        for (labels, turning) in &cores {
            text.sample(&labels.clone().and("found", "something"), turning.busy_turns);
            text.sample(&labels.clone().and("found", "nothing"), turning.idle_turns);
        }
    }

    fn ledger(&self, text: &mut Text) {
        text.family("transfers_posted", Kind::Counter, "Transfers asked for, by what the ledger decided.");
        for (result, count) in self.transfers.read() {
            text.sample(&Labels::default().and("result", result), count);
        }
        let mut histogram = |name, help, scale: &Scale, reading: &Reading| {
            text.family(name, Kind::Histogram, help);
            text.histogram(scale, &Labels::default(), reading);
        };
        let batch = self.lane_batch.read();
        histogram("lane_batch_size", "Commands that the posting lane committed together.", &THINGS, &batch);
        let wait = self.lane_wait.read();
        histogram(
            "lane_wait_seconds",
            "Time that commands waited for the lane to take them.",
            &SECONDS,
            &wait,
        );
    }

    fn store(&self, text: &mut Text) {
        let operation = |name: &str| Labels::default().and("operation", name);
        let (commit, read) = (operation("commit"), operation("read"));
        let of_cores = |histogram: fn(&CoreCells) -> &Histogram<OneWriter>| {
            let readings = self.cores.iter().map(|core| histogram(&core.cells).read());
            readings.fold(Reading::default(), Reading::and)
        };
        text.family("store_seconds", Kind::Histogram, "Time that the store took.");
        text.histogram(&SECONDS, &commit, &self.store_commits.read());
        text.histogram(&SECONDS, &read, &of_cores(|core| &core.store_reads));
        text.family("store_errors", Kind::Counter, "Times that the store did not answer.");
        text.sample(&commit, self.store_commit_errors.read());
        text.sample(&read, self.cores.iter().map(|core| core.cells.store_errors.value()).sum::<u64>());
        let help = "Time that questions waited for a connection to Postgres.";
        text.family("store_pool_wait_seconds", Kind::Histogram, help);
        text.histogram(&SECONDS, &Labels::default(), &of_cores(|core| &core.pool_waits));
    }

    fn cpu_pool(&self, text: &mut Text) {
        for (name, help, durations) in [
            ("cpu_pool_queue_seconds", "Time that jobs waited for a thread.", &self.cpu_pool_queue),
            ("cpu_pool_run_seconds", "Time that jobs ran.", &self.cpu_pool_run),
        ] {
            text.family(name, Kind::Histogram, help);
            text.histogram(&SECONDS, &Labels::default(), &durations.read());
        }
    }

    fn process(&self, text: &mut Text) {
        let bare = Labels::default();
        text.family("build", Kind::Info, "What runs.");
        let Build { version, commit, features } = self.build;
        let build = bare.clone().and("version", version).and("commit", commit).and("features", features);
        text.sample(&build, 1);
        text.family("log_lines_dropped", Kind::Counter, "Log lines that the writer did not keep up with.");
        text.sample(&bare, self.dropped_lines.count());
        text.family("process_start_time_seconds", Kind::Gauge, "Unix time of the start.");
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        text.sample(&bare, started.as_secs_f64());
        // Without proc(5) these are unknown, and left out.
        let Ok(usage) = Usage::read() else { return };
        text.family("process_resident_memory_bytes", Kind::Gauge, "Resident memory.");
        text.sample(&bare, usage.resident_bytes);
        text.family("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory.");
        text.sample(&bare, usage.virtual_bytes);
        text.family("process_open_fds", Kind::Gauge, "Open file descriptors.");
        text.sample(&bare, usage.open_fds);
        text.family("process_max_fds", Kind::Gauge, "File descriptors that may be open.");
        text.sample(&bare, usage.max_fds);
        text.family("process_threads", Kind::Gauge, "Threads.");
        text.sample(&bare, usage.threads);
        text.family("process_cpu_seconds", Kind::Counter, "CPU time of all threads, user and kernel.");
        text.sample(&bare, usage.cpu_seconds());
    }
}

impl Core {
    fn labels(&self) -> Labels {
        Labels::default().and("core", &self.name)
    }
}
