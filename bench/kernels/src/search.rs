//! The cost of NSGA-II itself: a search of a trivial problem in process. Must not know the engine
//! or workers.

use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use anyhow::{Context, bail};
use cambrian_core::algorithm::{
    ALGORITHMS, Algorithm, AlgorithmContext, Known, Outcome, Proposal, Suggestion,
};
use cambrian_core::graph::CanonicalHash;
use cambrian_core::id::Ordinal;
use cambrian_core::rng::{Purpose, Streams};
use cambrian_core::space::{Genotype, SPACES, SearchSpace};
use cambrian_core::spec::Section;

/// A name, the space's kind and parameters, and the number of objectives.
type Problem = (&'static str, &'static str, &'static str, usize);

/// The problems that can be named.
pub(crate) const PROBLEMS: &[Problem] = &[
    ("zdt1", "problem", "name: zdt1", 2),
    ("dtlz2_3", "problem", "{name: dtlz2, objectives: 3, variables: 30}", 3),
    ("cat6", "declared", "genes: [{name: g, edges: [a, b, c, d, e], nodes: 4}]", 2),
    ("cat40", "declared", "", 3),
];

/// Nothing is known, so that duplicates are left alone as in other libraries' benchmarks; every
/// candidate is hashed all the same.
struct Nothing;

impl Known for Nothing {
    fn contains(&self, _: &CanonicalHash) -> bool {
        false
    }
}

/// Prints microseconds for each candidate, the evaluation left out; opening its random stream is not.
pub(crate) fn run(name: &str, population: u32, generations: u32, mode: &str) -> anyhow::Result<()> {
    let Some(problem) = PROBLEMS.iter().find(|problem| problem.0 == name) else {
        bail!("there is no problem called `{name}`");
    };
    let space = space(problem)?;
    let objectives = problem.3;
    let context = AlgorithmContext {
        space: Some(space.clone()),
        evaluations: None,
        seed: 1,
        objectives: (0..objectives).map(|at| format!("f{at}").into()).collect(),
        maximized: vec![false; objectives],
        computed: None,
    };
    let entry = ALGORITHMS.iter().find(|entry| entry.name == "nsga2").context("no NSGA-II")?;
    let section = Section::from_text(&format!("{{population: {population}, mode: {mode}}}"))?;
    let algorithm = (entry.build)(&section, &context).context("faulty parameters")?;
    let streams = Streams::new(1, Purpose::Proposal);
    let mut search = Search { space, algorithm, streams, spent: Duration::ZERO };
    // A generation is proposed and told at once, so that the clock costs nothing.
    let batch = if mode == "asynchronous" { 1 } else { population };
    let last = population * (generations + 1);
    for first in (1..=last).step_by(batch as usize) {
        // The initial population is drawn, not bred.
        if first == population + 1 {
            search.spent = Duration::ZERO;
        }
        let proposals = search.propose(first..first + batch)?;
        let scores: Vec<Vec<f64>> =
            proposals.iter().map(|proposal| evaluate(&proposal.genotype, objectives)).collect();
        search.tell(first, &scores);
    }
    let measured = population * generations;
    let micros = search.spent.as_secs_f64() * 1e6 / f64::from(measured);
    println!(
        "{{\"library\": \"cambrian\", \"kernel\": \"evolve\", \"problem\": \"{name}\", \
         \"mode\": \"{mode}\", \"population\": {population}, \"micros\": {micros:.3}}}"
    );
    Ok(())
}

/// A search and the time that it has taken.
struct Search {
    space: Arc<dyn SearchSpace>,
    algorithm: Box<dyn Algorithm>,
    streams: Streams,
    spent: Duration,
}

impl Search {
    fn propose(&mut self, ordinals: std::ops::Range<u32>) -> anyhow::Result<Vec<Proposal>> {
        let Self { space, algorithm, streams, spent } = self;
        let (time, proposals) = clock::timed(|| {
            let propose = |ordinal| {
                let mut rng = streams.stream(u64::from(ordinal));
                let suggestion = algorithm.suggest(&**space, &Nothing, &mut rng);
                let Suggestion::Propose(proposal) = suggestion else {
                    bail!("NSGA-II proposes nothing");
                };
                algorithm.proposed(Ordinal(ordinal), &proposal);
                Ok(proposal)
            };
            ordinals.map(propose).collect()
        });
        *spent += time;
        proposals
    }

    fn tell(&mut self, first: u32, scores: &[Vec<f64>]) {
        let (time, ()) = clock::timed(|| {
            for (ordinal, objectives) in (first..).zip(scores) {
                let outcome = Outcome::Scored { objectives, violation: 0.0 };
                self.algorithm.update(Ordinal(ordinal), outcome);
            }
        });
        self.spent += time;
    }
}

fn space(problem: &Problem) -> anyhow::Result<Arc<dyn SearchSpace>> {
    let (name, kind, parameters, _) = *problem;
    let genes = (0..40).map(|at| format!("{{name: g{at}, cat: [a, b, c, d, e]}}"));
    let text = match name {
        "cat40" => format!("genes: [{}]", genes.collect::<Vec<_>>().join(", ")),
        _ => parameters.to_owned(),
    };
    let entry = SPACES.iter().find(|entry| entry.name == kind).context("no such space")?;
    let section = Section::from_text(&text)?;
    (entry.build)(&section).with_context(|| format!("{name}: faulty parameters"))
}

/// Sums of the genes' values with weights that differ by objective: what they are does not matter,
/// as long as objectives disagree.
fn evaluate(genotype: &Genotype, objectives: usize) -> Vec<f64> {
    let weight = |objective: usize, gene: usize, value: u32| {
        let number =
            (objective * 1009 + gene * 31) as f64 + f64::from(value % 1_000_003) * 7.0 + 1.0;
        (number * 12.9898).sin().abs()
    };
    (0..objectives)
        .map(|at| {
            let genes = genotype.0.iter().enumerate();
            genes.map(|(gene, value)| weight(at, gene, *value)).sum()
        })
        .collect()
}
