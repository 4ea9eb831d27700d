//! The incrementally kept fronts against a fresh sort by the Pareto kernels.

use super::*;
use crate::pareto::crowding::crowding_distance;
use crate::pareto::sorting::non_dominated_sort;
use proptest::prelude::*;

fn scored(id: u32, objectives: &[f64], violation: f64) -> Scored {
    let genotype = Genotype([id].into());
    Scored { id: Ordinal(id), genotype, objectives: Objectives::of(objectives), violation }
}

/// (id, rank, crowding distance) of every member by the kernels, ascending by id.
fn sorted_afresh(members: &[Scored]) -> Vec<(u32, u32, f64)> {
    let mut members = members.to_vec();
    members.sort_by_key(|member| member.id);
    let width = members.first().map_or(1, |member| member.objectives.len());
    let rows = members.iter().map(|member| &*member.objectives);
    let points = Points::try_from_rows(width, rows).unwrap();
    let violations: Vec<f64> = members.iter().map(|member| member.violation).collect();
    let fronts = non_dominated_sort(&points, Some(&violations)).unwrap();
    let mut result = Vec::new();
    for (rank, front) in fronts.iter().enumerate() {
        for (&index, distance) in front.iter().zip(crowding_distance(&points, front)) {
            result.push((members[index].id.0, rank as u32, distance));
        }
    }
    result.sort_by_key(|(id, ..)| *id);
    result
}

/// The same, as the population has it; checks its inner links on the way.
fn kept(population: &RankedPopulation) -> Vec<(u32, u32, f64)> {
    let mut result = Vec::new();
    for (rank, front) in population.fronts.iter().enumerate() {
        assert!(!front.members().is_empty());
        front.assert_ordered(&population.table);
        for &slot in front.members() {
            assert_eq!(population.table.ranks[slot as usize], rank as u32);
            let id = population.id(slot as usize);
            assert_eq!(population.genotype(slot as usize).0[0], id.0);
            result.push((id.0, rank as u32, population.crowding(slot as usize)));
        }
    }
    result.sort_by_key(|(id, ..)| *id);
    assert_eq!(result.len(), population.len());
    result
}

#[test]
fn only_finite_scores_of_the_right_length_become_members() {
    let of = |outcome| Scored::new(Ordinal(1), Genotype([0].into()), outcome, 2);
    let score = |objectives, violation| of(Outcome::Scored { objectives, violation });
    assert!(score(&[1.0, 2.0], 0.0).is_some());
    assert!(score(&[1.0], 0.0).is_none());
    assert!(score(&[1.0, f64::NAN], 0.0).is_none());
    assert!(score(&[1.0, 2.0], f64::INFINITY).is_none());
    assert!(of(Outcome::Lost).is_none());
}

#[test]
fn truncation_drops_the_most_crowded_and_of_equals_the_youngest() {
    let mut population = RankedPopulation::new(2);
    for (id, x) in [(1, 0.0), (2, 4.0), (3, 1.0), (4, 1.5), (5, 2.0)] {
        population.insert(scored(id, &[x, 4.0 - x], 0.0));
    }
    population.truncate(4);
    assert_eq!(population.ids(), [1, 2, 3, 5].map(Ordinal));
    let mut equal = RankedPopulation::new(2);
    for id in [3, 1, 4, 2] {
        equal.insert(scored(id, &[1.0, 1.0], 0.0));
    }
    equal.truncate(2);
    assert_eq!(equal.ids(), [1, 2].map(Ordinal));
}

#[test]
fn parents_compare_by_rank_then_room_then_age() {
    let mut population = RankedPopulation::new(2);
    let points = [[0.0, 4.0], [2.0, 2.0], [4.0, 0.0], [2.1, 1.9], [5.0, 5.0]];
    for (id, point) in (1..).zip(points) {
        population.insert(scored(id, &point, 0.0));
    }
    population.insert(scored(6, &[-9.0, -9.0], 0.5));
    let best_first = |a: usize, b: usize| population.compare(a, b).is_lt();
    assert!(best_first(0, 1), "an end of the front has more room");
    assert!(best_first(0, 2), "equal room: the smaller id");
    assert!(best_first(1, 4), "a better front");
    assert!(best_first(4, 5), "feasible before infeasible");
    assert!(!best_first(1, 1));
}

#[derive(Debug, Clone)]
enum Action {
    Insert(Vec<f64>, f64),
    Extend(Vec<(Vec<f64>, f64)>),
    Remove(usize),
    Truncate(usize),
    Replace(Vec<(Vec<f64>, f64)>, usize),
}

fn actions(width: usize) -> impl Strategy<Value = Vec<Action>> {
    let value = prop_oneof![(0i32..6).prop_map(f64::from), -2.0..2.0f64, Just(-0.0)];
    let violation = prop_oneof![3 => Just(0.0), 1 => (0i32..3).prop_map(|v| f64::from(v) / 2.0)];
    let member = (prop::collection::vec(value, width), violation);
    let action = prop_oneof![
        8 => member.clone().prop_map(|(point, violation)| Action::Insert(point, violation)),
        1 => prop::collection::vec(member.clone(), 0..6).prop_map(Action::Extend),
        1 => (prop::collection::vec(member, 0..12), 0usize..20)
            .prop_map(|(points, keep)| Action::Replace(points, keep)),
        3 => any::<usize>().prop_map(Action::Remove),
        1 => (0usize..30).prop_map(Action::Truncate),
    ];
    prop::collection::vec(action, 1..80)
}

/// Truncation by the definition: front by front, and the last one by room.
fn truncated(members: &mut Vec<Scored>, keep: usize) {
    let mut ranked = sorted_afresh(members);
    ranked.sort_by(|a, b| a.1.cmp(&b.1).then(b.2.total_cmp(&a.2)).then(a.0.cmp(&b.0)));
    ranked.truncate(keep);
    members.retain(|member| ranked.iter().any(|(id, ..)| Ordinal(*id) == member.id));
}

proptest! {
    #[test]
    fn agrees_with_a_fresh_sort_after_every_change(
        (width, actions) in (1usize..5).prop_flat_map(|width| (Just(width), actions(width))),
    ) {
        let mut population = RankedPopulation::new(width);
        let mut members: Vec<Scored> = Vec::new();
        let mut ids = (0..).map(|step: u32| step * 7919 % 10_007);
        let mut create = |(point, violation): (Vec<f64>, f64)| {
            scored(ids.next().unwrap(), &point, violation)
        };
        for action in actions {
            match action {
                Action::Insert(point, violation) => {
                    let member = create((point, violation));
                    members.push(member.clone());
                    population.insert(member);
                }
                Action::Extend(points) => {
                    let new: Vec<Scored> = points.into_iter().map(&mut create).collect();
                    members.extend(new.iter().cloned());
                    population.extend(new);
                }
                Action::Remove(choice) if !members.is_empty() => {
                    let member = members.swap_remove(choice % members.len());
                    population.remove(member.id);
                }
                Action::Remove(_) => population.remove(Ordinal(u32::MAX)),
                Action::Truncate(keep) => {
                    population.truncate(keep);
                    truncated(&mut members, keep);
                }
                Action::Replace(points, keep) => {
                    let new: Vec<Scored> = points.into_iter().map(&mut create).collect();
                    members.extend(new.iter().cloned());
                    truncated(&mut members, keep);
                    let mut stepwise = population.clone();
                    stepwise.extend(new.iter().cloned());
                    stepwise.truncate(keep);
                    population.replace(new, keep);
                    // The slots as well, since parents are drawn by slot.
                    prop_assert_eq!(&population.table.ids, &stepwise.table.ids);
                }
            }
            prop_assert_eq!(kept(&population), sorted_afresh(&members));
        }
    }
}

/// A front too large to be searched one by one loses its most crowded member step by step, while ends
/// move, fronts come and go, and members repeat others.
#[test]
fn the_worst_of_a_large_front_is_found_after_every_change() {
    for width in 2..=4 {
        let mut next = crate::pareto::test_points::uniform_stream(width as u64);
        let mut population = RankedPopulation::new(width);
        let mut members: Vec<Scored> = Vec::new();
        let mut large = 0;
        for step in 0..900u32 {
            let mut point: Vec<f64> = (0..width).map(|_| next() + 1e-3).collect();
            let norm = point.iter().map(|value| value * value).sum::<f64>().sqrt();
            // On a grid, so that there are ties; now and then behind the front, seldom before it.
            let level = match step {
                step if step % 50 == 0 => 0.999,
                step if step % 7 == 0 => 1.001,
                _ => 1.0,
            };
            point.iter_mut().for_each(|v| *v = (*v / norm * level * 3_000.0).round());
            let member = scored(step * 7919 % 10_007, &point, 0.0);
            members.push(member.clone());
            population.insert(member);
            large += u32::from(
                population.fronts.last().is_some_and(|last| last.members().len() > SMALL),
            );
            population.truncate(200);
            truncated(&mut members, 200);
            if step % 5 == 0 {
                assert_eq!(kept(&population), sorted_afresh(&members), "step {step}");
            }
        }
        assert!(large > 100, "only {large} of 900 times was the last front large");
    }
}
