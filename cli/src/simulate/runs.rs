//! One simulated campaign a seed, and what the engine knows of it afterwards. Must not sum up over
//! seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cambrian_core::engine::{
    Campaign, CandidateStatus, Capabilities, EvaluatorOffer, Event, StageView,
};
use cambrian_core::id::Ordinal;
use cambrian_core::objective::MetricName;
use cambrian_core::simulation::{FaultRates, Simulation, SimulationSettings};
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::{Span, Timestamp};

use super::source::Source;
use crate::arguments::SimulateArguments;
use crate::commands::Context;
use crate::error::CliError;
use crate::present::number;

/// A candidate whose evaluation has ended.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub(super) ordinal: u32,
    pub(super) genotype: String,
    /// Minimised objectives as measured; none if it failed or ended early.
    pub(super) objectives: Option<Vec<f64>>,
    /// The same without the noise of measurements.
    pub(super) truth: Option<Vec<f64>>,
    /// Whether an early stage found it not worth the later ones, or it broke a constraint there.
    pub(super) ended_early: Option<&'static str>,
    /// Why it failed or ended early; empty if it is scored.
    pub(super) reason: String,
    /// Whether it keeps all constraints.
    pub(super) feasible: bool,
    /// Seconds of virtual time since the campaign began.
    pub(super) proposed_at: f64,
    pub(super) finished_at: f64,
    /// Seconds in slots over all attempts.
    pub(super) duration: f64,
    /// Results that arrived while it was in work at one of its stages.
    pub(super) staleness: usize,
    /// Whether it is in the algorithm's population at the end.
    pub(super) survives: bool,
}

/// A simulated campaign.
#[derive(Debug, Clone)]
pub(super) struct SeedRun {
    pub(super) seed: u64,
    /// In order of arrival.
    pub(super) finished: Vec<Finished>,
    /// Seconds of virtual time.
    pub(super) elapsed: f64,
    /// The share of slot time spent evaluating, from the beginning to the last proposal; none if no evaluation
    /// had ended by then.
    pub(super) utilisation: Option<f64>,
    pub(super) failed: usize,
    /// What each stage has done and cost, in order.
    pub(super) stages: Vec<StageView>,
}

/// Runs every seed.
///
/// # Errors
/// The first simulation that breaks an invariant or does not end.
pub(super) fn all(
    context: &Context,
    given: &SimulateArguments,
    spec: &CampaignSpec,
    source: &Source,
) -> Result<Vec<SeedRun>, CliError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let count = given.seeds as usize;
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(count)));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    let run = one(given, spec, source, given.first_seed + at as u64);
                    if let Ok(run) = &run {
                        context.output.hint(&format!(
                            "seed {}: {} evaluations in {} of virtual time",
                            run.seed,
                            number::count(run.finished.len() as u64),
                            number::duration(run.elapsed),
                        ));
                    }
                    if let Ok(mut done) = done.lock() {
                        done.push((at, run));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, run)| run).collect()
}

fn one(
    given: &SimulateArguments,
    spec: &CampaignSpec,
    source: &Source,
    seed: u64,
) -> Result<SeedRun, CliError> {
    let spec = spec.with_seed(seed).map_err(|faults| CliError::Internal(faults.to_string()))?;
    let settings = SimulationSettings {
        seed,
        workers: given.workers,
        prefetch: given.prefetch,
        joins_over: span(given.joins_over),
        straggler_share: given.stragglers,
        straggler_factor: given.straggler_factor,
        fit_duration: span(given.fit_seconds),
        faults: FaultRates { worker_crash: given.crash_rate, ..FaultRates::NONE },
        horizon: Span(u64::MAX / 4),
        ..SimulationSettings::default()
    };
    let outcome = Simulation::new(settings, capabilities(&spec, source), source)
        .run(&[Arc::new(spec)])
        .map_err(|breach| CliError::Internal(format!("seed {seed}: {breach}")))?;
    let campaign = outcome.engine.state().campaigns().next();
    let campaign = campaign.ok_or_else(|| CliError::Internal("no campaign was run".to_owned()))?;
    Ok(seed_run((campaign, &outcome.journal), source, seed, given.workers))
}

fn span(seconds: f64) -> Span {
    Span((seconds * 1e6) as u64)
}

/// Workers that evaluate everything.
fn capabilities(spec: &CampaignSpec, source: &Source) -> Arc<Capabilities> {
    let measures = spec.stages.iter().flat_map(|stage| stage.measures.iter().cloned());
    let metrics: BTreeMap<MetricName, _> =
        measures.map(|metric| (metric, source.provenance())).collect();
    let labels = spec.stages.iter().flat_map(|stage| stage.labels.clone()).collect();
    Arc::new(Capabilities {
        device_class: "simulated".into(),
        memory_bytes: 0,
        slots: 1,
        evaluators: vec![EvaluatorOffer {
            name: source.evaluator().into(),
            version: "1".into(),
            metrics,
            yields: false,
        }],
        datasets: BTreeSet::new(),
        fingerprints: BTreeMap::new(),
        unavailable: BTreeMap::new(),
        labels,
    })
}

/// Seconds in slots, of attempts that workers told of, from `begin` until `last` seconds later. What a worker
/// holds but has not begun keeps no slot busy, nor does what died with it.
fn busy_until(last: f64, begin: Timestamp, journal: &[(Timestamp, Event)]) -> f64 {
    let clipped = |(at, event): &(Timestamp, Event)| {
        let elapsed = event.elapsed()?.as_secs_f64();
        let end = at.since(begin).as_secs_f64();
        Some((end.min(last) - (end - elapsed)).max(0.0))
    };
    // The sum of nothing is -0.
    journal.iter().filter_map(clipped).sum::<f64>() + 0.0
}

/// When each candidate was in work, by its position: beginning and end of every attempt that a worker told of,
/// in seconds since `begin`. Between them it waits, for a worker or for being called up to its next stage.
fn in_work(begin: Timestamp, journal: &[(Timestamp, Event)]) -> BTreeMap<Ordinal, Vec<(f64, f64)>> {
    let (mut candidates, mut spans) = (BTreeMap::new(), BTreeMap::new());
    for (at, event) in journal {
        match event {
            Event::TaskQueued { task, candidate, .. } => {
                candidates.insert(*task, candidate.ordinal);
            }
            Event::TaskCompleted { task, elapsed, .. }
            | Event::AttemptFailed { task, elapsed, .. }
            | Event::AttemptYielded { task, elapsed, .. } => {
                let end = at.since(begin);
                if let Some(ordinal) = candidates.get(task) {
                    let span = (seconds(end - *elapsed), seconds(end));
                    spans.entry(*ordinal).or_insert_with(Vec::new).push(span);
                }
            }
            _ => {}
        }
    }
    spans
}

/// How many of `arrivals`, which ascend, lie within the spans of a candidate; those of its repeats may overlap.
fn arriving_within(mut spans: Vec<(f64, f64)>, arrivals: &[f64]) -> usize {
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut count, mut counted) = (0, 0);
    for (begin, end) in spans {
        let first = arrivals.partition_point(|at| *at <= begin).max(counted);
        counted = arrivals.partition_point(|at| *at < end).max(first);
        count += counted - first;
    }
    count
}

fn seconds(span: Span) -> f64 {
    span.0 as f64 / 1e6
}

/// The share of the time of `workers` in which they evaluated, `busy` seconds in all until the last proposal.
///
/// Afterwards work runs out because the budget is spent, however well the search keeps slots busy: the stages and
/// repeats left of what was proposed need not be enough for all workers. Where no evaluation has ended by then,
/// no slot had to be filled a second time, and the share would tell of how workers join alone.
fn utilisation(finished: &[Finished], workers: u32, busy: impl Fn(f64) -> f64) -> Option<f64> {
    let last = finished.iter().map(|candidate| candidate.proposed_at).fold(0.0, f64::max);
    let ended = finished.first().is_some_and(|first| first.finished_at <= last);
    let slots = f64::from(workers) * last;
    (ended && slots > 0.0).then(|| (busy(last) / slots).min(1.0))
}

/// The run of a seed, from the campaign at its end and its journal.
fn seed_run(
    (campaign, journal): (&Campaign, &[(Timestamp, Event)]),
    source: &Source,
    seed: u64,
    workers: u32,
) -> SeedRun {
    let begin = campaign.submitted_at();
    let mut finished = finished(campaign, source);
    count_stale(&mut finished, in_work(begin, journal));
    let unsuccessful =
        |candidate: &&Finished| candidate.objectives.is_none() && candidate.ended_early.is_none();
    SeedRun {
        seed,
        elapsed: finished.last().map_or(0.0, |candidate| candidate.finished_at),
        utilisation: utilisation(&finished, workers, |last| busy_until(last, begin, journal)),
        failed: finished.iter().filter(unsuccessful).count(),
        stages: campaign.view().stages,
        finished,
    }
}

/// The candidates whose evaluations have ended, in order of arrival.
fn finished(campaign: &Campaign, source: &Source) -> Vec<Finished> {
    let population: BTreeSet<_> = campaign.algorithm().population().into_iter().collect();
    let last = campaign.candidates().len() as u32;
    let mut finished: Vec<Finished> = (1..=last)
        .map(Ordinal)
        .filter_map(|ordinal| evaluated(campaign, ordinal, source, population.contains(&ordinal)))
        .collect();
    finished
        .sort_by(|a, b| a.finished_at.total_cmp(&b.finished_at).then(a.ordinal.cmp(&b.ordinal)));
    finished
}

/// What came of a candidate; `None` while its evaluation has not ended, or if there was none.
fn evaluated(
    campaign: &Campaign,
    ordinal: Ordinal,
    source: &Source,
    survives: bool,
) -> Option<Finished> {
    let candidate = campaign.candidate(ordinal)?;
    let resolved = candidate.resolved_at().filter(|_| candidate.attempts() > 0)?;
    let begin = campaign.submitted_at();
    let violation = match candidate.status() {
        CandidateStatus::Scored { violation } => Some(*violation),
        _ => None,
    };
    let genotype = campaign.spec().space.format(&candidate.proposal().genotype);
    let unscored = violation.is_none().then(|| campaign.candidate_view(ordinal));
    let objectives = violation.and_then(|_| campaign.objectives_of(candidate));
    Some(Finished {
        ordinal: ordinal.0,
        truth: objectives.as_ref().map(|found| {
            let truth = source.truth(campaign.spec(), &genotype);
            truth.unwrap_or_else(|| found.clone())
        }),
        objectives,
        genotype,
        ended_early: match candidate.status() {
            CandidateStatus::Screened(_) => Some("screened"),
            CandidateStatus::Infeasible(_) => Some("infeasible"),
            _ => None,
        },
        reason: unscored.flatten().map(|view| view.reason()).unwrap_or_default(),
        feasible: violation == Some(0.0),
        proposed_at: seconds(candidate.proposed_at().since(begin)),
        finished_at: seconds(resolved.since(begin)),
        duration: seconds(candidate.elapsed()),
        staleness: 0,
        survives,
    })
}

/// Counts what arrived while each candidate was in work.
fn count_stale(finished: &mut [Finished], mut in_work: BTreeMap<Ordinal, Vec<(f64, f64)>>) {
    let arrivals: Vec<f64> = finished.iter().map(|candidate| candidate.finished_at).collect();
    for candidate in finished {
        let spans = in_work.remove(&Ordinal(candidate.ordinal)).unwrap_or_default();
        candidate.staleness = arriving_within(spans, &arrivals);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_while_a_candidate_waits_between_stages_is_not_counted() {
        let arrivals = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        assert_eq!(arriving_within(vec![(4.5, 6.5), (0.5, 1.5)], &arrivals), 3);
        // Begin and end are those of other tasks of the same worker.
        assert_eq!(arriving_within(vec![(1.0, 3.0)], &arrivals), 1);
        // Two repeats at once.
        assert_eq!(arriving_within(vec![(0.5, 3.5), (1.5, 2.5), (2.5, 4.5)], &arrivals), 4);
        assert_eq!(arriving_within(Vec::new(), &arrivals), 0);
    }

    #[test]
    fn slots_in_which_nothing_ended_were_not_busy() {
        let busy = busy_until(10.0, Timestamp(0), &[]);
        assert!(busy == 0.0 && busy.is_sign_positive(), "{busy}");
    }
}
