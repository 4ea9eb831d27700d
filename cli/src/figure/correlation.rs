//! Scores against a metric: one scatter plot a score, the score by its rank.
//!
//! Ranks, because scores differ by many orders of magnitude and their order is what counts. Must not
//! know how a correlation is computed.

use super::axis::Axis;
use super::color;
use super::front::{draw_across_labels, draw_frame, draw_up_labels, place};
use super::svg::{Anchor, Area, Document, Font};

const COLUMNS: usize = 3;
const PANEL_WIDTH: f64 = 300.0;
const PANEL_HEIGHT: f64 = 290.0;
const TOP: f64 = 52.0;
/// More points than this are drawn fainter.
const MANY: usize = 500;

/// The plot of one score.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) note: String,
    /// Score and target.
    pub(crate) pairs: Vec<(f64, f64)>,
}

/// The figure as SVG.
pub(crate) fn svg(target: &str, panels: &[Panel]) -> String {
    let columns = panels.len().clamp(1, COLUMNS);
    let rows = panels.len().div_ceil(columns).max(1);
    let size = (columns as f64 * PANEL_WIDTH + 20.0, TOP + rows as f64 * PANEL_HEIGHT);
    let mut document = Document::new(size.0, size.1);
    let title = Font { size: 17.0, color: color::INK };
    document.text((18.0, 32.0), Anchor::Start, title, &format!("Scores against {target}"));
    for (at, panel) in panels.iter().enumerate() {
        let corner = ((at % columns) as f64 * PANEL_WIDTH, (at / columns) as f64 * PANEL_HEIGHT);
        draw_panel(&mut document, (corner.0, TOP + corner.1), target, panel);
    }
    document.finish()
}

fn draw_panel(document: &mut Document, corner: (f64, f64), target: &str, panel: &Panel) {
    let area = Area {
        left: corner.0 + 72.0,
        top: corner.1 + 40.0,
        width: PANEL_WIDTH - 72.0 - 8.0,
        height: PANEL_HEIGHT - 40.0 - 62.0,
    };
    let middle = area.left + area.width / 2.0;
    let name = Font { size: 13.0, color: color::INK };
    let note = Font { size: 10.5, color: color::FAINT_INK };
    document.text((middle, corner.1 + 16.0), Anchor::Middle, name, &panel.title);
    document.text((middle, corner.1 + 32.0), Anchor::Middle, note, &panel.note);
    let across = Axis::from_zero([100.0], 5);
    let up = Axis::over(panel.pairs.iter().map(|pair| pair.1), 5);
    draw_frame(document, area, &across, &up);
    draw_up_labels(document, area, &up, target);
    draw_across_labels(document, area, &across, "rank of the score [%]");
    let opacity = if panel.pairs.len() > MANY { 0.15 } else { 0.5 };
    document.open(&format!("fill=\"{}\" fill-opacity=\"{opacity}\"", color::DOMINATED));
    for (rank, value) in ranked(&panel.pairs) {
        document.disc(place(area, &across, &up, rank, value), 2.2, "");
    }
    document.close();
}

/// The rank of each score in percent, with its target; ties in the order of their targets.
fn ranked(pairs: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let last = sorted.len().saturating_sub(1).max(1) as f64;
    (0..).zip(sorted).map(|(at, (_, value))| (100.0 * f64::from(at) / last, value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_score_has_its_panel_and_every_pair_its_point() {
        let panel = |title: &str| Panel {
            title: title.to_owned(),
            note: "ρ 0.500".to_owned(),
            pairs: vec![(1e40, 3.0), (-2.0, 1.0), (f64::MAX, 2.0)],
        };
        let svg =
            svg("accuracy_percent", &[panel("synflow"), panel("zen"), panel("a"), panel("b")]);
        for text in ["Scores against accuracy_percent", ">synflow<", ">zen<", "ρ 0.500"] {
            assert!(svg.contains(text), "{text}");
        }
        assert_eq!(svg.matches("<circle").count(), 12);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn ranks_run_from_0_to_100_percent() {
        let ranked = ranked(&[(5.0, 1.0), (3.0, 2.0), (9.0, 0.5)]);
        assert_eq!(ranked, [(0.0, 2.0), (50.0, 1.0), (100.0, 0.5)]);
        assert_eq!(super::ranked(&[(5.0, 1.0)]), [(0.0, 1.0)]);
    }
}
