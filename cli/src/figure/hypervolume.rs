//! The hypervolume over the evaluations, against the campaign's reference point.
//!
//! Recomputed from the candidates in the order of their resolution, so that the picture needs no
//! history beyond the candidates themselves.
//!
//! Must not know how a front or a volume is computed.

use serde::Serialize;

use super::axis::Axis;
use super::color;
use super::front::{draw_across_labels, draw_frame, draw_up_labels, place};
use super::svg::{Anchor, Area, Document, Font, wrap};
use crate::growing_volume::GrowingVolume;
use crate::present::{heading, number, summary};
use crate::results::{Campaign, Candidate, Metric};

const WIDTH: f64 = 640.0;
const PANEL_HEIGHT: f64 = 320.0;
const LEFT: f64 = 96.0;
const MARGIN: f64 = 18.0;

/// A point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Step {
    /// Evaluations that had ended, well or not.
    pub(crate) evaluations: u32,
    /// The hypervolume from then on.
    pub(crate) hypervolume: f64,
}

/// The steps of the hypervolume from 0 evaluations to the last; empty while the reference point
/// is not fixed. Steps without a change are left out, but for the first and the last.
pub(crate) fn steps(campaign: &Campaign, candidates: &[Candidate]) -> Vec<Step> {
    let objectives: Vec<Metric> = campaign.objectives().cloned().collect();
    if campaign.reference_point.len() != objectives.len() || objectives.is_empty() {
        return Vec::new();
    }
    let minimized = |values: &[f64]| -> Vec<f64> {
        objectives.iter().zip(values).map(|(metric, value)| metric.goal.minimized(*value)).collect()
    };
    let reference = minimized(&campaign.reference_point);
    // Rejected before any evaluation: such a candidate cost nothing.
    let evaluated = |candidate: &&Candidate| {
        let entered = candidate.attempts > 0 || !candidate.cached.is_empty();
        entered && candidate.resolved_at.is_some()
    };
    let mut resolved: Vec<_> = candidates.iter().filter(evaluated).collect();
    resolved.sort_by_key(|candidate| (candidate.resolved_at, candidate.ordinal));

    let mut growing = GrowingVolume::new(reference);
    let mut steps = vec![Step { evaluations: 0, hypervolume: 0.0 }];
    let mut current = 0.0;
    for (evaluations, candidate) in (1..).zip(&resolved) {
        let Some(values) = candidate.values(&objectives).filter(|_| candidate.is_feasible()) else {
            continue;
        };
        if let Some(volume) = growing.insert(candidate.ordinal, &minimized(&values)) {
            current = volume;
            steps.push(Step { evaluations, hypervolume: current });
        }
    }
    let last = resolved.len() as u32;
    if steps.last().is_some_and(|step| step.evaluations < last) {
        steps.push(Step { evaluations: last, hypervolume: current });
    }
    steps
}

/// The curve through [`steps`] as SVG.
pub(crate) fn svg(campaign: &Campaign, steps: &[Step]) -> String {
    let note = Font { size: 11.0, color: color::FAINT_INK };
    let lines = wrap(&summary::hypervolume(campaign), note.size, WIDTH - 2.0 * MARGIN);
    let top = 56.0 + lines.len() as f64 * (note.size + 5.0);
    let area = Area { left: LEFT, top, width: WIDTH - LEFT - 24.0, height: PANEL_HEIGHT };
    let mut document = Document::new(WIDTH, top + PANEL_HEIGHT + 62.0);
    let title = Font { size: 17.0, color: color::INK };
    let heading = format!("{}: hypervolume over evaluations", campaign.name);
    document.text((MARGIN, 32.0), Anchor::Start, title, &heading);
    for (at, line) in lines.iter().enumerate() {
        let y = 54.0 + at as f64 * (note.size + 5.0);
        document.text((MARGIN, y), Anchor::Start, note, line);
    }

    let evaluations = steps.last().map_or(1, |step| step.evaluations.max(1));
    let across = Axis::from_zero([f64::from(evaluations)], 7);
    let up = Axis::from_zero(steps.iter().map(|step| step.hypervolume), 6);
    draw_frame(&mut document, area, &across, &up);
    let unit = heading::product_unit(campaign.objectives());
    let label = if unit.is_empty() { String::new() } else { format!(" [{unit}]") };
    draw_up_labels(&mut document, area, &up, &format!("hypervolume{label} (better →)"));
    draw_across_labels(&mut document, area, &across, "finished evaluations");

    let at = |step: &Step, hypervolume: f64| {
        place(area, &across, &up, f64::from(step.evaluations), hypervolume)
    };
    let mut stairs = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        if let Some(before) = index.checked_sub(1).map(|before| steps[before]) {
            stairs.push(at(step, before.hypervolume));
        }
        stairs.push(at(step, step.hypervolume));
    }
    let stroke = format!("fill=\"none\" stroke=\"{}\" stroke-width=\"2\"", color::FRONT);
    document.polyline(&stairs, &stroke);
    if let Some(last) = steps.last() {
        let (x, y) = at(last, last.hypervolume);
        document.disc((x, y), 3.5, &format!("fill=\"{}\"", color::FRONT));
        let ink = Font { size: 12.0, color: color::INK };
        let below = y < area.top + 28.0;
        let baseline = if below { y + 25.0 } else { y - 9.0 };
        document.text((x, baseline), Anchor::End, ink, &number::alone(last.hypervolume));
    } else {
        super::front::draw_sentence(&mut document, area, "no reference point yet");
    }
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{CandidateStatus, examples};

    fn example() -> (Campaign, Vec<Candidate>) {
        let metrics = examples::metrics()[..2].to_vec();
        let mut campaign = examples::campaign(metrics);
        campaign.reference_point = vec![10.0, 20.0];
        campaign.hypervolume = Some(0.0);
        let scored = |ordinal, accuracy, latency| {
            examples::candidate(ordinal, &[("accuracy", accuracy), ("latency", latency)])
        };
        let failed = Candidate { status: CandidateStatus::Failed, ..examples::candidate(2, &[]) };
        let unpaid = Candidate { attempts: 0, ..examples::candidate(3, &[]) };
        let broken = Candidate { violation: 1.0, ..scored(5, 99.0, 1.0) };
        let candidates = vec![
            scored(1, 50.0, 10.0),
            failed,
            unpaid,
            scored(4, 60.0, 5.0),
            broken,
            scored(6, 20.0, 19.0),
        ];
        (campaign, candidates)
    }

    #[test]
    fn the_curve_counts_every_evaluation_and_only_feasible_gains() {
        let (campaign, candidates) = example();
        let step = |evaluations, hypervolume| Step { evaluations, hypervolume };
        // Candidate 1: 40 % x 10 ms; candidate 4 dominates it: 50 % x 15 ms.
        let expected = [step(0, 0.0), step(1, 400.0), step(3, 750.0), step(5, 750.0)];
        assert_eq!(steps(&campaign, &candidates), expected);
    }

    #[test]
    fn the_order_of_resolution_counts_not_that_of_proposal() {
        let (campaign, mut candidates) = example();
        candidates[0].resolved_at =
            candidates[5].resolved_at.map(|at| crate::results::Instant(at.0 + 9));
        let found = steps(&campaign, &candidates);
        assert_eq!(found[1], Step { evaluations: 2, hypervolume: 750.0 });
    }

    #[test]
    fn without_a_reference_point_there_is_no_curve() {
        let (mut campaign, candidates) = example();
        campaign.reference_point.clear();
        assert_eq!(steps(&campaign, &candidates), []);
        assert!(svg(&campaign, &[]).contains("no reference point yet"));
    }

    #[test]
    fn the_figure_is_text() {
        let (campaign, candidates) = example();
        insta::assert_snapshot!(svg(&campaign, &steps(&campaign, &candidates)));
    }
}
