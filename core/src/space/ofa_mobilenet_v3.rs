//! The MobileNetV3 space of Once-for-All (Cai et al., ICLR 2020): five stages of two to four inverted
//! residual blocks, each block with a kernel and an expansion of its own, and the side of the image:
//! 25 x 7371^5, about 5.4e20 genotypes. Each is a network of its own; weights are not shared. It must not
//! know how the published supernetwork is trained.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::blocks::squeeze_and_excite;
use super::schema::{Gene, GeneKind};
use super::{Genotype, Schema, SearchSpace, SpaceEntry, SpaceError, hash_of_slots, images};
use crate::graph::{CanonicalHash, Graph, GraphBuilder, GraphError, NodeId, Op, Shape, Window};
use crate::spec::Section;

const NAME: &str = "ofa_mobilenet_v3";

/// The line of this space in [`super::SPACES`].
pub const ENTRY: SpaceEntry = SpaceEntry {
    name: NAME,
    summary: "depth, kernels and expansions of 5 stages of MobileNetV3 blocks, and the side of the \
              image (Once-for-All)",
    build: |section| Some(Arc::new(OfaMobileNetV3::new(read(section)?))),
};

/// A stage of inverted residual blocks; the first one has the stride.
struct Stage {
    channels: u32,
    stride: u32,
    activation: Op,
    excites: bool,
}

const STAGES: [Stage; 5] = [
    Stage { channels: 24, stride: 2, activation: Op::Relu, excites: false },
    Stage { channels: 40, stride: 2, activation: Op::Relu, excites: true },
    Stage { channels: 80, stride: 2, activation: Op::HardSwish, excites: false },
    Stage { channels: 112, stride: 1, activation: Op::HardSwish, excites: true },
    Stage { channels: 160, stride: 2, activation: Op::HardSwish, excites: true },
];
/// Blocks of a stage, at least and at most.
const DEPTHS: (u32, u32) = (2, 4);
const KERNELS: [u32; 3] = [3, 5, 7];
const EXPANSIONS: [u32; 3] = [3, 4, 6];
/// Channels of the stem and of the block after it, which does not vary.
const STEM: u32 = 16;
/// Channels before the mean over the image, and features after it.
const LAST_CHANNELS: u32 = 960;
const FEATURES: u32 = 1280;
/// Channels are multiples of this number.
const DIVISOR: u32 = 8;
/// The channels of a block are these many times those of its excitation.
const SQUEEZE: u32 = 4;
/// The slots of a stage: the number of blocks, then the kernel and the expansion of each.
const STAGE_SLOTS: usize = 1 + 2 * DEPTHS.1 as usize;

/// The sizes that are not searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// The sides of the square image on offer, ascending, each 8 to 4,096; a single one is no gene.
    resolutions: Vec<u32>,
    /// Channels of an image, 1 to 1,024.
    image_channels: u32,
    /// Classes, 2 to 100,000.
    classes: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { resolutions: (128..=224).step_by(4).collect(), image_channels: 3, classes: 1000 }
    }
}

fn read(section: &Section<'_>) -> Option<Parameters> {
    let parameters: Parameters = section.read();
    section.check_range("classes", parameters.classes, 2..=images::MAX_CLASSES);
    section.check_range("image_channels", parameters.image_channels, 1..=images::MAX_CHANNELS);
    let sides = &parameters.resolutions;
    if sides.is_empty() || sides.len() > 1000 || sides.windows(2).any(|pair| pair[0] >= pair[1]) {
        section.fault(
            "resolutions",
            "these are no 1 to 1000 ascending sides",
            "list different sides in ascending order, such as `[128, 160, 192, 224]`",
        );
    }
    for (nth, side) in sides.iter().enumerate() {
        section.check_range(&format!("resolutions[{nth}]"), *side, 8..=images::MAX_SIDE);
    }
    section.is_clean().then_some(parameters)
}

/// The space with given sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct OfaMobileNetV3 {
    parameters: Parameters,
    schema: Schema,
}

impl OfaMobileNetV3 {
    fn new(parameters: Parameters) -> Self {
        let ordered = |choices: &[u32]| GeneKind::Categorical {
            choices: choices.iter().map(|choice| choice.to_string().into()).collect(),
            ordered: true,
        };
        let body =
            vec![Gene::new("kernel", ordered(&KERNELS)), Gene::new("expand", ordered(&EXPANSIONS))];
        let (at_least, at_most) = DEPTHS;
        let mut genes = Vec::new();
        if parameters.resolutions.len() > 1 {
            genes.push(Gene::new("resolution", ordered(&parameters.resolutions)));
        }
        genes.extend((1..=STAGES.len()).map(|stage| {
            let blocks = GeneKind::Repeat { at_least, at_most, shared: false, body: body.clone() };
            Gene::new(format!("stage{stage}"), blocks)
        }));
        let schema = Schema::new(genes).expect("the genes have different names and few choices");
        Self { parameters, schema }
    }

    fn check(&self, genotype: &Genotype) -> Result<(), SpaceError> {
        self.schema.check(genotype).map_err(|reason| SpaceError::Foreign { space: NAME, reason })
    }

    fn build(&self, genotype: &Genotype) -> Result<Graph, GraphError> {
        let Parameters { ref resolutions, image_channels, classes } = self.parameters;
        let own = usize::from(resolutions.len() > 1);
        let side = match own {
            0 => resolutions[0],
            _ => resolutions[genotype.0[0] as usize],
        };
        let image = Shape::Map { channels: image_channels, height: side, width: side };
        let mut chain = Chain { graph: GraphBuilder::new(image) };
        let input = chain.graph.input();
        let stem = chain.unit(input, STEM, window(3, 2), 1, Some(Op::HardSwish))?;
        let filtered = chain.unit(stem, STEM, window(3, 1), STEM, Some(Op::Relu))?;
        let projected = chain.unit(filtered, STEM, window(1, 1), 1, None)?;
        let mut last = chain.graph.add(Op::Add, &[stem, projected])?;
        let mut channels = STEM;
        for (stage, slots) in STAGES.iter().zip(genotype.0[own..].chunks_exact(STAGE_SLOTS)) {
            let blocks = slots[1..].chunks_exact(2).take(slots[0] as usize);
            for (nth, block) in blocks.enumerate() {
                let kernel = KERNELS[block[0] as usize];
                let hidden = divisible(channels * EXPANSIONS[block[1] as usize]);
                let stride = if nth == 0 { stage.stride } else { 1 };
                last = chain.block(last, channels, hidden, window(kernel, stride), stage)?;
                channels = stage.channels;
            }
        }
        let wide = chain.unit(last, LAST_CHANNELS, window(1, 1), 1, Some(Op::HardSwish))?;
        let pooled = chain.graph.add(Op::GlobalAvgPool, &[wide])?;
        let mixing = Op::Linear { out_features: FEATURES, bias: false };
        let mixed = chain.graph.add(mixing, &[pooled])?;
        let active = chain.graph.add(Op::HardSwish, &[mixed])?;
        let logits = Op::Linear { out_features: classes, bias: true };
        let logits = chain.graph.add(logits, &[active])?;
        chain.graph.finish(logits)
    }
}

/// The nearest multiple of [`DIVISOR`], one more where that is below nine tenths of `channels`.
fn divisible(channels: u32) -> u32 {
    let nearest = ((channels + DIVISOR / 2) / DIVISOR * DIVISOR).max(DIVISOR);
    if 10 * nearest < 9 * channels { nearest + DIVISOR } else { nearest }
}

fn window(kernel: u32, stride: u32) -> Window {
    Window { kernel, stride, padding: kernel / 2 }
}

struct Chain {
    graph: GraphBuilder,
}

impl Chain {
    /// Convolution, batch normalisation, and the activation if there is one.
    fn unit(
        &mut self,
        from: NodeId,
        out_channels: u32,
        window: Window,
        groups: u32,
        activation: Option<Op>,
    ) -> Result<NodeId, GraphError> {
        let convolution = Op::Conv2d { out_channels, window, dilation: 1, groups, bias: false };
        let convolved = self.graph.add(convolution, &[from])?;
        let normalised = self.graph.add(Op::BatchNorm, &[convolved])?;
        activation.map_or(Ok(normalised), |op| self.graph.add(op, &[normalised]))
    }

    /// An inverted residual block from so many channels, with so many hidden ones.
    fn block(
        &mut self,
        input: NodeId,
        channels: u32,
        hidden: u32,
        spatial: Window,
        stage: &Stage,
    ) -> Result<NodeId, GraphError> {
        let active = Some(stage.activation);
        let expanded = self.unit(input, hidden, window(1, 1), 1, active)?;
        let mut filtered = self.unit(expanded, hidden, spatial, hidden, active)?;
        if stage.excites {
            let squeezed = divisible(hidden / SQUEEZE);
            let gate = Op::HardSigmoid;
            filtered = squeeze_and_excite(&mut self.graph, filtered, hidden, squeezed, gate)?;
        }
        let projected = self.unit(filtered, stage.channels, window(1, 1), 1, None)?;
        if spatial.stride == 1 && channels == stage.channels {
            self.graph.add(Op::Add, &[input, projected])
        } else {
            Ok(projected)
        }
    }
}

impl SearchSpace for OfaMobileNetV3 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::to_value(&self.parameters).expect("plain numbers under text keys")
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    /// No two genotypes build the same network.
    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        self.check(genotype)?;
        Ok(hash_of_slots("cambrian ofa_mobilenet_v3 v1", genotype))
    }

    fn lower(&self, genotype: &Genotype) -> Result<Graph, SpaceError> {
        self.check(genotype)?;
        self.build(genotype)
            .map_err(|error| SpaceError::NoNetwork { space: NAME, reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests;
