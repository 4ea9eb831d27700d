//! `naswot`: the logarithm of the determinant of the kernel of activation patterns (Mellor et al.,
//! ICML 2021). `K_ij` is the number of ReLU units minus the Hamming distance of the patterns of
//! images `i` and `j`.
//!
//! Networks with ReLUs alone. Minus infinity where two images have the same pattern. Must not
//! know which ReLUs there are, nor labels.

use tch::{Kind, Tensor};

use super::Probe;
use super::patterns::{Pattern, patterns};
use crate::failure::EvaluationError;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    let (images, _) = probe.batch(0)?;
    let network = probe.network()?;
    let patterns = patterns("naswot", probe.graph(), &network, &images)?;
    log_determinant(&kernel(&patterns)?)
}

/// The kernel, `[samples, samples]`, 64-bit; every entry is a whole number.
pub(super) fn kernel(patterns: &[Pattern]) -> Result<Tensor, EvaluationError> {
    let samples = patterns.first().map_or(0, |pattern| pattern.active.size()[0]);
    let device = patterns.first().map_or(tch::Device::Cpu, |pattern| pattern.active.device());
    let mut kernel = Tensor::f_zeros([samples, samples], (Kind::Double, device))?;
    for Pattern { active, copies } in patterns {
        let units = active.size()[1];
        // Single precision counts exactly up to 2^24.
        let kind = if units < 1 << 24 { Kind::Float } else { Kind::Double };
        let active = active.f_to_kind(kind)?;
        let both = active.f_matmul(&active.f_transpose(0, 1)?)?.f_to_kind(Kind::Double)?;
        // Units in equal states: all, minus those active in one of the two images alone.
        let counts = both.f_diagonal(0, 0, 1)?;
        let equal = both.f_mul_scalar(2.0)?.f_add_scalar(units as f64)?;
        let equal = equal.f_sub(&counts.f_unsqueeze(0)?)?.f_sub(&counts.f_unsqueeze(1)?)?;
        kernel = kernel.f_add(&equal.f_mul_scalar(i64::from(*copies))?)?;
    }
    Ok(kernel)
}

/// Minus infinity if two rows are equal: rounding would make a number of their determinant.
pub(super) fn log_determinant(kernel: &Tensor) -> Result<f64, EvaluationError> {
    let samples = kernel.size()[0];
    let units = kernel.f_diagonal(0, 0, 1)?.f_max()?;
    let equal = kernel.f_eq_tensor(&units)?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    if equal > samples {
        return Ok(f64::NEG_INFINITY);
    }
    let (sign, logarithm) = Tensor::f_linalg_slogdet(kernel)?;
    if sign.f_double_value(&[])? <= 0.0 {
        return Ok(f64::NEG_INFINITY);
    }
    Ok(logarithm.f_double_value(&[])?)
}
