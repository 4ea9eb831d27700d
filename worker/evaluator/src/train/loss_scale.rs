//! What losses are multiplied with in mixed precision, so that small gradients do not vanish in half
//! precision (Micikevicius et al., ICLR 2018): halved after a step whose gradients overflow, doubled
//! after many that do not.
//!
//! Must not know gradients.

use crate::failure::EvaluationError;

const FIRST: f64 = 65_536.0;
const LARGEST: f64 = 16_777_216.0;
/// Below this no gradient that overflows is the factor's fault.
const SMALLEST: f64 = 1.0 / 1024.0;
/// So many good steps in a row double it.
const PATIENCE: u32 = 2_000;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LossScale {
    factor: f64,
    good: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { factor: FIRST, good: 0 }
    }
}

impl LossScale {
    pub(super) fn factor(&self) -> f64 {
        self.factor
    }

    /// Learns whether the gradients of a step were finite.
    ///
    /// # Errors
    /// [`EvaluationError::NonFinite`] if they are not, whatever the factor.
    pub(super) fn adapt(&mut self, finite: bool) -> Result<(), EvaluationError> {
        if finite {
            self.good += 1;
            if self.good == PATIENCE {
                *self = Self { factor: (2.0 * self.factor).min(LARGEST), good: 0 };
            }
            return Ok(());
        }
        *self = Self { factor: self.factor / 2.0, good: 0 };
        if self.factor < SMALLEST {
            return Err(EvaluationError::NonFinite(
                "gradients are not finite in half precision; `precision: f32` or a lower learning \
                 rate may help"
                    .into(),
            ));
        }
        Ok(())
    }

    pub(super) fn state(&self) -> (f64, u32) {
        (self.factor, self.good)
    }

    pub(super) fn from_state((factor, good): (f64, u32)) -> Self {
        Self { factor, good }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_at_once_and_doubles_in_time() {
        let mut scale = LossScale::default();
        scale.adapt(false).unwrap();
        assert_eq!(scale.factor(), FIRST / 2.0);
        for _ in 0..PATIENCE {
            scale.adapt(true).unwrap();
        }
        assert_eq!(scale.factor(), FIRST);
        for _ in 0..20 * PATIENCE {
            scale.adapt(true).unwrap();
        }
        assert_eq!(scale.factor(), LARGEST);
        assert_eq!(LossScale::from_state(scale.state()), scale);
    }

    #[test]
    fn gradients_that_are_never_finite_are_a_failure() {
        let mut scale = LossScale::default();
        let failed = (0..100).find_map(|_| scale.adapt(false).err());
        assert!(matches!(failed, Some(EvaluationError::NonFinite(_))));
    }
}
