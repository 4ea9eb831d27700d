//! The hypervolume of a front that grows point by point, at the cost of what each newcomer adds instead of
//! the whole volume anew: with many objectives that takes tenths of a second each time.
//!
//! Must not know whose points they are, nor how a volume is computed: the core does.

use cambrian_core::pareto::front::{Insertion, NonDominatedFront};
use cambrian_core::pareto::hypervolume::exclusive_contribution;

/// A front of minimised points and the volume that it dominates up to a reference point.
pub(crate) struct GrowingVolume {
    front: NonDominatedFront<u32>,
    reference: Vec<f64>,
    /// None from the first volume on that is beyond all numbers, since none after it is smaller.
    volume: Option<f64>,
}

impl GrowingVolume {
    /// Of no points yet.
    pub(crate) fn new(reference: Vec<f64>) -> Self {
        Self { front: NonDominatedFront::new(reference.len()), reference, volume: Some(0.0) }
    }

    /// Offers a point; the hypervolume with it, if that is larger than before. A point of another width, one that
    /// is not finite and one with the id of a member add nothing.
    pub(crate) fn insert(&mut self, id: u32, row: &[f64]) -> Option<f64> {
        let mut points = self.front.points().clone();
        let Ok(Insertion::Added { .. }) = self.front.insert(id, row) else { return None };
        points.push(row).ok()?;
        let before = self.volume?;
        // Among them are those that leave for the newcomer: what they dominated is no gain.
        let gain = exclusive_contribution(&points, points.len() - 1, &self.reference).ok();
        self.volume = gain.map(|gain| before + gain).filter(|volume| volume.is_finite());
        self.volume.filter(|volume| *volume > before)
    }
}

#[cfg(test)]
mod tests {
    use cambrian_core::pareto::Points;
    use cambrian_core::pareto::hypervolume::hypervolume;

    use super::*;

    /// Offers all, and demands after each the volume of all so far computed at once.
    fn check(reference: &[f64], rows: &[Vec<f64>]) {
        let mut growing = GrowingVolume::new(reference.to_vec());
        let (mut points, mut shown) = (Points::new(reference.len()), 0.0);
        for (id, row) in (1..).zip(rows) {
            points.push(row).unwrap();
            shown = growing.insert(id, row).unwrap_or(shown);
            let whole = hypervolume(&points, reference).unwrap();
            assert!((shown - whole).abs() <= 1e-12 * whole, "{shown} is not {whole} after {id}");
        }
    }

    #[test]
    fn a_volume_grown_is_that_of_all_points_at_once() {
        // The third makes the first two leave, the fourth is dominated, the fifth beyond the reference.
        let rows = [[4.0, 8.0], [8.0, 4.0], [3.0, 3.0], [5.0, 5.0], [1.0, 11.0], [1.0, 9.0]];
        check(&[10.0, 10.0], &rows.map(Vec::from));
    }

    #[test]
    fn so_it_is_with_six_objectives() {
        let part = |at: usize, axis: usize| ((at * 37 + axis * 101 + at * axis * 13) % 97) as f64;
        let rows = (0..60).map(|at| (0..6).map(|axis| part(at, axis)).collect());
        check(&[90.0; 6], &rows.collect::<Vec<Vec<f64>>>());
    }

    #[test]
    fn what_adds_nothing_shows_no_volume() {
        let mut growing = GrowingVolume::new(vec![10.0, 10.0]);
        assert_eq!(growing.insert(1, &[5.0, 5.0]), Some(25.0));
        for nothing in [&[5.0, 5.0][..], &[6.0, 6.0], &[1.0, 10.0], &[f64::NAN, 1.0], &[1.0]] {
            assert_eq!(growing.insert(2, nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_volume_beyond_all_numbers_is_none_from_then_on() {
        let mut growing = GrowingVolume::new(vec![0.0, 0.0]);
        assert_eq!(growing.insert(1, &[-2.0, -2.0]), Some(4.0));
        assert_eq!(growing.insert(2, &[-1e200, -1e200]), None);
        assert_eq!(growing.insert(3, &[-1e250, -1.0]), None);
    }
}
