//! A campaign in a few lines: how it stands, what it cost, its hypervolume with the reference.
//!
//! Must not know where the text goes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::table::Look;
use super::{heading, lists, number};
use crate::foreign::Foreign;
use crate::results::{Campaign, Candidate, CandidateStatus};

/// Totals over all candidates of a campaign.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Totals {
    /// Evaluations that ended, well or not.
    pub(crate) evaluations: u32,
    pub(crate) scored: u32,
    pub(crate) infeasible: u32,
    pub(crate) failed: u32,
    pub(crate) screened: u32,
    /// Failed candidates by the kind of their failure.
    pub(crate) failures_by_kind: BTreeMap<Foreign, u32>,
    /// Attempts beyond the first of each task; further stages and repeats of a candidate have tasks of their own.
    pub(crate) repeated_attempts: u32,
    /// Results that were known and taken instead of evaluations, over all stages.
    pub(crate) cached: u32,
    /// Time in slots over all attempts of all candidates.
    pub(crate) slot_seconds: f64,
    /// From submission to the end, or to the last resolved candidate.
    pub(crate) elapsed_seconds: f64,
}

impl Totals {
    /// The totals of `campaign` with all its candidates.
    pub(crate) fn of(campaign: &Campaign, candidates: &[Candidate]) -> Self {
        let mut failures_by_kind = BTreeMap::new();
        for kind in candidates.iter().filter_map(Candidate::failure_kind) {
            *failures_by_kind.entry(kind.into()).or_default() += 1;
        }
        let last = candidates.iter().filter_map(|candidate| candidate.resolved_at).max();
        let end = campaign.finished_at.or(last).unwrap_or(campaign.submitted_at);
        Self {
            evaluations: campaign.evaluations_finished,
            scored: campaign.scored,
            infeasible: campaign.infeasible,
            failed: campaign.failed,
            screened: campaign.screened,
            failures_by_kind,
            repeated_attempts: candidates.iter().map(|found| found.repeated_attempts).sum(),
            cached: campaign.stages.iter().map(|stage| stage.cached).sum(),
            slot_seconds: candidates.iter().map(|candidate| candidate.elapsed_seconds).sum(),
            elapsed_seconds: end.seconds_since(campaign.submitted_at),
        }
    }

    /// The totals in one or two lines.
    pub(crate) fn lines(&self) -> String {
        let mut text = format!(
            "{} evaluations in {} ({} of work in slots): {} scored, {} infeasible, {} failed",
            number::count(self.evaluations.into()),
            number::duration(self.elapsed_seconds),
            number::duration(self.slot_seconds),
            number::count(self.scored.into()),
            number::count(self.infeasible.into()),
            number::count(self.failed.into()),
        );
        if self.screened > 0 {
            text += &format!(", {} screened", number::count(self.screened.into()));
        }
        if !self.failures_by_kind.is_empty() {
            let kinds: Vec<_> = self
                .failures_by_kind
                .iter()
                .map(|(kind, count)| format!("{kind} {count}"))
                .collect();
            text += &format!(" ({})", kinds.join(", "));
        }
        if self.repeated_attempts > 0 {
            text += &format!("; {} attempts repeated", self.repeated_attempts);
        }
        if self.cached > 0 {
            text += &format!("; {} results from the cache", number::count(self.cached.into()));
        }
        text + "\n"
    }
}

/// `hypervolume 12.3 %·ms (reference: accuracy 10 %, latency 20 ms)`.
pub(crate) fn hypervolume(campaign: &Campaign) -> String {
    let Some(hypervolume) = campaign.hypervolume else {
        return "hypervolume: its reference point is not fixed yet".to_owned();
    };
    let unit = heading::product_unit(campaign.objectives());
    let space = if unit.is_empty() { "" } else { " " };
    let coordinates: Vec<_> = campaign
        .objectives()
        .zip(&campaign.reference_point)
        .map(|(metric, value)| {
            format!("{} {} {}", metric.name, number::alone(*value), metric.unit)
                .trim_end()
                .to_owned()
        })
        .collect();
    format!(
        "hypervolume {}{space}{unit} (reference: {})",
        number::alone(hypervolume),
        coordinates.join(", ")
    )
}

/// What each stage has done and cost, one a line; nothing if there is only one stage.
pub(crate) fn stages(campaign: &Campaign, look: Look) -> String {
    if campaign.stages.len() < 2 {
        return String::new();
    }
    lists::stages(&campaign.stages, look)
}

/// `campaign 3 (fashion-mnist) is finished: budget spent`.
pub(crate) fn headline(campaign: &Campaign) -> String {
    headline_with(campaign, "")
}

fn headline_with(campaign: &Campaign, result: &str) -> String {
    let reason = match campaign.reason.is_empty() {
        true => String::new(),
        false => format!(": {}", campaign.reason),
    };
    let Campaign { id, name, status, .. } = campaign;
    format!("campaign {id} ({name}) is {}{result}{reason}", status.name())
}

/// `campaign 3 (fashion-mnist) is finished without any scored candidate: budget spent`.
pub(crate) fn without_score(campaign: &Campaign) -> String {
    headline_with(campaign, " without any scored candidate")
}

/// Whether the campaign is over without a single scored candidate.
pub(crate) fn is_fruitless(campaign: &Campaign) -> bool {
    campaign.status == crate::results::CampaignStatus::Finished && campaign.scored == 0
}

/// The most frequent reasons of failures, most frequent first, at most three.
pub(crate) fn frequent_reasons(candidates: &[Candidate]) -> Vec<String> {
    let unsuccessful =
        [CandidateStatus::Failed, CandidateStatus::Infeasible, CandidateStatus::Screened];
    let ended = candidates.iter().filter(|found| unsuccessful.contains(&found.status));
    most_frequent(ended.map(|candidate| candidate.reason.raw()))
}

/// The most frequent of `reasons` with their numbers, most frequent first, at most three.
pub(crate) fn most_frequent<'r>(reasons: impl Iterator<Item = &'r str>) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    counts.into_iter().take(3).map(|(reason, count)| format!("{count} × {reason}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples::{campaign, candidate, metrics, stage};
    use crate::results::{CampaignStatus, Instant, Stage};

    fn failed(ordinal: u32, reason: &str) -> Candidate {
        Candidate {
            status: CandidateStatus::Failed,
            reason: reason.into(),
            attempts: 3,
            repeated_attempts: 2,
            ..candidate(ordinal, &[])
        }
    }

    #[test]
    fn totals_count_failures_by_kind() {
        let mut campaign = campaign(metrics());
        campaign.finished_at = Some(Instant(campaign.submitted_at.0 + 125_000_000));
        let candidates = [
            // Of three stages, each at the first attempt.
            Candidate { attempts: 3, ..candidate(1, &[]) },
            failed(2, "timeout: a"),
            failed(3, "crash: b"),
            failed(4, "timeout: c"),
        ];
        let totals = Totals::of(&campaign, &candidates);
        assert_eq!(
            totals.lines(),
            "40 evaluations in 2m 05s (6.0s of work in slots): 36 scored, 0 infeasible, 4 failed \
             (crash 1, timeout 2); 6 attempts repeated\n"
        );
    }

    #[test]
    fn the_hypervolume_names_its_reference() {
        let mut campaign = campaign(metrics());
        assert!(hypervolume(&campaign).contains("not fixed"));
        campaign.reference_point = vec![10.0, 20.0, 1.5, 0.0];
        campaign.hypervolume = Some(1234.567);
        assert_eq!(
            hypervolume(&campaign),
            "hypervolume 1,235 %·ms·mJ (reference: accuracy 10 %, latency 20 ms, energy 1.500 mJ, \
             introspectability 0)"
        );
    }

    #[test]
    fn stages_are_shown_where_there_are_several() {
        let mut campaign = campaign(metrics());
        assert_eq!(stages(&campaign, Look::plain()), "");
        let short = Stage { waiting: 7, screened: 1_200, ..stage("short", 1_500) };
        campaign.stages.insert(0, short);
        insta::assert_snapshot!(stages(&campaign, Look::plain()));
    }

    #[test]
    fn the_energy_of_stages_is_shown_where_evaluators_report_it() {
        let mut campaign = campaign(metrics());
        campaign.stages.insert(0, Stage { energy_joules: 12_345.0, ..stage("short", 1_500) });
        insta::assert_snapshot!(stages(&campaign, Look::plain()));
    }

    #[test]
    fn results_from_the_cache_count_where_there_are_some() {
        let mut campaign = campaign(metrics());
        campaign.stages.insert(0, Stage { cached: 1_200, ..stage("short", 1_500) });
        let lines = Totals::of(&campaign, &[]).lines();
        assert!(lines.ends_with("; 1,200 results from the cache\n"), "{lines}");
    }

    #[test]
    fn screened_candidates_count_where_there_are_some() {
        let campaign = Campaign { screened: 12, ..campaign(metrics()) };
        let lines = Totals::of(&campaign, &[]).lines();
        assert!(lines.contains("36 scored, 0 infeasible, 4 failed, 12 screened"), "{lines}");
    }

    #[test]
    fn a_finished_campaign_without_a_score_is_fruitless() {
        let mut campaign = campaign(metrics());
        campaign.scored = 0;
        assert!(!is_fruitless(&campaign));
        campaign.status = CampaignStatus::Finished;
        assert!(is_fruitless(&campaign));
        campaign.reason = "no candidate meets the analytic constraints".into();
        assert_eq!(
            without_score(&campaign),
            "campaign 1 (example) is finished without any scored candidate: no candidate meets the \
             analytic constraints"
        );
    }

    #[test]
    fn frequent_reasons_come_first() {
        let candidates = [failed(1, "b: x"), failed(2, "a: y"), failed(3, "b: x")];
        assert_eq!(frequent_reasons(&candidates), ["2 × b: x", "1 × a: y"]);
    }
}
