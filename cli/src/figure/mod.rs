//! Figures: a front as a scatter matrix, the hypervolume over evaluations; SVG text, and PNG
//! through an embedded font, so that a picture is the same on every machine.
//!
//! Pure functions from values to text or pixels. Must not know files or the coordinator.

mod axis;
pub(crate) mod convergence;
pub(crate) mod correlation;
pub(crate) mod front;
mod history;
pub(crate) mod hypervolume;
pub(crate) mod png;
mod svg;

/// Blue, vermilion and grey of Okabe and Ito's palette, distinct under colour blindness.
mod color {
    pub(super) const DOMINATED: &str = "#0072b2";
    pub(super) const FRONT: &str = "#d55e00";
    pub(super) const INFEASIBLE: &str = "#8a8a8a";
    pub(super) const INK: &str = "#222222";
    pub(super) const FAINT_INK: &str = "#666666";
    pub(super) const FRAME: &str = "#9a9a9a";
    pub(super) const GRID: &str = "#e6e6e6";
}
