//! CSV texts. Of candidates: one header with units, one line a candidate, everything that is known.
//!
//! Columns keep their names and order (`docs/cli.md`). Must not know files.

use ::csv::WriterBuilder;

use super::heading;
use crate::error::CliError;
use crate::results::{Candidate, Metric};

const BEFORE: [&str; 6] =
    ["candidate", "status", "on_front", "genotype", "canonical_hash", "origin"];
const AFTER: [&str; 6] =
    ["violation", "reason", "proposed_at", "resolved_at", "elapsed_s", "attempts"];

/// The candidates as CSV (RFC 4180, `\n` line ends). Each metric has four columns: value, spread
/// (empty where unknown), source and device class. Numbers are written so that they read back to
/// the same value.
///
/// # Errors
/// [`CliError::Internal`] if the text cannot be built, which needs memory to run out.
pub(crate) fn candidates<'a>(
    metrics: &[Metric],
    candidates: impl IntoIterator<Item = &'a Candidate>,
) -> Result<String, CliError> {
    let rows = candidates.into_iter().map(|candidate| row(metrics, candidate));
    text(std::iter::once(header(metrics)).chain(rows))
}

/// Rows of cells as CSV (RFC 4180, `\n` line ends), the header first.
///
/// # Errors
/// As [`candidates`].
pub(crate) fn text(rows: impl IntoIterator<Item = Vec<String>>) -> Result<String, CliError> {
    let fail = |reason: String| CliError::Internal(format!("cannot write CSV: {reason}"));
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(|error| fail(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| fail(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| fail(error.to_string()))
}

fn header(metrics: &[Metric]) -> Vec<String> {
    let columns = metrics.iter().flat_map(|metric| {
        let (name, column) = (metric.name.raw(), heading::column_name(metric));
        [
            column.clone(),
            format!("{column}_spread"),
            format!("{name}_source"),
            format!("{name}_device_class"),
        ]
    });
    let fixed = |names: [&'static str; 6]| names.into_iter().map(str::to_owned);
    fixed(BEFORE).chain(columns).chain(fixed(AFTER)).collect()
}

fn row(metrics: &[Metric], candidate: &Candidate) -> Vec<String> {
    let mut row = vec![
        candidate.id.clone(),
        candidate.status.name().to_owned(),
        candidate.on_front.to_string(),
        candidate.genotype.raw().to_owned(),
        candidate.canonical_hash.raw().to_owned(),
        candidate.origin.raw().to_owned(),
    ];
    for metric in metrics {
        match candidate.metrics.get(metric.name.raw()) {
            Some(found) => row.extend([
                found.value.to_string(),
                found.spread.map(|spread| spread.to_string()).unwrap_or_default(),
                found.source.raw().to_owned(),
                found.device_class.raw().to_owned(),
            ]),
            None => row.extend([const { String::new() }; 4]),
        }
    }
    row.extend([
        candidate.violation.to_string(),
        candidate.reason.raw().to_owned(),
        candidate.proposed_at.to_string(),
        candidate.resolved_at.map(|at| at.to_string()).unwrap_or_default(),
        candidate.elapsed_seconds.to_string(),
        candidate.attempts.to_string(),
    ]);
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples::{candidate, metrics};
    use crate::results::{CandidateStatus, Value};

    #[test]
    fn every_known_value_has_its_column() {
        let mut scored = candidate(3, &[("accuracy", 61.5), ("latency", 0.25)]);
        if let Some(latency) = scored.metrics.get_mut("latency") {
            *latency = Value {
                value: 0.25,
                spread: Some(0.01),
                interval_95: None,
                source: "wall-clock".into(),
                device_class: "cpu:example:1t".into(),
            };
        }
        let failed = Candidate {
            status: CandidateStatus::Failed,
            reason: "crash: it said \"no\", and ended".into(),
            resolved_at: None,
            ..candidate(4, &[])
        };
        let text = candidates(&metrics()[..2], [&scored, &failed]).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "candidate,status,on_front,genotype,canonical_hash,origin,\
                 accuracy_percent,accuracy_percent_spread,accuracy_source,accuracy_device_class,\
                 latency_ms,latency_ms_spread,latency_source,latency_device_class,\
                 violation,reason,proposed_at,resolved_at,elapsed_s,attempts",
                "1/3,scored,false,|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,\
                 00000000000000000000000000000003,sampled,61.5,,trained,,\
                 0.25,0.01,wall-clock,cpu:example:1t,\
                 0,,2026-11-21T12:00:00.000Z,2026-11-21T12:00:01.000Z,1.5,1",
                "1/4,failed,false,|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,\
                 00000000000000000000000000000004,sampled,,,,,,,,,0,\
                 \"crash: it said \"\"no\"\", and ended\",2026-11-21T12:00:00.000Z,,1.5,1",
            ]
        );
    }

    #[test]
    fn numbers_read_back_exactly() {
        let exact = 0.1 + 0.2;
        let text = candidates(&metrics()[..1], [&candidate(1, &[("accuracy", exact)])]);
        let text = text.unwrap();
        let value = text.lines().nth(1).unwrap().split(',').nth(6).unwrap();
        assert_eq!(value.parse::<f64>().unwrap().to_bits(), exact.to_bits());
    }

    #[test]
    fn no_candidates_leave_the_header() {
        let none: [&Candidate; 0] = [];
        assert_eq!(candidates(&metrics(), none).unwrap().lines().count(), 1);
    }
}
