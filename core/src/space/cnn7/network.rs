//! The network of a genotype: channel boosting, three stages, the mean of each channel, a linear
//! classifier. It must not know how genotypes vary.
//!
//! A stage begins with a 3x3 convolution that changes the channels and, but for the first, halves the
//! sides. Its blocks follow, each a convolution with batch normalisation and excitation and its path, and
//! its attention. Convolutions have no bias; batch normalisation and activation follow them.

use super::{
    ACTIVATIONS, ATTENTIONS, BOOSTINGS, DILATIONS, EXCITATIONS, GROUPS, KERNELS, Parameters, SKIPS,
    STAGE_GENES, STAGES,
};
use crate::graph::{Graph, GraphBuilder, GraphError, NodeId, Op, Shape, Window};
use crate::space::blocks::squeeze_and_excite;

/// Channels between the two halves of the autoencoder, and those that it gives.
const CODE_CHANNELS: u32 = 8;
const AUTOENCODER_CHANNELS: u32 = 4;
/// The longest side of a map on which places attend to each other; larger ones are averaged first.
const MOST_ATTENDING: u32 = 14;
/// Queries, keys and values have this share of the channels (Wang et al., CVPR 2018).
const ATTENTION_SHARE: u32 = 2;
/// The kernel of spatial attention (Woo et al., ECCV 2018).
const SPATIAL_KERNEL: u32 = 7;

/// The choices of one stage.
struct Stage {
    kernel: u32,
    dilation: u32,
    blocks: u32,
    skip: &'static str,
    channels: u32,
    groups: u32,
    /// The channels for each feature of the excitation, if there is one.
    squeeze: Option<u32>,
    attention: &'static str,
}

impl Stage {
    fn new(slots: &[u32], channels: &[u32]) -> Self {
        let at = |place: usize| slots[place] as usize;
        Self {
            kernel: KERNELS[at(0)],
            dilation: DILATIONS[at(1)],
            blocks: 1 + slots[2],
            skip: SKIPS[at(3)],
            channels: channels[at(4)],
            groups: GROUPS[at(5)],
            squeeze: match EXCITATIONS[at(6)] {
                "r4" => Some(4),
                "r16" => Some(16),
                _ => None,
            },
            attention: ATTENTIONS[at(7)],
        }
    }
}

/// The network of a genotype of the space with these parameters, given by its slots.
pub(super) fn lower(parameters: &Parameters, slots: &[u32]) -> Result<Graph, GraphError> {
    let [channels, side, _] = parameters.input;
    let [boosting, activation] = [0, 1].map(|place| slots[STAGES * STAGE_GENES + place] as usize);
    let activation = if ACTIVATIONS[activation] == "silu" { Op::Silu } else { Op::Relu };
    let graph = GraphBuilder::new(Shape::Map { channels, height: side, width: side });
    let mut network = Network { graph, activation };
    let input = network.graph.input();
    let mut last = network.boosted(BOOSTINGS[boosting], input)?;
    let mut side = side;
    for (place, slots) in slots.chunks_exact(STAGE_GENES).take(STAGES).enumerate() {
        let stage = Stage::new(slots, &parameters.channels);
        let stride = if place == 0 { 1 } else { 2 };
        side /= stride;
        let entry = Window { kernel: 3, stride, padding: 1 };
        last = network.unit(last, stage.channels, entry)?;
        for _ in 0..stage.blocks {
            last = network.block(last, &stage)?;
        }
        last = network.attended(last, stage.attention, side)?;
    }
    let pooled = network.graph.add(Op::GlobalAvgPool, &[last])?;
    let logits = Op::Linear { out_features: parameters.classes, bias: true };
    let logits = network.graph.add(logits, &[pooled])?;
    network.graph.finish(logits)
}

struct Network {
    graph: GraphBuilder,
    activation: Op,
}

impl Network {
    fn channels(&self, id: NodeId) -> u32 {
        match self.graph.shape(id) {
            Some(Shape::Map { channels, .. }) => channels,
            _ => 0,
        }
    }

    fn convolution(
        &mut self,
        from: NodeId,
        out_channels: u32,
        window: Window,
    ) -> Result<NodeId, GraphError> {
        let op = Op::Conv2d { out_channels, window, dilation: 1, groups: 1, bias: false };
        self.graph.add(op, &[from])
    }

    /// Convolution, batch normalisation, activation.
    fn unit(
        &mut self,
        from: NodeId,
        out_channels: u32,
        window: Window,
    ) -> Result<NodeId, GraphError> {
        let convolved = self.convolution(from, out_channels, window)?;
        let normalised = self.graph.add(Op::BatchNorm, &[convolved])?;
        self.graph.add(self.activation, &[normalised])
    }

    /// The image with auxiliary channels: those of fixed filters, or what an autoencoder with half the
    /// sides in its middle gives. It is trained with the classifier, by its loss.
    fn boosted(&mut self, boosting: &str, image: NodeId) -> Result<NodeId, GraphError> {
        let auxiliary = match boosting {
            "filters" => self.graph.add(Op::FilterBank, &[image])?,
            "autoencoder" => {
                let halving = Window { kernel: 3, stride: 2, padding: 1 };
                let code = self.unit(image, CODE_CHANNELS, halving)?;
                let enlarged = self.graph.add(Op::Upsample { factor: 2 }, &[code])?;
                self.unit(enlarged, AUTOENCODER_CHANNELS, Window { stride: 1, ..halving })?
            }
            _ => return Ok(image),
        };
        self.graph.add(Op::Concat, &[image, auxiliary])
    }

    fn block(&mut self, input: NodeId, stage: &Stage) -> Result<NodeId, GraphError> {
        let Stage { kernel, dilation, channels, groups, .. } = *stage;
        let padding = dilation * (kernel - 1) / 2;
        let window = Window { kernel, stride: 1, padding };
        let op = Op::Conv2d { out_channels: channels, window, dilation, groups, bias: false };
        let convolved = self.graph.add(op, &[input])?;
        let mut branch = self.graph.add(Op::BatchNorm, &[convolved])?;
        if let Some(squeeze) = stage.squeeze {
            let hidden = (channels / squeeze).max(1);
            branch = squeeze_and_excite(&mut self.graph, branch, channels, hidden, Op::Sigmoid)?;
        }
        if stage.skip == "residual" {
            branch = self.graph.add(Op::Add, &[input, branch])?;
        }
        let active = self.graph.add(self.activation, &[branch])?;
        match stage.skip {
            "dense" => self.graph.add(Op::Concat, &[input, active]),
            _ => Ok(active),
        }
    }

    fn attended(&mut self, input: NodeId, kind: &str, side: u32) -> Result<NodeId, GraphError> {
        match kind {
            "spatial" => self.spatially_attended(input),
            "self" => self.self_attended(input, side),
            _ => Ok(input),
        }
    }

    /// Each place weighted by what a convolution makes of the mean and the maximum of its channels.
    fn spatially_attended(&mut self, input: NodeId) -> Result<NodeId, GraphError> {
        let mean = self.graph.add(Op::ChannelMean, &[input])?;
        let most = self.graph.add(Op::ChannelMax, &[input])?;
        let both = self.graph.add(Op::Concat, &[mean, most])?;
        let window = Window { kernel: SPATIAL_KERNEL, stride: 1, padding: SPATIAL_KERNEL / 2 };
        let convolved = self.convolution(both, 1, window)?;
        let normalised = self.graph.add(Op::BatchNorm, &[convolved])?;
        let weights = self.graph.add(Op::Sigmoid, &[normalised])?;
        self.graph.add(Op::Multiply, &[input, weights])
    }

    /// A non-local block: the sum of the map and what its places, or averages of squares of them, take
    /// from each other.
    fn self_attended(&mut self, input: NodeId, side: u32) -> Result<NodeId, GraphError> {
        let factor = (1..=side)
            .find(|factor| side.is_multiple_of(*factor) && side / factor <= MOST_ATTENDING)
            .unwrap_or(side);
        let mut source = input;
        if factor > 1 {
            let window = Window { kernel: factor, stride: factor, padding: 0 };
            source = self.graph.add(Op::AvgPool(window), &[input])?;
        }
        let channels = self.channels(input);
        let point = Window { kernel: 1, stride: 1, padding: 0 };
        let mut projected = [source; 3];
        for projection in &mut projected {
            *projection = self.convolution(source, channels / ATTENTION_SHARE, point)?;
        }
        let mixed = self.graph.add(Op::Attention { heads: 1 }, &projected)?;
        let convolved = self.convolution(mixed, channels, point)?;
        let mut result = self.graph.add(Op::BatchNorm, &[convolved])?;
        if factor > 1 {
            result = self.graph.add(Op::Upsample { factor }, &[result])?;
        }
        self.graph.add(Op::Add, &[input, result])
    }
}
