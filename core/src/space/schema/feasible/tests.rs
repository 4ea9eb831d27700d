//! Schemas under constraints against the filtered schema without them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::space::schema::{Gene, GeneKind};

fn integer(low: i64, high: i64) -> GeneKind {
    GeneKind::Integer { low, high, step: 1, log: false }
}

fn free(genes: Vec<(&str, GeneKind)>) -> Schema {
    Schema::new(genes.into_iter().map(|(name, kind)| Gene::new(name, kind)).collect()).unwrap()
}

fn constrained(schema: &Schema, constraints: &[&str]) -> Result<Schema, RuleError> {
    let texts: Vec<Box<str>> = constraints.iter().map(|text| (*text).into()).collect();
    schema.clone().with_rules(&[("area".into(), "width * depth".into())], &texts)
}

fn layers() -> Schema {
    let names = |names: &str| names.split(' ').map(Into::into).collect::<Vec<Box<str>>>();
    let kernel = GeneKind::Categorical { choices: names("3 5 7"), ordered: true };
    let body = vec![Gene::new("kernel", kernel), Gene::new("wide", GeneKind::Boolean)];
    free(vec![
        ("width", integer(1, 8)),
        ("depth", integer(1, 5)),
        ("layers", GeneKind::Repeat { shared: false, at_least: 0, at_most: 2, body }),
    ])
}

/// A schema, its constraints, and the same said in Rust about the slots.
type Case = (Schema, &'static [&'static str], fn(&[u32]) -> bool);

fn cases() -> Vec<Case> {
    vec![
        (layers(), &["area <= 12"], |slots| (slots[0] + 1) * (slots[1] + 1) <= 12),
        (layers(), &["sum(layers.kernel) > 8 or depth == 1", "layers <= depth"], |slots| {
            let copies = slots[2] as usize;
            let kernels: u32 = (0..copies).map(|copy| 3 + 2 * slots[3 + 2 * copy]).sum();
            (kernels > 8 || slots[1] == 0) && copies <= slots[1] as usize + 1
        }),
        // A constraint on a copy that is not there is met.
        (layers(), &["layers.1.kernel != 3"], |slots| slots[2] < 2 || slots[5] != 0),
        // Two islands that no single edit joins.
        (layers(), &["width == depth", "width in [1, 4]"], |slots| {
            slots[0] == slots[1] && [0, 3].contains(&slots[0])
        }),
        (layers(), &["12 // (width - 1) >= 3"], |slots| (1..=4).contains(&slots[0])),
    ]
}

fn all(schema: &Schema) -> Vec<Genotype> {
    let count = u32::try_from(schema.cardinality()).unwrap();
    (0..count).map(|rank| schema.unrank(&rank.into()).unwrap()).collect()
}

#[test]
fn counts_and_numbers_are_those_of_the_filtered_schema() {
    for (schema, constraints, meets) in cases() {
        let expected: Vec<Genotype> =
            all(&schema).into_iter().filter(|genotype| meets(&genotype.0)).collect();
        let schema = constrained(&schema, constraints).unwrap();
        assert_eq!(all(&schema), expected, "{constraints:?}");
        assert_eq!(schema.count(), Count::Exact(expected.len().into()));
        assert_eq!(schema.unrank(&schema.cardinality()), None);
        for (rank, genotype) in (0u32..).zip(&expected) {
            assert_eq!(schema.rank(genotype), Ok(rank.into()));
            assert_eq!(schema.parse(&schema.format(genotype)).as_ref(), Ok(genotype));
        }
    }
}

#[test]
fn mutation_reaches_every_feasible_genotype_and_nothing_else() {
    for (schema, constraints, meets) in cases() {
        let schema = constrained(&schema, constraints).unwrap();
        let mut rng = stream(7, Purpose::Proposal, 2);
        let mut seen = BTreeSet::from([schema.unrank(&BigUint::ZERO).unwrap()]);
        let mut frontier: Vec<Genotype> = seen.iter().cloned().collect();
        while let Some(parent) = frontier.pop() {
            for _ in 0..300 {
                let child = schema.mutate(&parent, Mutation::OneGene, &mut rng);
                assert!(meets(&child.0) && child != parent, "{constraints:?}");
                if seen.insert(child.clone()) {
                    frontier.push(child);
                }
            }
        }
        assert_eq!(BigUint::from(seen.len()), schema.cardinality(), "{constraints:?}");
    }
}

#[test]
fn listed_genotypes_are_drawn_uniformly() {
    let (schema, constraints, _) = cases().remove(3);
    let schema = constrained(&schema, constraints).unwrap();
    let cells = u32::try_from(schema.cardinality()).unwrap();
    let mut counts = vec![0u32; cells as usize];
    let mut rng = stream(5, Purpose::Proposal, 1);
    for _ in 0..60 * cells {
        let rank = schema.rank(&schema.draw(&mut rng).unwrap()).unwrap();
        counts[usize::try_from(rank).unwrap()] += 1;
    }
    let chi: f64 = counts.iter().map(|count| (f64::from(*count) - 60.0).powi(2) / 60.0).sum();
    let freedom = f64::from(cells - 1);
    assert!(chi < freedom + 4.0 * (2.0 * freedom).sqrt(), "chi-square {chi} of {freedom}");
}

fn large() -> Schema {
    free(vec![
        ("width", integer(1, 1000)),
        ("depth", integer(1, 1000)),
        ("rate", GeneKind::Real { low: 0.0, high: 1.0, log: false }),
    ])
}

#[test]
fn larger_schemas_are_drawn_from_and_their_count_is_estimated() {
    let schema = constrained(&large(), &["width < depth", "rate >= 0.5"]).unwrap();
    // 499,500 pairs, and half of the 2^32 real values.
    let exact = 499_500.0 * f64::from(1u32 << 31);
    let Count::Estimated { number, standard_error } = schema.count() else {
        panic!("the schema is too large to list");
    };
    assert!((number - exact).abs() < 4.0 * standard_error, "{number} for {exact}");
    assert!(standard_error < 0.01 * exact);
    let mut rng = stream(1, Purpose::Proposal, 0);
    for _ in 0..200 {
        let genotype = schema.draw(&mut rng).unwrap();
        assert_eq!(schema.check(&genotype), Ok(()));
        let rank = schema.rank(&genotype).unwrap();
        assert_eq!(schema.unrank(&rank), Some(genotype));
    }
    assert_eq!(schema.unrank(&BigUint::ZERO), None, "width 1, depth 1, rate 0");
    // Draws of which none succeeds say how many they were.
    let mut hopeless = schema;
    hopeless.rules = Arc::new(
        super::super::Rules::new(&hopeless.genes, &hopeless.root, &[], &["width < 1".into()])
            .unwrap(),
    );
    assert_eq!(hopeless.draw(&mut rng), Err(NoneFeasible { drawn: DRAWS }));
}

#[test]
fn constraints_that_leave_too_little_are_refused_with_numbers() {
    let refused = |schema: &Schema, constraint: &str| {
        let error = constrained(schema, &[constraint]).unwrap_err();
        assert_eq!(error.rule, RulePlace::Constraints);
        error.reason
    };
    assert_eq!(refused(&layers(), "width > 8"), "only 0 of 1720 architectures meet them");
    let one = "width + depth == 13 and layers == 0";
    assert_eq!(refused(&layers(), one), "only 1 of 1720 architectures meet them");
    let reason = refused(&large(), "width == 1 and depth == 1");
    assert_eq!(reason, "only 0 of 20000 architectures drawn meet them; 20 are needed");
}

#[test]
fn derived_values_are_shown_where_they_apply() {
    let derived: Vec<(Box<str>, Box<str>)> = [
        ("area", "width * depth"),
        ("twice", "2 * area"),
        ("first", "layers.0.kernel"),
        ("size", "if area > 10 then \"large\" else \"small\""),
    ]
    .map(|(name, text)| (name.into(), text.into()))
    .to_vec();
    let schema = layers().with_rules(&derived, &["twice < 40".into()]).unwrap();
    let shown = schema.derived_values(&schema.parse("width=3,depth=4,layers=0").unwrap());
    let expected = [("area", "12"), ("twice", "24"), ("size", "large")];
    assert_eq!(shown, expected.map(|(name, value)| (name, value.to_owned())));
    let broken = schema.parse("width=8,depth=5,layers=0").unwrap_err();
    assert_eq!(broken, "it breaks the constraint `twice < 40`");
}

proptest! {
    #[test]
    fn variation_stays_feasible_and_repairs_are_new(
        which in 0usize..5, seed: u64, rate in 0.0f64..=1.0,
    ) {
        let (schema, constraints, meets) = cases().remove(which);
        let schema = constrained(&schema, constraints).unwrap();
        let mut rng = stream(seed, Purpose::Proposal, 0);
        let (first, second) = (schema.sample(&mut rng), schema.sample(&mut rng));
        let child = schema.cross(&first, &second, &mut rng);
        let mutant = schema.mutate(&child, Mutation::EachGene(rate), &mut rng);
        for genotype in [&first, &second, &child, &mutant] {
            prop_assert!(meets(&genotype.0));
            prop_assert_eq!(schema.check(genotype), Ok(()));
        }
        prop_assert_eq!(&schema.cross(&first, &first, &mut rng), &first);
        prop_assert_ne!(&schema.mutate(&first, Mutation::EachGene(1.0), &mut rng), &first);
    }
}

#[test]
fn constraints_that_are_much_work_are_drawn_from_and_too_much_is_refused() {
    let names: Vec<String> = (0..17).map(|nth| format!("g{nth}")).collect();
    let genes = names.iter().map(|name| (name.as_str(), integer(0, 1))).collect();
    let schema = free(genes);
    let long = |terms: usize| format!("min({}) >= 0", vec!["g0"; terms].join(", "));
    let of = |constraint: &str| {
        let constraints: [Box<str>; 1] = [constraint.into()];
        schema.clone().with_rules(&[], &constraints)
    };
    assert!(matches!(of(&long(2)).unwrap().feasible, Feasible::Listed(_)));
    assert!(matches!(of(&long(1_000)).unwrap().feasible, Feasible::Drawn { .. }));
    let error = schema.clone().with_rules(&[], &vec![long(1_000).into(); 50]).unwrap_err();
    assert_eq!(
        error.reason,
        "the expressions have 50150 terms, lists counted by the slots of an architecture; 50000 at most"
    );
}

#[test]
fn a_term_that_reads_a_list_is_as_much_work_as_the_slots() {
    let schema = layers();
    let work = |constraint: &str| {
        let constraints: [Box<str>; 1] = [constraint.into()];
        schema.clone().with_rules(&[], &constraints).unwrap().rules.work(schema.slots())
    };
    assert_eq!(work("width <= 12"), 3);
    assert_eq!(work("layers.1.kernel <= 12"), 3);
    assert_eq!(work("sum(layers.kernel) <= 12"), 4 + schema.slots() as u64);
}
