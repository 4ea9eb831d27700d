//! Criterion benches of the Pareto kernels, of a growing front and of asynchronous breeding.
//! `cargo bench --package cambrian-bench`; `run` beside this crate compares with other libraries,
//! which must not be known here.

use std::collections::BTreeSet;
use std::hint::black_box;

use cambrian_core::algorithm::{ALGORITHMS, Algorithm, AlgorithmContext, Outcome, Suggestion};
use cambrian_core::graph::CanonicalHash;
use cambrian_core::id::Ordinal;
use cambrian_core::pareto::Points;
use cambrian_core::pareto::crowding::crowding_distance;
use cambrian_core::pareto::front::NonDominatedFront;
use cambrian_core::pareto::hypervolume::{exclusive_contributions, hypervolume};
use cambrian_core::pareto::sorting::{Fronts, Sorter};
use cambrian_core::rng::{Purpose, stream};
use cambrian_core::space::{SPACES, SearchSpace};
use cambrian_core::spec::Section;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::RngExt;

fn uniform(n: usize, m: usize) -> Vec<Vec<f64>> {
    let mut rng = stream(7, Purpose::Simulation, (n * 16 + m) as u64);
    (0..n).map(|_| (0..m).map(|_| rng.random::<f64>()).collect()).collect()
}

fn sphere(n: usize, m: usize) -> Points {
    let rows = uniform(n, m).into_iter().map(|row| {
        let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        row.into_iter().map(|value| value / norm).collect::<Vec<_>>()
    });
    Points::try_from_rows(m, rows).expect("finite values")
}

fn sorting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("non-dominated sorting");
    for (n, m) in [(1_000, 2), (10_000, 2), (1_000, 3), (10_000, 3), (1_000, 4), (10_000, 8)] {
        let points = Points::try_from_rows(m, uniform(n, m)).expect("finite values");
        let (mut sorter, mut fronts) = (Sorter::new(), Fronts::default());
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::new(format!("{m} objectives"), n), |bencher| {
            bencher.iter(|| sorter.sort_into(black_box(&points), None, &mut fronts));
        });
    }
    group.finish();
}

fn fronts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("front");
    for m in [2, 3, 4] {
        let rows = uniform(1_000, m);
        group.throughput(Throughput::Elements(1_000));
        group.bench_function(BenchmarkId::new("insert 1000", m), |bencher| {
            bencher.iter(|| {
                let mut front = NonDominatedFront::new(m);
                for (id, row) in rows.iter().enumerate() {
                    front.insert(id, row).expect("finite values");
                }
                front.len()
            });
        });
        let points = sphere(1_000, m);
        group.bench_function(BenchmarkId::new("crowding of 1000", m), |bencher| {
            let members: Vec<usize> = (0..points.len()).collect();
            bencher.iter(|| crowding_distance(black_box(&points), &members));
        });
    }
    group.finish();
}

fn volumes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hypervolume");
    group.sample_size(20);
    for (n, m) in
        [(100, 2), (100, 3), (100, 4), (100, 5), (100, 6), (1_000, 3), (1_000, 4), (1_000, 5)]
    {
        let (points, reference) = (sphere(n, m), vec![1.1; m]);
        group.bench_function(BenchmarkId::new(format!("exact, {m} objectives"), n), |bencher| {
            bencher.iter(|| hypervolume(black_box(&points), &reference));
        });
        if n == 100 {
            group.bench_function(
                BenchmarkId::new(format!("contributions, {m} objectives"), n),
                |bencher| {
                    bencher.iter(|| exclusive_contributions(black_box(&points), &reference));
                },
            );
        }
    }
    group.finish();
}

/// A search in the steady state: one candidate proposed and told at a time.
struct Search {
    space: std::sync::Arc<dyn SearchSpace>,
    algorithm: Box<dyn Algorithm>,
    known: BTreeSet<CanonicalHash>,
    proposed: u32,
}

impl Search {
    fn new(algorithm: &str, population: u32) -> Self {
        let find = |name: &str| SPACES.iter().find(|entry| entry.name == name).expect("a space");
        let section = Section::from_text("{name: dtlz2, objectives: 3}").expect("a mapping");
        let space = (find("problem").build)(&section).expect("a problem");
        let context = AlgorithmContext {
            space: Some(space.clone()),
            evaluations: None,
            seed: 1,
            objectives: ["f1", "f2", "f3"].map(Into::into).into(),
            maximized: vec![false; 3],
            computed: None,
        };
        let entry = ALGORITHMS.iter().find(|entry| entry.name == algorithm).expect("an algorithm");
        let section = Section::from_text(&format!("population: {population}")).expect("a mapping");
        let algorithm = (entry.build)(&section, &context).expect("parameters");
        let mut search = Self { space, algorithm, known: BTreeSet::new(), proposed: 0 };
        (0..2 * population).for_each(|_| search.step());
        search
    }

    fn step(&mut self) {
        self.proposed += 1;
        let id = Ordinal(self.proposed);
        let mut rng = stream(1, Purpose::Proposal, u64::from(self.proposed));
        let suggestion = self.algorithm.suggest(&*self.space, &self.known, &mut rng);
        let Suggestion::Propose(proposal) = suggestion else { unreachable!("a huge space") };
        self.algorithm.proposed(id, &proposal);
        let slots = &proposal.genotype.0;
        let value = |at: usize| f64::from(slots[at]) - f64::from(slots[at + 1]) / 2.0;
        let objectives = [value(0), value(2), value(4)];
        self.algorithm.update(id, Outcome::Scored { objectives: &objectives, violation: 0.0 });
    }
}

fn breeding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("suggest and update");
    group.throughput(Throughput::Elements(1));
    for (algorithm, population) in
        [("nsga2", 100), ("nsga2", 1_000), ("nsga3", 91), ("sms_emoa", 100)]
    {
        let mut search = Search::new(algorithm, population);
        group.bench_function(BenchmarkId::new(algorithm, population), |bencher| {
            bencher.iter(|| search.step());
        });
    }
    group.finish();
}

criterion_group!(kernels, sorting, fronts, volumes, breeding);
criterion_main!(kernels);
