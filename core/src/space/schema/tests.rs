//! Schemas against brute force: counts, numbering, text and encoding; drawing and variation are beside.

mod variation;

use std::collections::BTreeSet;

use num_bigint::BigUint;

use super::*;
use crate::rng::{Purpose, stream};

fn names(names: &str) -> Vec<Box<str>> {
    names.split(' ').map(Into::into).collect()
}

fn categorical(choices: &str) -> GeneKind {
    GeneKind::Categorical { choices: names(choices), ordered: false }
}

fn ordered(choices: &str) -> GeneKind {
    GeneKind::Categorical { choices: names(choices), ordered: true }
}

fn integer(low: i64, high: i64) -> GeneKind {
    GeneKind::Integer { low, high, step: 1, log: false }
}

fn schema(genes: Vec<(&str, GeneKind)>) -> Schema {
    Schema::new(genes.into_iter().map(|(name, kind)| Gene::new(name, kind)).collect()).unwrap()
}

fn switch() -> GeneKind {
    let exponential =
        vec![Gene::new("base", ordered("2 3 4")), Gene::new("even", GeneKind::Boolean)];
    GeneKind::Switch { arms: vec![("fixed".into(), vec![]), ("exp".into(), exponential)] }
}

fn repeat(at_least: u32, at_most: u32) -> GeneKind {
    let body = vec![Gene::new("width", ordered("8 16 32")), Gene::new("dilation", switch())];
    GeneKind::Repeat { shared: false, at_least, at_most, body }
}

fn shared(at_least: u32, at_most: u32) -> GeneKind {
    let body = vec![Gene::new("width", ordered("8 16 32")), Gene::new("dilation", switch())];
    GeneKind::Repeat { shared: true, at_least, at_most, body }
}

fn tied(to: &str) -> GeneKind {
    GeneKind::Tied { to: to.into() }
}

fn dag(least_nodes: u32, most_nodes: u32, max_edges: u32, labels: &str) -> GeneKind {
    GeneKind::Dag { least_nodes, most_nodes, max_edges, labels: names(labels) }
}

/// Schemas of every kind of gene, small enough to list all their genotypes.
fn small() -> Vec<Schema> {
    vec![
        schema(vec![("a", integer(-2, 3)), ("b", categorical("x y z")), ("c", GeneKind::Boolean)]),
        schema(vec![
            ("a", GeneKind::Integer { low: 8, high: 64, step: 8, log: false }),
            ("s", switch()),
        ]),
        schema(vec![("r", repeat(0, 2)), ("act", categorical("relu silu"))]),
        schema(vec![("r", repeat(1, 3))]),
        schema(vec![("r", shared(0, 3)), ("act", categorical("relu silu"))]),
        schema(vec![("a", GeneKind::Boolean), ("r", shared(2, 5))]),
        schema(vec![("a", ordered("3 5 7")), ("b", tied("a")), ("c", GeneKind::Boolean)]),
        schema(vec![
            ("s", GeneKind::Subset { of: names("a b c d e"), at_least: 1, at_most: 3 }),
            ("pair", GeneKind::Subset { of: names("p q r s"), at_least: 2, at_most: 2 }),
        ]),
        schema(vec![
            ("free", GeneKind::Parents { nodes: 3, canonical: false }),
            ("tree", GeneKind::Parents { nodes: 4, canonical: true }),
        ]),
        schema(vec![("cell", GeneKind::Edges { nodes: 4, labels: names("none skip conv") })]),
        schema(vec![("cell", dag(2, 4, 6, "conv pool")), ("w", ordered("1 2"))]),
        schema(vec![("cell", dag(3, 5, 6, "conv"))]),
        schema(vec![("cell", dag(3, 3, 2, "conv")), ("b", GeneKind::Boolean)]),
        schema(vec![("w", GeneKind::Integer { low: 1, high: 40, step: 3, log: true })]),
    ]
}

fn number(count: &BigUint) -> u64 {
    u64::try_from(count).unwrap()
}

fn all(schema: &Schema) -> Vec<Genotype> {
    (0..number(&schema.cardinality())).map(|rank| schema.unrank(&rank.into()).unwrap()).collect()
}

/// Every assignment of numbers up to `limit` to the slots that the schema accepts.
fn brute_force(schema: &Schema, limit: u32) -> u64 {
    let slots = schema.slots();
    let mut values = vec![0; slots];
    let mut count = 0;
    loop {
        count += u64::from(schema.check(&Genotype(values.clone().into())).is_ok());
        let Some(at) = values.iter().rposition(|value| *value < limit) else { return count };
        values[at] += 1;
        values[at + 1..].fill(0);
    }
}

#[test]
fn counts_equal_brute_force() {
    let of = |genes, limit| {
        let schema = schema(genes);
        (number(&schema.cardinality()), brute_force(&schema, limit))
    };
    let (count, listed) = of(vec![("a", integer(-2, 3)), ("s", switch())], 6);
    assert_eq!((count, listed), (6 * 7, 6 * 7));
    let (count, listed) = of(vec![("r", repeat(0, 2))], 3);
    assert_eq!((count, listed), (1 + 21 + 21 * 21, 1 + 21 + 21 * 21));
    let subset = GeneKind::Subset { of: names("a b c d e"), at_least: 1, at_most: 3 };
    let (count, listed) = of(vec![("s", subset)], 40);
    assert_eq!((count, listed), (25, 25));
    let (count, listed) = of(vec![("d", dag(2, 4, 5, "c p"))], 64);
    assert_eq!(count, listed);
    let (count, listed) = of(vec![("p", GeneKind::Parents { nodes: 4, canonical: false })], 5);
    assert_eq!((count, listed), (24, 24));
}

#[test]
fn published_counts() {
    // Rooted trees without labels of 2 to 8 nodes: OEIS A000081.
    for (nodes, trees) in [(1, 1u32), (2, 2), (3, 4), (4, 9), (5, 20), (6, 48), (7, 115)] {
        let tree = schema(vec![("t", GeneKind::Parents { nodes, canonical: true })]);
        assert_eq!(tree.cardinality(), trees.into(), "{nodes} nodes");
    }
    let cell = GeneKind::Edges { nodes: 4, labels: names("a b c d e") };
    assert_eq!(schema(vec![("nasbench201", cell)]).cardinality(), 15_625u32.into());
    // DARTS: 4 nodes with two of the earlier values each, an operation of 7 for each, two cells.
    let pair = |of: &str| GeneKind::Subset { of: names(of), at_least: 2, at_most: 2 };
    let mut genes = Vec::new();
    for cell in ["n", "r"] {
        for (node, inputs) in ["a b", "a b c", "a b c d", "a b c d e"].into_iter().enumerate() {
            genes.push(Gene::new(format!("{cell}{node}"), pair(inputs)));
            for op in 0..2 {
                genes.push(Gene::new(format!("{cell}{node}{op}"), categorical("1 2 3 4 5 6 7")));
            }
        }
    }
    let darts = Schema::new(genes).unwrap().cardinality();
    assert_eq!(darts, (BigUint::from(180u32) * BigUint::from(7u32).pow(8)).pow(2));
    // OFA-MobileNetV3: five stages of 2 to 4 blocks with 9 choices each, 7371 to the fifth.
    let body = vec![Gene::new("k", ordered("3 5 7")), Gene::new("e", ordered("3 4 6"))];
    let stage = GeneKind::Repeat { shared: false, at_least: 2, at_most: 4, body };
    let stages = (0..5).map(|at| Gene::new(at.to_string(), stage.clone())).collect();
    assert_eq!(Schema::new(stages).unwrap().cardinality(), BigUint::from(7371u32).pow(5));
}

#[test]
fn ranks_number_every_genotype_once() {
    for schema in small() {
        let genotypes = all(&schema);
        let different: BTreeSet<&Genotype> = genotypes.iter().collect();
        assert_eq!(different.len(), genotypes.len());
        for (rank, genotype) in (0u64..).zip(&genotypes) {
            assert_eq!(schema.check(genotype), Ok(()));
            assert_eq!(schema.rank(genotype), Ok(rank.into()));
        }
        assert_eq!(schema.unrank(&schema.cardinality()), None);
    }
}

#[test]
fn text_reads_back() {
    for schema in small() {
        for genotype in all(&schema) {
            let text = schema.format(&genotype);
            assert_eq!(schema.parse(&text).as_ref(), Ok(&genotype), "{text}");
        }
    }
    let nested = schema(vec![("r", repeat(0, 2)), ("act", categorical("relu silu"))]);
    let text = "r=2,r.0.width=8,r.0.dilation=exp,r.0.dilation.exp.base=3,\
                r.0.dilation.exp.even=false,r.1.width=32,r.1.dilation=fixed,act=silu";
    let genotype = nested.parse(text).unwrap();
    assert_eq!(nested.format(&genotype), text);
    for (broken, reason) in [
        ("act=silu", "the gene `r` is missing"),
        ("r=0,act=gelu", "`act`: `gelu` is not one of relu, silu"),
        ("r=0,act=silu,r.0.width=8", "there is no gene `r.0.width` here"),
        ("r=3,act=silu", "`r`: 3 copies, at most 2"),
        ("r=0,act=silu,act=silu", "`act` is given twice"),
        ("r", "`r` is not `gene=value`"),
    ] {
        assert_eq!(nested.parse(broken).unwrap_err(), reason);
    }
    let graph = schema(vec![("cell", dag(2, 4, 6, "conv pool"))]);
    let diamond = graph.parse("cell=0>1|0>2|1>3|2>3:conv|pool").unwrap();
    assert_eq!(graph.format(&diamond), "cell=0>1|0>2|1>3|2>3:conv|pool");
    assert!(graph.parse("cell=0>1|0>2|1>3:conv|pool").is_err(), "node 2 leads nowhere");
}

#[test]
fn short_notations_are_those_of_published_tables() {
    let cell = GeneKind::Edges { nodes: 4, labels: names("none skip conv1 conv3 pool") };
    let digits = schema(vec![("cell", cell)]).with_notation(Notation::Digits).unwrap();
    let genotype = digits.parse("421203").unwrap();
    assert_eq!(*genotype.0, [4, 2, 1, 2, 0, 3]);
    assert_eq!(digits.format(&genotype), "421203");
    for broken in ["42120", "4212033", "42120x", "521203", ""] {
        assert!(digits.parse(broken).is_err(), "{broken}");
    }
    let tree = GeneKind::Parents { nodes: 4, canonical: true };
    let op = || categorical("gat gcn gin");
    let graph = schema(vec![("link", tree), ("a", op()), ("b", op())]);
    let graph = graph.with_notation(Notation::Digits).unwrap();
    assert_eq!(graph.format(&graph.parse("011221").unwrap()), "011221");
    assert!(graph.parse("012021").is_err(), "not a canonical tree");
    let width = GeneKind::Integer { low: 8, high: 64, step: 8, log: false };
    let sizes = schema(vec![("a", width.clone()), ("b", width)]);
    let sizes = sizes.with_notation(Notation::List(':')).unwrap();
    assert_eq!(*sizes.parse("8:64").unwrap().0, [0, 7]);
    assert!(sizes.parse("8:65").is_err() && sizes.parse("8").is_err());
    let wide = schema(vec![("a", integer(0, 10))]);
    assert!(wide.with_notation(Notation::Digits).is_err());
}

#[test]
fn encodings_mark_what_does_not_apply() {
    let schema = schema(vec![("r", repeat(0, 2)), ("cell", dag(2, 4, 6, "conv pool"))]);
    let genotype = schema.parse("r=1,r.0.width=32,r.0.dilation=fixed,cell=0>1|1>2:pool").unwrap();
    let mut features = Vec::new();
    schema.encode(&genotype, &mut features);
    assert_eq!(features.len(), schema.features().len());
    let copy = [1.0, 0.0, f64::NAN, f64::NAN];
    let graph = [0.5, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, f64::NAN];
    let expected: Vec<f64> =
        [0.5].into_iter().chain(copy).chain([f64::NAN; 4]).chain(graph).collect();
    let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
    assert!(features.iter().zip(&expected).all(same), "{features:?}");
    assert_eq!(schema.distance(&genotype, &genotype), 0.0);
}

#[test]
fn senseless_genes_are_refused_with_place_and_way_out() {
    let fault = |name: &str, kind: GeneKind| Schema::new(vec![Gene::new(name, kind)]).unwrap_err();
    assert_eq!(fault("a", integer(3, 2)).path, "a");
    assert!(fault("a", categorical("x x")).reason.contains("twice"));
    assert!(fault("a b", GeneKind::Boolean).reason.contains("name"));
    assert!(fault("a", GeneKind::Real { low: 0.0, high: 1.0, log: true }).reason.contains("log"));
    let infinite = GeneKind::Real { low: 0.0, high: f64::INFINITY, log: false };
    assert!(fault("a", infinite).reason.contains("range"));
    assert!(fault("a", dag(2, 9, 9, "c")).reason.contains("nodes"));
    assert!(fault("a", dag(5, 5, 3, "c")).reason.contains("edges"));
    let nested = GeneKind::Repeat {
        shared: false,
        at_least: 0,
        at_most: 2,
        body: vec![Gene::new("x", categorical("p p"))],
    };
    assert_eq!(fault("outer", nested).path, "outer.x");
    assert!(Schema::new(vec![]).is_err());
    let huge = GeneKind::Repeat {
        shared: false,
        at_least: 0,
        at_most: u32::MAX,
        body: vec![Gene::new("x", GeneKind::Boolean)],
    };
    assert!(fault("a", huge).reason.contains("MiB"));
    let narrow = GeneKind::Real { low: 1.0, high: 1.000_000_1, log: false };
    assert!(fault("a", narrow).reason.contains("narrow"));
    let subset = GeneKind::Subset { of: vec!["-".into(), "b".into()], at_least: 0, at_most: 2 };
    assert!(fault("a", subset).reason.contains("without any"));
    assert!(fault("a", dag(2, 3, 3, "c -")).reason.contains("without any"));
}

#[test]
fn a_notation_has_to_tell_values_from_what_is_between_them() {
    let refused = |kind: GeneKind, separator: char| {
        schema(vec![("a", kind)]).with_notation(Notation::List(separator)).is_err()
    };
    let real = || GeneKind::Real { low: 0.0, high: 1.0, log: false };
    assert!(refused(real(), '.') && refused(real(), '+') && !refused(real(), ':'));
    let names = || categorical("skip_connect conv_3x3");
    assert!(refused(names(), '_') && !refused(names(), '.'));
    let edges = || GeneKind::Edges { nodes: 3, labels: vec!["a/b".into(), "c".into()] };
    assert!(refused(edges(), '/') && !refused(edges(), '|'));
}

#[test]
fn copies_with_values_in_common_have_one_body() {
    let of = |at_least, at_most| {
        schema(vec![("r", shared(at_least, at_most)), ("b", GeneKind::Boolean)])
    };
    // Three widths and seven dilations, for each number of copies but none.
    assert_eq!(of(2, 4).cardinality(), (2u32 * 3 * 3 * 7).into());
    assert_eq!(of(0, 3).cardinality(), (2u32 * (1 + 3 * 3 * 7)).into());
    assert_eq!(of(0, 1).cardinality(), (2u32 * (1 + 3 * 7)).into());
    let schema = of(0, 3);
    assert_eq!(schema.slots(), 1 + 4 + 1);
    for text in [
        "r=0,b=true",
        "r=3,r.width=16,r.dilation=exp,r.dilation.exp.base=2,r.dilation.exp.even=true,b=false",
    ] {
        let genotype = schema.parse(text).unwrap();
        assert_eq!(schema.format(&genotype), text);
    }
    for text in [
        "r=0,r.width=8,r.dilation=fixed,b=true",
        "r=2,r.0.width=8,r.0.dilation=fixed,b=true",
        "r=2,b=true",
    ] {
        assert!(schema.parse(text).is_err(), "{text}");
    }
}

#[test]
fn expressions_read_the_one_body_of_all_copies() {
    let genes = |constraint: &str| {
        schema(vec![("r", shared(0, 3)), ("b", GeneKind::Boolean)])
            .with_rules(&[("wide".into(), "r.width * r".into())], &[constraint.into()])
    };
    // A width of 32 remains for no copies, where the constraint does not apply.
    let narrow = genes("r.width < 32").unwrap();
    assert_eq!(narrow.cardinality(), (2u32 * (1 + 3 * 2 * 7)).into());
    assert_eq!(genes("r.2.width < 32").unwrap().cardinality(), (2u32 * (1 + 2 * 21 + 14)).into());
    let genotype = narrow.parse("r=3,r.width=16,r.dilation=fixed,b=true").unwrap();
    assert_eq!(narrow.derived_values(&genotype), [("wide", "48".to_owned())]);
    assert!(genes("sum(r.width) < 32").is_err());
}

#[test]
fn tied_genes_are_read_but_neither_vary_nor_are_written() {
    let body = vec![
        Gene::new("k", ordered("3 5 7")),
        Gene::new("same", tied("k")),
        Gene::new("w", integer(1, 2)),
    ];
    let repeat = GeneKind::Repeat { at_least: 1, at_most: 2, shared: false, body };
    let genes = vec![("c", categorical("x y")), ("d", tied("c")), ("r", repeat)];
    let derived: Vec<(Box<str>, Box<str>)> = vec![("all".into(), "sum(r.same)".into())];
    let constraint = "d == \"x\" or r.0.same < 7".into();
    let schema = schema(genes.clone()).with_rules(&derived, &[constraint]).unwrap();
    let free = self::schema(genes);
    assert_eq!((free.slots(), free.cardinality()), (1 + 1 + 2 * 2, (2u32 * (6 + 36)).into()));
    assert_eq!(schema.cardinality(), (42u32 + 4 + 4 * 6).into());
    let text = "c=x,r=2,r.0.k=7,r.0.w=1,r.1.k=3,r.1.w=2";
    let genotype = schema.parse(text).unwrap();
    assert_eq!(schema.format(&genotype), text);
    assert_eq!(schema.derived_values(&genotype), [("all", "10".to_owned())]);
    assert!(schema.parse(&format!("{text},d=x")).is_err());
    assert!(schema.parse("c=y,r=1,r.0.k=7,r.0.w=1").is_err());
    let sizes = self::schema(vec![("a", integer(8, 9)), ("b", tied("a")), ("c", integer(1, 2))]);
    let sizes = sizes.with_notation(Notation::List(':')).unwrap();
    assert_eq!(sizes.format(&sizes.parse("9:1").unwrap()), "9:1");
}
