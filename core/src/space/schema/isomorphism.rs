//! One spelling for all isomorphic graphs of a `dag` gene: graphs that differ by the numbering of
//! their inner nodes only, operations being colours. It must not know which graphs are on offer.
//!
//! Colours are refined as in the first dimension of Weisfeiler and Leman (1968), beginning with the
//! longest path from the input and the operation; of the orders that keep nodes of smaller colour
//! first, the one with the least adjacency and operations is taken. Edges lead to longer paths, so
//! each such order is topological, and the refinement only saves orders: the form is exact.

use super::dag::{MAX_NODES, edge};
use super::node::Node;

impl Node {
    /// Writes every graph in its canonical spelling.
    pub(super) fn canonicalise(&self, values: &mut [u32]) {
        if let Self::Dag(_) = self {
            return canonicalise(values);
        }
        let parts: Vec<(&Node, usize)> = self.parts(values).collect();
        for (node, at) in parts {
            node.canonicalise(&mut values[at..at + node.slots()]);
        }
    }
}

/// The slots of a graph: number of nodes, adjacency, operations of the inner nodes.
fn canonicalise(values: &mut [u32]) {
    let nodes = values[0] as usize;
    let colours = refined(values);
    let mut search = Search { values, colours: &colours, best: None };
    search.place(&mut Vec::with_capacity(nodes));
    if let Some(best) = search.best {
        values[1..nodes].copy_from_slice(&best);
    }
}

fn label(values: &[u32], node: usize) -> u32 {
    if (1..values[0] as usize - 1).contains(&node) { values[node + 1] } else { 0 }
}

/// A colour of each node that does not depend on how the inner nodes are numbered.
fn refined(values: &[u32]) -> Vec<usize> {
    let nodes = values[0] as usize;
    let leads = |i: usize, j: usize| i < j && values[1] & edge(i as u32, j as u32) != 0;
    let mut depths = vec![0usize; nodes];
    for j in 1..nodes {
        depths[j] = (0..j).filter(|i| leads(*i, j)).map(|i| depths[i] + 1).max().unwrap_or(0);
    }
    let signatures: Vec<_> = (0..nodes).map(|node| (depths[node], label(values, node))).collect();
    let mut colours = ranks(&signatures);
    for _ in 0..nodes {
        let around = |node: usize| {
            let of = |other: &dyn Fn(usize) -> bool| {
                let mut found: Vec<usize> =
                    (0..nodes).filter(|node| other(*node)).map(|node| colours[node]).collect();
                found.sort_unstable();
                found
            };
            (colours[node], of(&|other| leads(other, node)), of(&|other| leads(node, other)))
        };
        let signatures: Vec<_> = (0..nodes).map(around).collect();
        colours = ranks(&signatures);
    }
    colours
}

/// The position of each signature among the different ones.
fn ranks<S: Ord>(signatures: &[S]) -> Vec<usize> {
    let mut sorted: Vec<&S> = signatures.iter().collect();
    sorted.sort();
    sorted.dedup();
    signatures.iter().map(|own| sorted.partition_point(|other| *other < own)).collect()
}

struct Search<'a> {
    values: &'a [u32],
    colours: &'a [usize],
    best: Option<Vec<u32>>,
}

impl Search<'_> {
    /// Tries every order of the nodes that begins with `order` and keeps colours ascending.
    fn place(&mut self, order: &mut Vec<usize>) {
        let nodes = self.values[0] as usize;
        if order.len() == nodes {
            let spelling = self.spelling(order);
            if self.best.as_ref().is_none_or(|best| spelling < *best) {
                self.best = Some(spelling);
            }
            return;
        }
        let left = |node: &usize| !order.contains(node);
        let Some(colour) = (0..nodes).filter(left).map(|node| self.colours[node]).min() else {
            return;
        };
        let next: Vec<usize> =
            (0..nodes).filter(left).filter(|node| self.colours[*node] == colour).collect();
        for node in next {
            order.push(node);
            self.place(order);
            order.pop();
        }
    }

    /// The adjacency and the operations if the nodes stand in this order.
    fn spelling(&self, order: &[usize]) -> Vec<u32> {
        let mut places = [0u32; MAX_NODES];
        for (place, node) in (0..).zip(order) {
            places[*node] = place;
        }
        let nodes = order.len();
        let pairs = (1..nodes).flat_map(|j| (0..j).map(move |i| (i, j)));
        let present = pairs.filter(|(i, j)| self.values[1] & edge(*i as u32, *j as u32) != 0);
        let adjacency = present.fold(0, |all, (i, j)| all | edge(places[i], places[j]));
        let labels = order[1..nodes - 1].iter().map(|node| label(self.values, *node));
        std::iter::once(adjacency).chain(labels).collect()
    }
}

#[cfg(test)]
mod tests {
    //! Canonical spellings against all numberings.

    use std::collections::BTreeSet;

    use super::*;
    use crate::space::Genotype;
    use crate::space::schema::{Gene, GeneKind, Schema};

    fn cells(most_nodes: u32, max_edges: u32, labels: &str) -> Schema {
        let labels = labels.split(' ').map(Into::into).collect();
        let kind = GeneKind::Dag { least_nodes: 2, most_nodes, max_edges, labels };
        Schema::new(vec![Gene::new("cell", kind)]).unwrap()
    }

    fn all(schema: &Schema) -> impl Iterator<Item = Genotype> {
        let count = u32::try_from(schema.cardinality()).unwrap();
        (0..count).map(|rank| schema.unrank(&rank.into()).unwrap())
    }

    /// All topological numberings of the inner nodes.
    fn numberings(values: &[u32]) -> Vec<Vec<u32>> {
        fn extend(order: &mut Vec<usize>, nodes: usize, all: &mut Vec<Vec<usize>>) {
            if order.len() == nodes - 1 {
                all.push(order.iter().copied().chain([nodes - 1]).collect());
            }
            for node in 1..nodes - 1 {
                if !order.contains(&node) {
                    order.push(node);
                    extend(order, nodes, all);
                    order.pop();
                }
            }
        }
        let nodes = values[0] as usize;
        let mut orders = Vec::new();
        extend(&mut vec![0], nodes, &mut orders);
        let spelled = orders.iter().filter_map(|order| {
            let place = |node| order.iter().position(|other| *other == node).unwrap() as u32;
            let mut spelled = vec![0; values.len()];
            spelled[0] = values[0];
            for j in 1..nodes {
                for i in (0..j).filter(|i| values[1] & edge(*i as u32, j as u32) != 0) {
                    if place(i) > place(j) {
                        return None;
                    }
                    spelled[1] |= edge(place(i), place(j));
                }
            }
            for node in 1..nodes - 1 {
                spelled[place(node) as usize + 1] = values[node + 1];
            }
            Some(spelled)
        });
        spelled.collect()
    }

    #[test]
    fn spellings_are_equal_exactly_for_isomorphic_graphs() {
        let schema = cells(5, 10, "conv pool");
        for genotype in all(&schema) {
            let canonical = schema.canonicalised(&genotype);
            assert_eq!(schema.check(&canonical), Ok(()));
            let numberings = numberings(&genotype.0);
            assert!(numberings.contains(&canonical.0.to_vec()), "{genotype:?}");
            for other in numberings {
                assert_eq!(schema.canonicalised(&Genotype(other.into())), canonical);
            }
        }
    }

    #[test]
    fn classes_are_as_many_as_sets_of_numberings() {
        let schema = cells(6, 8, "conv pool");
        let canonical: BTreeSet<Genotype> =
            all(&schema).map(|genotype| schema.canonicalised(&genotype)).collect();
        let least: BTreeSet<Vec<u32>> =
            all(&schema).filter_map(|genotype| numberings(&genotype.0).into_iter().min()).collect();
        assert_eq!(canonical.len(), least.len());
    }
}
