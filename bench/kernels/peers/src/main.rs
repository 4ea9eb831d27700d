//! Times kernels of genoxide as `kernel-times` does ours: one JSON line a call.
//!
//! `kernel-peers sort|hypervolume FILE N M`, `kernel-peers evolve PROBLEM POPULATION GENERATIONS`. Must not know
//! Cambrian: nothing but the clock is shared.

#[path = "../../src/clock.rs"]
mod clock;

use std::hint::black_box;
use std::time::Duration;

use genoxide::Objective::Minimize;
use genoxide::multi::{MultiEngine, Nsga2, Scores, indicator::hypervolume, non_dominated_sort};
use genoxide::prelude::*;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |at: usize| arguments[at].as_str();
    let number = |at: usize| arguments[at].parse::<usize>().expect("a number");
    if text(0) == "evolve" {
        let micros = evolve(text(1), number(2), number(3));
        println!(
            "{{\"library\": \"genoxide\", \"kernel\": \"evolve\", \"problem\": \"{}\", \
             \"population\": {}, \"micros\": {micros:.3}}}",
            text(1),
            number(2)
        );
        return;
    }
    let (seconds, result) = match number(3) {
        2 => kernel::<2>(text(0), text(1)),
        3 => kernel::<3>(text(0), text(1)),
        4 => kernel::<4>(text(0), text(1)),
        5 => kernel::<5>(text(0), text(1)),
        6 => kernel::<6>(text(0), text(1)),
        8 => kernel::<8>(text(0), text(1)),
        m => panic!("{m} objectives are not compared"),
    };
    println!(
        "{{\"library\": \"genoxide\", \"kernel\": \"{}\", \"n\": {}, \"m\": {}, \
         \"seconds\": {seconds:e}, \"result\": {result}}}",
        text(0),
        number(2),
        number(3)
    );
}

fn kernel<const M: usize>(name: &str, file: &str) -> (f64, f64) {
    let bytes = std::fs::read(file).expect("the file of points");
    let values: Vec<f64> =
        bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("eight"))).collect();
    let points: Vec<[f64; M]> = values.as_chunks::<M>().0.to_vec();
    match name {
        "sort" => {
            let scores: Vec<Scores<M>> = points.iter().map(|point| Scores::new(*point)).collect();
            timed(|| non_dominated_sort(&scores, &[Minimize; M]).len() as f64)
        }
        "hypervolume" => timed(|| hypervolume(&points, &[1.1; M], &[Minimize; M])),
        other => panic!("{other} is not compared"),
    }
}

/// The median of up to 21 runs, as many as fit into a second or so.
fn timed(mut run: impl FnMut() -> f64) -> (f64, f64) {
    let mut once = || {
        let (time, result) = clock::timed(|| black_box(run()));
        (time.as_secs_f64(), result)
    };
    let (first, result) = once();
    let repeats = if first > 5.0 { 0 } else { ((1.0 / first.max(1e-6)) as usize).clamp(2, 20) };
    let mut times: Vec<f64> = (0..repeats).map(|_| once().0).chain([first]).collect();
    times.sort_unstable_by(f64::total_cmp);
    (times[times.len() / 2], result)
}

/// Microseconds for each individual of a generation, a trivial evaluation included.
fn evolve(problem: &str, population: usize, generations: usize) -> f64 {
    match problem {
        "zdt1" => real::<2>(population, generations),
        "dtlz2_3" => real::<3>(population, generations),
        "cat6" => categorical::<2>(6, population, generations),
        "cat40" => categorical::<3>(40, population, generations),
        other => panic!("there is no problem called {other}"),
    }
}

fn weight(objective: usize, gene: usize, value: f64) -> f64 {
    (((objective * 1009 + gene * 31) as f64 + value * 7.0 + 1.0) * 12.9898).sin().abs()
}

fn micros(time: Duration, population: usize, generations: usize) -> f64 {
    time.as_secs_f64() * 1e6 / (population * generations) as f64
}

fn real<const M: usize>(population: usize, generations: usize) -> f64 {
    let genes = 30;
    let algorithm = Nsga2::builder(Real::uniform(genes, 0.0..=1.0).expect("a range"), [Minimize; M])
        .population_size(population)
        .crossover(SimulatedBinaryCrossover::new(20.0).expect("an index"))
        .mutate(PolynomialMutation::per_gene(1.0 / genes as f64, 20.0).expect("a rate"))
        .eliminate_duplicates(false)
        .seed(1)
        .build()
        .expect("an algorithm");
    let mut engine = MultiEngine::new(algorithm, |x: &Reals| {
        std::array::from_fn::<f64, M, _>(|m| {
            x.iter().enumerate().map(|(gene, value)| weight(m, gene, *value)).sum()
        })
    })
    .parallel(false)
    .stop_when(Stop::generations(generations as u64));
    let (time, _) = clock::timed(|| engine.run().expect("a run"));
    micros(time, population, generations)
}

fn categorical<const M: usize>(genes: usize, population: usize, generations: usize) -> f64 {
    let algorithm = Nsga2::builder(Integer::uniform(genes, 0..=4).expect("a range"), [Minimize; M])
        .population_size(population)
        .crossover(UniformCrossover::new())
        .mutate(UniformMutation::per_gene(1.0 / genes as f64).expect("a rate"))
        .eliminate_duplicates(false)
        .seed(1)
        .build()
        .expect("an algorithm");
    let mut engine = MultiEngine::new(algorithm, |x: &Integers| {
        std::array::from_fn::<f64, M, _>(|m| {
            x.iter().enumerate().map(|(gene, value)| weight(m, gene, *value as f64)).sum()
        })
    })
    .parallel(false)
    .stop_when(Stop::generations(generations as u64));
    let (time, _) = clock::timed(|| engine.run().expect("a run"));
    micros(time, population, generations)
}
