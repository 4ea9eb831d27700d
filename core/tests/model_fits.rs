//! Models that are fitted outside the engine: when they are asked for, what is stored of them, and
//! that a replay and a restart go on as if nothing had happened.

mod support;

use std::sync::Arc;

use cambrian_core::algorithm::{Origin, Proposal, Suggestion};
use cambrian_core::engine::{
    Assignment, Command, Engine, EngineSettings, Event, ReportedOutcome, Subject, SubmissionId,
};
use cambrian_core::graph::CanonicalHash;
use cambrian_core::id::{CampaignId, CandidateId, Ordinal, SessionId};
use cambrian_core::simulation::{Evaluate, Evaluation, Simulation, SimulationSettings};
use cambrian_core::space::Genotype;
use cambrian_core::spec::CampaignSpec;
use cambrian_core::time::{Span, Timestamp};

const CAMPAIGN: CampaignId = CampaignId(1);
const SETTINGS: EngineSettings = EngineSettings { lease_length: Span::from_secs(30) };

fn spec() -> Arc<CampaignSpec> {
    bred_by("{kind: surrogate, initial: 4}", 14)
}

fn bred_by(algorithm: &str, evaluations: u32) -> Arc<CampaignSpec> {
    support::campaign(&format!(
        "version: 1\nname: fits\nseed: 3\nspace: {{kind: nasbench201, cells: 1, channels: 4}}\n\
         objectives: [accuracy, latency]\nalgorithm: {algorithm}\n\
         stages: [{{evaluator: synthetic, measures: [accuracy, latency]}}]\n\
         budget: {{evaluations: {evaluations}}}\n",
    ))
}

struct Costs;

impl Evaluate for Costs {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        let macs = assignment.graph.as_ref().expect("the space has networks").macs() as f64;
        let measured = vec![
            support::measurement("accuracy", 90.0 - 1e7 / (1e5 + macs)),
            support::measurement("latency", 1.0 + macs * 1e-6),
        ];
        let duration = Span::from_millis(1_000 + assignment.task.0 % 3);
        Evaluation { outcome: ReportedOutcome::Measured(measured), duration }
    }
}

fn journal(fit_duration: Span) -> (Vec<(Timestamp, Event)>, Engine) {
    journal_of(2, fit_duration)
}

fn journal_of(workers: u32, fit_duration: Span) -> (Vec<(Timestamp, Event)>, Engine) {
    let settings =
        SimulationSettings { seed: 1, workers, fit_duration, ..SimulationSettings::default() };
    let capabilities = support::capabilities(&["synthetic"], &["accuracy", "latency"]);
    let outcome = Simulation::new(settings, capabilities, &Costs).run(&[spec()]).expect("it ends");
    (outcome.journal, outcome.engine)
}

/// As [`Costs`], in 1 to 20 s.
struct Varied;

impl Evaluate for Varied {
    fn evaluate(&self, assignment: &Assignment) -> Evaluation {
        let duration = Span::from_millis(1_000 + assignment.seed % 19_000);
        Evaluation { duration, ..Costs.evaluate(assignment) }
    }
}

/// With one worker more than models are asked for, a fit often ends while evolution is asked.
#[test]
fn a_fit_that_ends_in_a_crowd_is_adopted() {
    for seed in 1..=3 {
        let fit_duration = Span::from_millis(1_000 * seed);
        let settings = SimulationSettings {
            seed,
            workers: 4,
            fit_duration,
            horizon: Span::from_secs(24 * 3_600),
            ..SimulationSettings::default()
        };
        let capabilities = support::capabilities(&["synthetic"], &["accuracy", "latency"]);
        let algorithm = "{kind: auto, model_in_flight: 3, mixed_from: 20, evolution_population: 8}";
        let spec = bred_by(algorithm, 40);
        let outcome = Simulation::new(settings, capabilities, &Varied).run(&[spec]);
        let outcome = outcome.unwrap_or_else(|breach| panic!("seed {seed}: {breach}"));
        assert!(adoptions(&outcome.journal).len() > 1, "seed {seed}: models are fitted");
    }
}

fn adoptions(journal: &[(Timestamp, Event)]) -> Vec<u32> {
    let adopted = journal.iter().filter_map(|(_, event)| match event {
        Event::ModelAdopted { results, .. } => Some(*results),
        _ => None,
    });
    adopted.collect()
}

#[test]
fn adoptions_are_stored_and_a_replay_derives_every_proposal_again() {
    let (journal, live) = journal(Span::from_millis(300));
    let adopted = adoptions(&journal);
    assert_eq!(adopted[0], 4, "{adopted:?}");
    assert!(adopted.len() > 5 && adopted.is_sorted_by(|a, b| a < b), "{adopted:?}");
    let mut replayed = Engine::new(SETTINGS);
    let mut proposals = 0;
    for (at, event) in &journal {
        if let Event::CandidateProposed { candidate, proposal, .. } = event {
            let campaign = replayed.state().campaign(CAMPAIGN).expect("it was submitted");
            let again = campaign.suggest(*candidate);
            assert_eq!(again, Suggestion::Propose(proposal.as_ref().clone()), "{candidate}");
            proposals += 1;
        }
        replayed.apply(event, *at);
    }
    assert_eq!(proposals, 14);
    assert_eq!(replayed.state().digest(), live.state().digest());
}

#[test]
fn a_restart_asks_again_for_a_fit_that_was_lost() {
    let (journal, _) = journal(Span::from_millis(300));
    let is_adoption = |(_, event): &(Timestamp, Event)| matches!(event, Event::ModelAdopted { .. });
    let until = journal.iter().position(is_adoption).expect("a model is adopted");
    let mut engine = Engine::new(SETTINGS);
    journal[..until].iter().for_each(|(at, event)| engine.apply(event, *at));
    let now = engine.state().now();
    let step = engine.step(Command::Start, now).expect("a start is never rejected");
    let [fit] = &step.fits[..] else { panic!("{:?}", step.fits) };
    assert_eq!((fit.campaign, fit.job.results), (CAMPAIGN, 4));
    assert!(engine.step(Command::Tick, now).expect("time passes").fits.is_empty(), "asked twice");
    let results = fit.job.results;
    let stale = Command::ModelFitted { campaign: CAMPAIGN, results: results + 1 };
    let step = engine.step(stale, now).expect("a stale model is ignored");
    assert!(!step.events.iter().any(Event::is_durable));
    let fitted = Command::ModelFitted { campaign: CAMPAIGN, results };
    let step = engine.step(fitted.clone(), now).expect("a wanted model is adopted");
    assert!(matches!(step.events[0], Event::ModelAdopted { results: 4, .. }), "{:?}", step.events);
    let step = engine.step(fitted, now).expect("a repeated model is ignored");
    assert!(!step.events.iter().any(Event::is_durable));
}

#[test]
fn a_campaign_without_work_says_that_it_waits_for_a_model() {
    let (journal, _) = journal_of(1, Span::from_millis(300));
    let is_adoption = |(_, event): &(Timestamp, Event)| matches!(event, Event::ModelAdopted { .. });
    let until = journal.iter().position(is_adoption).expect("a model is adopted");
    let mut engine = Engine::new(SETTINGS);
    journal[..until].iter().for_each(|(at, event)| engine.apply(event, *at));
    engine.step(Command::Start, engine.state().now()).expect("a start is never rejected");
    let told = engine.state().explain(&Subject::Campaign(CAMPAIGN)).expect("it was submitted");
    assert_eq!(told.headline, "campaign 1 waits for a model of 4 results to be fitted");
}

/// The process that fitted the model in use is gone; its next proposal would fit it on the engine's time.
#[test]
fn a_restart_fits_the_model_in_use_before_anything_is_bred() {
    let (journal, _) = journal(Span::from_millis(300));
    let is_adoption = |(_, event): &(Timestamp, Event)| matches!(event, Event::ModelAdopted { .. });
    let until = journal.iter().rposition(is_adoption).expect("a model is adopted");
    let adopted = *adoptions(&journal).last().expect("a model is adopted");
    let mut engine = Engine::new(SETTINGS);
    journal[..=until].iter().for_each(|(at, event)| engine.apply(event, *at));
    let now = engine.state().now();
    let candidates = |engine: &Engine| {
        engine.state().campaign(CAMPAIGN).expect("it was submitted").candidates().len()
    };
    let before = candidates(&engine);
    let step = engine.step(Command::Start, now).expect("a start is never rejected");
    let [fit] = &step.fits[..] else { panic!("{:?}", step.fits) };
    assert_eq!((fit.campaign, fit.job.results), (CAMPAIGN, adopted));

    let session = SessionId(77);
    let capabilities = support::capabilities(&["synthetic"], &["accuracy", "latency"]);
    let register =
        Command::RegisterWorker { name: "new".into(), session, capabilities, holding: Vec::new() };
    let step = engine.step(register, now).expect("a worker registers");
    let registered = |event: &Event| match event {
        Event::WorkerRegistered { worker, .. } => Some(*worker),
        _ => None,
    };
    let worker = step.events.iter().find_map(registered).expect("it has registered");
    let ready = Command::Ready { worker, session, credit: 1 };
    engine.step(ready, now).expect("it is ready");
    assert_eq!(candidates(&engine), before, "bred without its model");
    let fitted = Command::ModelFitted { campaign: CAMPAIGN, results: adopted };
    let step = engine.step(fitted, now).expect("the model is there");
    assert_eq!(candidates(&engine), before + 1, "{:?}", step.events);
}

#[test]
fn nothing_is_bred_from_what_is_no_genotype_of_the_space() {
    let mut engine = Engine::new(SETTINGS);
    let at = Timestamp(1);
    let submission = SubmissionId(1);
    let submitted = Event::CampaignSubmitted {
        campaign: CAMPAIGN,
        submission,
        spec: spec(),
        source: "".into(),
        owner: None,
    };
    engine.apply(&submitted, at);
    for ordinal in 1..=6 {
        let candidate = CandidateId::new(CAMPAIGN, Ordinal(ordinal));
        let genes = vec![u32::MAX; ordinal as usize];
        let proposal = Arc::new(Proposal {
            genotype: Genotype(genes.into()),
            key: CanonicalHash::from_bytes([ordinal as u8; 16]),
            origin: Origin::Sampled,
        });
        engine.apply(&Event::CandidateProposed { candidate, proposal, analytic: vec![] }, at);
        engine.apply(&Event::CandidateScored { candidate, violation: 0.0 }, at);
    }
    let campaign = engine.state().campaign(CAMPAIGN).expect("it was submitted");
    assert_eq!(campaign.algorithm().population(), []);
    let next = campaign.suggest(CandidateId::new(CAMPAIGN, Ordinal(7)));
    assert!(matches!(next, Suggestion::Propose(_)));
}
