//! A moving average of a network's weights, which is evaluated in their place.
//!
//! Everything that is not an integer is averaged, running statistics of batch normalisation
//! included, so that weights and statistics fit together. Early on the decay is smaller, min(decay,
//! (1 + t) / (10 + t)) after t steps, so that the first weights are forgotten soon (as in TensorFlow's
//! `ExponentialMovingAverage`). Must not know how weights are changed.

use std::collections::BTreeMap;

use tch::{TchError, Tensor};

/// See the module.
#[derive(Debug)]
pub(super) struct Average {
    decay: f64,
    /// By the names of the network's variables.
    pub(super) values: BTreeMap<String, Tensor>,
}

impl Average {
    /// Begins with the values of `variables`.
    pub(super) fn new(decay: f64, variables: &BTreeMap<String, Tensor>) -> Result<Self, TchError> {
        let _guard = tch::no_grad_guard();
        let copied =
            variables.iter().map(|(name, value)| Ok((name.clone(), value.f_detach_copy()?)));
        Ok(Self { decay, values: copied.collect::<Result<_, TchError>>()? })
    }

    /// Takes in the values after step number `step`, from 1.
    pub(super) fn follow(
        &mut self,
        variables: &BTreeMap<String, Tensor>,
        step: u64,
    ) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        let step = step as f64;
        let decay = self.decay.min((1.0 + step) / (10.0 + step));
        for (name, average) in &mut self.values {
            let _ = average.f_lerp_(&variables[name], 1.0 - decay)?;
        }
        Ok(())
    }

    /// Exchanges the averages with the values of `variables`: once to evaluate them, once more to
    /// train on.
    pub(super) fn exchange(
        &mut self,
        variables: &BTreeMap<String, Tensor>,
    ) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        for (name, average) in &mut self.values {
            let mut variable = variables[name].shallow_clone();
            let before = variable.f_detach_copy()?;
            variable.f_copy_(average)?;
            *average = before;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(value: f64) -> BTreeMap<String, Tensor> {
        [("w".to_owned(), Tensor::from_slice(&[value, -value]))].into()
    }

    fn first(values: &BTreeMap<String, Tensor>) -> f64 {
        values["w"].double_value(&[0])
    }

    #[test]
    fn it_follows_the_closed_form() {
        let mut average = Average::new(0.9, &variables(1.0)).unwrap();
        let mut expected = 1.0;
        for step in 1..=200u64 {
            let value = (step as f64).sin();
            average.follow(&variables(value), step).unwrap();
            let decay = f64::min(0.9, (1.0 + step as f64) / (10.0 + step as f64));
            expected = decay * expected + (1.0 - decay) * value;
            assert!((first(&average.values) - expected).abs() < 1e-12, "step {step}");
        }
        // Of a constant the average is the constant in the end.
        for step in 201..=600 {
            average.follow(&variables(0.25), step).unwrap();
        }
        assert!((first(&average.values) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn two_exchanges_change_nothing() {
        let weights = variables(1.0);
        let mut average = Average::new(0.5, &variables(3.0)).unwrap();
        average.exchange(&weights).unwrap();
        assert_eq!((first(&weights), first(&average.values)), (3.0, 1.0));
        average.exchange(&weights).unwrap();
        assert_eq!((first(&weights), first(&average.values)), (1.0, 3.0));
    }
}
