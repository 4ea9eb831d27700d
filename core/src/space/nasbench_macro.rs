//! NAS-Bench-Macro (Su et al. 2021, "Prioritized architecture sampling with Monte-Carlo tree
//! search"): a chain of eight layers in three stages on CIFAR-10's images, each an identity or an
//! inverted residual block, 3^8 = 6,561 spellings of 3,969 networks. It must not know its table.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::schema::{Gene, GeneKind, Notation};
use super::{Genotype, Schema, SearchSpace, SpaceEntry, SpaceError, hash_of_slots, images};
use crate::graph::{CanonicalHash, Graph, GraphBuilder, GraphError, NodeId, Op, Shape, Window};
use crate::spec::Section;

const NAME: &str = "nasbench_macro";

/// The line of this space in [`super::SPACES`].
pub const ENTRY: SpaceEntry = SpaceEntry {
    name: NAME,
    summary: "chains of 8 layers in 3 stages, each an identity or one of two inverted residual \
              blocks (NAS-Bench-Macro)",
    build: |section| Some(Arc::new(NasBenchMacro::new(read(section)?))),
};

/// Layers of each stage; the first of each halves the sides and changes the channels.
const STAGES: [usize; 3] = [2, 3, 3];
/// Channels of the stem, and of each stage after it.
const STEM: u32 = 32;
const CHANNELS: [u32; 3] = [64, 128, 256];
/// Channels before the classifier.
const HEAD: u32 = 1280;
/// Kernel and expansion of the operations 1 and 2; 0 is the identity.
const BLOCKS: [(u32, u32); 2] = [(3, 3), (5, 6)];

/// The sizes that are not searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// Channels, height and width of an image, the sides 8 to 4,096.
    input: [u32; 3],
    /// Classes, 2 to 100,000.
    classes: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { input: [3, 32, 32], classes: 10 }
    }
}

fn read(section: &Section<'_>) -> Option<Parameters> {
    let parameters: Parameters = section.read();
    images::check(section, parameters.input, parameters.classes, 8);
    section.is_clean().then_some(parameters)
}

/// The space with given sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct NasBenchMacro {
    parameters: Parameters,
    schema: Schema,
}

impl NasBenchMacro {
    fn new(parameters: Parameters) -> Self {
        let choices = ["identity", "mb3_e3", "mb5_e6"].map(Into::into).to_vec();
        let kind = GeneKind::Categorical { choices, ordered: false };
        let genes = (1..=STAGES.iter().sum::<usize>())
            .map(|layer| Gene::new(format!("layer{layer}"), kind.clone()));
        let schema = Schema::new(genes.collect())
            .and_then(|schema| schema.with_notation(Notation::Digits))
            .expect("eight genes of three choices are written as digits");
        Self { parameters, schema }
    }

    fn check(&self, genotype: &Genotype) -> Result<(), SpaceError> {
        self.schema.check(genotype).map_err(|reason| SpaceError::Foreign { space: NAME, reason })
    }

    fn build(&self, genotype: &Genotype) -> Result<Graph, GraphError> {
        let Parameters { input: [channels, height, width], classes } = self.parameters;
        let mut chain = Chain { graph: GraphBuilder::new(Shape::Map { channels, height, width }) };
        let input = chain.graph.input();
        let mut last = chain.unit(input, STEM, window(3, 1), 1, true)?;
        let mut from = STEM;
        let mut layers = genotype.0.iter();
        for (length, to) in STAGES.into_iter().zip(CHANNELS) {
            for (place, &operation) in layers.by_ref().take(length).enumerate() {
                let stride = if place == 0 { 2 } else { 1 };
                last = chain.layer(operation, last, (from, to), stride)?;
                from = to;
            }
        }
        let head = chain.unit(last, HEAD, window(1, 1), 1, true)?;
        let pooled = chain.graph.add(Op::GlobalAvgPool, &[head])?;
        let logits = Op::Linear { out_features: classes, bias: true };
        let logits = chain.graph.add(logits, &[pooled])?;
        chain.graph.finish(logits)
    }
}

fn window(kernel: u32, stride: u32) -> Window {
    Window { kernel, stride, padding: kernel / 2 }
}

struct Chain {
    graph: GraphBuilder,
}

impl Chain {
    /// Convolution, batch normalisation, and ReLU if `active`.
    fn unit(
        &mut self,
        from: NodeId,
        out_channels: u32,
        window: Window,
        groups: u32,
        active: bool,
    ) -> Result<NodeId, GraphError> {
        let convolution = Op::Conv2d { out_channels, window, dilation: 1, groups, bias: false };
        let convolved = self.graph.add(convolution, &[from])?;
        let normalised = self.graph.add(Op::BatchNorm, &[convolved])?;
        if active { self.graph.add(Op::Relu, &[normalised]) } else { Ok(normalised) }
    }

    fn layer(
        &mut self,
        operation: u32,
        input: NodeId,
        (from, to): (u32, u32),
        stride: u32,
    ) -> Result<NodeId, GraphError> {
        let keeps_shape = stride == 1 && from == to;
        let Some((kernel, expansion)) =
            (operation as usize).checked_sub(1).and_then(|at| BLOCKS.get(at).copied())
        else {
            // An identity between different shapes is a strided convolution of one pixel.
            let window = Window { kernel: 1, stride, padding: 0 };
            return if keeps_shape { Ok(input) } else { self.unit(input, to, window, 1, false) };
        };
        let hidden = from * expansion;
        let expanded = self.unit(input, hidden, window(1, 1), 1, true)?;
        let filtered = self.unit(expanded, hidden, window(kernel, stride), hidden, true)?;
        let projected = self.unit(filtered, to, window(1, 1), 1, false)?;
        if keeps_shape { self.graph.add(Op::Add, &[input, projected]) } else { Ok(projected) }
    }
}

impl SearchSpace for NasBenchMacro {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::to_value(&self.parameters).expect("plain numbers under text keys")
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Two spellings are the same if they build the same chain: an identity within a stage does
    /// nothing, wherever it stands.
    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        self.check(genotype)?;
        Ok(hash_of_slots("cambrian nasbench_macro v1", &self.simplified(genotype)))
    }

    /// The chain with the identities of each stage at its end.
    fn simplified(&self, genotype: &Genotype) -> Genotype {
        let mut layers = genotype.0.clone();
        let mut begin = 0;
        for length in STAGES {
            if let Some(stage) = layers.get_mut(begin + 1..begin + length) {
                stage.sort_by_key(|operation| *operation == 0);
            }
            begin += length;
        }
        Genotype(layers)
    }

    fn lower(&self, genotype: &Genotype) -> Result<Graph, SpaceError> {
        self.check(genotype)?;
        self.build(genotype)
            .map_err(|error| SpaceError::NoNetwork { space: NAME, reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::space::contract;
    use crate::space::published::{number, table};

    fn space() -> NasBenchMacro {
        NasBenchMacro::new(Parameters::default())
    }

    fn all(space: &NasBenchMacro) -> impl Iterator<Item = Genotype> {
        (0..6_561u32).map_while(|rank| space.schema().unrank(&rank.into()))
    }

    #[test]
    fn spellings_of_3969_networks() {
        let space = space();
        assert_eq!(all(&space).count(), 6_561);
        let mut classes = HashMap::new();
        for genotype in all(&space) {
            let key = space.canonical_hash(&genotype).unwrap();
            let network = space.lower(&genotype).unwrap().canonical_hash();
            // What is the same builds the same network, and nothing else does.
            assert_eq!(*classes.entry(key).or_insert(network), network);
        }
        assert_eq!(classes.len(), 3_969);
        let networks: std::collections::HashSet<_> = classes.values().collect();
        assert_eq!(networks.len(), 3_969);
    }

    #[test]
    fn published_costs() {
        let space = space();
        let cost = |text: &str| {
            let graph = space.lower(&space.parse(text).unwrap()).unwrap();
            (graph.params(), graph.macs())
        };
        // NAS-Bench-Macro's table.
        assert_eq!(cost("00000000"), (387_882, 7_713_280));
        assert_eq!(cost("00000001"), (791_594, 14_115_328));
    }

    #[test]
    fn every_cost_of_the_published_table() {
        let Some(rows) = table("nb_macro/nb_macro.csv.gz") else { return };
        let space = space();
        assert_eq!(rows.len(), 6_561);
        for row in rows {
            let graph = space.lower(&space.parse(&row["arch"]).unwrap()).unwrap();
            assert_eq!(graph.params() as f64, number(&row, "params"), "{}", row["arch"]);
            assert_eq!(graph.macs() as f64, number(&row, "flops"), "{}", row["arch"]);
        }
    }

    #[test]
    fn other_sizes_keep_the_contract_and_senseless_ones_are_refused() {
        contract::check(&*contract::build(&ENTRY, "{input: [1, 28, 45], classes: 3}"));
        for text in ["{input: [3, 7, 32]}", "{input: [0, 32, 32]}", "{classes: 1}", "{depth: 3}"] {
            let section = Section::from_text(text).unwrap();
            assert!(read(&section).is_none() || section.finish().is_err(), "{text}");
        }
    }
}
