//! What a score is computed from: networks with fresh weights, batches of labelled images, noise,
//! and the gradients that several scores share.
//!
//! Must not know where images come from nor which score asks.

use std::cell::OnceCell;

use cambrian_core::graph::{Graph, Shape};
use cambrian_core::rng::Stream;
use cambrian_core::spec::SpikingSettings;
use tch::{Device, Kind, Tensor};

use crate::failure::EvaluationError;
use crate::network::{Initialization, MapLayout, Mode, Network, normal};
use crate::train::mean_cross_entropy;

/// Where a probe's network, weights, images and noise come from; every answer is the same each time.
pub trait Source {
    /// The network.
    fn graph(&self) -> &Graph;

    /// `graph` with the weights that `initialization` draws for it.
    ///
    /// # Errors
    /// Those of [`Network::initialized`].
    fn build(
        &self,
        graph: &Graph,
        initialization: Initialization,
        kind: Kind,
    ) -> Result<Network, EvaluationError>;

    /// The batch with this number: images, `[size, ...]`, and their labels, `[size]`.
    ///
    /// # Errors
    /// Whatever libtorch reports.
    fn batch(
        &self,
        number: usize,
        size: usize,
        kind: Kind,
    ) -> Result<(Tensor, Tensor), EvaluationError>;

    /// The stream of noise with this number.
    fn noise(&self, number: u64) -> Stream;

    /// The type of numbers, unless a score's definition asks for another.
    fn kind(&self) -> Kind;

    /// Where tensors live.
    fn device(&self) -> Device;

    /// How the network spikes.
    fn spiking(&self) -> SpikingSettings;

    /// To be called within long loops.
    ///
    /// # Errors
    /// [`EvaluationError::Stopped`] once the evaluation was asked to end.
    fn check(&self) -> Result<(), EvaluationError>;
}

/// One network in one draw of its weights, to be scored on batches of one size.
pub struct Probe<'a> {
    source: &'a dyn Source,
    batch_size: usize,
    gradients: OnceCell<Gradients>,
}

/// The gradients of the mean cross-entropy of the first batch in training mode.
#[derive(Debug)]
pub struct Gradients {
    /// The weights of convolutions and linear layers, in the order of execution.
    pub weights: Vec<Tensor>,
    /// The gradient of each, in its shape.
    pub gradients: Vec<Tensor>,
}

impl<'a> Probe<'a> {
    /// A probe that has computed nothing yet.
    #[must_use]
    pub fn new(source: &'a dyn Source, batch_size: usize) -> Self {
        Self { source, batch_size, gradients: OnceCell::new() }
    }

    /// The network.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        self.source.graph()
    }

    /// Samples of one batch.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The type of numbers, unless a score's definition asks for another.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.source.kind()
    }

    /// Where tensors live.
    #[must_use]
    pub fn device(&self) -> Device {
        self.source.device()
    }

    /// How the network spikes.
    #[must_use]
    pub fn spiking(&self) -> SpikingSettings {
        self.source.spiking()
    }

    /// See [`Source::check`].
    ///
    /// # Errors
    /// [`EvaluationError::Stopped`] once the evaluation was asked to end.
    pub fn check(&self) -> Result<(), EvaluationError> {
        self.source.check()
    }

    /// See [`Source::build`].
    ///
    /// # Errors
    /// Those of [`Network::initialized`].
    pub fn build(
        &self,
        graph: &Graph,
        initialization: Initialization,
        kind: Kind,
    ) -> Result<Network, EvaluationError> {
        self.source.build(graph, initialization, kind)
    }

    /// The network with PyTorch's default weights, in the layout that is fast on this device.
    ///
    /// # Errors
    /// Those of [`Network::initialized`].
    pub fn network(&self) -> Result<Network, EvaluationError> {
        self.network_with(Initialization::Uniform)
    }

    /// The network with weights of this initialisation, in the layout that is fast on this device.
    ///
    /// # Errors
    /// Those of [`Network::initialized`].
    pub fn network_with(&self, initialization: Initialization) -> Result<Network, EvaluationError> {
        let network = self.build(self.graph(), initialization, self.kind())?;
        if self.kind() == Kind::Float && !self.device().is_cuda() {
            network.set_layout(MapLayout::ChannelsLast)?;
        }
        Ok(network)
    }

    /// The batch with this number: images, `[batch_size, ...]`, and their labels, `[batch_size]`.
    ///
    /// # Errors
    /// Those of the source of images.
    pub fn batch(&self, number: usize) -> Result<(Tensor, Tensor), EvaluationError> {
        self.source.batch(number, self.batch_size, self.kind())
    }

    /// Standard normal values, `[samples, shape...]`, from the stream with this number.
    ///
    /// # Errors
    /// Whatever libtorch reports.
    pub fn standard_normal(
        &self,
        samples: usize,
        shape: Shape,
        stream: u64,
    ) -> Result<Tensor, EvaluationError> {
        let size = sample_size(samples, shape);
        let count = size.iter().product::<i64>() as usize;
        let values = normal(&mut self.source.noise(stream), count, 1.0);
        let values = Tensor::f_from_slice(&values)?.f_view(size.as_slice())?;
        Ok(values.f_to_device(self.device())?.f_to_kind(self.kind())?)
    }

    /// The gradients of the first batch, computed at the first call.
    ///
    /// # Errors
    /// Those of the forward pass.
    pub fn gradients(&self) -> Result<&Gradients, EvaluationError> {
        if let Some(gradients) = self.gradients.get() {
            return Ok(gradients);
        }
        let (images, labels) = self.batch(0)?;
        let gradients = Gradients::of(&self.network()?, &images, &labels)?;
        Ok(self.gradients.get_or_init(|| gradients))
    }
}

impl Gradients {
    /// The gradients of the mean cross-entropy of `network` on one batch in training mode.
    ///
    /// # Errors
    /// Those of the forward pass, and whatever libtorch reports.
    pub fn of(
        network: &Network,
        images: &Tensor,
        labels: &Tensor,
    ) -> Result<Self, EvaluationError> {
        let weights = network.weights();
        let loss = mean_cross_entropy(&network.forward(images, Mode::Train)?, labels)?;
        let gradients = Tensor::f_run_backward(&[loss], &weights, false, false)?;
        Ok(Self { weights, gradients })
    }

    /// The sum over layers of a function of its weight and gradient, both in double precision.
    ///
    /// # Errors
    /// Whatever libtorch reports.
    pub fn sum(
        &self,
        of: impl Fn(&Tensor, &Tensor) -> Result<Tensor, tch::TchError>,
    ) -> Result<f64, EvaluationError> {
        let mut total = 0.0;
        for (weight, gradient) in self.weights.iter().zip(&self.gradients) {
            let weight = weight.f_detach()?.f_to_kind(Kind::Double)?;
            let gradient = gradient.f_to_kind(Kind::Double)?;
            total += of(&weight, &gradient)?.f_double_value(&[])?;
        }
        Ok(total)
    }
}

/// The size of a tensor of `samples` values of `shape`.
#[must_use]
pub fn sample_size(samples: usize, shape: Shape) -> Vec<i64> {
    let samples = samples as i64;
    match shape {
        Shape::Map { channels, height, width } => {
            vec![samples, i64::from(channels), i64::from(height), i64::from(width)]
        }
        Shape::Vector { features } => vec![samples, i64::from(features)],
    }
}
