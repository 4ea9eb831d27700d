//! How far the best accuracy of a search can be trusted: the interval that its validation images allow,
//! and how much better than it is the best of many looks.
//!
//! The spread of `accuracy` is its standard error, sqrt(p (1 - p) / n) for a share p of n images. The
//! largest of A equally good ones, each with a normal error of deviation s, lies about s sqrt(2 ln A)
//! above what they are.
//!
//! Must not know where the text goes.

use cambrian_core::confidence::optimism;
use serde::Serialize;

use crate::foreign::Foreign;
use crate::results::accuracy::ACCURACY;
use crate::results::{Candidate, Front, Metric};

/// What can be said of the most accurate candidate of a front.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Confidence {
    /// The candidate, written `CAMPAIGN/ORDINAL`.
    pub(crate) candidate: String,
    /// Its accuracy, in the metric's unit like all that follows.
    pub(crate) accuracy: f64,
    pub(crate) standard_error: f64,
    /// Where its accuracy lies with 95 % certainty if it had been the only candidate.
    pub(crate) interval_95: [f64; 2],
    /// How many candidates it is the best of.
    pub(crate) of: u32,
    /// By how much it looks better than it is, if all of them are about equally good.
    pub(crate) optimism: f64,
    #[serde(skip)]
    unit: Foreign,
}

impl Confidence {
    /// Of the most accurate member of a front that is the best of `scored` candidates; `None` where
    /// accuracy is no objective or has no standard error.
    pub(crate) fn of_best(front: &Front, scored: u32) -> Option<Self> {
        let metric = front.metrics.iter().find(|metric| metric.objective && is_accuracy(metric))?;
        let accuracy = |candidate: &Candidate| candidate.metrics.get(ACCURACY).cloned();
        let values = front.members.iter().filter_map(|member| Some((member, accuracy(member)?)));
        let (member, best) =
            values.reduce(|best, next| if next.1.value > best.1.value { next } else { best })?;
        let standard_error = best.spread.filter(|spread| *spread > 0.0)?;
        Some(Self {
            candidate: member.id.clone(),
            accuracy: best.value,
            standard_error,
            interval_95: best.interval_95?,
            of: scored,
            optimism: standard_error * optimism(scored),
            unit: metric.unit.clone(),
        })
    }

    /// The same in a line.
    pub(crate) fn line(&self) -> String {
        let [low, high] = self.interval_95;
        let Self { candidate, accuracy, of, optimism, unit, .. } = self;
        format!(
            "{ACCURACY} of {candidate}: {accuracy:.2} {unit}, 95 % interval {low:.2} to {high:.2} {unit}; \
             the best of {of} equally good ones looks {optimism:.2} points better than it is\n"
        )
    }
}

fn is_accuracy(metric: &Metric) -> bool {
    metric.name == ACCURACY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::accuracy::complete;
    use crate::results::examples::{candidate, metrics};

    /// A front of two, of which the better one is right on 90 % of 2,000 images.
    fn front() -> Front {
        let mut members =
            vec![candidate(7, &[(ACCURACY, 85.0)]), candidate(9, &[(ACCURACY, 90.0)])];
        for member in &mut members {
            let share = member.metrics[ACCURACY].value / 100.0;
            let error = 100.0 * (share * (1.0 - share) / 2_000.0).sqrt();
            member.metrics.get_mut(ACCURACY).unwrap().spread = Some(error);
        }
        members.iter_mut().for_each(|member| complete(&metrics(), member));
        Front { metrics: metrics(), reference_point: vec![], hypervolume: None, members }
    }

    #[test]
    fn the_best_of_200_looks_two_points_too_good() {
        let found = Confidence::of_best(&front(), 200).unwrap();
        assert_eq!((found.candidate.as_str(), found.accuracy), ("1/9", 90.0));
        assert!((found.standard_error - 0.67).abs() < 0.005, "{found:?}");
        assert!((found.optimism - 2.2).abs() < 0.05, "{found:?}");
        assert!((found.interval_95[1] - 91.31).abs() < 0.01, "{found:?}");
        assert_eq!(
            found.line(),
            "accuracy of 1/9: 90.00 %, 95 % interval 88.69 to 91.31 %; the best of 200 equally good \
             ones looks 2.18 points better than it is\n"
        );
        assert_eq!(Confidence::of_best(&front(), 1).unwrap().optimism, 0.0);
    }

    #[test]
    fn nothing_is_said_where_nothing_is_known() {
        let mut without_error = front();
        for member in &mut without_error.members {
            let found = member.metrics.get_mut(ACCURACY).unwrap();
            (found.spread, found.interval_95) = (None, None);
        }
        assert_eq!(Confidence::of_best(&without_error, 200), None);
        let no_objective = Front { metrics: metrics()[1..].to_vec(), ..front() };
        assert_eq!(Confidence::of_best(&no_objective, 200), None);
        assert_eq!(Confidence::of_best(&Front { members: vec![], ..front() }, 200), None);
    }
}
