//! NAS-Bench-Graph (Qin et al. 2022): graph neural networks of four operations in a tree, written
//! as a vector of parents and the operations: 9 x 9^4 = 59,049 spellings of 26,206 networks, and
//! of one without any operation, which the benchmark leaves out. They are looked up in a table;
//! they have no network here, since graphs of operations know images only. It must not know its table.

use std::sync::Arc;

use super::schema::{Gene, GeneKind, Notation};
use super::{Genotype, Schema, SearchSpace, SpaceEntry, SpaceError, has_no_parameters};
use crate::graph::CanonicalHash;

const NAME: &str = "nasbench_graph";

/// The line of this space in [`super::SPACES`].
pub const ENTRY: SpaceEntry = SpaceEntry {
    name: NAME,
    summary: "graph neural networks of 4 operations in a tree (NAS-Bench-Graph), to be looked up \
              in a table",
    build: |section| {
        has_no_parameters(section).then(|| Arc::new(NasBenchGraph::new()) as Arc<dyn SearchSpace>)
    },
};

/// The operations in the order of the benchmark's files, in whose digits genotypes are written; the last
/// hands its input on.
const OPERATIONS: [&str; 9] =
    ["gat", "gcn", "gin", "cheb", "graphsage", "arma", "k-gnn", "fc", "identity"];
const SKIP: u32 = 8;
const NODES: usize = 4;

/// The space.
#[derive(Debug, Clone, PartialEq)]
pub struct NasBenchGraph {
    schema: Schema,
}

impl NasBenchGraph {
    fn new() -> Self {
        let link = GeneKind::Parents { nodes: NODES as u32, canonical: true };
        let choices: Vec<Box<str>> = OPERATIONS.map(Into::into).to_vec();
        let operation = GeneKind::Categorical { choices, ordered: false };
        let mut genes = vec![Gene::new("link", link)];
        genes.extend((1..=NODES).map(|at| Gene::new(format!("op{at}"), operation.clone())));
        let schema = Schema::new(genes)
            .and_then(|schema| schema.with_notation(Notation::Digits))
            .expect("parents and nine operations are written as digits");
        Self { schema }
    }

    fn check(&self, genotype: &Genotype) -> Result<(), SpaceError> {
        self.schema.check(genotype).map_err(foreign)
    }

    /// The parent of each node (0 is the input) and its operation.
    fn tree(&self, genotype: &Genotype) -> ([usize; NODES], [u32; NODES]) {
        // The notation's first digits are the parents.
        let digits: Vec<u32> =
            self.schema.format(genotype).chars().filter_map(|digit| digit.to_digit(10)).collect();
        let digit = |at: usize| digits.get(at).copied().unwrap_or(0);
        (
            std::array::from_fn(|node| digit(node) as usize),
            std::array::from_fn(|node| digit(NODES + node)),
        )
    }
}

fn foreign(reason: String) -> SpaceError {
    SpaceError::Foreign { space: NAME, reason }
}

/// The network as text: the tree of its operations, identities replaced by what they hand on,
/// children in order, and how often each result reaches the output. An identity of the input that
/// reaches the output counts for nothing, as in the benchmark.
fn network(parents: [usize; NODES], operations: [u32; NODES]) -> String {
    let mut carried = [0; NODES + 1];
    for node in 1..=NODES {
        carried[node] =
            if operations[node - 1] == SKIP { carried[parents[node - 1]] } else { node };
    }
    let mut reaches_output = [0; NODES + 1];
    for node in (1..=NODES).filter(|node| !parents.contains(node)) {
        reaches_output[carried[node]] += 1;
    }
    subtree(0, parents, operations, carried, reaches_output)
}

fn subtree(
    node: usize,
    parents: [usize; NODES],
    operations: [u32; NODES],
    carried: [usize; NODES + 1],
    reaches_output: [u32; NODES + 1],
) -> String {
    let is_child = |child: &usize| carried[*child] == *child && carried[parents[child - 1]] == node;
    let mut children: Vec<String> = (1..=NODES)
        .filter(is_child)
        .map(|child| subtree(child, parents, operations, carried, reaches_output))
        .collect();
    children.sort_unstable();
    let name = match node {
        0 => "input".to_owned(),
        node => format!("{}*{}", operations[node - 1], reaches_output[node]),
    };
    format!("{name}({})", children.join(","))
}

impl SearchSpace for NasBenchGraph {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn canonical_hash(&self, genotype: &Genotype) -> Result<CanonicalHash, SpaceError> {
        self.check(genotype)?;
        let (parents, operations) = self.tree(genotype);
        let network = network(parents, operations);
        Ok(CanonicalHash::of("cambrian nasbench_graph v1", [network.as_bytes()]))
    }

    fn has_networks(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::space::published::table;

    fn all(space: &NasBenchGraph) -> impl Iterator<Item = Genotype> {
        (0..59_049u32).map_while(|rank| space.schema().unrank(&rank.into()))
    }

    #[test]
    fn spellings_of_26206_networks_and_of_nothing() {
        let space = NasBenchGraph::new();
        let key = |genotype: &Genotype| space.canonical_hash(genotype).unwrap();
        let nothing = key(&space.parse("00008888").unwrap());
        let keys: Vec<_> = all(&space).map(|genotype| key(&genotype)).collect();
        assert_eq!(keys.iter().filter(|key| **key != nothing).count(), 59_040);
        let mut different: HashSet<_> = keys.into_iter().collect();
        different.remove(&nothing);
        assert_eq!(different.len(), 26_206);
    }

    #[test]
    fn the_published_table_has_each_network_once() {
        let Some(rows) = table("nb_graph/nb_graph_cora.csv.gz") else { return };
        let space = NasBenchGraph::new();
        let keys: HashSet<_> = rows
            .iter()
            .map(|row| space.parse(&format!("{}{}", row["link"], row["ops"])).unwrap())
            .map(|genotype| space.canonical_hash(&genotype).unwrap())
            .collect();
        assert_eq!((rows.len(), keys.len()), (26_206, 26_206));
    }

    #[test]
    fn what_does_nothing_does_not_matter() {
        let space = NasBenchGraph::new();
        let key = |text: &str| space.canonical_hash(&space.parse(text).unwrap()).unwrap();
        // Siblings in any order; an identity in a chain; but not another operation.
        assert_eq!(key("00000123"), key("00003210"));
        assert_eq!(key("01230881"), key("01238081"));
        assert_ne!(key("01230881"), key("01230882"));
        assert!(space.parse("00000129x").is_err());
    }
}
