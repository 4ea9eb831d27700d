//! Initial weights that a stage can ask for. It must not know how they are drawn.

use serde::{Deserialize, Serialize};

/// The initial weights of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitialWeights {
    /// PyTorch's: uniform in +-1/sqrt(fan-in).
    #[default]
    Uniform,
    /// An orthogonal matrix at the centre of each kernel and zeros around it (Xiao et al., ICML 2018);
    /// experimental.
    DeltaOrthogonal,
}
