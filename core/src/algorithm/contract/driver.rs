//! A campaign without an engine: asks, evaluates in a shuffled order, tells, and checks every
//! step. It must not know the problem: how a candidate ends is handed to it.

use std::collections::BTreeMap;

use rand::RngExt;

use super::*;
use crate::rng::{Purpose, Stream, stream};

/// What becomes of a genotype.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::algorithm) enum Resolution {
    Scored { objectives: Vec<f64>, violation: f64 },
    Violating(f64),
    Infeasible,
    Lost,
}

impl Resolution {
    pub(in crate::algorithm) fn outcome(&self) -> Outcome<'_> {
        match self {
            Self::Scored { objectives, violation } => {
                Outcome::Scored { objectives, violation: *violation }
            }
            Self::Violating(violation) => Outcome::Violating { violation: *violation },
            Self::Infeasible => Outcome::Infeasible,
            Self::Lost => Outcome::Lost,
        }
    }
}

/// One call that changed an algorithm's state.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::algorithm) enum Entry {
    Proposed(Ordinal, Proposal),
    Resolved(Ordinal, Resolution),
    Adopted(u32),
}

/// Two objectives, the first maximised.
pub(in crate::algorithm) fn context() -> AlgorithmContext {
    context_in(Grid::of(6, 5))
}

pub(super) fn context_in(space: Arc<dyn SearchSpace>) -> AlgorithmContext {
    AlgorithmContext {
        space: Some(space),
        evaluations: Some(400),
        seed: 1,
        objectives: vec!["accuracy".into(), "cost".into()],
        maximized: vec![true, false],
        computed: None,
    }
}

/// The algorithm with these parameters.
pub(in crate::algorithm) fn build(name: &str, text: &str) -> Box<dyn Algorithm> {
    build_in(Grid::of(6, 5), name, text)
}

fn build_in(space: Arc<dyn SearchSpace>, name: &str, text: &str) -> Box<dyn Algorithm> {
    let entry = ALGORITHMS.iter().find(|entry| entry.name == name).unwrap();
    let section = Section::from_text(text).unwrap();
    (entry.build)(&section, &context_in(space)).unwrap_or_else(|| panic!("{:?}", section.finish()))
}

/// An algorithm under test with everything that happened to it.
pub(in crate::algorithm) struct Driver {
    pub(in crate::algorithm) algorithm: Box<dyn Algorithm>,
    pub(in crate::algorithm) log: Vec<Entry>,
    pub(in crate::algorithm) known: BTreeSet<CanonicalHash>,
    pub(in crate::algorithm) in_flight: Vec<(Ordinal, Genotype)>,
    space: Arc<dyn SearchSpace>,
    resolve: Box<dyn Fn(&Genotype) -> Resolution>,
    settings: (String, String),
    seed: u64,
    arrivals: Stream,
    proposed: u32,
    scored: BTreeSet<Ordinal>,
}

impl Driver {
    pub(in crate::algorithm) fn new(
        name: &str,
        text: &str,
        space: Arc<dyn SearchSpace>,
        resolve: impl Fn(&Genotype) -> Resolution + 'static,
        seed: u64,
    ) -> Self {
        Self {
            algorithm: build_in(space.clone(), name, text),
            log: Vec::new(),
            known: BTreeSet::new(),
            in_flight: Vec::new(),
            space,
            resolve: Box::new(resolve),
            settings: (name.to_owned(), text.to_owned()),
            seed,
            arrivals: stream(seed, Purpose::Simulation, 0),
            proposed: 0,
            scored: BTreeSet::new(),
        }
    }

    /// What `algorithm` would propose next.
    pub(in crate::algorithm) fn suggest(&self, algorithm: &dyn Algorithm) -> Suggestion {
        let mut rng = stream(self.seed, Purpose::Proposal, u64::from(self.proposed) + 1);
        algorithm.suggest(&*self.space, &self.known, &mut rng)
    }

    /// A fresh algorithm that has been told the same.
    pub(in crate::algorithm) fn replayed(&self) -> Box<dyn Algorithm> {
        self.replayed_as(&self.settings.0, &self.settings.1)
    }

    /// Another algorithm that has been told the same.
    pub(in crate::algorithm) fn replayed_as(&self, name: &str, text: &str) -> Box<dyn Algorithm> {
        let mut algorithm = build_in(self.space.clone(), name, text);
        for entry in &self.log {
            match entry {
                Entry::Proposed(id, proposal) => algorithm.proposed(*id, proposal),
                Entry::Resolved(id, resolution) => algorithm.update(*id, resolution.outcome()),
                Entry::Adopted(results) => algorithm.adopt(*results),
            }
        }
        algorithm
    }

    /// Proposes up to `evaluations` candidates in all, `workers` at a time, lets the results arrive
    /// in a random order, and returns how many were proposed: fewer if the space is exhausted.
    pub(in crate::algorithm) fn run(&mut self, workers: usize, evaluations: u32) -> u32 {
        self.run_with(workers, evaluations, |in_flight, arrivals| {
            arrivals.random_range(0..in_flight.len())
        })
    }

    /// As [`Self::run`], but an evaluation arrives when its time has passed.
    pub(in crate::algorithm) fn run_timed(
        &mut self,
        workers: usize,
        evaluations: u32,
        time: impl Fn(&Genotype) -> f64,
    ) -> u32 {
        let (mut now, mut ends) = (0.0, BTreeMap::new());
        self.run_with(workers, evaluations, |in_flight, _| {
            let mut end = |(id, genotype): &(Ordinal, Genotype)| {
                *ends.entry(*id).or_insert_with(|| now + time(genotype))
            };
            let ends: Vec<f64> = in_flight.iter().map(&mut end).collect();
            let first = (0..ends.len()).min_by(|&a, &b| ends[a].total_cmp(&ends[b])).unwrap();
            now = ends[first];
            first
        })
    }

    /// `next` says which of those in flight arrives next.
    fn run_with(
        &mut self,
        workers: usize,
        evaluations: u32,
        mut next: impl FnMut(&[(Ordinal, Genotype)], &mut Stream) -> usize,
    ) -> u32 {
        loop {
            while self.in_flight.len() < workers && self.proposed < evaluations {
                match self.suggest(&*self.algorithm) {
                    Suggestion::Propose(proposal) => self.propose(proposal),
                    Suggestion::Exhausted => break,
                    Suggestion::Wait => {
                        assert!(!self.in_flight.is_empty(), "waits though nothing is in flight");
                        break;
                    }
                }
            }
            if self.in_flight.is_empty() {
                return self.proposed;
            }
            let arrival = next(&self.in_flight, &mut self.arrivals);
            self.resolve(arrival);
        }
    }

    fn propose(&mut self, proposal: Proposal) {
        assert_eq!(self.space.canonical_hash(&proposal.genotype), Ok(proposal.key));
        assert!(self.known.insert(proposal.key), "{proposal:?} is known");
        let population = self.algorithm.population();
        let in_flight = |id: Ordinal| self.in_flight.iter().any(|(other, _)| *other == id);
        let may_be = self.settings.1.contains("in_flight");
        let is_parent = |id: Ordinal| population.contains(&id) || (may_be && in_flight(id));
        match proposal.origin {
            Origin::Sampled => {}
            Origin::Given => panic!("only campaigns name candidates: {proposal:?}"),
            Origin::Mutated { parent } => assert!(is_parent(parent), "{proposal:?}"),
            Origin::Crossed { first, second } => {
                assert!(first != second && is_parent(first) && is_parent(second), "{proposal:?}");
            }
        }
        self.proposed += 1;
        let id = Ordinal(self.proposed);
        self.algorithm.proposed(id, &proposal);
        self.in_flight.push((id, proposal.genotype.clone()));
        self.log.push(Entry::Proposed(id, proposal));
    }

    fn resolve(&mut self, arrival: usize) {
        let (id, genotype) = self.in_flight.swap_remove(arrival);
        let resolution = (self.resolve)(&genotype);
        if matches!(resolution, Resolution::Scored { .. } | Resolution::Violating(_)) {
            self.scored.insert(id);
        }
        self.algorithm.update(id, resolution.outcome());
        self.log.push(Entry::Resolved(id, resolution));
        while let Some(job) = self.algorithm.wanted_fit() {
            job.run();
            self.algorithm.adopt(job.results);
            self.log.push(Entry::Adopted(job.results));
        }
        let population = self.algorithm.population();
        assert!(population.is_sorted_by(|a, b| a < b), "{population:?}");
        assert!(population.iter().all(|id| self.scored.contains(id)), "{population:?}");
    }

    fn proposals(&self) -> impl Iterator<Item = &Proposal> {
        self.log.iter().filter_map(|entry| match entry {
            Entry::Proposed(_, proposal) => Some(proposal),
            Entry::Resolved(..) | Entry::Adopted(_) => None,
        })
    }

    /// The genotypes in order of proposal.
    pub(in crate::algorithm) fn genotypes(&self) -> impl Iterator<Item = &Genotype> {
        self.proposals().map(|proposal| &proposal.genotype)
    }

    /// The origins in order of proposal.
    pub(in crate::algorithm) fn origins(&self) -> impl Iterator<Item = Origin> {
        self.proposals().map(|proposal| proposal.origin)
    }

    /// The run as text: one line a proposal (number, origin, genes), then the population.
    pub(super) fn transcript(&self) -> String {
        let mut text = String::new();
        for entry in &self.log {
            let Entry::Proposed(id, proposal) = entry else { continue };
            let origin = match proposal.origin {
                Origin::Sampled => "sampled".to_owned(),
                Origin::Given => "given".to_owned(),
                Origin::Mutated { parent } => format!("mutated {parent}"),
                Origin::Crossed { first, second } => format!("crossed {first} {second}"),
            };
            let genes: String = proposal.genotype.0.iter().map(u32::to_string).collect();
            text.push_str(&format!("{id}: {origin}: {genes}\n"));
        }
        let ids = self.algorithm.population().into_iter().map(|id| format!(" {id}"));
        text + "population:" + &ids.collect::<String>() + "\n"
    }
}
