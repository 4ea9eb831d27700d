//! DARTS: counts, published costs, notation, and which cells are the same.

use num_bigint::BigUint;

use super::*;
use crate::graph::Op;
use crate::rng::{Purpose, stream};
use crate::space::contract;

/// The cells that the publication found by first and by second order, as its code spells them.
const FIRST_ORDER: &str = "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), \
    ('skip_connect', 0), ('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), \
    ('sep_conv_3x3', 0), ('skip_connect', 2)], normal_concat=[2, 3, 4, 5], \
    reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), \
    ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], \
    reduce_concat=[2, 3, 4, 5])";
const SECOND_ORDER: &str = "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), \
    ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), \
    ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], \
    reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), \
    ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], \
    reduce_concat=[2, 3, 4, 5])";

fn space() -> Darts {
    Darts::new(Parameters::default())
}

#[test]
fn as_many_genotypes_as_published() {
    // Of each cell: for each node a pair of what comes before it, and two of seven operations.
    let cell: u64 = [1, 3, 6, 10].map(|pairs: u64| pairs * 49).iter().product();
    let both = BigUint::from(cell) * cell;
    assert_eq!(both.to_string(), "1076746950455072400");
    assert_eq!(space().schema().cardinality(), both);
}

#[test]
fn published_costs() {
    let space = space();
    let cost = |text: &str| {
        let graph = space.lower(&space.parse(text).unwrap()).unwrap();
        (graph.params(), graph.macs())
    };
    // The publication's code prints 3.349342 million parameters; the others were counted layer by
    // layer, without a graph.
    assert_eq!(cost(SECOND_ORDER), (3_349_342, 528_359_040));
    assert_eq!(cost(FIRST_ORDER), (3_169_414, 500_987_520));
}

#[test]
fn spellings_of_the_publication_are_read() {
    let space = space();
    for text in [FIRST_ORDER, SECOND_ORDER] {
        let genotype = space.parse(text).unwrap();
        let written = space.format(&genotype);
        assert_eq!(space.parse(&written), Ok(genotype.clone()));
        let other =
            text.replace("[2, 3, 4, 5]", "range(2, 6)").replace('\'', "\"").replace(' ', "");
        assert_eq!(space.parse(&other), Ok(genotype));
    }
    // A node's operations stand in the order of what they read.
    let first = space.format(&space.parse(FIRST_ORDER).unwrap());
    assert!(first.starts_with("Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "));
    assert_eq!(space.format(&space.parse(&first).unwrap()), first);
}

#[test]
fn other_texts_are_refused_with_the_reason() {
    let refused = |from: &str, to: &str| match space().parse(&SECOND_ORDER.replacen(from, to, 1)) {
        Err(SpaceError::Foreign { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(refused("'dil_conv_3x3'", "'none'").starts_with("there is no operation `none`"));
    assert!(refused("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)").contains("only 0 to 4"));
    assert!(refused("('sep_conv_3x3', 1)", "('sep_conv_3x3', 0)").contains("reads node 0 twice"));
    assert!(refused("normal_concat=[2, ", "normal_concat=[").contains("expected"));
    assert!(refused("reduce_concat=[2, 3, 4, 5])", "reduce_concat=[2, 3, 4, 5])x").contains("end"));
}

/// `cell` with its nodes in another order: the nodes at `order`, in that order.
fn renumbered(cell: &Cell, order: [usize; NODES]) -> Option<Cell> {
    let mut result = [Node::default(); NODES];
    for (nth, &from) in order.iter().enumerate() {
        for (place, (input, operation)) in cell[from].iter().enumerate() {
            let input = match input.checked_sub(INPUTS) {
                None => *input,
                Some(inner) => INPUTS + order[..nth].iter().position(|done| *done == inner)?,
            };
            result[nth][place] = (input, *operation);
        }
        result[nth].sort_unstable();
    }
    Some(result)
}

#[test]
fn cells_are_the_same_however_their_nodes_are_numbered() {
    let space = space();
    let mut rng = stream(5, Purpose::Proposal, 0);
    let mut same = 0;
    for _ in 0..100 {
        let genotype = space.schema().sample(&mut rng);
        let architecture = space.architecture(&genotype).unwrap();
        let key = space.canonical_hash(&genotype).unwrap();
        let orders = (0..256usize).map(|n| [n / 64, n / 16 % 4, n / 4 % 4, n % 4]);
        for order in orders.filter(|order| (0..4).all(|node| order.contains(&node))) {
            let Some(normal) = renumbered(&architecture.normal, order) else { continue };
            let other = Darts::genotype(&Architecture { normal, ..architecture.clone() });
            assert_eq!(space.canonical_hash(&other), Ok(key));
            let (a, b) = (space.lower(&genotype).unwrap(), space.lower(&other).unwrap());
            assert_eq!((a.params(), a.macs(), a.depth()), (b.params(), b.macs(), b.depth()));
            same += usize::from(other != genotype);
        }
        let simplified = space.simplified(&genotype);
        assert_eq!(space.simplified(&simplified), simplified);
        assert_eq!(space.canonical_hash(&simplified), Ok(key));
        // Any one gene matters, as long as the edit is no renumbering.
        let edited = space.schema().mutate(&genotype, crate::space::Mutation::OneGene, &mut rng);
        let is_same = space.simplified(&edited) == simplified;
        assert_eq!(space.canonical_hash(&edited) == Ok(key), is_same);
    }
    assert!(same > 20, "only {same} other numberings were drawn");
}

#[test]
fn reductions_stand_at_a_third_and_at_two_thirds() {
    for (layers, sides) in [(3, [28, 14, 7]), (8, [28, 28, 14])] {
        let text = format!("{{layers: {layers}, channels: 4, input: [1, 28, 28]}}");
        let space = contract::build(&ENTRY, &text);
        let graph = space.lower(&space.parse(SECOND_ORDER).unwrap()).unwrap();
        // The stack of four nodes that ends each cell.
        let cells = graph.nodes().iter().filter(|n| n.op == Op::Concat && n.inputs.len() == 4);
        let found: Vec<u32> = cells
            .map(|node| match node.shape {
                crate::graph::Shape::Map { height, .. } => height,
                crate::graph::Shape::Vector { .. } => 0,
            })
            .collect();
        assert_eq!(found.len(), layers);
        assert_eq!(found[..3], sides);
        assert_eq!(found.last(), Some(&7));
    }
}

#[test]
fn other_sizes_keep_the_contract_and_senseless_ones_are_refused() {
    contract::check(&*contract::build(&ENTRY, "{layers: 3, channels: 5, input: [1, 28, 44]}"));
    let senseless = [
        "{layers: 2}",
        "{channels: 1}",
        "{input: [3, 30, 32]}",
        "{classes: 1}",
        "{auxiliary: true}",
    ];
    for text in senseless {
        let section = Section::from_text(text).unwrap();
        assert!(read(&section).is_none() || section.finish().is_err(), "{text}");
    }
}
