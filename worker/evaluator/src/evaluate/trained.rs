//! The evaluator `train`: trains the network on an image dataset and measures the result.
//!
//! Only what the stage asks for is computed: without a metric that depends on the weights nothing
//! is trained. It must not know how any of it is measured.

use std::collections::BTreeMap;
use std::rc::Rc;

use cambrian_core::engine::Assignment;
use cambrian_core::graph::{Graph, Shape};
use cambrian_core::objective::{Measurement, MetricName, Provenance};
use cambrian_core::spec::{FlatnessSettings, OptimizerKind, Precision, TrainSettings, TrainedPart};
use tch::{Kind, Tensor};

use super::assigned::{check_images, check_memory, graph, settings};
use super::{Evaluator, Machine, Supervision};
use crate::bn_indicator::bn_indicator;
use crate::data::{Sizes, Splits};
use crate::failure::EvaluationError;
use crate::flatness::flatness;
use crate::introspectability::introspectability;
use crate::measure::{energy, latency};
use crate::network::{MapLayout, Mode, Network};
use crate::train::{Files, Identity, Randomness, evaluate, train};

const ACCURACY: &str = "accuracy";
const TEST_ACCURACY: &str = "test_accuracy";
const INTROSPECTABILITY: &str = "introspectability";
const FLATNESS: &str = "flatness";
const BN_INDICATOR: &str = "bn_indicator";
const LATENCY: &str = "latency";
const ENERGY: &str = "energy";

/// What depends on trained weights.
const TRAINED: [&str; 5] = [ACCURACY, TEST_ACCURACY, INTROSPECTABILITY, FLATNESS, BN_INDICATOR];

const VERSION: &str = "1";

/// Numbers of four bytes that training keeps for each parameter: the weight and its gradient, what the
/// optimizer remembers, and the average.
fn numbers_per_parameter(settings: &TrainSettings) -> u64 {
    let remembered = match settings.optimizer {
        OptimizerKind::Sgd => 1,
        OptimizerKind::AdamW => 2,
    };
    2 + remembered + u64::from(settings.ema_decay.is_some())
}

/// See the module.
pub(super) struct Trained;

impl Evaluator for Trained {
    fn name(&self) -> &'static str {
        "train"
    }

    fn version(&self) -> &'static str {
        VERSION
    }

    fn metrics(&self, machine: &Machine) -> BTreeMap<MetricName, Provenance> {
        TRAINED
            .into_iter()
            .chain([LATENCY, ENERGY])
            .map(|metric| (MetricName::from(metric), provenance(metric, machine)))
            .collect()
    }

    fn yields(&self) -> bool {
        true
    }

    fn evaluate(
        &self,
        assignment: &Assignment,
        machine: &mut Machine,
        supervision: &mut Supervision<'_>,
    ) -> Result<Vec<Measurement>, EvaluationError> {
        let settings: TrainSettings = settings(assignment, self.name())?;
        let asked = |metric: &str| assignment.stage.measures.iter().any(|m| m.as_str() == metric);
        let graph = graph(assignment, "trains one")?;
        let images = machine.library.entry(&settings.dataset)?;
        check_images(graph, &images)?;
        check_device(&settings, machine)?;
        let bytes = 4 * numbers_per_parameter(&settings);
        check_memory(graph, bytes, machine.device.memory_bytes)?;
        let one_thread = settings.deterministic.then(|| OneThread::new(machine.device.threads));

        let trains = TRAINED.into_iter().any(asked);
        let splits = match trains {
            true => Some(
                supervision
                    .share(|| machine.library.splits(&settings.dataset, sizes(&settings)))?,
            ),
            false => None,
        };
        let mut weights = Randomness::Weights.stream(assignment.seed);
        let kind = kind(settings.precision);
        let init = settings.init.into();
        let network = Network::initialized(graph, init, &mut weights, machine.device.torch, kind)?;
        if settings.train_only == TrainedPart::BatchNorm {
            network.freeze_layers()?;
        }
        let mut run = Run {
            assignment,
            graph,
            settings: &settings,
            classes: images.classes as usize,
            network,
            machine,
            supervision,
            results: vec![],
        };
        if let Some(splits) = splits {
            // On GPUs half precision is what gains by it.
            if !run.machine.device.torch.is_cuda() || settings.precision == Precision::Mixed {
                run.network.set_layout(MapLayout::ChannelsLast)?;
            }
            run.train(&splits, &asked)?;
            // Single images run faster, and are commonly deployed, in the default layout.
            run.network.set_layout(MapLayout::ChannelsFirst)?;
        }
        // What is measured on the device is compared within its class, which names the usual threads.
        drop(one_thread);
        if asked(LATENCY) {
            run.latency()?;
        }
        if asked(ENERGY) {
            run.energy()?;
        }
        Ok(run.results)
    }
}

struct Run<'a, 'b> {
    assignment: &'a Assignment,
    graph: &'a Graph,
    settings: &'a TrainSettings,
    /// Of the data set.
    classes: usize,
    network: Network,
    machine: &'a mut Machine,
    supervision: &'a mut Supervision<'b>,
    results: Vec<Measurement>,
}

impl Run<'_, '_> {
    fn train(
        &mut self,
        splits: &Rc<Splits>,
        asked: &dyn Fn(&str) -> bool,
    ) -> Result<(), EvaluationError> {
        let Self { network, settings, supervision, .. } = self;
        let seed = self.assignment.seed;
        let normalization = &splits.normalization;
        let files = Files {
            identity: Identity::of(self.graph, settings, seed, VERSION),
            resume: supervision.kept.resume.clone(),
            write: supervision.kept.write.clone(),
            left: supervision.kept.left.clone(),
        };
        let reached = train(network, splits, settings, asked(ACCURACY), &files, supervision)?;
        let mut results = Vec::new();
        if let Some(accuracy) = reached {
            results.push((ACCURACY, accuracy.percent(), Some(accuracy.standard_error())));
        }
        if asked(TEST_ACCURACY) {
            let accuracy = evaluate(network, &splits.test, normalization, supervision)?;
            results.push((TEST_ACCURACY, accuracy.percent(), Some(accuracy.standard_error())));
        }
        if asked(INTROSPECTABILITY) {
            let limit = settings.introspectability.samples as usize;
            let classes = self.classes;
            let (validation, supervision) = (&splits.validation, &mut **supervision);
            let score =
                introspectability(network, validation, normalization, classes, limit, supervision)?;
            results.push((INTROSPECTABILITY, score, None));
        }
        if asked(FLATNESS) {
            let FlatnessSettings { samples, noise } = settings.flatness;
            let mut generator = Randomness::Noise.stream(seed);
            let value = flatness(
                network,
                &splits.validation,
                normalization,
                samples as usize,
                noise,
                &mut generator,
                supervision,
            )?;
            results.push((FLATNESS, value, None));
        }
        if asked(BN_INDICATOR) {
            results.push((BN_INDICATOR, bn_indicator(self.graph, network)?, None));
        }
        results
            .into_iter()
            .try_for_each(|(metric, value, spread)| self.record(metric, value, spread))
    }

    fn latency(&mut self) -> Result<(), EvaluationError> {
        let input = self.input()?;
        let _guard = tch::no_grad_guard();
        let mut inference = || self.network.forward(&input, Mode::Evaluate).map(drop);
        let measured = latency::measure(
            &mut inference,
            &self.settings.latency,
            &latency::Monotonic::start(),
            self.supervision,
        )?;
        eprintln!("latency: {measured}");
        self.record(LATENCY, measured.median_ms, Some(measured.interquartile_range_ms))
    }

    fn energy(&mut self) -> Result<(), EvaluationError> {
        if self.machine.meter.is_none() {
            let modelled = self.graph.modelled_energy_millijoules();
            return self.record(ENERGY, modelled, None);
        }
        let input = self.input()?;
        let _guard = tch::no_grad_guard();
        let network = &self.network;
        let mut inference = || network.forward(&input, Mode::Evaluate).map(drop);
        let Some(meter) = self.machine.meter.as_deref_mut() else { return Ok(()) };
        let measured = energy::measure(
            &mut inference,
            meter,
            &self.settings.energy,
            &mut Randomness::Phases.stream(self.assignment.seed),
            &latency::Monotonic::start(),
            self.supervision,
        )?;
        let images = f64::from(self.settings.latency.batch_size);
        let (value, spread) = (measured.millijoules / images, measured.spread_millijoules / images);
        self.record(ENERGY, value, Some(spread))
    }

    /// Random images in the size that latency is measured with; their content does not matter.
    fn input(&self) -> Result<Tensor, EvaluationError> {
        let batch = i64::from(self.settings.latency.batch_size);
        let size = match self.graph.input_shape() {
            Shape::Map { channels, height, width } => {
                vec![batch, i64::from(channels), i64::from(height), i64::from(width)]
            }
            Shape::Vector { features } => vec![batch, i64::from(features)],
        };
        Ok(Tensor::f_randn(size, (self.network.kind(), self.network.device()))?)
    }

    fn record(
        &mut self,
        metric: &str,
        value: f64,
        spread: Option<f64>,
    ) -> Result<(), EvaluationError> {
        let provenance = provenance(metric, self.machine);
        self.results.push(Measurement::new(metric.into(), value, spread, provenance)?);
        Ok(())
    }
}

/// Where values of `metric` come from. Trained accuracy and the energy model do not depend on the
/// device, so their device class is empty.
fn provenance(metric: &str, machine: &Machine) -> Provenance {
    let class = machine.device.class.as_str();
    let (source, class) = match (metric, &machine.meter) {
        (LATENCY, _) => ("wall-clock", class),
        (ENERGY, Some(meter)) => (meter.source(), class),
        (ENERGY, None) => ("modelled", ""),
        _ => ("trained", ""),
    };
    Provenance { source: source.into(), device_class: class.into() }
}

/// Whether this device can train as the settings ask.
fn check_device(settings: &TrainSettings, machine: &Machine) -> Result<(), EvaluationError> {
    let class = &machine.device.class;
    let is_gpu = machine.device.torch.is_cuda();
    if settings.precision == Precision::Mixed && !is_gpu {
        return Err(EvaluationError::BadNode(format!(
            "`precision: mixed` is for GPUs, and this worker computes on {class}; choose its workers by \
             `labels`, or `precision: f32`"
        )));
    }
    if settings.deterministic && is_gpu {
        return Err(EvaluationError::BadNode(format!(
            "`deterministic: true` is for processors, and this worker computes on {class}, which adds \
             up in any order; choose its workers by `labels`, or leave the setting out"
        )));
    }
    Ok(())
}

/// One thread for as long as it lives.
struct OneThread {
    usual: i32,
}

impl OneThread {
    fn new(usual: u32) -> Self {
        tch::set_num_threads(1);
        Self { usual: i32::try_from(usual).unwrap_or(1) }
    }
}

impl Drop for OneThread {
    fn drop(&mut self) {
        tch::set_num_threads(self.usual);
    }
}

fn sizes(settings: &TrainSettings) -> Sizes {
    let count = |samples: Option<u32>| samples.map(|samples| samples as usize);
    Sizes {
        train: count(settings.train_samples),
        validation: count(settings.validation_samples),
        test: count(settings.test_samples),
    }
}

fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::F32 | Precision::Mixed => Kind::Float,
    }
}

#[cfg(test)]
mod tests;
