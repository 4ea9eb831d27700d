//! Times zero-cost scores on cells of NAS-Bench-201 at full size (C = 16, N = 5, 3x32x32), one JSON
//! line for each score and cell; `bench/proxies/run` puts them beside a reference in PyTorch.
//!
//! usage: proxy-times BATCH THREADS SCORES CELL...    (SCORES by commas, each with a batch of its own if
//! need be, `zen:16`; a CELL six digits: 0 none, 1 skip, 2 conv1x1, 3 conv3x3, 4 avg_pool; edges 0-1, 0-2,
//! 1-2, 0-3, 1-3, 2-3)
//!
//! Must not know data sets, nor how a score is defined.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use cambrian_core::graph::Graph;
use cambrian_core::rng::{Purpose, Stream, stream};
use cambrian_core::space::SPACES;
use cambrian_core::spec::{Section, SpikingSettings};
use cambrian_evaluator::failure::EvaluationError;
use cambrian_evaluator::network::{Initialization, Network};
use cambrian_evaluator::proxy::{PROXIES, Probe, Source, sample_size};
use tch::{Device, Kind, Tensor};

const OPERATIONS: [&str; 5] =
    ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"];
const SIZES: &str = "{channels: 16, cells: 5, input: [3, 32, 32], classes: 10}";

/// A cell on random images.
struct Cell(Graph);

impl Source for Cell {
    fn graph(&self) -> &Graph {
        &self.0
    }

    fn build(
        &self,
        graph: &Graph,
        initialization: Initialization,
        kind: Kind,
    ) -> Result<Network, EvaluationError> {
        Network::initialized(graph, initialization, &mut self.noise(0), self.device(), kind)
    }

    fn batch(
        &self,
        _: usize,
        size: usize,
        kind: Kind,
    ) -> Result<(Tensor, Tensor), EvaluationError> {
        let images =
            Tensor::f_randn(sample_size(size, self.0.input_shape()), (kind, self.device()))?;
        let labels = Tensor::f_randint(10, [size as i64], (Kind::Int64, self.device()))?;
        Ok((images, labels))
    }

    fn noise(&self, number: u64) -> Stream {
        stream(1, Purpose::Evaluation, number)
    }

    fn kind(&self) -> Kind {
        Kind::Float
    }

    fn device(&self) -> Device {
        Device::Cpu
    }

    fn spiking(&self) -> SpikingSettings {
        SpikingSettings::default()
    }

    fn check(&self) -> Result<(), EvaluationError> {
        Ok(())
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [batch, threads, scores, cells @ ..] = &arguments[..] else {
        bail!("usage: proxy-times BATCH THREADS SCORES CELL...");
    };
    let batch: usize = batch.parse().context("BATCH")?;
    tch::set_num_interop_threads(1);
    tch::set_num_threads(threads.parse().context("THREADS")?);
    let cells = cells.iter().map(|cell| graph(cell)).collect::<Result<Vec<Graph>>>()?;
    // The first pass of a process sets up kernels.
    let first = Cell(cells.first().context("no CELL")?.clone());
    (PROXIES[0].score)(&Probe::new(&first, 2))?;
    for (cell, graph) in cells.into_iter().enumerate() {
        let source = Cell(graph);
        let started = Instant::now();
        let network = source.build(&source.0, Initialization::Uniform, Kind::Float)?;
        report("construction", cell, started);
        drop(network);
        for score in scores.split(',') {
            let (score, batch) = match score.split_once(':') {
                Some((score, size)) => (score, size.parse().context("the batch of a score")?),
                None => (score, batch),
            };
            let proxy = PROXIES.iter().find(|proxy| proxy.metric == score);
            let proxy = proxy.with_context(|| format!("there is no score `{score}`"))?;
            let started = Instant::now();
            (proxy.score)(&Probe::new(&source, batch))?;
            report(score, cell, started);
        }
    }
    Ok(())
}

fn graph(cell: &str) -> Result<Graph> {
    let operation = |digit: char| {
        let found = digit.to_digit(10).and_then(|digit| OPERATIONS.get(digit as usize));
        found.with_context(|| format!("`{digit}` in `{cell}` is no operation"))
    };
    let [a, b, c, d, e, f] = cell.chars().map(operation).collect::<Result<Vec<_>>>()?[..] else {
        bail!("`{cell}` has not six digits");
    };
    let text = format!("|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|");
    let entry = SPACES.iter().find(|entry| entry.name == "nasbench201").context("nasbench201")?;
    let section = Section::from_text(SIZES).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let space = (entry.build)(&section).context("the sizes of nasbench201")?;
    Ok(space.lower(&space.parse(&text)?)?)
}

fn report(score: &str, cell: usize, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    println!("{{\"score\": \"{score}\", \"cell\": {cell}, \"seconds\": {seconds}}}");
}
