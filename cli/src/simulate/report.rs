//! What simulated campaigns come to: hypervolume over evaluations and over virtual time, how busy
//! workers were, how stale results were, and whether slow architectures survive as often as fast
//! ones. Pure functions of the runs.
//!
//! Hypervolume is relative to the table's true front, or to the front of all that the runs found
//! where there is no table: objectives are scaled so that the front's ideal point is 0 and its
//! nadir 1 (where all of the front have one value, as of a single objective, the worst known value is 1),
//! the reference point is 1.1 in each, and the gap is what of that front's hypervolume is
//! missing, in thousandths.

use cambrian_core::engine::{StageTally, StageView};
use cambrian_core::objective::MetricName;
use cambrian_core::pareto::Points;
use cambrian_core::pareto::front::{Insertion, NonDominatedFront};
use cambrian_core::pareto::hypervolume::hypervolume;
use cambrian_core::rank_correlation::point_biserial;
use cambrian_core::spec::CampaignSpec;
use serde_json::json;

use super::runs::{Finished, SeedRun};
use super::source::Source;
use crate::arguments::SimulateArguments;
use crate::error::CliError;
use crate::figure::convergence::{Band, Curve};
use crate::present::number;
use crate::present::table::{Look, texts};

/// The reference point in every scaled objective.
const REFERENCE: f64 = 1.1;
/// Checkpoints unless the user names others, as far as the budget goes.
const CHECKPOINTS: [u32; 13] =
    [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];

/// The best front that is known, for scaling.
struct Scale {
    ideal: Vec<f64>,
    spans: Vec<f64>,
    volume: f64,
    front: usize,
    rows: usize,
    /// Whether the rows are those of a table, else all that the runs found.
    of_table: bool,
}

/// The report of all seeds.
pub(super) struct Report {
    name: String,
    algorithm: String,
    workers: u32,
    objectives: Vec<MetricName>,
    scale: Scale,
    runs: Vec<SeedRun>,
    /// Gaps of each run at each checkpoint, in thousandths; the last value goes on.
    checkpoints: Vec<u32>,
    gaps: Vec<Vec<f64>>,
    /// Gaps of each run at each of these virtual times, in seconds.
    times: Vec<f64>,
    gaps_over_time: Vec<Vec<f64>>,
}

/// Mean and standard deviation.
#[derive(Debug, Clone, Copy)]
struct Spread {
    mean: f64,
    deviation: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let n = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / n;
        let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
        Self { mean, deviation: if n > 1.0 { (squares / (n - 1.0)).sqrt() } else { 0.0 } }
    }

    fn json(self) -> serde_json::Value {
        json!({"mean": self.mean, "deviation": self.deviation})
    }
}

impl Scale {
    fn new(spec: &CampaignSpec, source: &Source, runs: &[SeedRun]) -> Self {
        let known = source.known(spec);
        let of_table = known.is_some();
        let rows: Vec<Vec<f64>> = known.unwrap_or_else(|| {
            let found = runs.iter().flat_map(|run| &run.finished);
            found.filter(|done| done.feasible).filter_map(|done| done.truth.clone()).collect()
        });
        Self::of(spec.objectives.len(), &rows, of_table)
    }

    /// The scale of rows of so many objectives.
    fn of(objectives: usize, rows: &[Vec<f64>], of_table: bool) -> Self {
        let mut front = NonDominatedFront::new(objectives);
        for (at, row) in rows.iter().enumerate() {
            // Rows of the right width and finite, as whoever made them has checked.
            let _ = front.insert(at, row);
        }
        let column = |at: usize| front.iter().map(move |(_, row)| row[at]);
        let ideal: Vec<f64> =
            (0..objectives).map(|at| column(at).fold(f64::INFINITY, f64::min)).collect();
        let spans = ideal.iter().enumerate().map(|(at, low)| {
            let of_front = column(at).fold(f64::NEG_INFINITY, f64::max) - low;
            let of_all = rows.iter().map(|row| row[at]).fold(f64::NEG_INFINITY, f64::max) - low;
            [of_front, of_all].into_iter().find(|span| *span > 0.0).unwrap_or(1.0)
        });
        let mut scale = Self {
            spans: spans.collect(),
            ideal,
            volume: 0.0,
            front: front.len(),
            rows: rows.len(),
            of_table,
        };
        let scaled = front.iter().map(|(_, row)| scale.scaled(row));
        scale.volume = volume(objectives, scaled);
        scale
    }

    fn scaled(&self, row: &[f64]) -> Vec<f64> {
        let parts = row.iter().zip(self.ideal.iter().zip(&self.spans));
        parts.map(|(value, (low, span))| (value - low) / span).collect()
    }
}

/// The hypervolume of scaled points; those beyond the reference add nothing.
fn volume(objectives: usize, rows: impl Iterator<Item = Vec<f64>>) -> f64 {
    let points = Points::try_from_rows(objectives, rows).ok();
    let volume = points.and_then(|points| hypervolume(&points, &vec![REFERENCE; objectives]).ok());
    volume.unwrap_or(0.0)
}

/// The gap after each finished evaluation of a run, in thousandths.
fn gaps(run: &SeedRun, scale: &Scale) -> Vec<f64> {
    let width = scale.ideal.len();
    let mut front = NonDominatedFront::new(width);
    let mut gap = 1000.0;
    let step = |candidate: &Finished| {
        if let Some(row) = candidate.truth.as_ref().filter(|_| candidate.feasible) {
            let scaled = scale.scaled(row);
            let useful = scaled.iter().all(|value| *value < REFERENCE);
            let added = useful
                && matches!(front.insert(candidate.ordinal, &scaled), Ok(Insertion::Added { .. }));
            if added && scale.volume > 0.0 {
                let volume = volume(width, front.iter().map(|(_, row)| row.to_vec()));
                gap = 1000.0 * (1.0 - volume / scale.volume);
            }
        }
        gap
    };
    run.finished.iter().map(step).collect()
}

impl Report {
    /// The report of `runs`.
    pub(super) fn new(
        spec: &CampaignSpec,
        given: &SimulateArguments,
        source: &Source,
        runs: Vec<SeedRun>,
    ) -> Self {
        let scale = Scale::new(spec, source, &runs);
        let longest = runs.iter().map(|run| run.finished.len()).max().unwrap_or(0) as u32;
        let mut checkpoints = given.at.clone();
        if checkpoints.is_empty() {
            checkpoints = CHECKPOINTS.into_iter().filter(|at| *at < longest).collect();
            checkpoints.push(longest);
        }
        let all: Vec<Vec<f64>> = runs.iter().map(|run| gaps(run, &scale)).collect();
        let after = |gaps: &Vec<f64>, evaluations: usize| {
            let last = evaluations.min(gaps.len()).checked_sub(1);
            last.map_or(1000.0, |last| gaps[last])
        };
        let at_checkpoints = all
            .iter()
            .map(|gaps| checkpoints.iter().map(|at| after(gaps, *at as usize)).collect())
            .collect();
        let end = runs.iter().map(|run| run.elapsed).fold(0.0, f64::max);
        let times: Vec<f64> = (1..=100).map(|part| end * f64::from(part) / 100.0).collect();
        let over_time = runs.iter().zip(&all).map(|(run, gaps)| {
            let by = |time: &f64| {
                after(gaps, run.finished.partition_point(|done| done.finished_at <= *time))
            };
            times.iter().map(by).collect()
        });
        Self {
            name: spec.name.to_string(),
            algorithm: spec.algorithm.name().to_owned(),
            workers: given.workers,
            objectives: spec.objectives.iter().map(|goal| goal.metric.clone()).collect(),
            checkpoints,
            gaps: at_checkpoints,
            gaps_over_time: over_time.collect(),
            times,
            scale,
            runs,
        }
    }

    fn at(&self, checkpoint: usize) -> Spread {
        Spread::of(self.gaps.iter().map(|gaps| gaps[checkpoint]))
    }

    fn spread(&self, of: impl Fn(&SeedRun) -> f64) -> Spread {
        let values: Vec<f64> = self.runs.iter().map(of).collect();
        Spread::of(values.iter().copied())
    }

    /// How many candidates entered, passed and were screened at each stage, and its seconds in slots.
    fn stages(&self) -> Vec<(String, [Spread; 4])> {
        let names = self.runs.first().map_or(&[][..], |run| &run.stages);
        let stage = |(at, stage): (usize, &StageView)| {
            let of = |value: fn(&StageTally) -> f64| {
                self.spread(|run| run.stages.get(at).map_or(0.0, |found| value(&found.tally)))
            };
            let counts = [
                of(|tally| f64::from(tally.entered)),
                of(|tally| f64::from(tally.passed)),
                of(|tally| f64::from(tally.screened)),
                of(|tally| tally.slot_time.as_secs_f64()),
            ];
            (stage.name.to_string(), counts)
        };
        names.iter().enumerate().map(stage).collect()
    }

    /// Everything as JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        let gaps: Vec<_> = self
            .checkpoints
            .iter()
            .enumerate()
            .map(|(at, evaluations)| {
                let each: Vec<f64> = self.gaps.iter().map(|gaps| gaps[at]).collect();
                let Spread { mean, deviation } = self.at(at);
                json!({"evaluations": evaluations, "mean": mean, "deviation": deviation, "seeds": each})
            })
            .collect();
        json!({
            "campaign": self.name,
            "algorithm": self.algorithm,
            "workers": self.workers,
            "seeds": self.runs.iter().map(|run| run.seed).collect::<Vec<_>>(),
            "objectives": self.objectives.iter().map(MetricName::as_str).collect::<Vec<_>>(),
            "front_of": if self.scale.of_table { "table" } else { "results" },
            "known_points": self.scale.rows,
            "front_points": self.scale.front,
            "gap_thousandths": gaps,
            "utilisation": self.spread(|run| run.utilisation).json(),
            "elapsed_seconds": self.spread(|run| run.elapsed).json(),
            "stages": self.stages().iter().map(|(name, counts)| {
                let [entered, passed, screened, slots] = *counts;
                json!({"name": name, "entered": entered.json(), "passed": passed.json(),
                    "screened": screened.json(), "slot_seconds": slots.json()})
            }).collect::<Vec<_>>(),
            "failed_evaluations": self.spread(|run| run.failed as f64).json(),
            "staleness_results": self.spread(staleness).json(),
            "duration_survival_correlation": correlation(&self.runs),
            "survivors_by_duration_quartile": quartiles(&self.runs),
        })
    }

    /// What a person wants to know.
    pub(super) fn text(&self, look: Look) -> String {
        let row = |(at, evaluations): (usize, &u32)| {
            let Spread { mean, deviation } = self.at(at);
            vec![number::count(u64::from(*evaluations)), format!("{mean:.2} ± {deviation:.2}")]
        };
        let rows: Vec<Vec<String>> = self.checkpoints.iter().enumerate().map(row).collect();
        let mut text = format!(
            "{} ({}): {} seeds with {} simulated workers, {} {} with {} on {} front\n",
            self.name,
            self.algorithm,
            self.runs.len(),
            number::count(u64::from(self.workers)),
            if self.scale.of_table { "table of" } else { "results in all:" },
            number::count(self.scale.rows as u64),
            number::count(self.scale.front as u64),
            if self.scale.of_table { "the true" } else { "their" },
        );
        text += &texts(&["evaluations", "gap [1/1000 of hypervolume]"], rows, look);
        let utilisation = self.spread(|run| run.utilisation);
        text += &format!(
            "workers busy {:.2} % of the time ({:.2} % idle), {} of virtual time\n",
            100.0 * utilisation.mean,
            100.0 * (1.0 - utilisation.mean),
            number::duration(self.spread(|run| run.elapsed).mean),
        );
        text += &format!(
            "{:.1} results arrive while one is evaluated; {:.1} evaluations fail in a campaign\n",
            self.spread(staleness).mean,
            self.spread(|run| run.failed as f64).mean,
        );
        if self.stages().len() > 1 {
            for (name, [entered, passed, screened, slots]) in self.stages() {
                text += &format!(
                    "stage {name}: {:.1} entered, {:.1} passed, {:.1} screened, {} in slots\n",
                    entered.mean,
                    passed.mean,
                    screened.mean,
                    number::duration(slots.mean),
                );
            }
        }
        let [fast, .., slow] = quartiles(&self.runs);
        text += &match correlation(&self.runs) {
            Some(correlation) => format!(
                "correlation of duration and survival {correlation:+.3}; in the population at the \
                 end: {:.1} % of the fastest quarter, {:.1} % of the slowest\n",
                100.0 * fast,
                100.0 * slow,
            ),
            None if fast == 1.0 && slow == 1.0 => {
                "every result can be a parent, however long it took\n".to_owned()
            }
            None if fast == 0.0 && slow == 0.0 => "the algorithm keeps no population\n".to_owned(),
            None => "all evaluations took as long: nothing to say about slow ones\n".to_owned(),
        };
        text
    }

    /// One row a seed and checkpoint.
    pub(super) fn hypervolume_csv(&self) -> Result<String, CliError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let rows = self.runs.iter().zip(&self.gaps).flat_map(|(run, gaps)| {
            let points = self.checkpoints.iter().zip(gaps);
            points.map(move |(at, gap)| [run.seed.to_string(), at.to_string(), gap.to_string()])
        });
        write(&mut writer, &["seed", "evaluations", "gap_thousandths"])?;
        rows.into_iter().try_for_each(|row| write(&mut writer, &row))?;
        finish(writer)
    }

    /// One row a finished evaluation.
    pub(super) fn evaluations_csv(&self) -> Result<String, CliError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut head = vec!["seed", "candidate", "genotype", "outcome"];
        head.extend(["proposed_at_s", "finished_at_s", "duration_s", "staleness"]);
        let objectives: Vec<String> =
            self.objectives.iter().map(|metric| format!("{metric}_minimised")).collect();
        head.extend(objectives.iter().map(String::as_str));
        write(&mut writer, &head)?;
        for run in &self.runs {
            for done in &run.finished {
                let outcome = match (&done.objectives, done.feasible) {
                    (None, _) => done.ended_early.unwrap_or("failed"),
                    (Some(_), true) => "scored",
                    (Some(_), false) => "infeasible",
                };
                let mut row = vec![
                    run.seed.to_string(),
                    done.ordinal.to_string(),
                    done.genotype.clone(),
                    outcome.to_owned(),
                    done.proposed_at.to_string(),
                    done.finished_at.to_string(),
                    done.duration.to_string(),
                    done.staleness.to_string(),
                ];
                row.extend((0..self.objectives.len()).map(|at| {
                    done.objectives.as_ref().map_or(String::new(), |values| values[at].to_string())
                }));
                write(&mut writer, &row)?;
            }
        }
        finish(writer)
    }

    /// The gap over evaluations, one point a checkpoint.
    pub(super) fn over_evaluations(&self) -> Curve {
        let points = self.checkpoints.iter().enumerate();
        let band = points.map(|(at, evaluations)| {
            let Spread { mean, deviation } = self.at(at);
            Band { at: f64::from(*evaluations), mean, deviation }
        });
        self.curve("finished evaluations", band.collect())
    }

    /// The gap over virtual time.
    pub(super) fn over_time(&self) -> Curve {
        let band = self.times.iter().enumerate().map(|(at, time)| {
            let Spread { mean, deviation } =
                Spread::of(self.gaps_over_time.iter().map(|gaps| gaps[at]));
            Band { at: *time, mean, deviation }
        });
        self.curve("virtual time [s]", band.collect())
    }

    fn curve(&self, across: &str, bands: Vec<Band>) -> Curve {
        Curve {
            title: format!(
                "{}: {}, {} seeds, {} workers",
                self.name,
                self.algorithm,
                self.runs.len(),
                self.workers
            ),
            across: across.to_owned(),
            up: "missing hypervolume [1/1000] (← better)".to_owned(),
            bands,
        }
    }
}

fn write<T: AsRef<[u8]>>(writer: &mut csv::Writer<Vec<u8>>, row: &[T]) -> Result<(), CliError> {
    writer.write_record(row).map_err(|error| CliError::Internal(format!("CSV: {error}")))
}

fn finish(writer: csv::Writer<Vec<u8>>) -> Result<String, CliError> {
    let bytes = writer.into_inner().map_err(|error| CliError::Internal(format!("CSV: {error}")))?;
    String::from_utf8(bytes).map_err(|error| CliError::Internal(format!("CSV: {error}")))
}

/// How many results arrive while one is evaluated, on average.
fn staleness(run: &SeedRun) -> f64 {
    let sum: usize = run.finished.iter().map(|done| done.staleness).sum();
    sum as f64 / run.finished.len().max(1) as f64
}

/// Scored candidates with their durations and whether they survive, over all seeds.
fn scored(runs: &[SeedRun]) -> Vec<(f64, bool)> {
    let finished = runs.iter().flat_map(|run| &run.finished);
    let scored = finished.filter(|done| done.objectives.is_some());
    scored.map(|done| (done.duration, done.survives)).collect()
}

/// The share of survivors among each quarter of durations, the fastest first.
fn quartiles(runs: &[SeedRun]) -> [f64; 4] {
    let mut scored = scored(runs);
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    [0, 1, 2, 3].map(|quarter| {
        let part = &scored[quarter * scored.len() / 4..(quarter + 1) * scored.len() / 4];
        let alive = part.iter().filter(|(_, survives)| *survives).count();
        alive as f64 / part.len().max(1) as f64
    })
}

/// The point-biserial correlation of duration and survival; `None` where one of them is constant.
fn correlation(runs: &[SeedRun]) -> Option<f64> {
    point_biserial(&scored(runs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pairs: &[(f64, bool)]) -> SeedRun {
        let finished = pairs.iter().map(|(duration, survives)| Finished {
            ended_early: None,
            ordinal: 1,
            genotype: String::new(),
            objectives: Some(vec![0.0]),
            truth: Some(vec![0.0]),
            feasible: true,
            proposed_at: 0.0,
            finished_at: 1.0,
            duration: *duration,
            staleness: 2,
            survives: *survives,
        });
        SeedRun {
            seed: 1,
            finished: finished.collect(),
            elapsed: 1.0,
            utilisation: 1.0,
            failed: 0,
            stages: Vec::new(),
        }
    }

    #[test]
    fn bias_by_duration_is_seen() {
        let fast = [(1.0, true), (2.0, true), (3.0, false), (4.0, false)];
        assert!(correlation(&[run(&fast)]).unwrap() < -0.8);
        assert_eq!(quartiles(&[run(&fast)]), [1.0, 1.0, 0.0, 0.0]);
        assert_eq!(correlation(&[run(&[(1.0, true), (2.0, true)])]), None);
        assert_eq!(staleness(&run(&fast)), 2.0);
    }

    /// The gaps of a run that finds these values of a single objective, with those of a table.
    fn gaps_of_one(found: &[f64], table: &[f64]) -> Vec<f64> {
        let rows: Vec<Vec<f64>> = table.iter().map(|value| vec![*value]).collect();
        let mut run = run(&vec![(1.0, true); found.len()]);
        for (at, (done, value)) in run.finished.iter_mut().zip(found).enumerate() {
            done.ordinal = at as u32;
            done.truth = Some(vec![*value]);
        }
        gaps(&run, &Scale::of(1, &rows, true))
    }

    #[test]
    fn the_gap_of_a_single_objective_has_no_unit() {
        let (found, table) = ([7.0, 5.0, 4.0, 3.0], [3.0, 4.0, 5.0, 7.0, 13.0]);
        let seconds = gaps_of_one(&found, &table);
        let in_nanoseconds = |values: &[f64]| values.iter().map(|value| value * 1e9).collect();
        let (found, table): (Vec<f64>, Vec<f64>) = (in_nanoseconds(&found), in_nanoseconds(&table));
        for (one, other) in seconds.iter().zip(gaps_of_one(&found, &table)) {
            assert!((one - other).abs() < 1e-6, "{one} is not {other}");
        }
        assert!((seconds[0] - 1_000.0 * 0.4 / 1.1).abs() < 1e-9 && seconds[3].abs() < 1e-9);
        assert!(seconds.is_sorted_by(|a, b| a > b), "{seconds:?}");
        assert_eq!(gaps_of_one(&[5.0], &[5.0, 5.0]), [0.0]);
    }

    #[test]
    fn gaps_fall_to_nothing_on_the_true_front() {
        let scale = Scale {
            ideal: vec![0.0, 0.0],
            spans: vec![1.0, 1.0],
            volume: 0.0,
            front: 2,
            rows: 2,
            of_table: true,
        };
        let volume = volume(2, [vec![0.0, 1.0], vec![1.0, 0.0]].into_iter());
        let scale = Scale { volume, ..scale };
        let mut two = run(&[(1.0, true), (1.0, true), (1.0, true)]);
        two.finished[0].truth = None;
        two.finished[1].truth = Some(vec![0.0, 1.0]);
        two.finished[2].truth = Some(vec![1.0, 0.0]);
        for (at, done) in two.finished.iter_mut().enumerate() {
            done.ordinal = at as u32;
        }
        let gaps = gaps(&two, &scale);
        assert_eq!(gaps[0], 1000.0);
        assert!(
            (gaps[1] - 1000.0 * (1.0 - 0.11 / 0.21)).abs() < 1e-9 && gaps[2].abs() < 1e-9,
            "{gaps:?}"
        );
    }
}
