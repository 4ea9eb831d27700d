//! A cell: its operations, its notation and which cells NATS-Bench holds to be the same. It must not know the
//! network around it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The edges in the order of the genes: from node, to node.
pub(super) const EDGES: [(usize, usize); 6] = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)];
/// The number of nodes, of which the first is the cell's input and the last its output.
pub(super) const NODES: usize = 4;

/// No cell's notation is longer than this many bytes.
const MAX_TEXT: usize = 200;

/// What an edge does to the value of the node that it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Operation {
    #[serde(rename = "none")]
    None,
    #[serde(rename = "skip_connect")]
    Skip,
    #[serde(rename = "nor_conv_1x1")]
    Conv1x1,
    #[serde(rename = "nor_conv_3x3")]
    Conv3x3,
    #[serde(rename = "avg_pool_3x3")]
    AvgPool3x3,
}

impl Operation {
    /// Every operation in the published order, which is that of the default genes.
    pub(super) const ALL: [Self; 5] =
        [Self::None, Self::Skip, Self::Conv1x1, Self::Conv3x3, Self::AvgPool3x3];

    /// The name in NATS-Bench and XNAS.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Skip => "skip_connect",
            Self::Conv1x1 => "nor_conv_1x1",
            Self::Conv3x3 => "nor_conv_3x3",
            Self::AvgPool3x3 => "avg_pool_3x3",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The operation of each of the [`EDGES`]. Its notation, written by `Display` and read by
/// [`Cell::parse`], is `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell(pub(super) [Operation; EDGES.len()]);

impl Cell {
    /// The edges that enter `node`, as the node each leaves and its operation.
    pub(super) fn edges_into(&self, node: usize) -> impl Iterator<Item = (usize, Operation)> {
        let edges = EDGES.iter().zip(&self.0).filter(move |((_, to), _)| *to == node);
        edges.map(|((from, _), operation)| (*from, *operation))
    }

    /// The string that is equal for cells which NATS-Bench holds to be isomorphic:
    /// `Structure.to_unique_str(consider_zero=True)` of its published code, letter for letter.
    ///
    /// A node is the sorted sum of its edges. An edge is `#` if it has no operation or leaves a
    /// node that is `#`, the node's own string if it is a skip connection, else `(node)@operation`.
    pub(super) fn isomorphism_string(&self) -> String {
        let mut nodes: [String; NODES] = Default::default();
        nodes[0].push('0');
        for to in 1..NODES {
            let mut terms: Vec<String> = self
                .edges_into(to)
                .map(|(from, operation)| match (nodes[from].as_str(), operation) {
                    ("#", _) | (_, Operation::None) => "#".to_owned(),
                    (node, Operation::Skip) => node.to_owned(),
                    (node, operation) => format!("({node})@{operation}"),
                })
                .collect();
            terms.sort_unstable();
            nodes[to] = terms.join("+");
        }
        let [.., output] = nodes;
        output
    }

    /// The same cell without the operations that no path from input to output passes.
    pub(super) fn simplified(&self) -> Self {
        let mut operations = self.0;
        let is_there = |operation: Operation| operation != Operation::None;
        let mut reached = [true, false, false, false];
        for ((from, to), operation) in EDGES.into_iter().zip(&mut operations) {
            // Edges come in the order of their heads, so that a node is known before it is left.
            if !reached[from] {
                *operation = Operation::None;
            }
            reached[to] |= is_there(*operation);
        }
        let mut read = [false, false, false, true];
        for ((from, to), operation) in EDGES.into_iter().zip(&mut operations).rev() {
            if !read[to] {
                *operation = Operation::None;
            }
            read[from] |= is_there(*operation);
        }
        Self(operations)
    }

    /// Reads the notation.
    ///
    /// # Errors
    /// What could not be read, and at which node and edge.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const EXAMPLE: &str = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+\
                               |none~0|skip_connect~1|avg_pool_3x3~2|";
        let text = text.trim();
        if text.len() > MAX_TEXT {
            return Err(format!(
                "the text has {} bytes, write a cell such as {EXAMPLE}",
                text.len()
            ));
        }
        let parts: Vec<&str> = text.split('+').collect();
        if parts.len() != NODES - 1 {
            return Err(format!(
                "the cell has {} nodes joined by +, expected {}, such as {EXAMPLE}",
                parts.len(),
                NODES - 1
            ));
        }
        let mut operations = Vec::with_capacity(EDGES.len());
        for (to, part) in (1..).zip(parts) {
            parse_node(to, part.trim(), &mut operations)?;
        }
        let found = operations.len();
        let operations = operations.try_into();
        operations
            .map(Self)
            .map_err(|_| format!("the cell has {found} edges, expected {}", EDGES.len()))
    }
}

fn parse_node(to: usize, text: &str, operations: &mut Vec<Operation>) -> Result<(), String> {
    let edges = text.strip_prefix('|').and_then(|text| text.strip_suffix('|'));
    let edges =
        edges.ok_or_else(|| format!("node {to} is `{text}`, expected it between | and |"))?;
    let edges: Vec<&str> = edges.split('|').collect();
    if edges.len() != to {
        return Err(format!("node {to} has {} edges, expected {to}", edges.len()));
    }
    for (from, edge) in edges.into_iter().enumerate() {
        let place = format!("edge {from} of node {to}");
        let (name, source) = edge
            .split_once('~')
            .ok_or_else(|| format!("{place} is `{edge}`, expected operation~{from}"))?;
        if source.trim() != from.to_string() {
            return Err(format!("{place} leaves node `{source}`, expected {from}"));
        }
        let name = name.trim();
        let operation = Operation::ALL.into_iter().find(|operation| operation.name() == name);
        operations.push(operation.ok_or_else(|| {
            let known = Operation::ALL.map(Operation::name).join(", ");
            format!("{place} has the operation `{name}`, expected one of {known}")
        })?);
    }
    Ok(())
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for to in 1..NODES {
            f.write_str(if to == 1 { "|" } else { "+|" })?;
            for (from, operation) in self.edges_into(to) {
                write!(f, "{operation}~{from}|")?;
            }
        }
        Ok(())
    }
}
