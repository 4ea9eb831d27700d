//! One objective over the order of evaluation, with the best value so far as a staircase.
//!
//! Serves campaigns with a single objective, whose front would be a point.
//!
//! Must not know how frames, marks and labels are drawn: `front` does.

use super::axis::Axis;
use super::color;
use super::front::{
    Head, axis_label, draw_across_labels, draw_empty, draw_frame, draw_marks, draw_up_labels, place,
};
use super::svg::{Area, Document};
use crate::results::{Campaign, Candidate, Metric};

const WIDTH: f64 = 700.0;
const PANEL_HEIGHT: f64 = 380.0;
const LEFT: f64 = 88.0;

/// The figure as SVG.
pub(super) fn svg(
    head: &Head,
    metric: &Metric,
    campaign: &Campaign,
    candidates: &[Candidate],
) -> String {
    let mut resolved: Vec<_> = candidates
        .iter()
        .filter_map(|candidate| {
            Some((candidate.resolved_at?, candidate, candidate.value(metric.name.raw())?))
        })
        .collect();
    resolved.sort_by_key(|(at, candidate, _)| (*at, candidate.ordinal));

    let top = head.height(WIDTH);
    let area = Area { left: LEFT, top, width: WIDTH - LEFT - 24.0, height: PANEL_HEIGHT };
    let across = Axis::from_zero(
        [f64::from(campaign.evaluations_budget.min(resolved.len().max(1) as u32))],
        6,
    );
    let up = Axis::over(resolved.iter().map(|(_, _, value)| *value), 6);
    let mut document = Document::new(WIDTH, top + PANEL_HEIGHT + 62.0);
    head.draw(&mut document, WIDTH);
    draw_frame(&mut document, area, &across, &up);
    draw_up_labels(&mut document, area, &up, &axis_label(metric));
    draw_across_labels(&mut document, area, &across, "candidates in order of evaluation");

    let mut marks = Vec::new();
    let mut best: Option<f64> = None;
    let mut stairs: Vec<(f64, f64)> = Vec::new();
    for (order, (_, candidate, value)) in resolved.iter().enumerate() {
        let x = (order + 1) as f64;
        marks.push((super::front::class_of(candidate), place(area, &across, &up, x, *value)));
        let improves =
            best.is_none_or(|best| metric.goal.minimized(*value) < metric.goal.minimized(best));
        if candidate.is_feasible() && improves {
            if let Some(best) = best {
                stairs.push(place(area, &across, &up, x, best));
            }
            stairs.push(place(area, &across, &up, x, *value));
            best = Some(*value);
        }
    }
    if let Some(best) = best {
        stairs.push(place(area, &across, &up, resolved.len() as f64, best));
    }
    let stroke = format!(
        "fill=\"none\" stroke=\"{}\" stroke-width=\"1.4\" stroke-opacity=\"0.8\"",
        color::FRONT
    );
    document.polyline(&stairs, &stroke);
    draw_marks(&mut document, &marks);
    if marks.is_empty() {
        draw_empty(&mut document, area);
    }
    document.finish()
}
