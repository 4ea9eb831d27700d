//! What a watch shows: progress, pace, evaluations in work, the front. Values in, lines out.
//!
//! Must not know terminals beyond their size.

use super::pace::Pace;
use crate::present::number::{self, NumberFormat};
use crate::present::summary;
use crate::present::table::{self, Look};
use crate::results::{Campaign, CampaignStatus, Front, InWork, Instant, Update};

/// The most front members shown while it goes on.
const TOP: usize = 8;
const BAR: usize = 24;
/// Lines around those members: three of heading, how many more, hypervolume, the cursor's.
const AROUND_TOP: usize = 6;

/// The latest known state of a campaign.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) latest: Option<Latest>,
    front: Option<Front>,
    pace: Pace,
    pub(super) away: Option<String>,
}

/// The latest update, without its front.
#[derive(Debug, Clone)]
pub(super) struct Latest {
    pub(super) now: Instant,
    pub(super) campaign: Campaign,
    in_work: Vec<InWork>,
    workers: u32,
}

impl Board {
    /// Takes in an update.
    pub(super) fn update(&mut self, update: Update) {
        self.pace.observe(update.now, &update.campaign);
        self.away = None;
        if let Some(front) = update.front {
            self.front = Some(front);
        }
        self.latest = Some(Latest {
            now: update.now,
            campaign: update.campaign,
            in_work: update.in_work,
            workers: update.workers_connected,
        });
    }

    /// One line: how far, how fast, how good, and why it stands still.
    pub(super) fn line(&self) -> String {
        match self.held() {
            Some(reason) => format!("{}; {reason}", self.progress()),
            None => self.progress(),
        }
    }

    /// Why the campaign gets no more work although it runs.
    fn held(&self) -> Option<String> {
        let held = &self.latest.as_ref()?.campaign.held;
        (!held.is_empty()).then(|| format!("held: {held}"))
    }

    /// How far, how fast, how good.
    fn progress(&self) -> String {
        let Some(latest) = &self.latest else { return "connecting".to_owned() };
        let campaign = &latest.campaign;
        let mut parts = vec![format!(
            "{}/{} evaluations",
            number::count(campaign.evaluations_finished.into()),
            number::count(campaign.evaluations_budget.into())
        )];
        if campaign.failed > 0 {
            parts.push(format!("{} failed", number::count(campaign.failed.into())));
        }
        if campaign.infeasible > 0 {
            parts.push(format!("{} infeasible", number::count(campaign.infeasible.into())));
        }
        if campaign.screened > 0 {
            parts.push(format!("{} screened", number::count(campaign.screened.into())));
        }
        if campaign.waiting > 0 {
            parts.push(format!("{} waiting", number::count(campaign.waiting.into())));
        }
        let works = matches!(campaign.status, CampaignStatus::Running | CampaignStatus::Draining);
        if works && let Some(rate) = self.pace.per_minute(latest.now) {
            parts.push(format!("{}/min", number::alone(round_to_three(rate))));
        }
        if works && let Some(left) = self.pace.seconds_left(latest.now, campaign) {
            parts.push(format!("{} left", number::duration(left)));
        }
        if campaign.status != CampaignStatus::Running {
            parts.push(campaign.status.name().to_owned());
        }
        parts.push(match latest.workers {
            1 => "1 worker".to_owned(),
            workers => format!("{workers} workers"),
        });
        parts.push(format!("front {}", campaign.front_size));
        if let Some(hypervolume) = campaign.hypervolume {
            parts.push(format!("hypervolume {}", number::alone(hypervolume)));
        }
        parts.join(", ")
    }

    /// The whole picture for a terminal of this size.
    pub(super) fn picture(&self, look: Look, height: usize) -> Vec<String> {
        let Some(latest) = &self.latest else {
            return vec![self.away.clone().unwrap_or_else(|| "connecting".to_owned())];
        };
        let width = look.width.map_or(100, usize::from);
        let campaign = &latest.campaign;
        let done = f64::from(campaign.evaluations_finished)
            / f64::from(campaign.evaluations_budget.max(1));
        let name = campaign.name.to_string();
        let mut lines = vec![format!(
            "{} {} {}",
            look.style.strong(&name),
            bar(done, BAR),
            clipped(&self.progress(), width.saturating_sub(BAR + 4 + name.chars().count()))
        )];
        if let Some(reason) = &self.away {
            lines.push(look.style.error(&clipped(&format!("{reason}; trying again"), width)));
        }
        if let Some(reason) = self.held() {
            lines.push(look.style.warning(&clipped(&reason, width)));
        }
        let stages = summary::stages(campaign, look);
        if stages.lines().count() + AROUND_TOP < height / 2 {
            lines.extend(stages.lines().map(|line| clipped_styled(line, width)));
        }
        let room = (height / 3).max(1);
        for work in latest.in_work.iter().take(room) {
            lines.push(clipped(&work_line(work, latest.now), width));
        }
        if latest.in_work.len() > room {
            lines.push(format!("  and {} more evaluations", latest.in_work.len() - room));
        }
        if let Some(front) = self.front.as_ref().filter(|front| !front.members.is_empty()) {
            let room = height.saturating_sub(lines.len() + AROUND_TOP).min(TOP);
            lines.extend(
                top_rows(front, room, look).into_iter().map(|line| clipped_styled(&line, width)),
            );
            lines.push(clipped(&summary::hypervolume(campaign), width));
        }
        lines
    }
}

/// Three significant digits, so that a rate does not flicker.
fn round_to_three(value: f64) -> f64 {
    if value <= 0.0 {
        return 0.0;
    }
    let scale = 10f64.powi(2 - value.log10().floor() as i32);
    (value * scale).round() / scale
}

/// `████████░░░░`.
fn bar(done: f64, width: usize) -> String {
    let full = (done.clamp(0.0, 1.0) * width as f64).floor() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

/// `  worker-1  1/24  train  ███░░░ 3/9  accuracy 61.2  0.8s`.
fn work_line(work: &InWork, now: Instant) -> String {
    let progress = if work.steps == 0 {
        "starting".to_owned()
    } else {
        let done = f64::from(work.step) / f64::from(work.steps);
        format!("{} {}/{}", bar(done, 8), work.step, work.steps)
    };
    let metrics: Vec<_> = work
        .metrics
        .iter()
        .map(|(name, value)| format!("{name} {}", NumberFormat::of_column([*value]).write(*value)))
        .collect();
    let attempt =
        if work.attempt > 1 { format!(" (attempt {})", work.attempt) } else { String::new() };
    let elapsed = number::duration(now.seconds_since(work.started_at));
    let repeat = match work.repeats {
        0 | 1 => String::new(),
        repeats => format!(" ({} of {repeats})", work.repeat),
    };
    let words = format!(
        "  {}  {}{attempt}  {}{repeat}  {progress}  {elapsed}",
        work.worker, work.candidate, work.stage
    );
    if metrics.is_empty() { words } else { format!("{words}  {}", metrics.join(" ")) }
}

/// The best members as a table, at most `room` of them, with the objectives that fit.
fn top_rows(front: &Front, room: usize, look: Look) -> Vec<String> {
    if room == 0 {
        return Vec::new();
    }
    let best: Vec<_> = front.best_first().into_iter().take(room).collect();
    let objectives: Vec<_> =
        front.metrics.iter().filter(|metric| metric.objective).cloned().collect();
    let (text, hidden) = table::narrow(&objectives, &best, look);
    let mut notes = Vec::new();
    if front.members.len() > best.len() {
        notes.push(format!("and {} more on the front", front.members.len() - best.len()));
    }
    if !hidden.is_empty() {
        notes.push(format!("not shown: {}", hidden.join(", ")));
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if !notes.is_empty() {
        lines.push(format!("  {}", notes.join("; ")));
    }
    lines
}

/// At most `width` characters.
fn clipped(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + "…"
}

/// At most `width` columns of a text that may contain colours.
fn clipped_styled(text: &str, width: usize) -> String {
    console::truncate_str(text, width, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foreign::{self, tests::assert_legible};
    use crate::results::examples;

    fn board(seconds: u64, finished: u32) -> Update {
        let metrics = examples::metrics();
        let members: Vec<_> = examples::population(40, &metrics)
            .into_iter()
            .filter(|candidate| candidate.on_front)
            .collect();
        let mut campaign = examples::campaign(metrics.clone());
        campaign.evaluations_finished = finished;
        campaign.reference_point = vec![10.0, 20.0, 1.0, 0.0];
        campaign.hypervolume = Some(812.5);
        let now = Instant(campaign.submitted_at.0 + seconds * 1_000_000);
        let work = InWork {
            task: 7,
            attempt: 2,
            candidate: "1/41".into(),
            worker: "worker-1".into(),
            stage: "train".into(),
            repeat: 2,
            repeats: 3,
            step: 3,
            steps: 9,
            metrics: [("accuracy".into(), 61.25)].into(),
            started_at: Instant(now.0 - 800_000),
        };
        Update {
            now,
            workers_connected: 2,
            campaign,
            in_work: vec![work],
            front: Some(Front { metrics, reference_point: vec![], hypervolume: None, members }),
        }
    }

    fn shown(size: (u16, usize)) -> Vec<String> {
        let mut shown = Board::default();
        shown.update(board(10, 30));
        shown.update(board(40, 40));
        shown.picture(Look { width: Some(size.0), ..Look::plain() }, size.1)
    }

    #[test]
    fn the_picture_shows_progress_work_and_front() {
        insta::assert_snapshot!(shown((110, 30)).join("\n"));
    }

    #[test]
    fn the_picture_fits_the_terminal() {
        for size in [(40, 8), (80, 12), (200, 60)] {
            let lines = shown(size);
            assert!(lines.len() < size.1, "{size:?}: {} lines", lines.len());
            for line in lines {
                assert!(line.chars().count() <= usize::from(size.0), "{size:?}: {line}");
            }
        }
    }

    #[test]
    fn the_line_says_how_far_how_fast_how_good() {
        let mut shown = Board::default();
        assert_eq!(shown.line(), "connecting");
        shown.update(board(10, 30));
        shown.update(board(40, 40));
        assert_eq!(
            shown.line(),
            "40/64 evaluations, 4 failed, 20/min, 1m 12s left, 2 workers, front 9, hypervolume 812.5"
        );
    }

    /// A value that is cut in the middle would be read as another one.
    #[test]
    fn objectives_that_do_not_fit_are_left_out_whole() {
        let text = shown((60, 30)).join("\n");
        assert!(text.contains(" accuracy ↑   latency ↓         energy ↓\n"), "{text}");
        assert!(
            text.contains("\n      1/37        88.68       3.518           0.1831\n"),
            "{text}"
        );
        assert!(text.contains("more on the front; not shown: introspectability\n"), "{text}");
        assert!(!text.contains("0.3990") && !text.contains("─…"), "{text}");
    }

    #[test]
    fn a_campaign_that_is_held_says_why_it_stands_still() {
        let mut shown = Board::default();
        let mut held = board(10, 30);
        let reason = "the budget of user ada is spent: 2h in slots";
        held.campaign.held = reason.into();
        shown.update(held);
        assert!(shown.line().ends_with(&format!("; held: {reason}")), "{}", shown.line());
        let lines = shown.picture(Look { width: Some(60), ..Look::plain() }, 30);
        assert_eq!(lines[1], format!("held: {reason}"));
        shown.update(board(20, 31));
        assert!(!shown.line().contains("held"), "{}", shown.line());
    }

    #[test]
    fn what_is_watched_cannot_command_a_terminal() {
        let mut shown = Board::default();
        shown.update(Update::read(foreign::tests::update()).unwrap());
        assert_legible(&shown.line());
        for size in [(60, 40), (200, 60)] {
            let lines = shown.picture(Look { width: Some(size.0), ..Look::plain() }, size.1);
            assert_legible(&lines.join("\n"));
        }
    }

    #[test]
    fn a_coordinator_that_is_away_is_named() {
        let mut shown = Board::default();
        shown.update(board(10, 30));
        shown.away = Some("no answer".into());
        let lines = shown.picture(Look::plain(), 30);
        assert!(lines[1].contains("no answer; trying again"), "{lines:?}");
    }
}
