//! One output over encodings by a Gaussian process and a forest together: the process
//! extrapolates from few results, the forest sees which combinations matter once there are more.
//! It must not know which objective the output is.

use super::forest::Forest;
use super::gaussian_process::{
    GaussianProcess, Neighbours, Prediction, fit_hyperparameters, moments,
};
use super::kernel::Hyperparameters;
use super::warp::{SHAPES, Shape, Warp};
use crate::rng::Stream;
use crate::space::schema::Feature;

/// The forest's share in a prediction; equal shares of two models that err differently beat
/// either of them, and weights by their estimated errors chase noise.
const FOREST_SHARE: f64 = 0.5;

/// The slow part of a fit, done again only when there are many more results: how the output is
/// mapped, and the kernel's parameters.
#[derive(Debug, Clone)]
pub(in crate::algorithm) struct Form {
    shape: Shape,
    hyperparameters: Hyperparameters,
}

impl Form {
    /// The form under which the observations predict each other best.
    pub(in crate::algorithm) fn new(inputs: &[f64], features: &[Feature], outputs: &[f64]) -> Self {
        let candidate = |shape| {
            let warp = Warp::new(outputs, shape);
            let mapped: Vec<f64> = outputs.iter().map(|output| warp.forward(*output)).collect();
            let (mean, scale) = moments(&mapped);
            let standard: Vec<f64> = mapped.iter().map(|value| (value - mean) / scale).collect();
            let hyperparameters = fit_hyperparameters(inputs, features, &standard);
            let density = GaussianProcess::log_density(
                hyperparameters.clone(),
                features,
                inputs.to_vec(),
                &mapped,
            );
            let slopes: f64 = outputs.iter().map(|output| warp.log_slope(*output)).sum();
            (density + slopes, Self { shape, hyperparameters })
        };
        let [first, rest @ ..] = SHAPES.map(candidate);
        let better = |best: (f64, Self), other: (f64, Self)| {
            if other.0 > best.0 { other } else { best }
        };
        rest.into_iter().fold(first, better).1
    }
}

/// A fitted output.
#[derive(Debug, Clone)]
pub(in crate::algorithm) struct Regression {
    warp: Warp,
    process: GaussianProcess,
    forest: Forest,
}

impl Regression {
    /// Fits `outputs` at the encodings `inputs`, row-major.
    pub(in crate::algorithm) fn new(
        form: &Form,
        inputs: Vec<f64>,
        features: &[Feature],
        outputs: &[f64],
        rng: &mut Stream,
    ) -> Self {
        let warp = Warp::new(outputs, form.shape);
        let mapped: Vec<f64> = outputs.iter().map(|output| warp.forward(*output)).collect();
        let forest = Forest::new(&inputs, features, &mapped, rng);
        let process = GaussianProcess::new(form.hyperparameters.clone(), features, inputs, &mapped);
        Self { warp, process, forest }
    }

    /// The mapped output at an encoding: the mixture of both models. `pending` as in
    /// [`GaussianProcess::predict`].
    pub(in crate::algorithm) fn predict(
        &self,
        input: &[f64],
        pending: &[&[f64]],
        neighbours: &mut Neighbours,
    ) -> Prediction {
        let smooth = self.process.predict(input, pending, neighbours);
        let rough = self.forest.predict(input);
        let mix = |a: f64, b: f64| (1.0 - FOREST_SHARE) * a + FOREST_SHARE * b;
        let mean = mix(smooth.mean, rough.mean);
        let squares = mix((smooth.mean - mean).powi(2), (rough.mean - mean).powi(2));
        Prediction { mean, variance: mix(smooth.variance, rough.variance) + squares }
    }

    /// The mapped value of an output.
    pub(in crate::algorithm) fn mapped(&self, output: f64) -> f64 {
        self.warp.forward(output)
    }

    /// The output whose mapped value is `mapped`.
    pub(in crate::algorithm) fn output(&self, mapped: f64) -> f64 {
        self.warp.backward(mapped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};
    use rand::RngExt;

    #[test]
    fn outputs_over_orders_of_magnitude_are_modelled_in_the_logarithm() {
        const FEATURES: [Feature; 3] = [Feature::Category(3); 3];
        let mut rng = stream(1, Purpose::Model, 0);
        let inputs: Vec<f64> = (0..180).map(|_| f64::from(rng.random_range(0..3u32))).collect();
        let output = |row: &[f64]| 10f64.powf(row.iter().sum());
        let outputs: Vec<f64> = inputs.chunks_exact(3).map(output).collect();
        let form = Form::new(&inputs, &FEATURES, &outputs);
        assert_ne!(form.shape, Shape::Linear);
        let regression = Regression::new(&form, inputs, &FEATURES, &outputs, &mut rng);
        let predicted = regression.predict(&[0.0, 1.0, 0.0], &[], &mut Neighbours::new());
        let output = regression.output(predicted.mean);
        assert!((3.0..33.0).contains(&output), "{output} for 10");
        let sums: Vec<f64> = outputs.iter().map(|output| output.log10()).collect();
        let inputs: Vec<f64> = sums.iter().map(|sum| sum / 6.0).collect();
        assert_eq!(Form::new(&inputs, &[Feature::Ordered], &sums).shape, Shape::Linear);
    }
}
