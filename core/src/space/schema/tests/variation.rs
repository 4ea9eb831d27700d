//! Drawing and variation: what is uniform, what stays in the schema, and how far a step goes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[test]
fn sampling_is_uniform_over_genotypes() {
    for schema in small() {
        let cells = number(&schema.cardinality());
        let log = |gene: &Gene| matches!(gene.kind, GeneKind::Integer { log: true, .. });
        if cells > 600 || schema.genes().iter().any(log) {
            continue;
        }
        let draws = 60 * cells;
        let mut counts: BTreeMap<Genotype, u64> = BTreeMap::new();
        let mut rng = stream(5, Purpose::Proposal, 1);
        for _ in 0..draws {
            *counts.entry(schema.sample(&mut rng)).or_default() += 1;
        }
        let seen = counts.values().map(|count| (*count as f64 - 60.0).powi(2) / 60.0).sum::<f64>();
        let chi = seen + 60.0 * (cells - counts.len() as u64) as f64;
        // The 99.99 % point of chi-square by Wilson and Hilferty.
        let freedom = (cells - 1) as f64;
        let limit = freedom
            * (1.0 - 2.0 / (9.0 * freedom) + 3.719 * (2.0 / (9.0 * freedom)).sqrt()).powi(3);
        assert!(chi < limit, "chi-square {chi} exceeds {limit} with {freedom} degrees of freedom");
    }
}

#[test]
fn single_edits_reach_every_genotype_and_never_stay() {
    for schema in small() {
        let total = number(&schema.cardinality());
        if total > 3000 {
            continue;
        }
        let mut rng = stream(7, Purpose::Proposal, 2);
        let mut seen = BTreeSet::from([schema.unrank(&BigUint::ZERO).unwrap()]);
        let mut frontier: Vec<Genotype> = seen.iter().cloned().collect();
        while let Some(parent) = frontier.pop() {
            for _ in 0..120 {
                let child = schema.mutate(&parent, Mutation::OneGene, &mut rng);
                assert_eq!(schema.check(&child), Ok(()), "{}", schema.format(&parent));
                assert_ne!(child, parent, "{}", schema.format(&parent));
                if seen.insert(child.clone()) {
                    frontier.push(child);
                }
            }
        }
        assert_eq!(seen.len() as u64, total, "{:?}", schema.genes());
    }
}

#[test]
fn ordered_genes_move_mostly_by_one_step() {
    let schema = schema(vec![("a", integer(0, 31))]);
    let parent = schema.parse("a=16").unwrap();
    let mut rng = stream(9, Purpose::Proposal, 3);
    let steps: Vec<u32> = (0..4000)
        .map(|_| schema.mutate(&parent, Mutation::OneGene, &mut rng).0[0].abs_diff(16))
        .collect();
    let share = |step| steps.iter().filter(|other| **other == step).count() as f64 / 4000.0;
    assert!((share(1) - 0.5).abs() < 0.04 && (share(2) - 0.25).abs() < 0.04);
}

#[test]
fn draws_of_spaces_without_real_numbers_are_uniform_to_the_bit() {
    let wide = GeneKind::Integer { low: 1, high: 5_000, step: 1, log: true };
    let arms = vec![
        ("plain".into(), vec![]),
        ("wide".into(), vec![Gene::new("w", wide), Gene::new("v", integer(0, 99_999))]),
    ];
    let repeat = GeneKind::Repeat {
        at_least: 0,
        at_most: 3,
        shared: false,
        body: vec![Gene::new("s", GeneKind::Switch { arms }), Gene::new("b", GeneKind::Boolean)],
    };
    let mut bytes = Vec::new();
    for schema in small().into_iter().chain([schema(vec![("r", repeat)])]) {
        let mut rng = stream(8, Purpose::Proposal, 1);
        for _ in 0..50 {
            let drawn = schema.sample(&mut rng);
            bytes.extend(drawn.0.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
    let pinned = "eb0e63c4112c3789";
    assert_eq!(blake3::hash(&bytes).to_hex()[..16], *pinned);
}

#[test]
fn real_numbers_do_not_decide_how_often_an_arm_or_a_length_is_drawn() {
    let real = |low, high, log| GeneKind::Real { low, high, log };
    let adam = vec![Gene::new("beta", real(0.8, 0.999, false))];
    let fixed = vec![Gene::new("steps", integer(1, 1_000))];
    let arms = vec![("sgd".into(), vec![]), ("adam".into(), adam), ("fixed".into(), fixed)];
    let repeat = |shared| GeneKind::Repeat {
        at_least: 1,
        at_most: 4,
        shared,
        body: vec![Gene::new("drop", real(0.001, 1.0, true))],
    };
    let schema = schema(vec![
        ("opt", GeneKind::Switch { arms }),
        ("layers", repeat(false)),
        ("more", repeat(true)),
    ]);
    let mut rng = stream(8, Purpose::Proposal, 2);
    let mut counts = BTreeMap::<(usize, u32), u32>::new();
    for _ in 0..1_000 {
        let drawn = schema.sample(&mut rng);
        assert_eq!(schema.check(&drawn), Ok(()));
        for slot in [0, 3, 8] {
            *counts.entry((slot, drawn.0[slot])).or_default() += 1;
        }
    }
    let each = [(0, 0..3), (3, 1..5), (8, 1..5)];
    for (slot, value) in each.into_iter().flat_map(|(slot, of)| of.map(move |value| (slot, value)))
    {
        let count = counts.get(&(slot, value)).copied().unwrap_or(0);
        assert!(count >= 200, "slot {slot} is {value} in {count} of 1,000 draws");
    }
    // Numbering is by values, as before.
    let first = schema.unrank(&0u32.into()).unwrap();
    assert_eq!(schema.rank(&first), Ok(0u32.into()));
    let values = BigUint::from(REAL_VALUES);
    let own = (1..=4).map(|copies| values.pow(copies)).sum::<BigUint>();
    let expected = (&values + 1_001u32) * own * (&values * 4u32);
    assert_eq!(schema.cardinality(), expected);
}

#[test]
fn numbers_of_many_values_move_by_shares_of_their_range_and_are_crossed_between_parents() {
    let schema = schema(vec![("a", integer(0, 9_999)), ("b", integer(-5, 4_294_967_000))]);
    let parents = [(0, 0), (5_000, 2_000_000_000), (9_999, 4_294_967_005)]
        .map(|(a, b)| Genotype([a, b].into()));
    let mut rng = stream(8, Purpose::Proposal, 3);
    for parent in &parents {
        let mut far = [0; 2];
        for _ in 0..1_000 {
            let child = schema.mutate(parent, Mutation::EachGene(1.0), &mut rng);
            assert_eq!(schema.check(&child), Ok(()));
            for (at, range) in [(0, 9_999), (1, 4_294_967_005)] {
                let moved = child.0[at].abs_diff(parent.0[at]);
                assert!(moved > 0, "{parent:?}");
                far[at] += u32::from(moved > range / 100);
            }
        }
        assert!(far.iter().all(|count| (350..950).contains(count)), "{far:?}");
    }
    let mut between = 0;
    for _ in 0..200 {
        let child = schema.cross(&parents[0], &parents[2], &mut rng);
        assert_eq!(schema.check(&child), Ok(()));
        between += u32::from(!parents.iter().any(|parent| parent.0[0] == child.0[0]));
        assert_eq!(schema.cross(&parents[1], &parents[1], &mut rng), parents[1]);
    }
    assert!((50..150).contains(&between), "{between}");
}

#[test]
fn logarithmic_integers_are_drawn_by_octaves_and_move_by_ratios() {
    let log = |low, high, step| GeneKind::Integer { low, high, step, log: true };
    let schema = schema(vec![("a", log(1, 1023, 1)), ("b", log(64, 512, 64))]);
    assert_eq!(schema.cardinality(), (1023u32 * 8).into());
    let mut rng = stream(6, Purpose::Proposal, 1);
    let mut octaves = [0u32; 10];
    for _ in 0..20_000 {
        octaves[schema.sample(&mut rng).0[0].wrapping_add(1).ilog2() as usize] += 1;
    }
    // Each octave with a tenth, within five standard deviations.
    assert!(octaves.iter().all(|count| count.abs_diff(2000) < 212), "{octaves:?}");
    let mut shares = [0u32; 8];
    for _ in 0..20_000 {
        shares[schema.sample(&mut rng).0[1] as usize] += 1;
    }
    for (count, number) in shares.into_iter().zip(1..) {
        let share = (f64::from(number + 1) / f64::from(number)).ln() / 9f64.ln();
        let deviation = (20_000.0 * share * (1.0 - share)).sqrt();
        assert!((f64::from(count) - 20_000.0 * share).abs() < 5.0 * deviation, "{shares:?}");
    }
    let reach = |text: &str, rng: &mut Stream| -> u32 {
        let parent = schema.parse(text).unwrap();
        let moves = (0..2000).map(|_| {
            let child = schema.mutate(&parent, Mutation::EachGene(1.0), rng);
            assert!(schema.check(&child).is_ok() && child.0[0] != parent.0[0]);
            child.0[0].abs_diff(parent.0[0])
        });
        moves.sum()
    };
    let (near, far) = (reach("a=8,b=64", &mut rng), reach("a=512,b=64", &mut rng));
    assert!(far > 20 * near, "{near} {far}");
    let mut features = Vec::new();
    schema.encode(&schema.parse("a=1023,b=128").unwrap(), &mut features);
    assert!((features[0] - 1.0).abs() < 1e-12 && (features[1] - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn children_of_a_switch_take_an_arm_only_from_parents_that_chose_it() {
    let schema = schema(vec![("s", switch()), ("t", switch())]);
    let mut rng = stream(3, Purpose::Proposal, 4);
    for _ in 0..300 {
        let (first, second) = (schema.sample(&mut rng), schema.sample(&mut rng));
        let child = schema.cross(&first, &second, &mut rng);
        assert_eq!(schema.check(&child), Ok(()));
        for at in [0, 3] {
            let arm = child.0[at];
            for slot in at + 1..at + 3 {
                let from = [&first, &second].into_iter().filter(|parent| parent.0[at] == arm);
                assert!(from.map(|parent| parent.0[slot]).any(|value| value == child.0[slot]));
            }
        }
    }
}

#[test]
fn real_operators_stay_in_range_and_prefer_the_neighbourhood() {
    let real = GeneKind::Real { low: -5.0, high: 5.0, log: false };
    let schema =
        schema(vec![("x", real), ("rate", GeneKind::Real { low: 1e-4, high: 1.0, log: true })]);
    let middle = schema.parse("x=0,rate=0.01").unwrap();
    assert!(schema.format(&middle).starts_with("x="));
    let mut rng = stream(4, Purpose::Proposal, 5);
    let mut near = 0;
    for _ in 0..1000 {
        let child = schema.mutate(&middle, Mutation::EachGene(1.0), &mut rng);
        near += u32::from(child.0[0].abs_diff(middle.0[0]) < u32::MAX / 10);
        assert!(child.0[0] != middle.0[0] && child.0[1] != middle.0[1]);
    }
    // Polynomial mutation with index 20 moves by less than a tenth of the range with
    // probability 1 - (1 - 0.1)^21 or so from the middle.
    assert!(near > 850, "{near}");
    let (low, high) =
        (schema.parse("x=-5,rate=0.0001").unwrap(), schema.parse("x=5,rate=1").unwrap());
    assert_eq!((&*low.0, &*high.0), ([0, 0].as_slice(), [u32::MAX, u32::MAX].as_slice()));
    for _ in 0..200 {
        assert_eq!(schema.check(&schema.cross(&low, &high, &mut rng)), Ok(()));
    }
}

proptest! {
    #[test]
    fn variation_stays_in_the_schema(which in 0usize..10, seed: u64, rate in 0.0f64..=1.0) {
        let schema = &small()[which];
        let mut rng = stream(seed, Purpose::Proposal, 0);
        let (first, second) = (schema.sample(&mut rng), schema.sample(&mut rng));
        let child = schema.cross(&first, &second, &mut rng);
        let mutant = schema.mutate(&child, Mutation::EachGene(rate), &mut rng);
        for genotype in [&first, &second, &child, &mutant] {
            prop_assert_eq!(schema.check(genotype), Ok(()));
        }
        prop_assert_eq!(schema.cross(&first, &first, &mut rng), first.clone());
        let distance = schema.distance(&first, &second);
        prop_assert!((0.0..=1.0).contains(&distance));
        prop_assert_eq!(distance, schema.distance(&second, &first));
    }
}
