//! A graph as a libtorch network, executed node by node so that any node's output can be handed
//! out: libtorch has no hooks through `tch`.
//!
//! Nodes whose value cannot reach the output are neither executed nor given weights, and sums skip
//! addends that are zeros by construction: graphs that compute the same function cost the same and
//! count the same layers. It must not know datasets, losses or what an observer is for.

mod init;
mod operate;
mod orthogonal;
mod plan;
mod tangent;

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use cambrian_core::graph::{Graph, NodeId, Op, Shape, Window};
use cambrian_core::rng::Stream;
use tch::nn::VarStore;
use tch::{Device, Kind, TchError, Tensor};

use crate::failure::EvaluationError;
use crate::train::NORM_AND_BIAS;
use init::Drawn;
pub use init::Initialization;
pub(crate) use init::{Extent, normal};
#[cfg(test)]
pub(crate) use orthogonal::delta_orthogonal;
use plan::{Plan, Step};

/// The share of a new batch in the running statistics of batch normalisation, PyTorch's default.
const STATISTICS_MOMENTUM: f64 = 0.1;
/// Added to the variance in batch normalisation, PyTorch's default.
const VARIANCE_EPSILON: f64 = 1e-5;

/// Whether batch normalisation uses the batch's own statistics and updates the running ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Training: statistics of the batch; gradients are recorded.
    Train,
    /// Inference: running statistics.
    Evaluate,
    /// Batch normalisation passes its input on, as if it were not there.
    Unnormalized,
}

/// How feature maps lie in memory. libtorch carries a convolution's layout from its weight to its
/// output and on; values do not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapLayout {
    /// Channels outermost, libtorch's default and that of a new network.
    ChannelsFirst,
    /// Channels innermost: the faster one for training on a CPU.
    ChannelsLast,
}

/// Receives the output of a node, right after it was computed; the tensor is shared, not copied.
pub type Observer<'a> = dyn FnMut(NodeId, Op, &Tensor) -> Result<(), EvaluationError> + 'a;

/// What a node keeps between calls.
enum Parameters {
    None,
    Weighted {
        weight: Tensor,
        bias: Option<Tensor>,
    },
    Normalization {
        scale: Tensor,
        shift: Tensor,
        mean: Tensor,
        variance: Tensor,
    },
    /// A weight that is not trained.
    Fixed {
        weight: Tensor,
    },
}

/// Takes the place of a ReLU: its input to its output.
pub type Activation<'a> = dyn FnMut(NodeId, &Tensor) -> Result<Tensor, EvaluationError> + 'a;

/// How initial weights are drawn.
struct Draw<'a> {
    initialization: Initialization,
    gain: f64,
    generator: &'a mut Stream,
}

/// A network with its weights on one device.
pub struct Network {
    plan: Plan,
    parameters: Vec<Parameters>,
    store: VarStore,
    kind: Kind,
}

impl Network {
    /// The network of `graph` with PyTorch's default weights drawn from `generator`.
    ///
    /// # Errors
    /// As [`Self::initialized`].
    pub fn new(
        graph: &Graph,
        generator: &mut Stream,
        device: Device,
        kind: Kind,
    ) -> Result<Self, EvaluationError> {
        Self::initialized(graph, Initialization::Uniform, generator, device, kind)
    }

    /// The network of `graph` with initial weights drawn from `generator`.
    ///
    /// # Errors
    /// [`EvaluationError::OutOfMemory`] if the weights do not fit the device,
    /// [`EvaluationError::Invalid`] if nothing on the way to the output can be trained.
    pub fn initialized(
        graph: &Graph,
        initialization: Initialization,
        generator: &mut Stream,
        device: Device,
        kind: Kind,
    ) -> Result<Self, EvaluationError> {
        let plan = Plan::new(graph);
        let rectified = plan.steps.iter().any(|step| step.op == Op::Relu);
        let gain = if rectified { std::f64::consts::SQRT_2 } else { 1.0 };
        let mut draw = Draw { initialization, gain, generator };
        let mut network = Self { plan, parameters: Vec::new(), store: VarStore::new(device), kind };
        for position in 0..network.plan.steps.len() {
            let step = &network.plan.steps[position];
            let parameters = network.create(step, graph, &mut draw)?;
            network.parameters.push(parameters);
        }
        if network.store.trainable_variables().is_empty() {
            return Err(EvaluationError::Invalid(
                "no weight of the graph reaches its output, so there is nothing to train".into(),
            ));
        }
        Ok(network)
    }

    /// The variables, for an optimizer.
    #[must_use]
    pub fn store(&self) -> &VarStore {
        &self.store
    }

    /// All that it computes with, by name: what is trained and the running statistics.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, Tensor> {
        self.store.variables().into_iter().collect()
    }

    /// The `weight` of every convolution and linear layer, in the order of execution; neither
    /// biases nor what batch normalisation learns.
    #[must_use]
    pub fn weights(&self) -> Vec<Tensor> {
        let weight = |parameters: &Parameters| match parameters {
            Parameters::Weighted { weight, .. } => Some(weight.shallow_clone()),
            _ => None,
        };
        self.parameters.iter().filter_map(weight).collect()
    }

    /// The bias of every convolution and linear layer that has one, in the order of
    /// [`Self::weights`].
    #[must_use]
    pub fn biases(&self) -> Vec<Option<Tensor>> {
        let bias = |parameters: &Parameters| match parameters {
            Parameters::Weighted { bias, .. } => Some(bias.as_ref().map(Tensor::shallow_clone)),
            _ => None,
        };
        self.parameters.iter().filter_map(bias).collect()
    }

    /// As [`Self::weights`], with the scales of batch normalisation, which PyTorch calls `weight`
    /// as well.
    #[must_use]
    pub fn weights_and_scales(&self) -> Vec<Tensor> {
        let weight = |parameters: &Parameters| match parameters {
            Parameters::Weighted { weight, .. } => Some(weight.shallow_clone()),
            Parameters::Normalization { scale, .. } => Some(scale.shallow_clone()),
            Parameters::None | Parameters::Fixed { .. } => None,
        };
        self.parameters.iter().filter_map(weight).collect()
    }

    /// The scale of each batch normalisation, `[channels]`, with its node.
    #[must_use]
    pub fn scales(&self) -> Vec<(NodeId, Tensor)> {
        let of = |(step, parameters): (&Step, &Parameters)| match parameters {
            Parameters::Normalization { scale, .. } => Some((step.node, scale.shallow_clone())),
            _ => None,
        };
        self.plan.steps.iter().zip(&self.parameters).filter_map(of).collect()
    }

    /// Keeps weights and biases of convolutions and linear layers from being trained; to be called before an
    /// optimizer is built.
    ///
    /// # Errors
    /// [`EvaluationError::Invalid`] if nothing is left to train.
    pub fn freeze_layers(&self) -> Result<(), EvaluationError> {
        if self.scales().is_empty() {
            return Err(EvaluationError::Invalid(
                "no batch normalisation of the network reaches its output, so nothing is left to \
                 train; leave `train_only` out"
                    .into(),
            ));
        }
        for parameters in &self.parameters {
            if let Parameters::Weighted { weight, bias } = parameters {
                for tensor in std::iter::once(weight).chain(bias) {
                    let _ = tensor.set_requires_grad(false);
                }
            }
        }
        Ok(())
    }

    /// Everything that can be trained, in the order of execution; of a layer the weight first.
    #[must_use]
    pub fn trainable(&self) -> Vec<Tensor> {
        let tensors = |parameters: &Parameters| match parameters {
            Parameters::None | Parameters::Fixed { .. } => vec![],
            Parameters::Weighted { weight, bias } => {
                std::iter::once(weight).chain(bias).map(Tensor::shallow_clone).collect()
            }
            Parameters::Normalization { scale, shift, .. } => {
                vec![scale.shallow_clone(), shift.shallow_clone()]
            }
        };
        self.parameters.iter().flat_map(tensors).collect()
    }

    /// The running variance of each batch normalisation, `[channels]`.
    #[must_use]
    pub fn running_variances(&self) -> Vec<Tensor> {
        let variance = |parameters: &Parameters| match parameters {
            Parameters::Normalization { variance, .. } => Some(variance.shallow_clone()),
            _ => None,
        };
        self.parameters.iter().filter_map(variance).collect()
    }

    /// The type of its numbers.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The device that holds its weights.
    #[must_use]
    pub fn device(&self) -> Device {
        self.store.device()
    }

    /// Lays the weights of convolutions out anew, in place. To be called before an optimizer is
    /// built or after it is gone.
    ///
    /// # Errors
    /// Whatever libtorch reports.
    pub fn set_layout(&self, layout: MapLayout) -> Result<(), EvaluationError> {
        let _guard = tch::no_grad_guard();
        for parameters in &self.parameters {
            if let Parameters::Weighted { weight, .. } = parameters
                && weight.dim() == 4
            {
                let values = match layout {
                    MapLayout::ChannelsFirst => weight.f_contiguous()?,
                    MapLayout::ChannelsLast => {
                        weight.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?
                    }
                };
                weight.shallow_clone().f_set_data(&values)?;
            }
        }
        Ok(())
    }

    /// The number of values that the executed nodes which `counts` holds for put out for one sample.
    #[must_use]
    pub fn values(&self, counts: impl Fn(Op) -> bool) -> u64 {
        let steps = self.plan.steps.iter().filter(|step| counts(step.op));
        steps.map(|step| step.shape.elements()).sum()
    }

    /// The network's output, `[samples, ...]`, for `input` of `[samples, ...]`.
    ///
    /// # Errors
    /// Whatever libtorch reports, such as exhausted memory.
    pub fn forward(&self, input: &Tensor, mode: Mode) -> Result<Tensor, EvaluationError> {
        self.forward_observed(input, mode, &mut |_, _, _| Ok(()))
    }

    /// As [`Self::forward`], handing every executed node's output to `observer` in node order.
    /// Tensors are freed as soon as no later node reads them.
    ///
    /// # Errors
    /// As [`Self::forward`], and those of the observer.
    pub fn forward_observed(
        &self,
        input: &Tensor,
        mode: Mode,
        observer: &mut Observer<'_>,
    ) -> Result<Tensor, EvaluationError> {
        self.forward_activated(input, mode, &mut |_, value| Ok(value.f_relu()?), observer)
    }

    /// As [`Self::forward_observed`], with `activation` in the place of each ReLU.
    ///
    /// # Errors
    /// As [`Self::forward_observed`], and those of the activation.
    pub fn forward_activated(
        &self,
        input: &Tensor,
        mode: Mode,
        activation: &mut Activation<'_>,
        observer: &mut Observer<'_>,
    ) -> Result<Tensor, EvaluationError> {
        let mut values: Vec<Option<Tensor>> = Vec::with_capacity(self.plan.steps.len());
        for (step, parameters) in self.plan.steps.iter().zip(&self.parameters) {
            let value = match (step.op, step.inputs.first().and_then(|read| values[*read].as_ref()))
            {
                (Op::Relu, Some(read)) => activation(step.node, read)?,
                _ => compute(step, parameters, &values, input, mode)?,
            };
            observer(step.node, step.op, &value)?;
            values.push(Some(value));
            for &finished in &step.frees {
                values[finished] = None;
            }
        }
        values.pop().flatten().ok_or_else(|| EvaluationError::Crash("the plan is empty".into()))
    }

    fn create(
        &self,
        step: &Step,
        graph: &Graph,
        draw: &mut Draw<'_>,
    ) -> Result<Parameters, EvaluationError> {
        let node = graph.node(step.node);
        let Some(&source) = node.inputs.first() else { return Ok(Parameters::None) };
        let input = graph.node(source).shape;
        match step.op {
            Op::Conv2d { out_channels, window, groups, bias, .. } => {
                let (outputs, side) = (out_channels as usize, window.kernel as usize);
                let (inputs, groups) = ((channels(input) / groups) as usize, groups as usize);
                let extent = Extent { outputs, inputs, side, groups };
                let dimensions = [outputs, inputs, side, side].map(|count| count as i64);
                self.weighted(step.node, extent, &dimensions, bias, draw)
            }
            Op::Linear { out_features, bias } => {
                let (outputs, inputs) = (out_features as usize, channels(input) as usize);
                let extent = Extent { outputs, inputs, side: 1, groups: 1 };
                let dimensions = [outputs, inputs].map(|count| count as i64);
                self.weighted(step.node, extent, &dimensions, bias, draw)
            }
            Op::BatchNorm => self.normalization(step.node, i64::from(channels(input))),
            Op::FilterBank => {
                let filters = operate::filters(i64::from(channels(input)), self.kind)?;
                let weight = self.register(step.node, "filters", filters, false)?;
                Ok(Parameters::Fixed { weight })
            }
            _ => Ok(Parameters::None),
        }
    }

    fn weighted(
        &self,
        node: NodeId,
        extent: Extent,
        dimensions: &[i64],
        bias: bool,
        draw: &mut Draw<'_>,
    ) -> Result<Parameters, EvaluationError> {
        let Draw { initialization, gain, generator } = draw;
        let weight = match initialization.weights(generator, extent, *gain) {
            Drawn::Single(values) => Tensor::f_from_slice(&values)?,
            Drawn::Double(values) => Tensor::f_from_slice(&values)?,
        };
        let weight = weight.f_view(dimensions)?.f_to_kind(self.kind)?;
        let weight = self.register(node, "weight", weight, true)?;
        let bias = match bias {
            true => {
                let values = Tensor::f_from_slice(&initialization.biases(generator, extent))?;
                Some(self.register(node, "bias", values.f_to_kind(self.kind)?, true)?)
            }
            false => None,
        };
        Ok(Parameters::Weighted { weight, bias })
    }

    fn normalization(&self, node: NodeId, channels: i64) -> Result<Parameters, EvaluationError> {
        let options = (self.kind, Device::Cpu);
        let ones = || Tensor::f_ones([channels], options);
        let zeros = || Tensor::f_zeros([channels], options);
        Ok(Parameters::Normalization {
            scale: self.register(node, "scale", ones()?, true)?,
            shift: self.register(node, "shift", zeros()?, true)?,
            mean: self.register(node, "mean", zeros()?, false)?,
            variance: self.register(node, "variance", ones()?, false)?,
        })
    }

    fn register(
        &self,
        node: NodeId,
        name: &str,
        value: Tensor,
        trainable: bool,
    ) -> Result<Tensor, EvaluationError> {
        let value = value.f_to_device(self.device())?;
        // All but matrices and kernels: what batch normalisation learns, and biases.
        let group = if value.dim() > 1 { 0 } else { NORM_AND_BIAS };
        let place = self.store.root().sub(format!("node{}", node.0)).set_group(group);
        Ok(place.add(name, value, trainable))
    }
}

fn compute(
    step: &Step,
    parameters: &Parameters,
    values: &[Option<Tensor>],
    input: &Tensor,
    mode: Mode,
) -> Result<Tensor, EvaluationError> {
    let value = |position: usize| {
        values[step.inputs[position]]
            .as_ref()
            .ok_or_else(|| EvaluationError::Crash("a value was freed before its last use".into()))
    };
    let result = match (step.op, parameters) {
        (Op::Input, _) => input.shallow_clone(),
        (_, _) if step.inputs.is_empty() => zeros(input, step.shape)?,
        (Op::Conv2d { window, dilation, groups, .. }, Parameters::Weighted { weight, bias }) => {
            let Window { stride, padding, .. } = window;
            value(0)?.f_conv2d(
                weight,
                bias.as_ref(),
                [i64::from(stride); 2],
                [i64::from(padding); 2],
                [i64::from(dilation); 2],
                i64::from(groups),
            )?
        }
        (Op::Linear { .. }, Parameters::Weighted { weight, bias }) => {
            value(0)?.f_linear(weight, bias.as_ref())?
        }
        (Op::BatchNorm, _) if mode == Mode::Unnormalized => value(0)?.shallow_clone(),
        (Op::BatchNorm, Parameters::Normalization { scale, shift, mean, variance }) => value(0)?
            .f_batch_norm(
                Some(scale),
                Some(shift),
                Some(mean),
                Some(variance),
                mode == Mode::Train,
                STATISTICS_MOMENTUM,
                VARIANCE_EPSILON,
                true,
            )?,
        (Op::FilterBank, Parameters::Fixed { weight }) => operate::filtered(value(0)?, weight)?,
        (Op::Relu, _) => value(0)?.f_relu()?,
        (Op::Sigmoid, _) => value(0)?.f_sigmoid()?,
        (Op::HardSigmoid, _) => value(0)?.f_hardsigmoid()?,
        (Op::Silu, _) => value(0)?.f_silu()?,
        (Op::HardSwish, _) => value(0)?.f_hardswish()?,
        (Op::AvgPool(window), _) => {
            let Window { kernel, stride, padding } = window;
            let [kernel, stride, padding] = [kernel, stride, padding].map(|n| [i64::from(n); 2]);
            value(0)?.f_avg_pool2d(kernel, stride, padding, false, false, None::<i64>)?
        }
        (Op::MaxPool(window), _) => {
            let Window { kernel, stride, padding } = window;
            let [kernel, stride, padding] = [kernel, stride, padding].map(|n| [i64::from(n); 2]);
            value(0)?.f_max_pool2d(kernel, stride, padding, [1, 1], false)?
        }
        (Op::GlobalAvgPool, _) => value(0)?.f_mean_dim([2i64, 3].as_slice(), false, None)?,
        (Op::ChannelMean, _) => value(0)?.f_mean_dim([1i64].as_slice(), true, None)?,
        (Op::ChannelMax, _) => value(0)?.f_amax([1i64].as_slice(), true)?,
        (Op::Crop { top, left, .. }, _) => operate::cropped(value(0)?, step.shape, top, left)?,
        (Op::FirstChannels { channels }, _) => value(0)?.f_narrow(1, 0, channels.into())?,
        (Op::Upsample { factor }, _) => operate::upsampled(value(0)?, i64::from(factor))?,
        (Op::Flatten, _) => value(0)?.f_flatten(1, -1)?,
        (Op::Add, _) => {
            let mut sum = value(0)?.shallow_clone();
            for position in 1..step.inputs.len() {
                sum = sum.f_add(value(position)?)?;
            }
            sum
        }
        (Op::Multiply, _) => {
            let mut product = operate::factor(value(0)?, step.shape)?;
            for position in 1..step.inputs.len() {
                product = product.f_mul(&operate::factor(value(position)?, step.shape)?)?;
            }
            product
        }
        (Op::Attention { heads }, _) => {
            operate::attended(value(0)?, value(1)?, value(2)?, i64::from(heads))?
        }
        (Op::Concat, _) => {
            let parts: Result<Vec<&Tensor>, _> = (0..step.inputs.len()).map(value).collect();
            Tensor::f_cat(&parts?, 1)?
        }
        (op, _) => {
            let (name, node) = (op.name(), step.node.0);
            return Err(EvaluationError::Crash(format!("node {node} ({name}) has no weights")));
        }
    };
    Ok(result)
}

/// Zeros for as many samples as `input` has, each of `shape`.
fn zeros(input: &Tensor, shape: Shape) -> Result<Tensor, TchError> {
    let samples = input.size()[0];
    let options = (input.kind(), input.device());
    match shape {
        Shape::Map { channels, height, width } => Tensor::f_zeros(
            [samples, i64::from(channels), i64::from(height), i64::from(width)],
            options,
        ),
        Shape::Vector { features } => Tensor::f_zeros([samples, i64::from(features)], options),
    }
}

fn channels(shape: Shape) -> u32 {
    match shape {
        Shape::Map { channels, .. } => channels,
        Shape::Vector { features } => features,
    }
}
