//! Directed acyclic graphs with operations on their inner nodes, such as the cells of
//! NAS-Bench-101 (Ying et al., ICML 2019): the table of all graphs whose nodes all lie on a path
//! from input to output. It must not know which graphs are isomorphic.
//!
//! A graph has the nodes 0 (input) to n - 1 (output) in topological order. Its adjacency is one
//! number: bit j (j - 1) / 2 + i is the edge from i to j.

use num_bigint::BigUint;
use rand::RngExt;

use crate::rng::Stream;

/// All graphs between two numbers of nodes, with at most so many edges.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DagTable {
    least_nodes: u32,
    most_nodes: u32,
    labels: u32,
    /// The valid adjacencies of each number of nodes, ascending.
    adjacencies: Vec<Vec<u32>>,
}

/// The most nodes, as a length.
pub(super) const MAX_NODES: usize = super::gene::MAX_DAG_NODES as usize;

/// The bit of the edge from `i` to `j`.
pub(super) fn edge(i: u32, j: u32) -> u32 {
    1 << (j * (j - 1) / 2 + i)
}

/// A graph that lacks the edges into the nodes up to some number.
#[derive(Clone, Copy)]
struct Partial {
    /// The nodes that have an edge to a later one, and the last, as bits.
    used: u32,
    /// How many more edges it may have.
    edges: u32,
    adjacency: u32,
}

impl Partial {
    /// Adds every way to complete it by edges into the nodes from `j` down, ascending. Each node that is used
    /// and reads an earlier one lies on a path from the first to the last.
    fn complete(self, j: u32, found: &mut Vec<u32>) {
        if j == 0 {
            found.push(self.adjacency);
            return;
        }
        if self.used >> j & 1 == 0 {
            return;
        }
        for sources in 1u32..1 << j {
            let Some(edges) = self.edges.checked_sub(sources.count_ones()) else { continue };
            let adjacency = self.adjacency | sources << (j * (j - 1) / 2);
            Self { used: self.used | sources, edges, adjacency }.complete(j - 1, found);
        }
    }
}

impl DagTable {
    /// The table; empty numbers of nodes have no graph within `max_edges`.
    pub(super) fn new(least_nodes: u32, most_nodes: u32, max_edges: u32, labels: u32) -> Self {
        let of_size = |nodes: u32| {
            let mut found = Vec::new();
            let last = nodes - 1;
            Partial { used: 1 << last, edges: max_edges, adjacency: 0 }.complete(last, &mut found);
            found
        };
        let adjacencies = (least_nodes..=most_nodes).map(of_size).collect();
        Self { least_nodes, most_nodes, labels, adjacencies }
    }

    pub(super) fn slots(&self) -> usize {
        self.most_nodes as usize
    }

    /// The number of possible edges of the largest graph.
    pub(super) fn edges(&self) -> u32 {
        self.most_nodes * (self.most_nodes - 1) / 2
    }

    pub(super) fn labels(&self) -> u32 {
        self.labels
    }

    pub(super) fn nodes(&self) -> std::ops::RangeInclusive<u32> {
        self.least_nodes..=self.most_nodes
    }

    fn of(&self, nodes: u32) -> &[u32] {
        &self.adjacencies[(nodes - self.least_nodes) as usize]
    }

    fn labellings(&self, nodes: u32) -> u64 {
        u64::from(self.labels).pow(nodes - 2)
    }

    fn of_size(&self, nodes: u32) -> BigUint {
        BigUint::from(self.of(nodes).len()) * self.labellings(nodes)
    }

    pub(super) fn count(&self) -> BigUint {
        self.nodes().map(|nodes| self.of_size(nodes)).sum()
    }

    /// Whether there is more than one graph.
    pub(super) fn has_several(&self) -> bool {
        let of_size = |nodes| self.of(nodes).len() as u64 * self.labellings(nodes).min(2);
        self.nodes().map(of_size).sum::<u64>() > 1
    }

    /// Whether the slots hold one of the graphs.
    pub(super) fn is_valid(&self, values: &[u32]) -> bool {
        self.check(values).is_ok()
    }

    pub(super) fn check(&self, values: &[u32]) -> Result<(), (usize, String)> {
        let nodes = values[0];
        if !self.nodes().contains(&nodes) {
            let (least, most) = (self.least_nodes, self.most_nodes);
            return Err((0, format!("is {nodes}, expected {least} to {most} nodes")));
        }
        if self.of(nodes).binary_search(&values[1]).is_err() {
            return Err((1, format!("is {}, no graph of {nodes} nodes on offer", values[1])));
        }
        for (slot, label) in (2..).zip(&values[2..]) {
            let limit = if slot < nodes as usize { self.labels } else { 1 };
            if *label >= limit {
                return Err((slot, format!("is {label}, expected 0 to {}", limit - 1)));
            }
        }
        Ok(())
    }

    pub(super) fn rank(&self, values: &[u32]) -> BigUint {
        let nodes = values[0];
        let smaller: BigUint = (self.least_nodes..nodes).map(|nodes| self.of_size(nodes)).sum();
        let graph = self.of(nodes).partition_point(|adjacency| *adjacency < values[1]);
        let labels = values[2..nodes as usize].iter();
        let label = labels.fold(0, |rank, label| rank * u64::from(self.labels) + u64::from(*label));
        smaller + BigUint::from(graph) * self.labellings(nodes) + label
    }

    pub(super) fn unrank(&self, mut rank: BigUint, values: &mut [u32]) {
        let mut nodes = self.least_nodes;
        while rank >= self.of_size(nodes) {
            rank -= self.of_size(nodes);
            nodes += 1;
        }
        let labellings = self.labellings(nodes);
        let digits = |number: BigUint| number.iter_u64_digits().next().unwrap_or(0);
        let mut label = digits(&rank % labellings);
        values[0] = nodes;
        values[1] = self.of(nodes)[digits(rank / labellings) as usize];
        for slot in (2..nodes as usize).rev() {
            values[slot] = (label % u64::from(self.labels)) as u32;
            label /= u64::from(self.labels);
        }
    }

    pub(super) fn sample(&self, rng: &mut Stream, values: &mut [u32]) {
        self.unrank(super::node::below(&self.count(), rng), values);
    }

    /// One edit: an edge more or less, another operation, or a node more or less; the graph stays
    /// valid and is another one.
    pub(super) fn mutate(&self, rng: &mut Stream, values: &mut [u32]) {
        const TRIES: u32 = 100;
        for _ in 0..TRIES {
            let mut child = values.to_vec();
            let nodes = child[0];
            match rng.random_range(0..8u32) {
                0 => self.resize(rng, &mut child),
                1..=3 if nodes > 2 => {
                    let slot = rng.random_range(2..nodes as usize);
                    child[slot] = rng.random_range(0..self.labels);
                }
                _ => {
                    let edges = rng.random_range(1..=2);
                    for _ in 0..edges {
                        let j = rng.random_range(1..nodes);
                        child[1] ^= edge(rng.random_range(0..j), j);
                    }
                }
            }
            if child != *values && self.is_valid(&child) {
                values.copy_from_slice(&child);
                return;
            }
        }
        // Few graphs are one edit away; any other one will do.
        let before = values.to_vec();
        while *values == *before && self.count() > BigUint::from(1u32) {
            values.fill(0);
            self.sample(rng, values);
        }
    }

    /// Puts an inner node on an edge, or takes one out and joins its neighbours.
    fn resize(&self, rng: &mut Stream, values: &mut [u32]) {
        let nodes = values[0];
        let adds = nodes < self.most_nodes && (nodes == self.least_nodes || rng.random::<bool>());
        let edges = |adjacency: u32| {
            let pairs = (1..nodes).flat_map(|j| (0..j).map(move |i| (i, j)));
            pairs.filter(move |(i, j)| adjacency & edge(*i, *j) != 0).collect::<Vec<_>>()
        };
        let present = edges(values[1]);
        if adds {
            // The new node takes the place just before the edge's head.
            let (tail, head) = present[rng.random_range(0..present.len())];
            let moved = |node: u32| if node >= head { node + 1 } else { node };
            values[1] = present
                .iter()
                .filter(|pair| **pair != (tail, head))
                .fold(edge(tail, head) | edge(head, head + 1), |all, (i, j)| {
                    all | edge(moved(*i), moved(*j))
                });
            values[2..].copy_within(head as usize - 1..nodes as usize - 2, head as usize);
            values[head as usize + 1] = rng.random_range(0..self.labels);
            values[0] = nodes + 1;
        } else if nodes > self.least_nodes && nodes > 2 {
            let gone = rng.random_range(1..nodes - 1);
            let moved = |node: u32| if node > gone { node - 1 } else { node };
            let before = present.iter().filter(|(_, j)| *j == gone).map(|(i, _)| *i);
            let after: Vec<u32> =
                present.iter().filter(|(i, _)| *i == gone).map(|(_, j)| *j).collect();
            let joined = before.flat_map(|i| after.iter().map(move |j| (i, *j)));
            let kept = present.iter().copied().filter(|(i, j)| *i != gone && *j != gone);
            values[1] = joined.chain(kept).fold(0, |all, (i, j)| all | edge(moved(i), moved(j)));
            values.copy_within(gone as usize + 2..nodes as usize, gone as usize + 1);
            values[nodes as usize - 1] = 0;
            values[0] = nodes - 1;
        }
    }

    /// Each node with its incoming edges and its operation from either parent, where both have as
    /// many nodes; else one of the two.
    pub(super) fn cross(&self, other: &[u32], rng: &mut Stream, values: &mut [u32]) {
        const TRIES: u32 = 10;
        for _ in 0..TRIES {
            if values[0] != other[0] {
                break;
            }
            let mut child = values.to_vec();
            for j in 1..values[0] {
                if rng.random::<bool>() {
                    let column = ((1 << j) - 1) << (j * (j - 1) / 2);
                    child[1] = child[1] & !column | other[1] & column;
                    if j + 1 < values[0] {
                        child[j as usize + 1] = other[j as usize + 1];
                    }
                }
            }
            if self.is_valid(&child) {
                values.copy_from_slice(&child);
                return;
            }
        }
        if rng.random::<bool>() {
            values.copy_from_slice(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nodes before `j` that it has an edge from, as bits.
    fn sources(adjacency: u32, j: u32) -> u32 {
        adjacency >> (j * (j - 1) / 2) & ((1 << j) - 1)
    }

    /// Whether each of `nodes` nodes lies on a path from the first to the last.
    fn is_connected(adjacency: u32, nodes: u32) -> bool {
        let mut reached = 1u32;
        let mut used = 0u32;
        for j in 1..nodes {
            let from = sources(adjacency, j);
            if from & reached == 0 {
                return false;
            }
            reached |= 1 << j;
            used |= from;
        }
        used == (1 << (nodes - 1)) - 1
    }

    #[test]
    fn the_graphs_are_those_of_all_that_are_connected_ascending() {
        for nodes in 2..=6 {
            for max_edges in 1..=15 {
                let naive: Vec<u32> = (0..1u32 << (nodes * (nodes - 1) / 2))
                    .filter(|graph| graph.count_ones() <= max_edges && is_connected(*graph, nodes))
                    .collect();
                let table = DagTable::new(nodes, nodes, max_edges, 1);
                assert_eq!(table.of(nodes), naive, "{nodes} nodes, {max_edges} edges");
            }
        }
    }
}
