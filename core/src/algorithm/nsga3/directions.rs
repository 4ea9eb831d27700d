//! Reference directions spread evenly over the unit simplex (Das and Dennis 1998), in one layer or
//! two (Deb and Jain 2014, section V). It must not know populations.

/// The most even set of at most `most` directions for `objectives` objectives, each of that length
/// with a sum of 1; at least the axes themselves, whatever `most` is.
///
/// A layer of H divisions has C(H + M - 1, M - 1) directions, and none inside the simplex while H
/// is below M. Where only such a layer fits, a second one is added halfway to the centre.
pub(super) fn directions(objectives: usize, most: usize) -> Vec<Vec<f64>> {
    if objectives <= 1 {
        return vec![vec![1.0; objectives]];
    }
    let outer = most_divisions(objectives, most).max(1);
    let mut directions = layer(objectives, outer);
    if outer < objectives {
        let inner = most_divisions(objectives, most.saturating_sub(directions.len()));
        if inner > 0 {
            let centre = 1.0 / objectives as f64;
            let halfway = |direction: Vec<f64>| {
                direction.into_iter().map(|weight| (weight + centre) / 2.0).collect()
            };
            directions.extend(layer(objectives, inner.min(outer)).into_iter().map(halfway));
        }
    }
    directions
}

/// The largest number of divisions whose layer has at most `most` directions; 0 if none has.
fn most_divisions(objectives: usize, most: usize) -> usize {
    let mut divisions = 0;
    while layer_size(objectives, divisions + 1) <= most as u128 {
        divisions += 1;
    }
    divisions
}

/// C(divisions + objectives - 1, objectives - 1).
fn layer_size(objectives: usize, divisions: usize) -> u128 {
    let mut size = 1u128;
    for at in 1..objectives as u128 {
        size = size * (divisions as u128 + at) / at;
    }
    size
}

/// All vectors of multiples of 1 / divisions that add up to 1, in lexicographic order.
fn layer(objectives: usize, divisions: usize) -> Vec<Vec<f64>> {
    let mut directions = Vec::new();
    let mut parts = Vec::with_capacity(objectives);
    extend(objectives, divisions, divisions, &mut parts, &mut directions);
    directions
}

fn extend(
    objectives: usize,
    left: usize,
    divisions: usize,
    parts: &mut Vec<usize>,
    directions: &mut Vec<Vec<f64>>,
) {
    if parts.len() + 1 == objectives {
        let weights = parts.iter().chain([&left]);
        directions.push(weights.map(|part| *part as f64 / divisions as f64).collect());
        return;
    }
    for part in 0..=left {
        parts.push(part);
        extend(objectives, left - part, divisions, parts, directions);
        parts.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers_of_directions() {
        // Deb and Jain 2014, table I: 91 for 3, 210 for 5, 156 for 8 (two layers), 275 for 10.
        for (objectives, most, expected) in [
            (2, 100, 100),
            (3, 92, 91),
            (4, 84, 84),
            (4, 83, 56),
            (5, 212, 210),
            (8, 156, 156),
            (10, 276, 275),
        ] {
            assert_eq!(directions(objectives, most).len(), expected, "{objectives} objectives");
        }
    }

    #[test]
    fn directions_are_different_and_lie_on_the_simplex() {
        for objectives in 1..=8 {
            for most in [1, 10, 100, 500] {
                let found = directions(objectives, most);
                assert!(found.len() <= most.max(objectives));
                for (at, direction) in found.iter().enumerate() {
                    assert_eq!(direction.len(), objectives);
                    assert!((direction.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                    assert!(direction.iter().all(|weight| *weight >= 0.0));
                    assert!(!found[..at].contains(direction), "{direction:?} twice");
                }
            }
        }
    }
}
