//! A curve with its spread over seeds, such as missing hypervolume over evaluations. Must not know
//! what is drawn.

use super::axis::Axis;
use super::color;
use super::front::{draw_across_labels, draw_frame, draw_up_labels, place};
use super::svg::{Anchor, Area, Document, Font};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 420.0;
const TOP: f64 = 56.0;

/// A point of the curve: the mean over seeds and its standard deviation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Band {
    pub(crate) at: f64,
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

/// A curve with its labels.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    pub(crate) title: String,
    pub(crate) across: String,
    pub(crate) up: String,
    pub(crate) bands: Vec<Band>,
}

/// The curve as SVG: the mean as a line, one standard deviation to each side as a band.
pub(crate) fn svg(curve: &Curve) -> String {
    let area =
        Area { left: 84.0, top: TOP, width: WIDTH - 84.0 - 24.0, height: HEIGHT - TOP - 62.0 };
    let mut document = Document::new(WIDTH, HEIGHT);
    let title = Font { size: 17.0, color: color::INK };
    document.text((18.0, 32.0), Anchor::Start, title, &curve.title);
    let low = |band: &Band| (band.mean - band.deviation).max(0.0);
    let high = |band: &Band| band.mean + band.deviation;
    let across = Axis::from_zero(curve.bands.iter().map(|band| band.at), 7);
    let up = Axis::from_zero(curve.bands.iter().map(high), 6);
    draw_frame(&mut document, area, &across, &up);
    draw_up_labels(&mut document, area, &up, &curve.up);
    draw_across_labels(&mut document, area, &across, &curve.across);
    let at = |x: f64, y: f64| place(area, &across, &up, x, y);
    let mut outline: Vec<(f64, f64)> =
        curve.bands.iter().map(|band| at(band.at, high(band))).collect();
    outline.extend(curve.bands.iter().rev().map(|band| at(band.at, low(band))));
    let fill = format!("fill=\"{}\" fill-opacity=\"0.25\" stroke=\"none\"", color::DOMINATED);
    document.polyline(&outline, &fill);
    let line: Vec<(f64, f64)> = curve.bands.iter().map(|band| at(band.at, band.mean)).collect();
    let stroke = format!("fill=\"none\" stroke=\"{}\" stroke-width=\"2\"", color::FRONT);
    document.polyline(&line, &stroke);
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_its_labels_a_band_and_a_line() {
        let bands = vec![
            Band { at: 10.0, mean: 100.0, deviation: 20.0 },
            Band { at: 100.0, mean: 9.0, deviation: 12.0 },
        ];
        let curve = Curve {
            title: "d1: auto".into(),
            across: "finished evaluations".into(),
            up: "missing".into(),
            bands,
        };
        let svg = svg(&curve);
        assert!(svg.contains("d1: auto") && svg.contains("finished evaluations"));
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(!svg.contains("NaN"));
    }
}
