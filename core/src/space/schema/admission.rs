//! What is asked of new declarations alone. One that a journal keeps was accepted once, and has to be read by
//! every later release, whatever is demanded since. It must not know what makes genes meaningless: that is asked
//! of all, by `compile`.

use super::compile::{fault, join};
use super::gene::{Gene, GeneKind, SchemaError};
use super::text::EMPTY;

/// Whether a declaration is new, or was accepted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Somebody asks for it now.
    New,
    /// A journal keeps it.
    Kept,
}

/// Refuses genes that make sense and work badly.
///
/// # Errors
/// [`SchemaError`] at the first such gene.
pub(super) fn check(genes: &[Gene], path: &str) -> Result<(), SchemaError> {
    genes.iter().try_for_each(|gene| check_gene(&gene.kind, &join(path, &gene.name)))
}

fn check_gene(kind: &GeneKind, path: &str) -> Result<(), SchemaError> {
    match kind {
        // All places on the grid of a real gene are different numbers from there on.
        GeneKind::Real { low, high, .. }
            if (*high - *low) < low.abs().max(high.abs()) / f64::from(1 << 20) =>
        {
            let reason = format!("has too narrow a range from {low} to {high}");
            let help = "declare the distance from the lowest, and add that where it is used";
            Err(fault(path, reason, help))
        }
        GeneKind::Subset { of: names, .. }
        | GeneKind::Edges { labels: names, .. }
        | GeneKind::Dag { labels: names, .. }
            if names.iter().any(|name| **name == *EMPTY) =>
        {
            let reason =
                format!("has the name `{EMPTY}`, which is how a list without any is written");
            Err(fault(path, reason, "give it another name"))
        }
        GeneKind::Switch { arms } => {
            arms.iter().try_for_each(|(name, genes)| check(genes, &join(path, name)))
        }
        GeneKind::Repeat { body, .. } => check(body, path),
        GeneKind::Real { .. }
        | GeneKind::Subset { .. }
        | GeneKind::Edges { .. }
        | GeneKind::Dag { .. }
        | GeneKind::Integer { .. }
        | GeneKind::Categorical { .. }
        | GeneKind::Boolean
        | GeneKind::Parents { .. }
        | GeneKind::Tied { .. } => Ok(()),
    }
}
