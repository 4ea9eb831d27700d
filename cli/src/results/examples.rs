//! Made-up campaigns and candidates for the tests of whatever shows them.

use super::*;

/// A metric without provenance of note.
pub(crate) fn metric(name: &str, unit: &str, goal: Goal) -> Metric {
    Metric {
        name: name.into(),
        unit: unit.into(),
        goal,
        objective: true,
        source: "trained".into(),
        device_class: Foreign::default(),
        repeats: 1,
    }
}

/// Accuracy, latency, energy (modelled), introspectability, and the sealed test accuracy.
pub(crate) fn metrics() -> Vec<Metric> {
    let device = "cpu:example:1t";
    vec![
        metric("accuracy", "%", Goal::Maximize),
        Metric {
            source: "wall-clock".into(),
            device_class: device.into(),
            ..metric("latency", "ms", Goal::Minimize)
        },
        Metric {
            source: "modelled".into(),
            device_class: device.into(),
            ..metric("energy", "mJ", Goal::Minimize)
        },
        metric("introspectability", "", Goal::Maximize),
        Metric { objective: false, ..metric("test_accuracy", "%", Goal::Maximize) },
    ]
}

/// A scored, dominated candidate of campaign 1 with these values.
pub(crate) fn candidate(ordinal: u32, values: &[(&str, f64)]) -> Candidate {
    let value = |(name, value): &(&str, f64)| {
        let value = Value {
            value: *value,
            spread: None,
            interval_95: None,
            source: "trained".into(),
            device_class: Foreign::default(),
        };
        ((*name).into(), value)
    };
    Candidate {
        id: format!("1/{ordinal}"),
        ordinal,
        status: CandidateStatus::Scored,
        on_front: false,
        genotype: "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|".into(),
        canonical_hash: format!("{ordinal:032x}").into(),
        origin: "sampled".into(),
        metrics: values.iter().map(value).collect(),
        violation: 0.0,
        reason: Foreign::default(),
        proposed_at: Instant(1_795_262_400_000_000 + u64::from(ordinal)),
        resolved_at: Instant::known(1_795_262_401_000_000 + u64::from(ordinal)),
        elapsed_seconds: 1.5,
        attempts: 1,
        repeated_attempts: 0,
        cached: Vec::new(),
    }
}

/// A stage that this many candidates entered.
pub(crate) fn stage(name: &str, entered: u32) -> Stage {
    Stage {
        name: name.into(),
        entered,
        passed: entered.saturating_sub(6),
        waiting: 0,
        screened: 0,
        infeasible: 0,
        failed: 4,
        live: 2,
        slot_seconds: 63.0,
        energy_joules: 0.0,
        cached: 0,
    }
}

/// A running campaign over `metrics`.
pub(crate) fn campaign(metrics: Vec<Metric>) -> Campaign {
    Campaign {
        id: 1,
        name: "example".into(),
        status: CampaignStatus::Running,
        reason: Foreign::default(),
        algorithm: "nsga2".into(),
        space: "nasbench201".into(),
        owner: None,
        submitted_at: Instant(1_795_262_400_000_000),
        finished_at: None,
        evaluations_budget: 64,
        evaluations_started: 42,
        evaluations_finished: 40,
        scored: 36,
        infeasible: 0,
        failed: 4,
        screened: 0,
        waiting: 0,
        running: 2,
        queued: 0,
        front_size: 9,
        metrics,
        reference_point: Vec::new(),
        hypervolume: None,
        stages: vec![stage("train", 42)],
        priority: 0,
        weight: 1,
        preempt: false,
        slot_seconds: 63.0,
        energy_joules: 0.0,
        held: Foreign::default(),
    }
}

/// `count` candidates spread by a fixed recipe over accuracy, latency, energy and
/// introspectability; the non-dominated ones are marked, every ninth breaks a constraint.
pub(crate) fn population(count: u32, metrics: &[Metric]) -> Vec<Candidate> {
    let names: Vec<_> = metrics.iter().filter(|metric| metric.objective).collect();
    let mut candidates: Vec<_> = (1..=count)
        .map(|ordinal| {
            // A low-discrepancy sequence: even, and the same everywhere.
            let unit = |base: f64| (f64::from(ordinal) * base).fract();
            let size = unit(0.754_877_666);
            let values = [
                55.0 + 35.0 * size.sqrt() - 12.0 * unit(0.569_840_296).powi(2),
                0.2 + 3.1 * size + 0.5 * unit(0.618_033_988),
                0.01 + 0.2 * size * (0.8 + 0.4 * unit(0.414_213_562)),
                0.3 + 0.5 * unit(0.236_067_977) * (1.2 - size),
            ];
            let values: Vec<_> = names.iter().map(|metric| metric.name.raw()).zip(values).collect();
            let mut candidate = candidate(ordinal, &values);
            candidate.violation = if ordinal % 9 == 0 { 0.25 } else { 0.0 };
            candidate
        })
        .collect();
    let goals: Vec<_> = names.iter().map(|metric| metric.goal).collect();
    let point = |candidate: &Candidate| -> Vec<f64> {
        let values = names.iter().filter_map(|metric| candidate.value(metric.name.raw()));
        values.zip(&goals).map(|(value, goal)| goal.minimized(value)).collect()
    };
    let points: Vec<_> = candidates.iter().map(|c| (c.is_feasible(), point(c))).collect();
    for (at, candidate) in candidates.iter_mut().enumerate() {
        let dominated = points.iter().any(|(feasible, other)| {
            *feasible && cambrian_core::pareto::dominance::dominates(other, &points[at].1)
        });
        candidate.on_front = points[at].0 && !dominated;
    }
    candidates
}
