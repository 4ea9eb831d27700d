//! Which sweep serves which number of objectives. Points are positive gains over a reference,
//! row-major; nothing here knows the reference.

use super::sweep::{self, Staircase};
use super::union::{
    self, Cut4, Cut5, Cut6, Cut7, CutUnion, ThreeUnion, Union3, Union4, Union5, Union6, Union7,
};

/// The most objectives whose hypervolume is computed exactly.
pub(super) const MOST: usize = 8;

/// Volume of the union of boxes of `m` gains each, at most [`MOST`]; the boxes may be put into
/// another order.
pub(super) fn volume(m: usize, gains: &mut [f64]) -> f64 {
    match m {
        0 | 1 => sweep::length(gains),
        2 => sweep::area(gains),
        3 => sweep::volume(gains),
        4 => union_volume::<4, 3, ThreeUnion>(gains),
        5 => union_volume::<5, 4, Union4>(gains),
        6 => union_volume::<6, 5, Union5>(gains),
        7 => union_volume::<7, 6, Union6>(gains),
        _ => union_volume::<8, 7, Union7>(gains),
    }
}

fn union_volume<const M: usize, const L: usize, U: union::Union<L> + Default>(
    gains: &[f64],
) -> f64 {
    union::volume::<M, L>(gains.as_chunks::<M>().0, &mut U::default())
}

/// For boxes in the order of [`order`], by how much each grows the union times its height: of those from the
/// number given on in steps of the other.
pub(super) type Terms = fn(&[f64], usize, usize) -> Vec<f64>;

/// The terms of which [`volume`] is the sum, for more boxes of `m` gains than are sets of bits; `None` where
/// each needs the one before.
pub(super) fn terms(m: usize) -> Option<Terms> {
    match m {
        5 => Some(union::terms::<5, 4, 3, Union3>),
        6 => Some(union::terms::<6, 5, 4, Union4>),
        7 => Some(union::terms::<7, 6, 5, Union5>),
        8 => Some(union::terms::<8, 7, 6, Union6>),
        _ => None,
    }
}

/// Puts the boxes of `m` gains, five to eight, into the order in which they are swept.
pub(super) fn order(m: usize, gains: &mut [f64]) {
    match m {
        5 => union::order(gains.as_chunks_mut::<5>().0),
        6 => union::order(gains.as_chunks_mut::<6>().0),
        7 => union::order(gains.as_chunks_mut::<7>().0),
        _ => union::order(gains.as_chunks_mut::<8>().0),
    }
}

/// For each box of `m` gains, at most [`MOST`], the volume that it alone covers; infinite when the
/// volume of the box is, whatever the others cover.
pub(super) fn exclusive_volumes(m: usize, gains: &[f64]) -> Vec<f64> {
    match m {
        0 | 1 => sweep::exclusive_lengths(gains),
        2 => sweep::exclusive_areas(gains),
        3 => exclusive_of::<3, 2, Staircase>(gains),
        4 => exclusive_of::<4, 3, Union3>(gains),
        5 => exclusive_of::<5, 4, Cut4>(gains),
        6 => exclusive_of::<6, 5, Cut5>(gains),
        7 => exclusive_of::<7, 6, Cut6>(gains),
        _ => exclusive_of::<8, 7, Cut7>(gains),
    }
}

fn exclusive_of<const M: usize, const L: usize, U: union::Union<L> + Default>(
    gains: &[f64],
) -> Vec<f64> {
    CutUnion::<M, L, U>::default().exclusive_volumes(gains.as_chunks::<M>().0)
}
