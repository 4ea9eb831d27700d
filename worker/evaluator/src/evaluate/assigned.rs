//! What an evaluator reads of its assignment, and whether it fits: settings, network, images.
//!
//! Must not know what is measured.

use cambrian_core::engine::Assignment;
use cambrian_core::graph::{Graph, Shape};
use serde::Deserialize;

use crate::data::DatasetEntry;
use crate::failure::EvaluationError;

/// The settings of the assignment's stage, as the evaluator called `evaluator` writes them.
///
/// # Errors
/// [`EvaluationError::Invalid`] if they are those of something else.
pub(super) fn settings<'a, T: Deserialize<'a>>(
    assignment: &'a Assignment,
    evaluator: &str,
) -> Result<T, EvaluationError> {
    T::deserialize(assignment.stage.settings.as_ref()).map_err(|error| {
        EvaluationError::Invalid(format!(
            "the settings of stage `{}` are not those of the evaluator `{evaluator}`: {error}",
            assignment.stage.name
        ))
    })
}

/// The assignment's network; `purpose` completes "this evaluator ...".
///
/// # Errors
/// [`EvaluationError::Invalid`] if it has none.
pub(super) fn graph<'a>(
    assignment: &'a Assignment,
    purpose: &str,
) -> Result<&'a Graph, EvaluationError> {
    assignment.graph.as_deref().ok_or_else(|| {
        EvaluationError::Invalid(format!(
            "the assignment has no network, and this evaluator {purpose}"
        ))
    })
}

/// The network takes the images of a data set and tells its classes apart.
///
/// # Errors
/// [`EvaluationError::Invalid`] if it does not.
pub(super) fn check_images(graph: &Graph, entry: &DatasetEntry) -> Result<(), EvaluationError> {
    if graph.input_shape() != entry.shape() {
        return Err(EvaluationError::Invalid(format!(
            "the network takes {}, but images of {} are {}",
            graph.input_shape(),
            entry.name,
            entry.shape()
        )));
    }
    let classes = Shape::Vector { features: entry.classes };
    if graph.output_shape() != classes {
        return Err(EvaluationError::Invalid(format!(
            "the network puts out {}, but {} has {} classes",
            graph.output_shape(),
            entry.name,
            entry.classes
        )));
    }
    Ok(())
}

/// Refuses weights that cannot fit before they are drawn, rather than being killed half-way;
/// `memory_bytes` is the device's, 0 if unknown.
///
/// # Errors
/// [`EvaluationError::OutOfMemory`] if they do not fit.
pub(super) fn check_memory(
    graph: &Graph,
    bytes_per_parameter: u64,
    memory_bytes: u64,
) -> Result<(), EvaluationError> {
    let needed = graph.params().saturating_mul(bytes_per_parameter);
    if memory_bytes > 0 && needed > memory_bytes {
        return Err(EvaluationError::OutOfMemory(format!(
            "the weights and gradients of {} parameters need at least {needed} bytes, the device \
             has {memory_bytes}",
            graph.params()
        )));
    }
    Ok(())
}
