//! Random forest regression (Breiman 2001) over encodings: trees see combinations of features that
//! a smooth model spreads too widely, such as an operation that matters only where another is
//! absent. It must not know what the output means.

use rand::RngExt;

use super::gaussian_process::Prediction;
use crate::rng::Stream;
use crate::space::schema::Feature;

/// The number of trees.
const TREES: usize = 30;

#[derive(Debug, Clone)]
enum Node {
    Leaf(f64),
    /// The left branch follows at once, the right one at its position.
    Split {
        test: Test,
        right: u32,
    },
}

/// What sends an encoding to the left.
#[derive(Debug, Clone, Copy)]
struct Test {
    feature: u32,
    value: f64,
    kind: TestKind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum TestKind {
    /// The feature has this value.
    Equal,
    /// The feature is at most this value.
    AtMost,
    /// The feature does not apply.
    Absent,
}

impl Test {
    fn goes_left(self, row: &[f64]) -> bool {
        let value = row[self.feature as usize];
        match self.kind {
            TestKind::Equal => value == self.value,
            TestKind::AtMost => value <= self.value,
            TestKind::Absent => value.is_nan(),
        }
    }
}

/// A fitted forest.
#[derive(Debug, Clone)]
pub(in crate::algorithm) struct Forest {
    trees: Vec<Vec<Node>>,
    left_out_error: f64,
}

impl Forest {
    /// Fits trees to `outputs` at the encodings `inputs`, row-major.
    pub(in crate::algorithm) fn new(
        inputs: &[f64],
        features: &[Feature],
        outputs: &[f64],
        rng: &mut Stream,
    ) -> Self {
        let n = outputs.len();
        let grower = Grower { inputs, features, outputs };
        // The sum and the number of what the trees that did not see an output predict for it.
        let mut left_out = vec![(0.0, 0u32); n];
        let tree = |_| {
            let mut rows: Vec<u32> = (0..n).map(|_| rng.random_range(0..n as u32)).collect();
            let mut unseen = vec![true; n];
            rows.iter().for_each(|row| unseen[*row as usize] = false);
            let mut tree = Vec::with_capacity(2 * n);
            grower.grow(&mut rows, &mut tree, rng);
            for at in (0..n).filter(|at| unseen[*at]) {
                left_out[at].0 += descend(&tree, grower.row(at as u32));
                left_out[at].1 += 1;
            }
            tree
        };
        let trees = (0..TREES).map(tree).collect();
        let predicted = left_out.iter().zip(outputs).filter(|((_, trees), _)| *trees > 0);
        let errors = predicted.map(|((sum, trees), output)| {
            let error = sum / f64::from(*trees) - output;
            error * error
        });
        let (sum, count) = errors.fold((0.0, 0u32), |(sum, count), e| (sum + e, count + 1));
        Self { trees, left_out_error: sum / f64::from(count.max(1)) }
    }

    /// The mean squared error with which trees predict the outputs that they were not grown on
    /// (Breiman 2001, section 3.1).
    pub(in crate::algorithm) fn left_out_error(&self) -> f64 {
        self.left_out_error
    }

    /// The output at an encoding; its variance is that among the trees.
    pub(in crate::algorithm) fn predict(&self, input: &[f64]) -> Prediction {
        let n = self.trees.len() as f64;
        let (sum, squares) = self.trees.iter().fold((0.0, 0.0), |(sum, squares), tree| {
            let value = descend(tree, input);
            (sum + value, squares + value * value)
        });
        let mean = sum / n;
        Prediction { mean, variance: (squares / n - mean * mean).max(0.0) }
    }
}

fn descend(tree: &[Node], row: &[f64]) -> f64 {
    let mut at = 0;
    loop {
        match &tree[at] {
            Node::Leaf(value) => return *value,
            Node::Split { test, right } => {
                at = if test.goes_left(row) { at + 1 } else { *right as usize };
            }
        }
    }
}

struct Grower<'a> {
    inputs: &'a [f64],
    features: &'a [Feature],
    outputs: &'a [f64],
}

impl Grower<'_> {
    fn row(&self, at: u32) -> &[f64] {
        let width = self.features.len();
        &self.inputs[at as usize * width..][..width]
    }

    fn output(&self, row: u32) -> f64 {
        self.outputs[row as usize]
    }

    fn grow(&self, rows: &mut [u32], tree: &mut Vec<Node>, rng: &mut Stream) {
        let mean = rows.iter().map(|row| self.output(*row)).sum::<f64>() / rows.len() as f64;
        let is_constant = rows.iter().all(|row| self.output(*row) == self.output(rows[0]));
        let split = if is_constant { None } else { self.best_split(rows, rng) };
        let Some(test) = split else {
            tree.push(Node::Leaf(mean));
            return;
        };
        let mut middle = 0;
        for at in 0..rows.len() {
            if test.goes_left(self.row(rows[at])) {
                rows.swap(at, middle);
                middle += 1;
            }
        }
        let place = tree.len();
        tree.push(Node::Leaf(mean));
        let (left, right_rows) = rows.split_at_mut(middle);
        self.grow(left, tree, rng);
        let right = tree.len() as u32;
        self.grow(right_rows, tree, rng);
        tree[place] = Node::Split { test, right };
    }

    /// The split with the least squared error among two thirds of the features that can split.
    fn best_split(&self, rows: &[u32], rng: &mut Stream) -> Option<Test> {
        let width = self.features.len();
        let tries = (width * 2 / 3).max(1);
        let mut order: Vec<u32> = (0..width as u32).collect();
        let mut best: Option<(f64, Test)> = None;
        let mut tried = 0;
        for at in 0..width {
            if tried == tries {
                break;
            }
            order.swap(at, rng.random_range(at..width));
            let mut splits = false;
            for test in self.tests(order[at], rows, rng) {
                let Some(gain) = self.gain(test, rows) else { continue };
                splits = true;
                if best.is_none_or(|(other, _)| gain > other) {
                    best = Some((gain, test));
                }
            }
            tried += usize::from(splits);
        }
        best.map(|(_, test)| test)
    }

    /// The ways to split by one feature: each category against the rest, or one cut of a number
    /// between two of the rows.
    fn tests(&self, feature: u32, rows: &[u32], rng: &mut Stream) -> Vec<Test> {
        let value = |row: u32| self.row(row)[feature as usize];
        let test = |kind, value| Test { feature, value, kind };
        let mut tests = Vec::new();
        if rows.iter().any(|row| value(*row).is_nan()) {
            tests.push(test(TestKind::Absent, 0.0));
        }
        match self.features[feature as usize] {
            Feature::Category(_) => {
                let mut present: Vec<f64> =
                    rows.iter().map(|row| value(*row)).filter(|value| !value.is_nan()).collect();
                present.sort_unstable_by(f64::total_cmp);
                present.dedup();
                tests.extend(present.into_iter().map(|value| test(TestKind::Equal, value)));
            }
            Feature::Ordered => {
                let mut pick = || value(rows[rng.random_range(0..rows.len())]);
                let (a, b) = (pick(), pick());
                if a != b && !a.is_nan() && !b.is_nan() {
                    let cut = a.min(b) + (a - b).abs() * 0.999 * rng.random::<f64>();
                    tests.push(test(TestKind::AtMost, cut));
                }
            }
        }
        tests
    }

    /// What a split takes off the squared error, up to a constant; `None` if it splits nothing off.
    fn gain(&self, test: Test, rows: &[u32]) -> Option<f64> {
        let (mut left, mut left_sum, mut sum) = (0.0, 0.0, 0.0);
        for row in rows {
            let output = self.output(*row);
            sum += output;
            if test.goes_left(self.row(*row)) {
                left += 1.0;
                left_sum += output;
            }
        }
        let right = rows.len() as f64 - left;
        let right_sum = sum - left_sum;
        (left > 0.0 && right > 0.0)
            .then(|| left_sum * left_sum / left + right_sum * right_sum / right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};

    /// The second feature matters only where the first is 1, and may be absent.
    fn data(n: u64, seed: u64) -> (Vec<f64>, Vec<f64>) {
        let mut rng = stream(seed, Purpose::Model, 0);
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let first = f64::from(rng.random_range(0..3u32));
            let second = if first == 2.0 { f64::NAN } else { rng.random::<f64>() };
            inputs.extend([first, second]);
            outputs.push(if first == 1.0 { 10.0 * second } else { first });
        }
        (inputs, outputs)
    }

    #[test]
    fn it_learns_conditional_structure() {
        const FEATURES: [Feature; 2] = [Feature::Category(3), Feature::Ordered];
        let (inputs, outputs) = data(200, 1);
        let mut rng = stream(1, Purpose::Model, 1);
        let forest = Forest::new(&inputs, &FEATURES, &outputs, &mut rng);
        let (fresh, expected) = data(200, 2);
        let errors = fresh.chunks_exact(2).zip(&expected);
        let errors = errors.map(|(row, output)| (forest.predict(row).mean - output).powi(2));
        let error = errors.sum::<f64>() / 200.0;
        assert!(error < 0.1, "squared error {error}");
        let left_out = forest.left_out_error();
        assert!(left_out > 0.3 * error && left_out < 5.0 * error, "{left_out} for {error}");
        assert_eq!(forest.predict(&[2.0, f64::NAN]).mean, 2.0);
        let mut again = stream(1, Purpose::Model, 1);
        let same = Forest::new(&inputs, &FEATURES, &outputs, &mut again);
        assert_eq!(format!("{same:?}"), format!("{forest:?}"));
    }

    #[test]
    fn constant_outputs_make_leaves() {
        let mut rng = stream(1, Purpose::Model, 2);
        let forest = Forest::new(&[0.0, 1.0], &[Feature::Category(2)], &[3.0, 3.0], &mut rng);
        assert_eq!(forest.predict(&[1.0]), Prediction { mean: 3.0, variance: 0.0 });
    }
}
