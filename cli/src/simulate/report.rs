//! What simulated campaigns come to: hypervolume over evaluations and over virtual time, how busy
//! workers were and how stale results were. Pure functions of the runs.
//!
//! Gaps are those to the table's true front, or to the front of all that the runs found where there is no
//! table.
//!
//! Must not know files, nor how a campaign is simulated.

use std::collections::BTreeSet;

use cambrian_core::engine::{StageTally, StageView};
use cambrian_core::objective::MetricName;
use cambrian_core::spec::CampaignSpec;
use serde_json::json;

use super::runs::SeedRun;
use super::scale::{Scale, gaps};
use super::source::Source;
use super::survival::{correlation, quartiles, survival};
use crate::arguments::SimulateArguments;
use crate::error::{CliError, count};
use crate::figure::convergence::{Band, Curve};
use crate::present::table::{Look, texts};
use crate::present::{number, summary};

/// Checkpoints unless the user names others, as far as the budget goes.
const CHECKPOINTS: [u32; 13] =
    [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];

/// The report of all seeds.
pub(super) struct Report {
    name: String,
    algorithm: String,
    workers: u32,
    objectives: Vec<MetricName>,
    scale: Scale,
    runs: Vec<SeedRun>,
    checkpoints: Vec<u32>,
    /// Those that the user named and no run has reached.
    beyond: Vec<u32>,
    /// The most evaluations of a run.
    longest: u32,
    /// Gaps of each run at each checkpoint, in thousandths; the last value goes on.
    gaps: Vec<Vec<f64>>,
    /// Gaps of each run at each of these virtual times, in seconds.
    times: Vec<f64>,
    gaps_over_time: Vec<Vec<f64>>,
}

/// Mean and standard deviation, which one seed alone does not have.
#[derive(Debug, Clone, Copy)]
struct Spread {
    mean: f64,
    deviation: Option<f64>,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let n = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / n;
        let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
        Self { mean, deviation: (n > 1.0).then(|| (squares / (n - 1.0)).sqrt()) }
    }

    fn json(self) -> serde_json::Value {
        json!({"mean": self.mean, "deviation": self.deviation})
    }

    fn text(self) -> String {
        let deviation = self.deviation.map(|deviation| format!(" ± {deviation:.2}"));
        format!("{:.2}{}", self.mean, deviation.unwrap_or_default())
    }

    /// The point of a curve at `at`.
    fn band(self, at: f64) -> Band {
        Band { at, mean: self.mean, deviation: self.deviation.unwrap_or(0.0) }
    }
}

/// The numbers of evaluations at which hypervolume is reported, ascending, and those of `given` that lie
/// beyond the longest run.
fn checkpoints(given: &[u32], longest: u32) -> (Vec<u32>, Vec<u32>) {
    if given.is_empty() {
        let known = CHECKPOINTS.into_iter().filter(|at| *at < longest);
        return (known.chain([longest]).collect(), Vec::new());
    }
    let given: BTreeSet<u32> = given.iter().copied().collect();
    let (mut reached, beyond): (Vec<u32>, Vec<u32>) =
        given.into_iter().partition(|at| *at <= longest);
    if reached.is_empty() {
        reached.push(longest);
    }
    (reached, beyond)
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
        let (checkpoints, beyond) = checkpoints(&given.at, longest);
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
            beyond,
            longest,
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
            "utilisation": utilisation(&self.runs).map(Spread::json),
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
            vec![number::count(u64::from(*evaluations)), self.at(at).text()]
        };
        let rows: Vec<Vec<String>> = self.checkpoints.iter().enumerate().map(row).collect();
        let mut text = format!(
            "{} ({}): {} with {} simulated worker{}, {} {} with {} on {} front\n",
            self.name,
            self.algorithm,
            count(self.runs.len(), "seed"),
            number::count(u64::from(self.workers)),
            if self.workers == 1 { "" } else { "s" },
            if self.scale.of_table { "table of" } else { "results in all:" },
            number::count(self.scale.rows as u64),
            number::count(self.scale.front as u64),
            if self.scale.of_table { "the true" } else { "their" },
        );
        text += &texts(&["evaluations", "gap [1/1000 of hypervolume]"], rows, look);
        if !self.beyond.is_empty() {
            let beyond: Vec<_> =
                self.beyond.iter().map(|at| number::count(u64::from(*at))).collect();
            text += &format!(
                "left out of --at: {}; no campaign went beyond {} evaluations\n",
                beyond.join(" and "),
                number::count(u64::from(self.longest)),
            );
        }
        text += &format!(
            "{}; {} of virtual time\n",
            busyness(utilisation(&self.runs)),
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
        text + &survival(&self.runs)
    }

    /// # Errors
    /// [`CliError::NoResult`] if no seed scored a candidate.
    pub(super) fn demand_a_score(&self) -> Result<(), CliError> {
        let finished = || self.runs.iter().flat_map(|run| &run.finished);
        if finished().any(|done| done.objectives.is_some()) {
            return Ok(());
        }
        let reasons = summary::most_frequent(finished().map(|done| done.reason.as_str()));
        let help = match reasons.as_slice() {
            [] => "no candidate was proposed that meets the constraints: loosen them".to_owned(),
            reasons => format!("most frequent reasons:\n{}", reasons.join("\n")),
        };
        let seeds = count(self.runs.len(), "seed");
        let message = format!("{} has no scored candidate in {seeds}", self.name);
        Err(CliError::NoResult { message, help })
    }

    /// One row a seed and checkpoint, with the virtual time at which that many evaluations had finished.
    pub(super) fn hypervolume_csv(&self) -> Result<String, CliError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        write(&mut writer, &["seed", "evaluations", "gap_thousandths", "virtual_time_s"])?;
        for (run, gaps) in self.runs.iter().zip(&self.gaps) {
            for (at, gap) in self.checkpoints.iter().zip(gaps) {
                let reached = (*at as usize).min(run.finished.len()).checked_sub(1);
                let time = reached.map_or(0.0, |last| run.finished[last].finished_at);
                let cells =
                    [run.seed.to_string(), at.to_string(), gap.to_string(), time.to_string()];
                write(&mut writer, &cells)?;
            }
        }
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
        let band = points.map(|(at, evaluations)| self.at(at).band(f64::from(*evaluations)));
        self.curve("finished evaluations", band.collect())
    }

    /// The gap over virtual time.
    pub(super) fn over_time(&self) -> Curve {
        let band = self.times.iter().enumerate().map(|(at, time)| {
            Spread::of(self.gaps_over_time.iter().map(|gaps| gaps[at])).band(*time)
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

/// The utilisation over the seeds that know theirs; `None` if none does.
fn utilisation(runs: &[SeedRun]) -> Option<Spread> {
    let known: Vec<f64> = runs.iter().filter_map(|run| run.utilisation).collect();
    (!known.is_empty()).then(|| Spread::of(known.iter().copied()))
}

/// How busy workers were, in words.
fn busyness(utilisation: Option<Spread>) -> String {
    let Some(Spread { mean, .. }) = utilisation else {
        return "how busy workers were is not known: the last candidate was proposed before any \
                evaluation had ended"
            .to_owned();
    };
    format!("workers busy {:.2} % of the time ({:.2} % idle)", 100.0 * mean, 100.0 * (1.0 - mean))
}

/// How many results arrive while one is in work, on average.
fn staleness(run: &SeedRun) -> f64 {
    let sum: usize = run.finished.iter().map(|done| done.staleness).sum();
    sum as f64 / run.finished.len().max(1) as f64
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::runs::Finished;
    use super::*;

    pub(crate) fn run(pairs: &[(f64, bool)]) -> SeedRun {
        let finished = pairs.iter().map(|(duration, survives)| Finished {
            ended_early: None,
            ordinal: 1,
            genotype: String::new(),
            objectives: Some(vec![0.0]),
            truth: Some(vec![0.0]),
            reason: String::new(),
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
            utilisation: Some(1.0),
            failed: 0,
            stages: Vec::new(),
        }
    }

    #[test]
    fn staleness_is_that_of_a_mean_result() {
        let mut run = run(&[(1.0, true), (2.0, true)]);
        run.finished[0].staleness = 5;
        assert_eq!(staleness(&run), 3.5);
    }

    #[test]
    fn what_only_some_seeds_know_is_summed_up_over_those() {
        let known = |utilisation| SeedRun { utilisation, ..run(&[(1.0, true)]) };
        let [all, none] = [[Some(0.5), Some(1.0), None], [None; 3]].map(|seeds| seeds.map(known));
        let mean = |runs: &[SeedRun]| utilisation(runs).map(|spread| spread.mean);
        assert_eq!((mean(&all), mean(&none)), (Some(0.75), None));
        assert!(busyness(utilisation(&all)).starts_with("workers busy 75.00 % of the time (25.00"));
        assert!(busyness(None).starts_with("how busy workers were is not known: "));
    }

    #[test]
    fn checkpoints_ascend_once_each_and_end_with_the_longest_run() {
        assert_eq!(checkpoints(&[20, 10, 10, 1_000], 200), (vec![10, 20], vec![1_000]));
        assert_eq!(checkpoints(&[200], 192), (vec![192], vec![200]));
        assert_eq!(checkpoints(&[], 60), (vec![10, 20, 50, 60], Vec::new()));
    }

    #[test]
    fn one_seed_has_no_deviation() {
        let one = Spread::of([7.25].into_iter());
        assert_eq!(
            (one.text(), one.json()),
            ("7.25".into(), json!({"mean": 7.25, "deviation": null}))
        );
        assert_eq!(Spread::of([1.0, 3.0].into_iter()).text(), "2.00 ± 1.41");
    }
}
