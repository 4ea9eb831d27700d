//! The kinds of genes that a schema is declared with. It must not know how they are counted,
//! varied or written.

use thiserror::Error;

/// The most slots of a genotype.
pub const MAX_SLOTS: usize = 100_000;
/// The most choices of one gene.
pub const MAX_CHOICES: usize = 65_536;
/// The most items that a subset is taken from, and the most nodes of a parent vector.
pub const MAX_ITEMS: usize = 24;
/// The most nodes of a directed acyclic graph.
pub const MAX_DAG_NODES: u32 = 8;
/// The most nodes of an edge-labelled graph.
pub const MAX_GRAPH_NODES: u32 = 64;

/// One gene.
#[derive(Debug, Clone, PartialEq)]
pub struct Gene {
    /// A name, unique within its group: letters, digits, `_`, `-` and `>`.
    pub name: Box<str>,
    /// What it can be.
    pub kind: GeneKind,
}

impl Gene {
    /// The gene `name` of this kind.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>, kind: GeneKind) -> Self {
        Self { name: name.into(), kind }
    }
}

/// The values that a gene can take.
#[derive(Debug, Clone, PartialEq)]
pub enum GeneKind {
    /// A whole number: `low`, `low + step`, ... up to `high`. Neighbours are alike.
    ///
    /// With `log` equal ratios are alike: v is drawn with a share proportional to
    /// ln((v + step) / v), so that each octave is about as likely, and mutation moves by a ratio.
    Integer {
        /// The lowest value.
        low: i64,
        /// The highest value, at least `low`.
        high: i64,
        /// The distance of two neighbours, at least 1.
        step: u32,
        /// Whether ratios count instead of differences; `low` is then above 0.
        log: bool,
    },
    /// One of several choices.
    Categorical {
        /// The names of the choices, all different.
        choices: Vec<Box<str>>,
        /// Whether neighbours in the list are alike.
        ordered: bool,
    },
    /// A real number in a closed range, on a grid of [`super::REAL_VALUES`] values.
    Real {
        /// The lowest value.
        low: f64,
        /// The highest value, above `low`.
        high: f64,
        /// Whether the grid is even in the logarithm; `low` is then above 0.
        log: bool,
    },
    /// Yes or no.
    Boolean,
    /// Some of several items.
    Subset {
        /// The names of the items, all different, at most [`MAX_ITEMS`].
        of: Vec<Box<str>>,
        /// The least number taken.
        at_least: u32,
        /// The largest number taken.
        at_most: u32,
    },
    /// One of several groups of genes, of which only the chosen one applies.
    Switch {
        /// Each arm's name and genes.
        arms: Vec<(Box<str>, Vec<Gene>)>,
    },
    /// A group of genes as often as the gene itself says.
    Repeat {
        /// The least number of copies.
        at_least: u32,
        /// The largest number of copies.
        at_most: u32,
        /// Whether the copies have their values in common, instead of values of their own.
        shared: bool,
        /// The genes of one copy.
        body: Vec<Gene>,
    },
    /// Always the value of another gene: it is read like that one, and neither varied nor written.
    Tied {
        /// The name of an earlier gene of the same group that has a value of its own, without
        /// genes below it.
        to: Box<str>,
    },
    /// For each of `nodes` nodes one parent among the root (0) and the nodes before it.
    Parents {
        /// The number of nodes without the root, at most [`MAX_ITEMS`], or 8 where `canonical`.
        nodes: u32,
        /// Whether only one vector of each rooted tree without labels is offered.
        canonical: bool,
    },
    /// An operation for every pair i < j of nodes, in the order 0>1, 0>2, 1>2, 0>3, ...
    Edges {
        /// The number of nodes, 2 to [`MAX_GRAPH_NODES`].
        nodes: u32,
        /// The operations, all different.
        labels: Vec<Box<str>>,
    },
    /// A directed acyclic graph whose first node is the input and whose last is the output; every
    /// node lies on a path from the one to the other, and every inner node has an operation.
    Dag {
        /// The least number of nodes, input and output included, at least 2.
        least_nodes: u32,
        /// The largest number of nodes, at most [`MAX_DAG_NODES`].
        most_nodes: u32,
        /// The largest number of edges.
        max_edges: u32,
        /// The operations, all different.
        labels: Vec<Box<str>>,
    },
}

/// Genes that make no schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct SchemaError {
    /// Where: the names on the way to the gene, joined by points; empty for the whole.
    pub path: String,
    /// What is wrong, as a phrase.
    pub reason: String,
    /// What to write instead.
    pub help: String,
}
