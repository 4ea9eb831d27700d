//! Whether what takes long survives as often as what does not, over the evaluations of all seeds.
//!
//! Must not know why an evaluation took as long as it did, nor how survivors are chosen.

use cambrian_core::rank_correlation::point_biserial;

use super::runs::SeedRun;

/// Scored candidates with their durations and whether they survive, over all seeds.
///
/// The durations are those that the search waited for, with everything that made them long: whether late results
/// survive is the question, and a straggler's are late whatever the architecture. So only what took as long to the
/// microsecond is a tie.
fn scored(runs: &[SeedRun]) -> Vec<(f64, bool)> {
    let finished = runs.iter().flat_map(|run| &run.finished);
    let scored = finished.filter(|done| done.objectives.is_some());
    scored.map(|done| (done.duration, done.survives)).collect()
}

/// The share of survivors among each quarter of durations, the fastest first; `None` where all took as long,
/// and nobody is faster than another. Those that took as long as each other count alike, on whichever side
/// of a border they come, so that no order among them decides.
pub(super) fn quartiles(runs: &[SeedRun]) -> Option<[f64; 4]> {
    let mut scored = scored(runs);
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    if scored.first()?.0 == scored.last()?.0 {
        return None;
    }
    let ties = scored.chunk_by(|a, b| a.0 == b.0);
    let alive: Vec<f64> = ties
        .flat_map(|tied| {
            let survivors = tied.iter().filter(|(_, survives)| *survives).count();
            std::iter::repeat_n(survivors as f64 / tied.len() as f64, tied.len())
        })
        .collect();
    let share = |quarter: usize| {
        let part = &alive[quarter * alive.len() / 4..(quarter + 1) * alive.len() / 4];
        part.iter().sum::<f64>() / part.len().max(1) as f64
    };
    Some([0, 1, 2, 3].map(share))
}

/// Whether slow architectures survive as often as fast ones, in a line.
pub(super) fn survival(runs: &[SeedRun]) -> String {
    if let (Some(correlation), Some([fast, .., slow])) = (correlation(runs), quartiles(runs)) {
        return format!(
            "correlation of duration and survival {correlation:+.3}; in the population at the end: \
             {:.1} % of the fastest quarter, {:.1} % of the slowest\n",
            100.0 * fast,
            100.0 * slow,
        );
    }
    let scored = scored(runs);
    let survivors = scored.iter().filter(|(_, survives)| *survives).count();
    let line = match survivors {
        0 => "the algorithm keeps no population",
        all if all == scored.len() => "every result can be a parent, however long it took",
        _ => "all evaluations took as long: nothing to say about slow ones",
    };
    format!("{line}\n")
}

/// The point-biserial correlation of duration and survival; `None` where one of them is constant.
pub(super) fn correlation(runs: &[SeedRun]) -> Option<f64> {
    point_biserial(&scored(runs))
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::run;
    use super::*;

    #[test]
    fn bias_by_duration_is_seen() {
        let fast = [(1.0, true), (2.0, true), (3.0, false), (4.0, false)];
        assert!(correlation(&[run(&fast)]).unwrap() < -0.8);
        assert_eq!(quartiles(&[run(&fast)]), Some([1.0, 1.0, 0.0, 0.0]));
        assert_eq!(correlation(&[run(&[(1.0, true), (2.0, true)])]), None);
    }

    #[test]
    fn of_evaluations_that_took_as_long_none_is_slow() {
        let equal = [run(&[(2.0, true), (2.0, false), (2.0, true), (2.0, false)])];
        assert_eq!((correlation(&equal), quartiles(&equal)), (None, None));
        assert!(survival(&equal).starts_with("all evaluations took as long"));
        let kept = [run(&[(2.0, true), (2.0, true)])];
        assert!(survival(&kept).starts_with("every result can be a parent"));
        let apart = [run(&[(1.0, true), (2.0, false), (2.0, true), (3.0, false)])];
        assert!(survival(&apart).contains("100.0 % of the fastest quarter, 0.0 %"));
    }

    #[test]
    fn no_order_among_equal_durations_decides() {
        let early = [(1.0, true), (1.0, true), (1.0, false), (1.0, false)];
        let late = [(2.0, false), (2.0, false), (2.0, false), (2.0, true)];
        let runs = [run(&[early, late].concat())];
        assert_eq!(quartiles(&runs), Some([0.5, 0.5, 0.25, 0.25]));
        let across =
            [(1.0, true), (2.0, true), (2.0, true), (2.0, false), (2.0, false), (2.0, false)];
        let [fast, .., slow] = quartiles(&[run(&across)]).unwrap();
        assert_eq!((fast, slow), (1.0, 0.4));
    }
}
