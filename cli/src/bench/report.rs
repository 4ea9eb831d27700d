//! A run in numbers, as JSON and as a table with units.
//!
//! Must not measure.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::Seen;
use super::histogram::Histogram;
use super::limits::Carried;
use super::takeover::Takeover;
use super::tally::{self, Tally};
use crate::present::number;
use crate::present::table::{self, Look};

/// What all runs have in common.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Settings {
    pub(super) algorithm: &'static str,
    pub(super) evaluations: u32,
    pub(super) slots: u32,
    pub(super) prefetch: u32,
    pub(super) evaluation_seconds: f64,
    pub(super) jitter: f64,
    pub(super) machine: String,
}

/// Percentiles of a latency, milliseconds; absent if nothing was timed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Latency {
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    pub(super) largest_ms: f64,
    pub(super) count: u64,
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl From<&Histogram> for Latency {
    fn from(histogram: &Histogram) -> Self {
        let at = |share| histogram.quantile(share).map(millis);
        Self {
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            largest_ms: millis(histogram.largest()),
            count: histogram.count(),
        }
    }
}

/// What a tenfold of evaluations took.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Decade {
    to: u64,
    durable_per_second: f64,
    coordinator_cpu_us: f64,
}

/// What was measured while a campaign ran.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    /// Durable evaluations a second, from the submission to the last acknowledgement.
    #[serde(rename = "durable_per_second")]
    pub(super) rate: f64,
    pub(super) elapsed_s: f64,
    pub(super) assignment: Latency,
    pub(super) acknowledgement: Latency,
    /// Of the slots, from when all were at work for the first time; timed evaluations only.
    pub(super) utilisation: Option<f64>,
    pub(super) coordinator_cpu_us: Option<f64>,
    pub(super) generator_cpu_us: f64,
    pub(super) coordinator_resident_bytes: Option<u64>,
    /// From a tenth of the evaluations to all of them.
    pub(super) bytes_per_candidate: Option<f64>,
    pub(super) bytes_per_idle_worker: Option<f64>,
    pub(super) heartbeats: u64,
    /// How much later than due a heartbeat was sent.
    pub(super) heartbeat_delay_ms: f64,
    /// The longest time that the coordinator had not heard of a worker.
    pub(super) silence_s: f64,
    pub(super) reconnected: u64,
    pub(super) stopped: u64,
    pub(super) decades: Vec<Decade>,
    /// The slowest over the fastest decade after the first 1,000 evaluations.
    pub(super) flatness: Option<f64>,
    /// The same of CPU time an evaluation: cheapest over dearest.
    pub(super) cpu_flatness: Option<f64>,
    pub(super) load_average: Option<f64>,
}

/// The smallest over the largest; `None` below two values.
fn flatness(values: &[f64]) -> Option<f64> {
    let largest = values.iter().copied().fold(0.0, f64::max);
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    (values.len() > 1 && largest > 0.0).then(|| smallest / largest)
}

impl Measured {
    /// `workers` and their slots; `memory` of the coordinator without and with idle workers.
    pub(super) fn new(
        tally: &Tally,
        seen: &Seen,
        (workers, slots): (u32, u64),
        memory: Option<(u64, u64)>,
        load_average: Option<f64>,
    ) -> Self {
        let samples = &seen.samples;
        let durable = samples.last().map_or(0, |last| last.durable);
        let end = samples.partition_point(|sample| sample.durable < durable);
        let elapsed = samples.get(end).map_or(0.0, |sample| sample.at.as_secs_f64());
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / durable.max(1) as f64;
        let cpu = samples.last().map_or(Duration::ZERO, |last| last.cpu);
        let resident = samples.last().map_or(0, |last| last.resident);
        let decades: Vec<Decade> = tally::decades(samples)
            .into_iter()
            .map(|found| Decade {
                to: found.to,
                durable_per_second: found.rate,
                coordinator_cpu_us: found.cpu * 1e6,
            })
            .collect();
        let later = decades.get(1..).unwrap_or_default();
        let rates: Vec<f64> = later.iter().map(|decade| decade.durable_per_second).collect();
        let cpus: Vec<f64> = later.iter().map(|decade| decade.coordinator_cpu_us).collect();
        Self {
            rate: if elapsed > 0.0 { durable as f64 / elapsed } else { 0.0 },
            elapsed_s: elapsed,
            assignment: (&tally.assignment).into(),
            acknowledgement: (&tally.acknowledgement).into(),
            utilisation: tally::utilisation(samples, slots),
            coordinator_cpu_us: memory.map(|_| each(cpu)),
            generator_cpu_us: each(seen.generator),
            coordinator_resident_bytes: memory.map(|_| resident),
            bytes_per_candidate: memory.and_then(|_| tally::bytes_per_candidate(samples)),
            bytes_per_idle_worker: memory.map(|(without, idle)| {
                idle.saturating_sub(without) as f64 / f64::from(workers.max(1))
            }),
            heartbeats: tally.heartbeat_delay.count(),
            heartbeat_delay_ms: millis(tally.heartbeat_delay.largest()),
            silence_s: seen.silence.as_secs_f64(),
            reconnected: tally.reconnected.load(Relaxed),
            stopped: tally.stopped.load(Relaxed),
            flatness: flatness(&rates),
            cpu_flatness: memory.and_then(|_| flatness(&cpus)),
            decades,
            load_average,
        }
    }
}

/// What the machine allows, evaluations a second.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Limits {
    /// How many streams were open at once: as many as workers, or as open files allow.
    streams: usize,
    /// Over them, with as many tasks in flight on each as a worker has.
    stream_per_second: f64,
    /// Few streams with many tasks in flight, where tonic is fastest.
    pipelined_stream_per_second: f64,
    insert_per_second: f64,
    /// The run over the tighter one of what has its shape: the stream and the insert.
    ratio: f64,
}

impl Limits {
    /// `rate` is the run's.
    pub(super) fn new(stream: Carried, pipelined: Carried, insert: f64, rate: f64) -> Self {
        let tighter = if stream.rate > 0.0 { stream.rate.min(insert) } else { insert };
        let ratio = if tighter > 0.0 { rate / tighter } else { 0.0 };
        Self {
            streams: stream.streams,
            stream_per_second: stream.rate,
            pipelined_stream_per_second: pipelined.rate,
            insert_per_second: insert,
            ratio,
        }
    }
}

/// What `verify` says of the run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Verified {
    pub(super) sound: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) problem: String,
    pub(super) records: u64,
    pub(super) completed: u64,
    pub(super) lost_attempts: u64,
    pub(super) seconds: f64,
}

/// A start on the run's journal.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Restart {
    pub(super) records: u64,
    pub(super) seconds: f64,
}

/// One number of workers.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Run {
    pub(super) workers: u32,
    #[serde(flatten)]
    pub(super) measured: Measured,
    pub(super) limits: Option<Limits>,
    /// Why they could not be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limits_failed: Option<String>,
    /// One for each leader that was killed.
    pub(super) takeovers: Vec<Takeover>,
    pub(super) verified: Option<Verified>,
    pub(super) restart: Option<Restart>,
}

impl Run {
    /// A run of which nothing but these is known.
    pub(super) fn new(workers: u32, measured: Measured, takeovers: Vec<Takeover>) -> Self {
        Self {
            workers,
            measured,
            limits: None,
            limits_failed: None,
            takeovers,
            verified: None,
            restart: None,
        }
    }
}

/// Everything as one object.
pub(super) fn json(settings: &Settings, runs: &[Run]) -> serde_json::Value {
    json!({ "settings": settings, "runs": runs })
}

/// Everything for people: a column a run.
pub(super) fn text(settings: &Settings, runs: &[Run], look: Look) -> String {
    let evaluation = match settings.evaluation_seconds {
        0.0 => "that take no time".to_owned(),
        seconds => format!(
            "of {} ± {} %",
            number::duration(seconds),
            number::alone(settings.jitter * 100.0)
        ),
    };
    let heading = format!(
        "{} evaluations {evaluation}, {}, {} slots and {} prefetched a worker\n{}\n\n",
        number::count(u64::from(settings.evaluations)),
        settings.algorithm,
        settings.slots,
        settings.prefetch,
        settings.machine,
    );
    let mut headings = vec!["workers".to_owned()];
    headings.extend(runs.iter().map(|run| number::count(u64::from(run.workers))));
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut rows: Vec<Vec<String>> = LINES
        .iter()
        .map(|(name, show)| {
            let cells = runs.iter().map(|run| show(run).unwrap_or_else(|| "-".to_owned()));
            std::iter::once((*name).to_owned()).chain(cells).collect()
        })
        .collect();
    rows.extend(decade_rows(runs));
    heading + &table::numbers(&headings, rows, look) + &notes(runs)
}

/// What the limits in the table are not, a line each.
fn notes(runs: &[Run]) -> String {
    let note = |run: &Run| {
        let workers = number::count(u64::from(run.workers));
        if let Some(reason) = &run.limits_failed {
            return Some(format!("{workers} workers: {reason}\n"));
        }
        let streams = run.limits.as_ref().map(|limits| limits.streams)?;
        (0 < streams && streams < run.workers as usize).then(|| {
            let streams = number::count(streams as u64);
            format!(
                "{workers} workers: a plain stream was measured with {streams} streams, as many as \
                 open files allow (`ulimit -n`; two each)\n"
            )
        })
    };
    runs.iter().filter_map(note).collect()
}

type Show = fn(&Run) -> Option<String>;

/// The lines of the table in order.
const LINES: [(&str, Show); 25] = [
    ("durable evaluations, 1/s", |run| Some(number::count(run.measured.rate as u64))),
    ("assignment p50, ms", |run| run.measured.assignment.p50_ms.map(decimals)),
    ("assignment p99, ms", |run| run.measured.assignment.p99_ms.map(decimals)),
    ("acknowledgement p50, ms", |run| run.measured.acknowledgement.p50_ms.map(decimals)),
    ("acknowledgement p99, ms", |run| run.measured.acknowledgement.p99_ms.map(decimals)),
    ("utilisation of slots, %", |run| {
        run.measured.utilisation.map(|share| decimals(share * 100.0))
    }),
    ("coordinator CPU, us/evaluation", |run| run.measured.coordinator_cpu_us.map(decimals)),
    ("generator CPU, us/evaluation", |run| Some(decimals(run.measured.generator_cpu_us))),
    ("coordinator's memory", |run| run.measured.coordinator_resident_bytes.map(number::bytes)),
    ("memory a candidate, bytes", |run| run.measured.bytes_per_candidate.map(whole)),
    ("memory an idle worker, bytes", |run| run.measured.bytes_per_idle_worker.map(whole)),
    ("latest heartbeat after its time, ms", |run| Some(decimals(run.measured.heartbeat_delay_ms))),
    ("longest silence seen, s", |run| Some(decimals(run.measured.silence_s))),
    ("lost attempts", |run| run.verified.as_ref().map(|found| number::count(found.lost_attempts))),
    ("streams opened again", |run| Some(number::count(run.measured.reconnected))),
    ("plain stream, evaluations/s", |run| {
        run.limits.as_ref().map(|limits| number::count(limits.stream_per_second as u64))
    }),
    ("plain stream, 8 with 32 in flight, evaluations/s", |run| {
        let pipelined = run.limits.as_ref().map(|limits| limits.pipelined_stream_per_second);
        pipelined.map(|rate| number::count(rate as u64))
    }),
    ("plain insert of the journal, evaluations/s", |run| {
        run.limits.as_ref().map(|limits| number::count(limits.insert_per_second as u64))
    }),
    ("rate over the tighter of both", |run| {
        run.limits.as_ref().map(|limits| decimals(limits.ratio))
    }),
    ("slowest over fastest decade", |run| run.measured.flatness.map(decimals)),
    ("next result after a leader's end, s (median, longest)", |run| {
        spread(run.takeovers.iter().map(|found| found.first_result_s))
    }),
    ("one of each worker after it, s (median, longest)", |run| {
        spread(run.takeovers.iter().map(|found| found.all_workers_s))
    }),
    ("ledger", |run| {
        let verified = run.verified.as_ref()?;
        Some(if verified.sound { "sound" } else { "NOT sound" }.to_owned())
    }),
    ("serving again after a restart, s", |run| {
        run.restart.as_ref().map(|restart| decimals(restart.seconds))
    }),
    ("load average before", |run| run.measured.load_average.map(decimals)),
];

fn decimals(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => number::count(value.round() as u64),
    }
}

/// The median, the upper one of two, and the longest; `None` of nothing.
fn spread(seconds: impl Iterator<Item = f64>) -> Option<String> {
    let mut sorted: Vec<f64> = seconds.collect();
    sorted.sort_by(f64::total_cmp);
    let longest = sorted.last()?;
    Some(format!("{}, {}", decimals(sorted[sorted.len() / 2]), decimals(*longest)))
}

fn whole(value: f64) -> String {
    number::count(value.round() as u64)
}

/// A line for each decade: the rate and the coordinator's CPU time an evaluation.
fn decade_rows(runs: &[Run]) -> Vec<Vec<String>> {
    let Some(most) = runs.iter().map(|run| &run.measured.decades).max_by_key(|all| all.len())
    else {
        return Vec::new();
    };
    let row = |(at, decade): (usize, &Decade)| {
        let cell = |run: &Run| match run.measured.decades.get(at) {
            Some(found) => format!(
                "{} ({} us)",
                number::count(found.durable_per_second as u64),
                decimals(found.coordinator_cpu_us)
            ),
            None => "-".to_owned(),
        };
        let name = format!("up to evaluation {}, 1/s (CPU)", number::count(decade.to));
        std::iter::once(name).chain(runs.iter().map(cell)).collect()
    };
    most.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_to_the_tighter_limit() {
        let of = |rate| Carried { streams: 8, rate };
        let limits = Limits::new(of(100_000.0), of(200_000.0), 20_000.0, 10_000.0);
        assert!((limits.ratio - 0.5).abs() < 1e-12);
        let limits = Limits::new(of(15_000.0), of(200_000.0), 20_000.0, 10_000.0);
        assert!((limits.ratio - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn flatness_needs_two_decades() {
        assert_eq!(flatness(&[5.0]), None);
        assert_eq!(flatness(&[10.0, 8.0, 9.0]), Some(0.8));
    }
}
