//! Coordinator and workers as they are, from the journal's file to the bytes of HTTP/2, on a network
//! whose every delay and loss follows from a seed, in virtual time: partitions, one-sided ones, stalled
//! and slow wires, and processes that crash. What must hold is what must hold for real processes.
//!
//! `CAMBRIAN_NETWORK_SEEDS` sets how many seeds are tried (default 8), `CAMBRIAN_NETWORK_FIRST_SEED` the
//! first one (default 1).

#[path = "../../src/audit.rs"]
mod audit;
mod faults;
mod network;

use network::{Outcome, simulate};

fn number(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(default, |text| text.parse().expect("a number of seeds"))
}

/// What is not as it must be, with the seed that shows it.
fn problems(seed: u64, outcome: &Outcome) -> String {
    let audit = &outcome.audit;
    let lines = audit.problems.iter().map(|problem| format!("seed {seed}: {problem}\n"));
    lines.collect::<String>() + &format!("faults of seed {seed}: {:?}\n", outcome.faults)
}

#[test]
fn no_fault_of_the_network_loses_or_doubles_an_evaluation() {
    let first = number("CAMBRIAN_NETWORK_FIRST_SEED", 1);
    let seeds = number("CAMBRIAN_NETWORK_SEEDS", 8);
    let (mut counted, mut repeated, mut injected, mut seconds) = (0, 0, 0, 0.0);
    let mut bad = Vec::new();
    for seed in first..first + seeds {
        let outcome = simulate(seed);
        if !outcome.audit.problems.is_empty() {
            bad.push(seed);
            eprintln!("{}", problems(seed, &outcome));
        }
        counted += outcome.audit.counted;
        repeated += outcome.audit.repeated;
        injected += outcome.faults.len();
        seconds += outcome.elapsed.as_secs_f64();
    }
    eprintln!(
        "{seeds} seeds: {injected} faults in {seconds:.0} s of virtual time; {counted} evaluations \
         counted, {repeated} done again"
    );
    assert!(bad.is_empty(), "seeds that failed: {bad:?}");
}

#[test]
fn a_seed_determines_the_journal() {
    let outcomes = [simulate(1_001), simulate(1_001)];
    assert_eq!(outcomes[0].journal, outcomes[1].journal, "the same seed, another journal");
    assert_eq!(outcomes[0].elapsed, outcomes[1].elapsed);
    assert_ne!(outcomes[0].journal, simulate(1_002).journal, "another seed, the same journal");
}
