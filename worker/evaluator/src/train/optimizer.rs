//! Optimizers, and what is done to gradients before they are followed.
//!
//! SGD is libtorch's own. `tch` does not hand out its momentum, so [`Optimizer::state`] reads it off a
//! step that shows it: with all weights and gradients 0, momentum 1 and learning rate -1 a step sets
//! each weight to exactly its momentum, and changes nothing else. AdamW is written out here, as
//! PyTorch has it (Loshchilov & Hutter, ICLR 2019). Must not know losses.

use std::collections::BTreeMap;

use cambrian_core::spec::{OptimizerKind, TrainSettings};
use tch::nn::{OptimizerConfig, Sgd, VarStore};
use tch::{TchError, Tensor};

/// The group of variables that batch normalisation learns, and of biases.
pub(crate) const NORM_AND_BIAS: usize = 1;

/// Follows gradients.
#[derive(Debug)]
pub(super) struct Optimizer {
    /// What is trained, by name.
    weights: BTreeMap<String, Tensor>,
    clip_norm: Option<f64>,
    method: Method,
}

#[derive(Debug)]
enum Method {
    Sgd { inner: Box<tch::nn::Optimizer>, momentum: f64 },
    AdamW(AdamW),
}

impl Optimizer {
    /// The optimizer of `settings` for all that can be trained in `store`.
    pub(super) fn new(store: &VarStore, settings: &TrainSettings) -> Result<Self, TchError> {
        let weights: BTreeMap<_, _> =
            store.variables().into_iter().filter(|(_, value)| value.requires_grad()).collect();
        let decay = settings.weight_decay;
        let exempt = if settings.decay_norm_and_bias { decay } else { 0.0 };
        let method = match settings.optimizer {
            OptimizerKind::Sgd => {
                let descent = Sgd {
                    momentum: settings.momentum,
                    dampening: 0.0,
                    wd: decay,
                    nesterov: settings.nesterov,
                };
                let mut inner = Box::new(descent.build(store, settings.learning_rate)?);
                if exempt != decay {
                    inner.set_weight_decay_group(NORM_AND_BIAS, exempt);
                }
                Method::Sgd { inner, momentum: settings.momentum }
            }
            OptimizerKind::AdamW => {
                let decays = weights.iter().map(|(name, weight)| {
                    let plain = weight.dim() > 1;
                    (name.clone(), if plain { decay } else { exempt })
                });
                Method::AdamW(AdamW::new(settings, &weights, decays.collect())?)
            }
        };
        Ok(Self { weights, clip_norm: settings.clip_norm, method })
    }

    /// Forgets the gradients of the last step.
    pub(super) fn zero_grad(&mut self) {
        for weight in self.weights.values_mut() {
            weight.zero_grad();
        }
    }

    /// Multiplies all gradients with `factor`; whether all of them are finite then.
    pub(super) fn scale_gradients(&self, factor: f64) -> Result<bool, TchError> {
        let _guard = tch::no_grad_guard();
        let mut finite = true;
        for mut gradient in self.gradients() {
            let _ = gradient.f_mul_scalar_(factor)?;
            finite &= gradient.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0;
        }
        Ok(finite)
    }

    /// Follows the gradients with the learning rate `rate`.
    pub(super) fn step(&mut self, rate: f64) -> Result<(), TchError> {
        if let Some(limit) = self.clip_norm {
            clip(&self.gradients(), limit)?;
        }
        match &mut self.method {
            Method::Sgd { inner, .. } => {
                inner.set_lr(rate);
                inner.step();
                Ok(())
            }
            Method::AdamW(adam) => adam.step(&self.weights, rate),
        }
    }

    fn gradients(&self) -> Vec<Tensor> {
        self.weights.values().map(Tensor::grad).filter(Tensor::defined).collect()
    }

    /// What it remembers of earlier steps, by name; the weights stay as they are, gradients are 0
    /// afterwards.
    pub(super) fn state(&mut self) -> Result<BTreeMap<String, Tensor>, TchError> {
        match &mut self.method {
            Method::AdamW(adam) => adam.state(),
            Method::Sgd { momentum: 0.0, .. } => Ok(BTreeMap::new()),
            Method::Sgd { inner, momentum } => {
                let _guard = tch::no_grad_guard();
                let kept = copies(&self.weights)?;
                for weight in self.weights.values_mut() {
                    weight.zero_grad();
                    let _ = weight.f_zero_()?;
                }
                inner.set_momentum(1.0);
                inner.set_lr(-1.0);
                inner.step();
                inner.set_momentum(*momentum);
                let read = copies(&self.weights)?;
                restore(&self.weights, &kept)?;
                Ok(read.into_iter().map(|(name, value)| (momentum_of(&name), value)).collect())
            }
        }
    }

    /// Remembers what [`Self::state`] has put out, `steps` steps after the beginning. To be called
    /// before the first step.
    pub(super) fn recall(
        &mut self,
        state: &BTreeMap<String, Tensor>,
        steps: u64,
    ) -> Result<(), TchError> {
        match &mut self.method {
            Method::AdamW(adam) => adam.recall(state, steps),
            Method::Sgd { momentum: 0.0, .. } => Ok(()),
            Method::Sgd { inner, .. } => {
                // The first step makes the gradient its momentum; the gradient of the sum of weight
                // times value is the value.
                let kept = {
                    let _guard = tch::no_grad_guard();
                    let kept = copies(&self.weights)?;
                    for weight in self.weights.values_mut() {
                        let _ = weight.f_zero_()?;
                    }
                    kept
                };
                for (name, weight) in &self.weights {
                    let value = state[&momentum_of(name)].f_to_device(weight.device())?;
                    weight.f_mul(&value)?.f_sum(weight.kind())?.f_backward()?;
                }
                inner.set_lr(0.0);
                inner.step();
                let _guard = tch::no_grad_guard();
                restore(&self.weights, &kept)?;
                self.zero_grad();
                Ok(())
            }
        }
    }

    /// The names and sizes of what [`Self::state`] puts out.
    pub(super) fn state_sizes(&self) -> BTreeMap<String, Vec<i64>> {
        let sizes = self.weights.iter().map(|(name, weight)| (name.as_str(), weight.size()));
        match &self.method {
            Method::Sgd { momentum: 0.0, .. } => BTreeMap::new(),
            Method::Sgd { .. } => sizes.map(|(name, size)| (momentum_of(name), size)).collect(),
            Method::AdamW(_) => sizes
                .flat_map(|(name, size)| moments_of(name).map(|name| (name, size.clone())))
                .collect(),
        }
    }
}

fn momentum_of(name: &str) -> String {
    format!("momentum/{name}")
}

fn moments_of(name: &str) -> [String; 2] {
    ["first", "second"].map(|moment| format!("{moment}/{name}"))
}

fn copies(weights: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>, TchError> {
    weights.iter().map(|(name, weight)| Ok((name.clone(), weight.f_detach_copy()?))).collect()
}

/// The values `from` again in `weights`; gradients are not recorded.
fn restore(
    weights: &BTreeMap<String, Tensor>,
    from: &BTreeMap<String, Tensor>,
) -> Result<(), TchError> {
    weights.iter().try_for_each(|(name, weight)| weight.shallow_clone().f_copy_(&from[name]))
}

/// Scales `gradients` down to the norm `limit` of all together if it is larger, as PyTorch's
/// `clip_grad_norm_` does.
fn clip(gradients: &[Tensor], limit: f64) -> Result<(), TchError> {
    let _guard = tch::no_grad_guard();
    let norms =
        gradients.iter().map(|gradient| gradient.f_norm()).collect::<Result<Vec<_>, _>>()?;
    if norms.is_empty() {
        return Ok(());
    }
    let total = Tensor::f_stack(&norms, 0)?.f_norm()?;
    let factor = total.f_add_scalar(1e-6)?.f_reciprocal()?.f_mul_scalar(limit)?.f_clamp_max(1.0)?;
    for gradient in gradients {
        let _ = gradient.shallow_clone().f_mul_(&factor)?;
    }
    Ok(())
}

/// Adam with decoupled weight decay.
#[derive(Debug)]
struct AdamW {
    betas: [f64; 2],
    epsilon: f64,
    /// The decay of each weight, by its name.
    decays: BTreeMap<String, f64>,
    /// First and second moment of each weight's gradient, by its name.
    moments: BTreeMap<String, [Tensor; 2]>,
    steps: u64,
}

impl AdamW {
    fn new(
        settings: &TrainSettings,
        weights: &BTreeMap<String, Tensor>,
        decays: BTreeMap<String, f64>,
    ) -> Result<Self, TchError> {
        let zeros = |(name, weight): (&String, &Tensor)| {
            let weight = weight.detach();
            Ok((name.clone(), [weight.f_zeros_like()?, weight.f_zeros_like()?]))
        };
        let moments = weights.iter().map(zeros).collect::<Result<_, TchError>>()?;
        let TrainSettings { betas, epsilon, .. } = *settings;
        Ok(Self { betas, epsilon, decays, moments, steps: 0 })
    }

    fn step(&mut self, weights: &BTreeMap<String, Tensor>, rate: f64) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        self.steps += 1;
        let steps = self.steps as f64;
        let [first_bias, second_bias] = self.betas.map(|beta| 1.0 - beta.powf(steps));
        for (name, weight) in weights {
            let (gradient, mut weight) = (weight.grad(), weight.shallow_clone());
            if !gradient.defined() {
                continue;
            }
            let Some([first, second]) = self.moments.get_mut(name) else { continue };
            let decay = self.decays.get(name).copied().unwrap_or(0.0);
            if decay != 0.0 {
                let _ = weight.f_mul_scalar_(1.0 - rate * decay)?;
            }
            let _ = first.f_lerp_(&gradient, 1.0 - self.betas[0])?;
            let _ = second.f_mul_scalar_(self.betas[1])?;
            let _ = second.f_addcmul_(&gradient, &gradient.f_mul_scalar(1.0 - self.betas[1])?)?;
            let root = second.f_sqrt()?.f_div_scalar(second_bias.sqrt())?;
            let divisor = root.f_add_scalar(self.epsilon)?;
            let change = first.f_div(&divisor)?.f_mul_scalar(rate / first_bias)?;
            let _ = weight.f_sub_(&change)?;
        }
        Ok(())
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>, TchError> {
        let both = self
            .moments
            .iter()
            .flat_map(|(name, moments)| moments_of(name).into_iter().zip(moments));
        both.map(|(name, moment)| Ok((name, moment.f_detach_copy()?))).collect()
    }

    fn recall(&mut self, state: &BTreeMap<String, Tensor>, steps: u64) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        self.steps = steps;
        for (name, moments) in &mut self.moments {
            for (name, moment) in moments_of(name).into_iter().zip(moments) {
                moment.f_copy_(&state[&name])?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
