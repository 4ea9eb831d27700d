//! One output over encodings by a Gaussian process and a forest together: the process
//! extrapolates from few results, the forest sees which combinations matter once there are more.
//! It must not know which objective the output is.

use super::forest::Forest;
use super::gaussian_process::{GaussianProcess, Posterior, Prediction, moments};
use super::kernel::Hyperparameters;
use super::likelihood::fit_hyperparameters;
use super::warp::{SHAPES, Shape, Warp};
use crate::rng::Stream;
use crate::space::schema::Feature;

/// The slow part of a fit, done again only when there are many more results: how the output is
/// mapped, and the kernel's parameters.
#[derive(Debug, Clone)]
pub(in crate::algorithm) struct Form {
    shape: Shape,
    hyperparameters: Hyperparameters,
}

impl Form {
    /// The form of outputs that are taken as they are.
    pub(in crate::algorithm) fn unwarped(
        inputs: &[f64],
        features: &[Feature],
        outputs: &[f64],
    ) -> Self {
        let shape = SHAPES[0];
        let (mean, scale) = moments(outputs);
        let standard: Vec<f64> = outputs.iter().map(|value| (value - mean) / scale).collect();
        Self { shape, hyperparameters: fit_hyperparameters(inputs, features, &standard) }
    }

    /// The form under which the observations predict each other best.
    pub(in crate::algorithm) fn new(inputs: &[f64], features: &[Feature], outputs: &[f64]) -> Self {
        let candidate = |shape| {
            let warp = Warp::new(outputs, shape);
            let mapped: Vec<f64> = outputs.iter().map(|output| warp.forward(*output)).collect();
            let (mean, scale) = moments(&mapped);
            let standard: Vec<f64> = mapped.iter().map(|value| (value - mean) / scale).collect();
            let hyperparameters = fit_hyperparameters(inputs, features, &standard);
            let inputs = inputs.to_vec();
            let process = GaussianProcess::new(hyperparameters.clone(), features, inputs, &mapped);
            let slopes: f64 = outputs.iter().map(|output| warp.log_slope(*output)).sum();
            (process.log_density() + slopes, Self { shape, hyperparameters })
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
    /// The forest's share in a prediction, 0 to 1.
    forest_share: f64,
}

/// A regression together with encodings whose outputs are not known yet.
#[derive(Debug)]
pub(in crate::algorithm) struct Expectation<'p> {
    regression: &'p Regression,
    posterior: Posterior<'p>,
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
        let forest_share = forest_share(process.left_out_error(), forest.left_out_error());
        Self { warp, process, forest, forest_share }
    }

    /// The regression with `pending` encodings.
    pub(in crate::algorithm) fn with<'p>(&'p self, pending: &'p [&'p [f64]]) -> Expectation<'p> {
        Expectation { regression: self, posterior: self.process.posterior(pending) }
    }

    /// The output that is expected at an encoding.
    pub(in crate::algorithm) fn expected(&self, input: &[f64]) -> f64 {
        let (smooth, rough) = (self.process.mean(input), self.forest.predict(input).mean);
        self.output(self.mixed(smooth, rough))
    }

    fn mixed(&self, smooth: f64, rough: f64) -> f64 {
        (1.0 - self.forest_share) * smooth + self.forest_share * rough
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

impl Expectation<'_> {
    /// The regression alone.
    pub(in crate::algorithm) fn regression(&self) -> &Regression {
        self.regression
    }

    /// The mapped output at an encoding: the mixture of both models; `scratch` is overwritten.
    pub(in crate::algorithm) fn predict(
        &self,
        input: &[f64],
        scratch: &mut Vec<f64>,
    ) -> Prediction {
        let regression = self.regression;
        let smooth = self.posterior.predict(input, scratch);
        let rough = regression.forest.predict(input);
        let mean = regression.mixed(smooth.mean, rough.mean);
        let square = |other: f64| (other - mean) * (other - mean);
        let apart = regression.mixed(square(smooth.mean), square(rough.mean));
        Prediction { mean, variance: regression.mixed(smooth.variance, rough.variance) + apart }
    }
}

/// Shares by the inverse of both models' squared errors on what they were not fitted on: a cost that is
/// a sum over its parts is left to the process, and where both err alike they share.
fn forest_share(process: f64, forest: f64) -> f64 {
    let sum = process + forest;
    if sum.is_normal() { process / sum } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};
    use rand::RngExt;

    #[test]
    fn the_model_that_errs_less_has_the_larger_share() {
        const FEATURES: [Feature; 4] = [Feature::Category(5); 4];
        let mut rng = stream(2, Purpose::Model, 0);
        let inputs: Vec<f64> = (0..400).map(|_| f64::from(rng.random_range(0..5u32))).collect();
        let share = |output: &dyn Fn(&[f64]) -> f64| {
            let outputs: Vec<f64> = inputs.chunks_exact(4).map(output).collect();
            let form = Form::new(&inputs, &FEATURES, &outputs);
            let mut rng = stream(2, Purpose::Model, 1);
            Regression::new(&form, inputs.clone(), &FEATURES, &outputs, &mut rng).forest_share
        };
        let sum = share(&|row| row.iter().sum());
        let nested = share(&|row| if row[0] == 1.0 && row[1] == 1.0 { 30.0 } else { row[2] });
        assert!(sum < 0.1 && nested > sum, "{sum} of a sum, {nested} where a combination matters");
        assert_eq!((forest_share(1.0, 1.0), forest_share(0.0, 0.0)), (0.5, 0.5));
    }

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
        let place = [0.0, 1.0, 0.0];
        let predicted = regression.with(&[]).predict(&place, &mut Vec::new());
        let output = regression.output(predicted.mean);
        assert!((output / regression.expected(&place) - 1.0).abs() < 1e-9);
        assert!((3.0..33.0).contains(&output), "{output} for 10");
        let sums: Vec<f64> = outputs.iter().map(|output| output.log10()).collect();
        let inputs: Vec<f64> = sums.iter().map(|sum| sum / 6.0).collect();
        assert_eq!(Form::new(&inputs, &[Feature::Ordered], &sums).shape, Shape::Linear);
    }
}
