//! Whether a campaign's search favours what is evaluated quickly, as asynchronous ones can (Scott and De Jong
//! 2015). It must not know how a search works.

use std::collections::BTreeSet;

use super::campaign::Campaign;
use super::candidate::{Candidate, CandidateStatus};
use crate::id::Ordinal;
use crate::rank_correlation::point_biserial;

/// So many of the latest scored candidates are looked at, so that an answer takes milliseconds.
const LATEST: usize = 10_000;

impl Campaign {
    /// How the time that evaluations took and being a possible parent at present are correlated, in words; `None` before
    /// there are two scores. A result that was known already took no time, whatever its evaluation had taken, so
    /// candidates with one say nothing.
    pub(super) fn survival_line(&self) -> Option<String> {
        let population: BTreeSet<Ordinal> = self.algorithm.population().into_iter().collect();
        let numbered = self.candidates.iter().enumerate().rev();
        let scored = numbered.map(|(at, candidate)| (at as u32 + 1, candidate));
        let stages_taken = |ordinal| self.taken.range((ordinal, 0)..=(ordinal, u8::MAX));
        let scored = scored.filter(|(ordinal, candidate)| {
            matches!(candidate.status(), CandidateStatus::Scored { .. })
                && stages_taken(Ordinal(*ordinal)).next().is_none()
        });
        let pair = |(ordinal, candidate): (u32, &Candidate)| {
            (candidate.elapsed().as_secs_f64(), population.contains(&Ordinal(ordinal)))
        };
        let pairs: Vec<(f64, bool)> = scored.take(LATEST).map(pair).collect();
        let count = pairs.len();
        let survive = pairs.iter().filter(|pair| pair.1).count();
        if count < 2 {
            return None;
        }
        Some(match point_biserial(&pairs) {
            Some(found) => format!(
                "evaluation time and survival are correlated by {found:+.2} ({survive} of {count} evaluated \
                 candidates can be parents)"
            ),
            None if survive == count => {
                format!(
                    "each of {count} evaluated candidates can be a parent, however long it took"
                )
            }
            None if survive == 0 => "the algorithm keeps no population".to_owned(),
            None => format!("all {count} evaluations took as long"),
        })
    }
}
