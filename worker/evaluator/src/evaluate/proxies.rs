//! The evaluator `proxies`: zero-cost scores of the untrained network.
//!
//! Only what the stage asks for is computed, and scores that need the same gradients share them. It
//! must not know how a score is defined.

use std::collections::BTreeMap;
use std::rc::Rc;

use cambrian_core::engine::Assignment;
use cambrian_core::graph::Graph;
use cambrian_core::objective::{Measurement, MetricName, Provenance};
use cambrian_core::rng::{Purpose, Stream, stream};
use cambrian_core::spec::{self, InitialWeights, ProxyPrecision, ProxySettings, SpikingSettings};
use rand::Rng;
use tch::{Device, Kind, Tensor};

use super::assigned::{check_images, check_memory, graph, settings};
use super::{Evaluator, Machine, Supervision};
use crate::data::{Sizes, Splits};
use crate::failure::EvaluationError;
use crate::network::{Initialization, Network, normal};
use crate::proxy::{PROXIES, Probe, Proxy, Source, sample_size};
use crate::train::Randomness;

/// The seed of noise in the place of images. One constant, so that every candidate of every
/// campaign is scored on the same noise.
const NOISE_SEED: u64 = 0;
/// The streams of noise that one batch of images takes; scores draw their own from the streams
/// before.
const FIRST_BATCH_STREAM: u64 = 16;

/// See the module.
pub(super) struct Proxies;

impl Evaluator for Proxies {
    fn name(&self) -> &'static str {
        "proxies"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn metrics(&self, _: &Machine) -> BTreeMap<MetricName, Provenance> {
        PROXIES.iter().map(|proxy| (MetricName::from(proxy.metric), provenance())).collect()
    }

    fn evaluate(
        &self,
        assignment: &Assignment,
        machine: &mut Machine,
        supervision: &mut Supervision<'_>,
    ) -> Result<Vec<Measurement>, EvaluationError> {
        let settings: ProxySettings = settings(assignment, self.name())?;
        let graph = graph(assignment, "scores one")?;
        let kind = kind(settings.precision);
        // A weight and its gradient.
        let bytes_per_parameter = 2 * kind.elt_size_in_bytes() as u64;
        check_memory(graph, bytes_per_parameter, machine.device.memory_bytes)?;
        let asked = asked(assignment, &settings)?;
        let images = match &settings.dataset {
            Some(dataset) => {
                check_images(graph, &machine.library.entry(dataset)?)?;
                let sizes = Sizes { train: None, validation: None, test: None };
                Some(supervision.share(|| machine.library.splits(dataset, sizes))?)
            }
            None => None,
        };
        let ProxySettings { init, spiking, .. } = settings;
        let run = Run { graph, images, kind, device: machine.device.torch, init, spiking };
        let scores = run.scores(&asked, assignment.seed, supervision)?;
        scores.into_iter().map(|(metric, values)| measurement(metric, &values)).collect()
    }
}

/// A score that the stage measures, with its sizes.
struct Asked {
    proxy: &'static Proxy,
    batch_size: usize,
    batches: usize,
    repeats: u32,
}

/// The scores that the stage measures, those that can share gradients side by side.
fn asked(assignment: &Assignment, settings: &ProxySettings) -> Result<Vec<Asked>, EvaluationError> {
    let mut asked = Vec::new();
    for (proxy, published) in PROXIES.iter().zip(spec::PROXIES) {
        if !assignment.stage.measures.iter().any(|metric| metric.as_str() == proxy.metric) {
            continue;
        }
        let sizes = settings.sizes.get(proxy.metric).copied().unwrap_or_default();
        let batch_size = sizes.batch_size.unwrap_or(published.batch_size).max(1) as usize;
        let repeats = sizes.repeats.unwrap_or(published.repeats).max(1);
        asked.push(Asked { proxy, batch_size, batches: published.batches as usize, repeats });
    }
    asked.sort_by_key(|asked| asked.batch_size);
    Ok(asked)
}

/// What all scores of one assignment have in common.
struct Run<'a> {
    graph: &'a Graph,
    images: Option<Rc<Splits>>,
    kind: Kind,
    device: Device,
    init: InitialWeights,
    spiking: SpikingSettings,
}

impl Run<'_> {
    /// The values of every score, one for each of its repeats.
    fn scores(
        &self,
        asked: &[Asked],
        seed: u64,
        supervision: &mut Supervision<'_>,
    ) -> Result<Vec<(&'static str, Vec<f64>)>, EvaluationError> {
        for score in asked {
            self.check_count(score)?;
        }
        let steps: u32 = asked.iter().map(|score| score.repeats).sum();
        let most = asked.iter().map(|score| score.repeats).max().unwrap_or(0);
        let mut values: Vec<_> =
            asked.iter().map(|score| (score.proxy.metric, Vec::new())).collect();
        let (mut seeds, mut step) = (Randomness::Repeats.stream(seed), 0);
        for repeat in 0..most {
            // The first network is the one that `train` would begin with.
            let seed = if repeat == 0 { seed } else { seeds.next_u64() };
            let stopped = supervision.stopped;
            let draw = Draw { run: self, seed, stopped };
            let mut probe = Probe::new(&draw, 0);
            for (score, (metric, values)) in asked.iter().zip(&mut values) {
                if score.repeats <= repeat {
                    continue;
                }
                if probe.batch_size() != score.batch_size {
                    probe = Probe::new(&draw, score.batch_size);
                }
                let value = supervision.share(|| (score.proxy.score)(&probe))?;
                values.push(finite(metric, value)?);
                step += 1;
                supervision.progress(step, steps, &[(metric, value)]);
            }
        }
        Ok(values)
    }

    /// The data set has to have the images that a score reads.
    fn check_count(&self, score: &Asked) -> Result<(), EvaluationError> {
        let needed = score.batches * score.batch_size;
        let Some(splits) = self.images.as_ref().filter(|splits| splits.train.count() < needed)
        else {
            return Ok(());
        };
        let (metric, found) = (score.proxy.metric, splits.train.count());
        Err(EvaluationError::Invalid(format!(
            "{metric} reads {needed} training images, and the data set has {found}; lower \
             `sizes.{metric}.batch_size`"
        )))
    }
}

/// One draw of the network's weights.
struct Draw<'a> {
    run: &'a Run<'a>,
    seed: u64,
    stopped: &'a dyn Fn() -> bool,
}

impl Source for Draw<'_> {
    fn graph(&self) -> &Graph {
        self.run.graph
    }

    fn build(
        &self,
        graph: &Graph,
        initialization: Initialization,
        kind: Kind,
    ) -> Result<Network, EvaluationError> {
        let initialization = match initialization {
            Initialization::Uniform => self.run.init.into(),
            published => published,
        };
        let mut generator = Randomness::Weights.stream(self.seed);
        Network::initialized(graph, initialization, &mut generator, self.run.device, kind)
    }

    fn batch(
        &self,
        number: usize,
        size: usize,
        kind: Kind,
    ) -> Result<(Tensor, Tensor), EvaluationError> {
        let Run { graph, images, device, .. } = self.run;
        if let Some(splits) = images {
            let range = number * size..(number + 1) * size;
            return Ok(splits.train.batch(range, &splits.normalization, kind)?);
        }
        let mut generator = noise(NOISE_SEED, FIRST_BATCH_STREAM + number as u64);
        let sizes = sample_size(size, graph.input_shape());
        let values = normal(&mut generator, sizes.iter().product::<i64>() as usize, 1.0);
        let noise = Tensor::f_from_slice(&values)?.f_view(sizes.as_slice())?;
        let classes = graph.output_shape().elements() as i64;
        let labels: Vec<i64> = (0..size as i64).map(|sample| sample % classes).collect();
        let labels = Tensor::f_from_slice(&labels)?.f_to_device(*device)?;
        Ok((noise.f_to_device(*device)?.f_to_kind(kind)?, labels))
    }

    fn noise(&self, number: u64) -> Stream {
        noise(self.seed, number)
    }

    fn kind(&self) -> Kind {
        self.run.kind
    }

    fn device(&self) -> Device {
        self.run.device
    }

    fn spiking(&self) -> SpikingSettings {
        self.run.spiking
    }

    fn check(&self) -> Result<(), EvaluationError> {
        if (self.stopped)() { Err(EvaluationError::Stopped) } else { Ok(()) }
    }
}

/// The stream of noise with this number under `seed`.
fn noise(seed: u64, number: u64) -> Stream {
    stream(seed, Purpose::Evaluation, Randomness::Noise as u64 + number)
}

/// A score as a number that can be compared.
fn finite(metric: &str, value: f64) -> Result<f64, EvaluationError> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(EvaluationError::NonFinite(format!("the score `{metric}` of the network is {value}")))
}

/// The mean of `values`; with more than one, the spread is their standard deviation.
fn measurement(metric: &str, values: &[f64]) -> Result<Measurement, EvaluationError> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let spread = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
    Ok(Measurement::new(metric.into(), mean, spread, provenance())?)
}

/// Scores do not depend on the device.
fn provenance() -> Provenance {
    Provenance { source: "zero-cost".into(), device_class: "".into() }
}

fn kind(precision: ProxyPrecision) -> Kind {
    match precision {
        ProxyPrecision::F32 => Kind::Float,
        ProxyPrecision::F64 => Kind::Double,
    }
}
