//! The cost of NSGA-II itself: a search of a trivial problem in process, without an engine around it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use cambrian_core::algorithm::{ALGORITHMS, AlgorithmContext, Known, Outcome, Suggestion};
use cambrian_core::graph::CanonicalHash;
use cambrian_core::id::Ordinal;
use cambrian_core::rng::{Purpose, stream};
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

/// Prints microseconds for each candidate, the evaluation left out.
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
    };
    let entry = ALGORITHMS.iter().find(|entry| entry.name == "nsga2").context("no NSGA-II")?;
    let section = Section::from_text(&format!("{{population: {population}, mode: {mode}}}"))?;
    let mut algorithm = (entry.build)(&section, &context).context("faulty parameters")?;
    let (mut spent, mut measured) = (Duration::ZERO, 0u32);
    let mut waiting = Vec::new();
    for ordinal in 1..=population * (generations + 1) {
        let mut rng = stream(1, Purpose::Proposal, u64::from(ordinal));
        let start = Instant::now();
        let Suggestion::Propose(proposal) = algorithm.suggest(&*space, &Nothing, &mut rng) else {
            bail!("NSGA-II proposes nothing");
        };
        algorithm.proposed(Ordinal(ordinal), &proposal);
        let mut elapsed = start.elapsed();
        waiting.push((Ordinal(ordinal), evaluate(&proposal.genotype, objectives)));
        if mode == "asynchronous" || ordinal.is_multiple_of(population) {
            let start = Instant::now();
            for (id, objectives) in waiting.drain(..) {
                algorithm.update(id, Outcome::Scored { objectives: &objectives, violation: 0.0 });
            }
            elapsed += start.elapsed();
        }
        // The initial population is drawn, not bred.
        if ordinal > population {
            spent += elapsed;
            measured += 1;
        }
    }
    let micros = spent.as_secs_f64() * 1e6 / f64::from(measured);
    println!(
        "{{\"library\": \"cambrian\", \"kernel\": \"evolve\", \"problem\": \"{name}\", \
         \"mode\": \"{mode}\", \"population\": {population}, \"micros\": {micros:.3}}}"
    );
    Ok(())
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
