//! How far an accuracy can be trusted that was counted on some images: its interval, the optimism of the
//! best of many, and how many images tell a given difference apart.
//!
//! Knows shares and counts only; must not know campaigns or where the numbers come from.

/// Half a 95 % interval of a normal distribution, in standard deviations.
const HALF_WIDTH_95: f64 = 1.96;
/// The probability, over all candidates together, with which a difference may be missed.
const MISSED: f64 = 0.05;

/// Where a value lies with 95 % certainty, given its standard error; within `least` and `most`.
#[must_use]
pub fn interval_95(value: f64, standard_error: f64, least: f64, most: f64) -> [f64; 2] {
    let half = HALF_WIDTH_95 * standard_error;
    [(value - half).max(least), (value + half).min(most)]
}

/// By how many standard errors the best of `count` equally good candidates looks better than it is, about:
/// sqrt(2 ln count).
#[must_use]
pub fn optimism(count: u32) -> f64 {
    (2.0 * f64::from(count.max(1)).ln()).sqrt()
}

/// ln(2 A / 0.05): what Hoeffding's inequality makes of a union over A candidates and both sides.
fn logarithm(candidates: u32) -> f64 {
    (2.0 * f64::from(candidates.max(1)) / MISSED).ln()
}

/// How far the accuracy of any of `candidates` on `samples` images may lie from its expectation, as a
/// share; exceeded by one of them with a probability of 5 % at most. Hoeffding's inequality (see Oymak,
/// Li and Soltanolkotabi 2021 for searches): sqrt(ln(2 A / 0.05) / (2 n)).
#[must_use]
pub fn resolved(candidates: u32, samples: u32) -> f64 {
    (logarithm(candidates) / (2.0 * f64::from(samples.max(1)))).sqrt()
}

/// How many images [`resolved`] needs for a `difference`, a share above 0, whatever the accuracies are.
#[must_use]
pub fn samples_to_resolve(candidates: u32, difference: f64) -> f64 {
    (logarithm(candidates) / (2.0 * difference.powi(2))).ceil()
}

/// The same for candidates whose accuracy is about `share`, by the normal approximation of their errors:
/// 2 ln(2 A / 0.05) p (1 - p) / difference².
#[must_use]
pub fn samples_to_resolve_near(candidates: u32, difference: f64, share: f64) -> f64 {
    (2.0 * logarithm(candidates) * share * (1.0 - share) / difference.powi(2)).ceil()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_numbers_of_200_candidates_and_two_points() {
        assert_eq!(samples_to_resolve(200, 0.02), 11_234.0);
        assert_eq!(samples_to_resolve_near(200, 0.02, 0.9), 4_045.0);
        assert!((0.67 * optimism(200) - 2.2).abs() < 0.05);
        assert_eq!(optimism(1), 0.0);
    }

    #[test]
    fn intervals_stay_within_what_is_possible() {
        let [low, high] = interval_95(90.0, 0.671, 0.0, 100.0);
        assert!((low - 88.685).abs() < 1e-3 && (high - 91.315).abs() < 1e-3);
        assert_eq!(interval_95(99.9, 5.0, 0.0, 100.0)[1], 100.0);
        assert_eq!(interval_95(0.1, 5.0, 0.0, 100.0)[0], 0.0);
    }

    proptest! {
        #[test]
        fn so_many_images_resolve_it_and_one_less_does_not(
            candidates in 1u32..1_000_000, difference in 0.005..0.5_f64
        ) {
            let needed = samples_to_resolve(candidates, difference) as u32;
            prop_assert!(resolved(candidates, needed) <= difference * (1.0 + 1e-9));
            prop_assert!(needed == 1 || resolved(candidates, needed - 1) > difference * (1.0 - 1e-9));
        }
    }
}
