//! A front as a picture: every pair of objectives as a scatter plot, in a lower triangle.
//!
//! Scored candidates are faint discs, the front is highlighted, broken constraints are crosses.
//! Two objectives get the staircase of what the front dominates; a single one is drawn over the
//! order of evaluation instead.
//!
//! Must not compute dominance: each candidate says whether it is on the front.

use std::collections::BTreeSet;

use super::axis::Axis;
use super::color;
use super::history;
use super::svg::{Anchor, Area, Document, Font, text_width, wrap};
use crate::present::{heading, number, summary};
use crate::results::{Campaign, Candidate, Goal, Metric};

const MARGIN: f64 = 18.0;
const TITLE: Font = Font { size: 17.0, color: color::INK };
const NOTE: Font = Font { size: 11.0, color: color::FAINT_INK };
const LABEL: Font = Font { size: 12.0, color: color::INK };
const TICK: Font = Font { size: 10.5, color: color::FAINT_INK };
/// Between panels of a matrix.
const GAP: f64 = 14.0;
/// More marks of a class than this are thinned out: one for each cell of so many pixels.
const MANY: usize = 3_000;
const CELL: f64 = 2.0;
/// Below the panels: ticks and one label.
const FOOT: f64 = 44.0;

/// What a candidate is to the figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Dominated,
    Infeasible,
    Front,
}

impl Class {
    /// From the lowest layer to the highest.
    const LAYERS: [Class; 3] = [Class::Infeasible, Class::Dominated, Class::Front];

    fn of(candidate: &Candidate) -> Self {
        match (candidate.on_front, candidate.is_feasible()) {
            (true, _) => Self::Front,
            (false, true) => Self::Dominated,
            (false, false) => Self::Infeasible,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Dominated => "dominated",
            Self::Infeasible => "breaks constraints",
            Self::Front => "front",
        }
    }

    fn attributes(self) -> String {
        match self {
            Self::Dominated => format!("fill=\"{}\" fill-opacity=\"0.35\"", color::DOMINATED),
            Self::Infeasible => {
                format!("stroke=\"{}\" stroke-opacity=\"0.7\" fill=\"none\"", color::INFEASIBLE)
            }
            Self::Front => {
                format!("fill=\"{}\" stroke=\"#ffffff\" stroke-width=\"0.8\"", color::FRONT)
            }
        }
    }

    fn mark(self, document: &mut Document, at: (f64, f64)) {
        match self {
            Self::Dominated => document.disc(at, 3.2, ""),
            Self::Infeasible => document.cross(at, 2.6, ""),
            Self::Front => document.disc(at, 4.4, ""),
        }
    }
}

/// A candidate with a value for every objective.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) values: Vec<f64>,
    pub(super) class: Class,
}

/// What `candidate` is to a figure.
pub(super) fn class_of(candidate: &Candidate) -> Class {
    Class::of(candidate)
}

/// Draws many marks of all classes, each class under one group. Where there are very many, marks
/// that would cover each other are drawn once.
pub(super) fn draw_marks(document: &mut Document, marks: &[(Class, (f64, f64))]) {
    for class in Class::LAYERS {
        let layer = || marks.iter().filter(|(found, _)| *found == class).map(|(_, at)| *at);
        let count = layer().count();
        if count == 0 {
            continue;
        }
        document.open(&class.attributes());
        let mut covered = BTreeSet::new();
        for at in layer() {
            let cell = ((at.0 / CELL).round() as i64, (at.1 / CELL).round() as i64);
            if count <= MANY || covered.insert(cell) {
                class.mark(document, at);
            }
        }
        document.close();
    }
}

/// `accuracy [%] (better →)`: along the axis the arrow points to better values.
pub(super) fn axis_label(metric: &Metric) -> String {
    let label = heading::with_unit(metric);
    match metric.goal {
        Goal::Maximize => format!("{label} (better →)"),
        Goal::Minimize => format!("{label} (← better)"),
    }
}

/// The figure of a campaign's front as SVG. `candidates` are all candidates in order of proposal;
/// those without a value for every objective are counted but not drawn.
pub(crate) fn svg(campaign: &Campaign, candidates: &[Candidate]) -> String {
    let objectives: Vec<Metric> = campaign.objectives().cloned().collect();
    let mark = |candidate: &Candidate| {
        let values = candidate.values(&objectives)?;
        Some(Mark { values, class: Class::of(candidate) })
    };
    let marks: Vec<Mark> = candidates.iter().filter_map(mark).collect();
    let head = Head::of(campaign, candidates, &marks);
    match objectives.as_slice() {
        [] => head.only("the campaign has no objectives"),
        [only] => history::svg(&head, only, campaign, candidates),
        several => Matrix::new(several).draw(&head, several, &marks),
    }
}

/// Title, notes and legend of a figure.
pub(super) struct Head {
    title: String,
    notes: Vec<String>,
    legend: Vec<(Class, usize)>,
    pub(super) empty: bool,
}

impl Head {
    fn of(campaign: &Campaign, candidates: &[Candidate], marks: &[Mark]) -> Self {
        let counted = |class| marks.iter().filter(|mark| mark.class == class).count();
        let legend: Vec<_> = [Class::Front, Class::Dominated, Class::Infeasible]
            .into_iter()
            .map(|class| (class, counted(class)))
            .filter(|(class, count)| *count > 0 || *class == Class::Front)
            .collect();
        let absent = candidates.len() - marks.len();
        let mut notes = vec![format!(
            "{} on {}, {} of {} evaluations; {} without a score",
            campaign.algorithm,
            campaign.space,
            number::count(campaign.evaluations_finished.into()),
            number::count(campaign.evaluations_budget.into()),
            number::count(absent as u64),
        )];
        notes.push(summary::hypervolume(campaign));
        let sources = heading::sources(&campaign.objectives().cloned().collect::<Vec<_>>());
        if !sources.is_empty() {
            notes.push(sources);
        }
        Self { title: campaign.name.to_string(), notes, legend, empty: marks.is_empty() }
    }

    /// The height that the head takes in a figure of this width, with its bottom margin.
    pub(super) fn height(&self, width: f64) -> f64 {
        let lines = self.lines(width).len() as f64;
        MARGIN + TITLE.size + 8.0 + lines * (NOTE.size + 5.0) + 32.0
    }

    fn lines(&self, width: f64) -> Vec<String> {
        let room = width - 2.0 * MARGIN;
        self.notes.iter().flat_map(|note| wrap(note, NOTE.size, room)).collect()
    }

    pub(super) fn draw(&self, document: &mut Document, width: f64) {
        let mut y = MARGIN + TITLE.size * 0.8;
        document.text((MARGIN, y), Anchor::Start, TITLE, &self.title);
        y += 7.0;
        for line in self.lines(width) {
            y += NOTE.size + 5.0;
            document.text((MARGIN, y), Anchor::Start, NOTE, &line);
        }
        y += NOTE.size + 10.0;
        let mut x = MARGIN;
        for (class, count) in &self.legend {
            draw_marks(document, &[(*class, (x + 4.0, y - 4.0))]);
            let text = format!("{} ({count})", class.name());
            document.text((x + 13.0, y), Anchor::Start, NOTE, &text);
            x += 13.0 + text_width(&text, NOTE.size) + 14.0;
        }
    }

    /// A figure with nothing but the head and a sentence.
    fn only(&self, sentence: &str) -> String {
        let (width, head) = (480.0, self.height(480.0));
        let mut document = Document::new(width, head + 40.0);
        self.draw(&mut document, width);
        document.text((MARGIN, head + 12.0), Anchor::Start, LABEL, sentence);
        document.finish()
    }
}

/// The layout of a lower triangle of panels.
struct Matrix {
    panels: usize,
    width: f64,
    height: f64,
    ticks: usize,
}

impl Matrix {
    fn new(objectives: &[Metric]) -> Self {
        let panels = objectives.len() - 1;
        let (width, height, ticks) = match panels {
            1 => (560.0, 400.0, 7),
            2 => (330.0, 260.0, 5),
            3 => (250.0, 200.0, 4),
            _ => (200.0, 170.0, 4),
        };
        Self { panels, width, height, ticks }
    }

    fn area(&self, row: usize, column: usize, left: f64, top: f64) -> Area {
        Area {
            left: left + column as f64 * (self.width + GAP),
            top: top + row as f64 * (self.height + GAP),
            width: self.width,
            height: self.height,
        }
    }

    /// The panel in row `r` and column `c` shows objective `c` across and objective `r + 1` up.
    fn draw(&self, head: &Head, objectives: &[Metric], marks: &[Mark]) -> String {
        let axis = |at: usize| Axis::over(marks.iter().map(|mark| mark.values[at]), self.ticks);
        let axes: Vec<Axis> = (0..objectives.len()).map(axis).collect();
        let longest = axes[1..]
            .iter()
            .flat_map(Axis::ticks)
            .map(|(_, label)| text_width(&label, TICK.size))
            .fold(0.0, f64::max);
        let left = MARGIN + LABEL.size + 8.0 + longest + 8.0;
        let span = |size: f64| self.panels as f64 * (size + GAP) - GAP;
        let width = left + span(self.width) + MARGIN;
        let top = head.height(width);
        let mut document = Document::new(width, top + span(self.height) + FOOT + MARGIN);
        head.draw(&mut document, width);
        for row in 0..self.panels {
            for column in 0..=row {
                let area = self.area(row, column, left, top);
                let (across, up) = (&axes[column], &axes[row + 1]);
                draw_frame(&mut document, area, across, up);
                if column == 0 {
                    draw_up_labels(&mut document, area, up, &axis_label(&objectives[row + 1]));
                }
                if row + 1 == self.panels {
                    draw_across_labels(
                        &mut document,
                        area,
                        across,
                        &axis_label(&objectives[column]),
                    );
                }
                let place = |mark: &Mark| {
                    place(area, across, up, mark.values[column], mark.values[row + 1])
                };
                if objectives.len() == 2 {
                    draw_staircase(&mut document, area, objectives, marks, &place);
                }
                let placed: Vec<_> = marks.iter().map(|mark| (mark.class, place(mark))).collect();
                draw_marks(&mut document, &placed);
            }
        }
        if head.empty {
            draw_empty(&mut document, self.area(0, 0, left, top));
        }
        document.finish()
    }
}

/// The pixel of a pair of values.
pub(super) fn place(area: Area, across: &Axis, up: &Axis, x: f64, y: f64) -> (f64, f64) {
    (area.left + across.position(x) * area.width, area.bottom() - up.position(y) * area.height)
}

/// The frame and the grid of one panel.
pub(super) fn draw_frame(document: &mut Document, area: Area, across: &Axis, up: &Axis) {
    document.open(&format!("stroke=\"{}\" stroke-width=\"1\"", color::GRID));
    for (value, _) in across.ticks() {
        let x = area.left + across.position(value) * area.width;
        document.line((x, area.top), (x, area.bottom()), "");
    }
    for (value, _) in up.ticks() {
        let y = area.bottom() - up.position(value) * area.height;
        document.line((area.left, y), (area.right(), y), "");
    }
    document.close();
    document
        .rectangle(area, &format!("fill=\"none\" stroke=\"{}\" stroke-width=\"1\"", color::FRAME));
}

/// Ticks and label left of a panel.
pub(super) fn draw_up_labels(document: &mut Document, area: Area, up: &Axis, label: &str) {
    let mut longest = 0.0_f64;
    for (value, text) in up.ticks() {
        let y = area.bottom() - up.position(value) * area.height;
        document.text((area.left - 6.0, y + 3.6), Anchor::End, TICK, &text);
        longest = longest.max(text_width(&text, TICK.size));
    }
    let font = fitting(label, area.height);
    let at = (MARGIN + LABEL.size - 2.0, area.top + area.height / 2.0);
    document.upward_text(at, Anchor::Middle, font, label);
}

/// Ticks and label below a panel.
pub(super) fn draw_across_labels(document: &mut Document, area: Area, across: &Axis, label: &str) {
    let ticks = across.ticks();
    let widest = ticks.iter().map(|(_, text)| text_width(text, TICK.size)).fold(0.0, f64::max);
    let room = area.width / ticks.len().max(1) as f64;
    // Labels that would touch each other are thinned out.
    let every = (((widest + 6.0) / room).ceil() as usize).max(1);
    for (value, text) in ticks.iter().step_by(every) {
        let x = area.left + across.position(*value) * area.width;
        document.text((x, area.bottom() + 15.0), Anchor::Middle, TICK, text);
    }
    let at = (area.left + area.width / 2.0, area.bottom() + 35.0);
    document.text(at, Anchor::Middle, fitting(label, area.width), label);
}

/// The label's font, smaller where the room is short.
fn fitting(label: &str, room: f64) -> Font {
    let width = text_width(label, LABEL.size);
    Font { size: (LABEL.size * (room / width).min(1.0)).max(7.0), ..LABEL }
}

/// A sentence in the middle of a panel.
pub(super) fn draw_sentence(document: &mut Document, area: Area, sentence: &str) {
    let at = (area.left + area.width / 2.0, area.top + area.height / 2.0);
    document.text(at, Anchor::Middle, LABEL, sentence);
}

/// What a panel without marks says.
pub(super) fn draw_empty(document: &mut Document, area: Area) {
    draw_sentence(document, area, "no scored candidate yet");
}

/// The boundary of what a front of two objectives dominates, to the worse ends of the panel.
fn draw_staircase(
    document: &mut Document,
    area: Area,
    objectives: &[Metric],
    marks: &[Mark],
    place: &dyn Fn(&Mark) -> (f64, f64),
) {
    let mut front: Vec<_> = marks.iter().filter(|mark| mark.class == Class::Front).collect();
    let goals = [objectives[0].goal, objectives[1].goal];
    let key = |mark: &Mark, at: usize| goals[at].minimized(mark.values[at]);
    front.sort_by(|a, b| key(a, 0).total_cmp(&key(b, 0)).then(key(a, 1).total_cmp(&key(b, 1))));
    let (Some(first), Some(last)) = (front.first(), front.last()) else { return };
    let worse_x = if goals[0] == Goal::Minimize { area.right() } else { area.left };
    let worse_y = if goals[1] == Goal::Minimize { area.top } else { area.bottom() };
    let mut corners = vec![(place(first).0, worse_y)];
    for mark in &front {
        let (x, y) = place(mark);
        let before = corners[corners.len() - 1];
        corners.push((x, before.1));
        corners.push((x, y));
    }
    corners.push((worse_x, place(last).1));
    let mut dominated = corners.clone();
    dominated.push((worse_x, worse_y));
    document.polyline(
        &dominated,
        &format!("fill=\"{}\" fill-opacity=\"0.07\" stroke=\"none\"", color::FRONT),
    );
    document.polyline(
        &corners,
        &format!(
            "fill=\"none\" stroke=\"{}\" stroke-width=\"1.4\" stroke-opacity=\"0.8\"",
            color::FRONT
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples;

    fn figure(objectives: usize, count: u32) -> String {
        let metrics = examples::metrics()[..objectives].to_vec();
        let candidates = examples::population(count, &metrics);
        let campaign = examples::campaign(metrics);
        svg(&campaign, &candidates)
    }

    #[test]
    fn two_objectives_have_a_staircase() {
        insta::assert_snapshot!(figure(2, 24));
    }

    #[test]
    fn four_objectives_have_six_panels() {
        let text = figure(4, 20);
        let frames = text.matches("fill=\"none\" stroke=\"#9a9a9a\"").count();
        assert_eq!(frames, 6);
        assert!(!text.contains("polyline"));
        for label in ["accuracy [%] (better →)", "latency [ms] (← better)", "energy [mJ, modelled]"]
        {
            assert!(text.contains(label), "{label}");
        }
    }

    #[test]
    fn one_to_eight_objectives_and_any_values_give_a_picture() {
        for objectives in 1..=8 {
            let metrics: Vec<_> = (0..objectives)
                .map(|at| examples::metric(&format!("metric_{at}"), "x", Goal::Minimize))
                .collect();
            for value in [0.0, 1e-300, f64::MAX, -5.0] {
                let values: Vec<_> = metrics.iter().map(|m| (m.name.raw(), value)).collect();
                let equal = vec![examples::candidate(1, &values), examples::candidate(2, &values)];
                for candidates in [vec![], equal] {
                    let text = svg(&examples::campaign(metrics.clone()), &candidates);
                    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_hundred_thousand_candidates_give_a_file_of_moderate_size() {
        let metrics = examples::metrics()[..3].to_vec();
        let candidates: Vec<_> = (1..=100_000_u32)
            .map(|ordinal| {
                let unit = |base: f64| (f64::from(ordinal) * base).fract();
                let values: Vec<_> = metrics
                    .iter()
                    .zip([0.754_877_666, 0.569_840_296, 0.618_033_988])
                    .map(|(metric, base)| (metric.name.raw(), unit(base)))
                    .collect();
                examples::candidate(ordinal, &values)
            })
            .collect();
        let text = svg(&examples::campaign(metrics), &candidates);
        assert!(text.len() < 4 << 20, "{} bytes", text.len());
        assert!(text.contains("dominated (100000)"));
    }

    #[test]
    fn the_picture_can_be_drawn() {
        let png = super::super::png::render(&figure(3, 30)).unwrap();
        assert!(png.starts_with(b"\x89PNG"));
    }

    #[test]
    fn an_empty_front_says_so() {
        assert!(figure(2, 0).contains("no scored candidate yet"));
    }

    #[test]
    fn the_text_is_the_same_every_time() {
        assert_eq!(figure(3, 50), figure(3, 50));
    }
}
