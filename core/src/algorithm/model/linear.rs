//! Dense symmetric positive definite systems, row-major. The order of every sum is fixed, unlike
//! in libraries that choose instructions by the processor, so results are the same everywhere. It
//! must not know what a matrix stands for.

/// Turns the lower triangle of a symmetric n x n matrix into its Cholesky factor; `false` if the
/// matrix is not positive definite, which leaves it half done. The upper triangle is not read.
pub(in crate::algorithm) fn cholesky(matrix: &mut [f64], n: usize) -> bool {
    for i in 0..n {
        let (above, row) = matrix.split_at_mut(i * n);
        let row = &mut row[..n];
        for j in 0..i {
            let rest = row[j] - dot(&row[..j], &above[j * n..j * n + j]);
            row[j] = rest / above[j * n + j];
        }
        let pivot = row[i] - dot(&row[..i], &row[..i]);
        if pivot.is_nan() || pivot <= 0.0 {
            return false;
        }
        row[i] = pivot.sqrt();
    }
    true
}

/// The inner product of `a` and the beginning of `b`, summed in eight lanes.
pub(in crate::algorithm) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let (blocks, rest) = a.as_chunks::<8>();
    let (other_blocks, other_rest) = b[..a.len()].as_chunks::<8>();
    for (x, y) in blocks.iter().zip(other_blocks) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane += x * y;
        }
    }
    let rest: f64 = rest.iter().zip(other_rest).map(|(x, y)| x * y).sum();
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (b + f)) + ((c + g) + (d + h)) + rest
}

/// Solves L x = b in place, L being a factor of [`cholesky`] with rows of `n`; a shorter `b` is solved
/// with as much of L's beginning.
pub(in crate::algorithm) fn solve_lower(factor: &[f64], n: usize, b: &mut [f64]) {
    for i in 0..b.len() {
        let rest = b[i] - dot(&factor[i * n..i * n + i], &b[..i]);
        b[i] = rest / factor[i * n + i];
    }
}

/// Solves Lᵀ x = b in place.
pub(in crate::algorithm) fn solve_upper(factor: &[f64], n: usize, b: &mut [f64]) {
    for i in (0..n).rev() {
        b[i] /= factor[i * n + i];
        let value = b[i];
        for (entry, coefficient) in b[..i].iter_mut().zip(&factor[i * n..]) {
            *entry -= coefficient * value;
        }
    }
}

/// The inverse of L Lᵀ.
pub(in crate::algorithm) fn inverse(factor: &[f64], n: usize) -> Vec<f64> {
    // Row c holds column c of the inverse of L, so that all products run along rows.
    let mut columns = vec![0.0; n * n];
    for c in 0..n {
        let column = &mut columns[c * n..(c + 1) * n];
        column[c] = 1.0 / factor[c * n + c];
        for r in c + 1..n {
            let sum = dot(&factor[r * n + c..r * n + r], &column[c..r]);
            column[r] = -sum / factor[r * n + r];
        }
    }
    let mut inverse = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let value = dot(&columns[i * n + i..(i + 1) * n], &columns[j * n + i..(j + 1) * n]);
            inverse[i * n + j] = value;
            inverse[j * n + i] = value;
        }
    }
    inverse
}

/// The diagonal of the inverse of L Lᵀ, at half the cost of [`inverse`] and equal to its.
pub(in crate::algorithm) fn inverse_diagonal(factor: &[f64], n: usize) -> Vec<f64> {
    let mut column = vec![0.0; n];
    let entry = |c: usize| {
        column[c] = 1.0 / factor[c * n + c];
        for r in c + 1..n {
            let sum = dot(&factor[r * n + c..r * n + r], &column[c..r]);
            column[r] = -sum / factor[r * n + r];
        }
        dot(&column[c..], &column[c..])
    };
    (0..n).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pareto::test_points::uniform_stream;

    fn positive_definite(n: usize, seed: u64) -> Vec<f64> {
        let mut draw = uniform_stream(seed);
        let rows: Vec<f64> = (0..n * n).map(|_| draw() - 0.5).collect();
        let mut matrix = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                matrix[i * n + j] = dot(&rows[i * n..(i + 1) * n], &rows[j * n..(j + 1) * n]);
            }
            matrix[i * n + i] += 0.1;
        }
        matrix
    }

    #[test]
    fn the_inverse_and_the_solution_undo_the_matrix() {
        for n in [1, 2, 7, 8, 9, 40] {
            let matrix = positive_definite(n, n as u64);
            let mut factor = matrix.clone();
            assert!(cholesky(&mut factor, n));
            let inverse = inverse(&factor, n);
            let diagonal: Vec<f64> = (0..n).map(|at| inverse[at * n + at]).collect();
            assert_eq!(inverse_diagonal(&factor, n), diagonal, "n = {n}");
            let mut draw = uniform_stream(99);
            let wanted: Vec<f64> = (0..n).map(|_| draw()).collect();
            let mut solved: Vec<f64> =
                (0..n).map(|i| dot(&matrix[i * n..(i + 1) * n], &wanted)).collect();
            let by_inverse: Vec<f64> =
                (0..n).map(|i| dot(&inverse[i * n..(i + 1) * n], &solved)).collect();
            solve_lower(&factor, n, &mut solved);
            solve_upper(&factor, n, &mut solved);
            for i in 0..n {
                assert!((solved[i] - wanted[i]).abs() < 1e-9, "n = {n}");
                assert!((by_inverse[i] - wanted[i]).abs() < 1e-8, "n = {n}");
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        assert!(!cholesky(&mut [1.0, 0.0, 2.0, 1.0], 2));
        assert!(!cholesky(&mut [0.0], 1));
        assert!(!cholesky(&mut [f64::NAN], 1));
    }
}
