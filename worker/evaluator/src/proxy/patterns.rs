//! Activation patterns: which ReLUs of a network are active for which sample.
//!
//! Only ReLUs that reach the output are executed and counted. ReLUs that read the same value have
//! the same pattern; it is handed out once, with their number.
//! Must not know what a score makes of them.

use std::collections::BTreeMap;

use cambrian_core::graph::{Graph, NodeId, Op};
use tch::Tensor;

use crate::failure::EvaluationError;
use crate::network::{Mode, Network};

/// The pattern of all ReLUs that read one value.
pub(super) struct Pattern {
    /// Whether each is active, `[samples, units]`.
    pub(super) active: Tensor,
    /// How many ReLUs read the value.
    pub(super) copies: u32,
}

/// The patterns of `network` on `images`, with the statistics of the batch.
///
/// # Errors
/// [`EvaluationError::NotApplicable`] if no ReLU reaches the output; those of the forward pass.
pub(super) fn patterns(
    metric: &'static str,
    graph: &Graph,
    network: &Network,
    images: &Tensor,
) -> Result<Vec<Pattern>, EvaluationError> {
    let _guard = tch::no_grad_guard();
    let mut found: BTreeMap<NodeId, Pattern> = BTreeMap::new();
    let _ = network.forward_observed(images, Mode::Train, &mut |node, op, output| {
        if op == Op::Relu {
            let read = graph.node(node).inputs[0];
            match found.get_mut(&read) {
                Some(pattern) => pattern.copies += 1,
                None => {
                    let active = output.f_gt(0.0)?.f_flatten(1, -1)?;
                    found.insert(read, Pattern { active, copies: 1 });
                }
            }
        }
        Ok(())
    })?;
    if found.is_empty() {
        return Err(EvaluationError::NotApplicable {
            metric,
            reason: "no ReLU of the network reaches its output".to_owned(),
        });
    }
    Ok(found.into_values().collect())
}
