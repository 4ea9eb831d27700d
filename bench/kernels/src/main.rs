//! Times one kernel, or an evolutionary search, and prints one JSON line, as the scripts for other
//! libraries do:
//!
//! - `kernel-times sort|hypervolume|hypervolume-2|contributions FILE N M`, `hypervolume-2` on two
//!   threads, where the file holds N x M little-endian doubles, row-major;
//! - `kernel-times evolve PROBLEM POPULATION GENERATIONS MODE`, where the problem is one of
//!   [`search::PROBLEMS`] and the mode `generational` or `asynchronous`.
//!
//! Must not know other libraries, nor how results are compared; `run` does.

mod clock;
mod search;

use std::time::Duration;

use anyhow::{Context, bail};
use cambrian_core::pareto::Points;
use cambrian_core::pareto::hypervolume::{
    Part, exclusive_contributions, hypervolume, hypervolume_in_parts,
};
use cambrian_core::pareto::sorting::non_dominated_sort;

/// The reference point in every objective.
const REFERENCE: f64 = 1.1;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kernel, file, n, m) = match arguments.as_slice() {
        [evolve, problem, population, generations, mode] if evolve == "evolve" => {
            return search::run(problem, population.parse()?, generations.parse()?, mode);
        }
        [kernel, file, n, m] => (kernel, file, n, m),
        _ => bail!(
            "usage: kernel-times sort|hypervolume|hypervolume-2|contributions FILE N M, or evolve ..."
        ),
    };
    let (n, m): (usize, usize) = (n.parse()?, m.parse()?);
    let points = read(file, n, m).with_context(|| format!("cannot read {file}"))?;
    let reference = vec![REFERENCE; m];
    let (seconds, result) = match kernel.as_str() {
        "sort" => timed(|| Ok(non_dominated_sort(&points, None)?.iter().count() as f64))?,
        "hypervolume" => timed(|| Ok(hypervolume(&points, &reference)?))?,
        "hypervolume-2" => on_two_threads(&points, &reference)?,
        "contributions" => {
            timed(|| Ok(exclusive_contributions(&points, &reference)?.iter().sum()))?
        }
        other => bail!("there is no kernel called `{other}`"),
    };
    println!(
        "{{\"library\": \"cambrian\", \"kernel\": \"{kernel}\", \"n\": {n}, \"m\": {m}, \
         \"seconds\": {seconds:e}, \"result\": {result}}}"
    );
    Ok(())
}

/// The median time that the busier of two threads is at work, and the volume that they find.
fn on_two_threads(points: &Points, reference: &[f64]) -> anyhow::Result<(f64, f64)> {
    median(|| {
        let mut busier = Duration::ZERO;
        let compute = |parts: &mut [Part<'_>]| {
            std::thread::scope(|scope| {
                let start = |part| scope.spawn(move || clock::timed(|| Part::compute(part)).0);
                let threads: Vec<_> = parts.iter_mut().map(start).collect();
                let times = threads.into_iter().filter_map(|thread| thread.join().ok());
                busier = times.max().unwrap_or_default();
            });
        };
        let (around, volume) = clock::timed(|| hypervolume_in_parts(points, reference, 2, compute));
        // Waiting for the threads takes no processor's time, so the two add up.
        Ok(((around + busier).as_secs_f64(), volume?))
    })
}

fn read(file: &str, n: usize, m: usize) -> anyhow::Result<Points> {
    let bytes = std::fs::read(file)?;
    let values: Vec<f64> =
        bytes.as_chunks::<8>().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect();
    if values.len() != n * m {
        bail!("it holds {} numbers instead of {n} x {m}", values.len());
    }
    Ok(Points::try_from_rows(m, values.chunks_exact(m))?)
}

fn timed(mut run: impl FnMut() -> anyhow::Result<f64>) -> anyhow::Result<(f64, f64)> {
    median(|| {
        let (time, result) = clock::timed(&mut run);
        Ok((time.as_secs_f64(), result?))
    })
}

/// The median time of up to 21 runs, as many as fit into a second or so, and a result.
fn median(mut once: impl FnMut() -> anyhow::Result<(f64, f64)>) -> anyhow::Result<(f64, f64)> {
    let (first, result) = once()?;
    let repeats = if first > 5.0 { 0 } else { ((1.0 / first.max(1e-6)) as usize).clamp(2, 20) };
    let mut times = vec![first];
    for _ in 0..repeats {
        times.push(once()?.0);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok((times[times.len() / 2], result))
}
