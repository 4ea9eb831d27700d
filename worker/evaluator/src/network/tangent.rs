//! The network together with its derivative along its own weights: by how much every value grows when all
//! weights of convolutions and linear layers grow in proportion.
//!
//! A layer `y = W x` with the tangent `t` of `x` has the tangent `W t + W x = W (x + t)`, so one more
//! application of each layer gives a scalar whose gradient is a Hessian times the weights, without a second
//! derivative of any layer. It must not know what the derivative is for.

use cambrian_core::graph::{Op, Window};
use tch::Tensor;

use super::plan::Step;
use super::{Mode, Network, Parameters, VARIANCE_EPSILON, compute, zeros};
use crate::failure::EvaluationError;

impl Network {
    /// The output for `input` in training mode, and its derivative with respect to a factor of all weights of
    /// convolutions and linear layers, at 1; both can be differentiated. Batch normalisation has learned
    /// nothing yet: its scales are taken for 1, its shifts for 0, and its running statistics stay.
    ///
    /// `None` if the network has an operation for which this is not written down.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_with_growth(
        &self,
        input: &Tensor,
    ) -> Result<Option<(Tensor, Tensor)>, EvaluationError> {
        if !self.plan.steps.iter().all(|step| is_written_down(step.op)) {
            return Ok(None);
        }
        let mut values: Vec<Option<Tensor>> = Vec::with_capacity(self.plan.steps.len());
        let mut tangents: Vec<Option<Tensor>> = Vec::with_capacity(self.plan.steps.len());
        for (step, parameters) in self.plan.steps.iter().zip(&self.parameters) {
            let (value, tangent) = both(step, parameters, &values, &tangents, input)?;
            values.push(Some(value));
            tangents.push(Some(tangent));
            for &finished in &step.frees {
                values[finished] = None;
                tangents[finished] = None;
            }
        }
        Ok(values.pop().flatten().zip(tangents.pop().flatten()))
    }
}

fn is_written_down(op: Op) -> bool {
    let smooth = op.is_activation() && op != Op::Relu;
    !smooth && !matches!(op, Op::Multiply | Op::Attention { .. } | Op::ChannelMax)
}

/// The value of a step and its tangent.
fn both(
    step: &Step,
    parameters: &Parameters,
    values: &[Option<Tensor>],
    tangents: &[Option<Tensor>],
    input: &Tensor,
) -> Result<(Tensor, Tensor), EvaluationError> {
    if step.op == Op::Input {
        return Ok((input.shallow_clone(), input.f_zeros_like()?));
    }
    if step.inputs.is_empty() {
        let zeros = zeros(input, step.shape)?;
        return Ok((zeros.shallow_clone(), zeros));
    }
    let freed = || EvaluationError::Crash("a value was freed before its last use".into());
    let value = values[step.inputs[0]].as_ref().ok_or_else(freed)?;
    let tangent = tangents[step.inputs[0]].as_ref().ok_or_else(freed)?;
    match (step.op, parameters) {
        (Op::BatchNorm, _) => normalized(value, tangent),
        (Op::Relu, _) => {
            let active = value.f_relu()?;
            let tangent = active.f_threshold_backward(tangent, 0.0)?;
            Ok((active, tangent))
        }
        (Op::MaxPool(window), _) => largest(value, tangent, window),
        (_, Parameters::Weighted { weight, .. }) => {
            let output = compute(step, parameters, values, input, Mode::Train)?;
            let unbiased = Parameters::Weighted { weight: weight.shallow_clone(), bias: None };
            let alone = Step { inputs: vec![0], frees: Vec::new(), ..step.clone() };
            let grown = [Some(value.f_add(tangent)?)];
            let tangent = compute(&alone, &unbiased, &grown, input, Mode::Train)?;
            Ok((output, tangent))
        }
        // The others are linear and without parameters.
        _ => Ok((
            compute(step, parameters, values, input, Mode::Train)?,
            compute(step, parameters, tangents, input, Mode::Train)?,
        )),
    }
}

/// With `h` the normalised value and `r` one over its deviation, the tangent of `h` is
/// `r (t - mean t - h mean(h t))`.
fn normalized(value: &Tensor, tangent: &Tensor) -> Result<(Tensor, Tensor), EvaluationError> {
    let none = || None::<&Tensor>;
    let normal =
        value.f_batch_norm(none(), none(), none(), none(), true, 0.0, VARIANCE_EPSILON, true)?;
    let axes: &[i64] = if value.dim() == 4 { &[0, 2, 3] } else { &[0] };
    let mean = |tensor: &Tensor| tensor.f_mean_dim(axes, true, None);
    // The mean of value times h is q = v / sqrt(v + e), with v the variance: one pass, where the variance
    // itself would take two.
    let square = mean(&value.f_mul(&normal)?)?.f_square()?;
    let under = square.f_square()?.f_add(&square.f_mul_scalar(4.0 * VARIANCE_EPSILON)?)?;
    // A root has no derivative at 0, where a channel is constant.
    let root = under.f_add_scalar(1e-30)?.f_sqrt()?;
    let variance = square.f_add(&root)?.f_mul_scalar(0.5)?;
    let rate = variance.f_add_scalar(VARIANCE_EPSILON)?.f_rsqrt()?;
    let along = mean(&normal.f_mul(tangent)?)?.f_neg()?;
    let offset = mean(tangent)?.f_mul(&rate)?.f_neg()?;
    let tangent = offset.f_addcmul(&tangent.f_addcmul(&normal, &along)?, &rate)?;
    Ok((normal, tangent))
}

/// The tangent of a maximum is that of the place where it is.
fn largest(
    value: &Tensor,
    tangent: &Tensor,
    window: Window,
) -> Result<(Tensor, Tensor), EvaluationError> {
    let Window { kernel, stride, padding } = window;
    let [kernel, stride, padding] = [kernel, stride, padding].map(|n| [i64::from(n); 2]);
    let (pooled, places) =
        value.f_max_pool2d_with_indices(kernel, stride, padding, [1, 1], false)?;
    let found = tangent.f_flatten(2, -1)?.f_gather(2, &places.f_flatten(2, -1)?, false)?;
    Ok((pooled.shallow_clone(), found.f_view_as(&pooled)?))
}
