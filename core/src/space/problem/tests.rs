//! The problems against values of an independent implementation, their known fronts, and what a
//! campaign can get wrong about them.

use super::*;
use crate::space::contract;

/// Name, objectives, position parameters and variables, and the objectives at [`point`], computed
/// with pymoo 0.6.2.
const VALUES: &[(&str, &[f64])] = &[
    ("zdt1/2/0/30", &[0.6180339887498949, 3.7255366473695353]),
    ("zdt2/2/0/30", &[0.6180339887498949, 5.514686610147616]),
    ("zdt3/2/0/30", &[0.6180339887498949, 3.393820468130926]),
    ("zdt4/2/0/10", &[0.6180339887498949, 158.8194535826237]),
    ("zdt6/2/0/10", &[0.9789148148973197, 8.40190829952836]),
    ("dtlz1/2/0/6", &[170.5306565490477, 105.3937418711463]),
    ("dtlz1/3/0/7", &[35.861842131911715, 116.05135893723221, 93.88752160052779]),
    (
        "dtlz1/4/0/8",
        &[30.884806778039426, 5.275754839273004, 117.01803549819269, 94.66957936640874],
    ),
    ("dtlz2/2/0/11", &[1.0331670208835244, 1.510205836780023]),
    ("dtlz2/3/0/12", &[0.9299632739301427, 0.36157040308809085, 1.458479692005105]),
    (
        "dtlz2/4/0/13",
        &[0.22218651513684212, 0.9524682585961649, 0.3802627468786034, 1.5338796793425593],
    ),
    ("dtlz3/2/0/11", &[640.6584446646359, 936.4663243775956]),
    ("dtlz3/3/0/12", &[533.0479326240085, 207.2494272269661, 835.9895561379146]),
    (
        "dtlz3/4/0/13",
        &[117.31077719632106, 502.88736740808247, 200.7723931745487, 809.8629081899774],
    ),
    ("dtlz4/2/0/11", &[1.8297966451181908, 3.628763621046225e-21]),
    ("dtlz4/3/0/12", &[1.7671241776512085, 5.585922049900227e-63, 3.504474634839948e-21]),
    (
        "dtlz4/4/0/13",
        &[1.8584803626902782, 4.1328535910160093e-07, 5.874701149217991e-63, 3.685647773238667e-21],
    ),
    ("dtlz5/2/0/11", &[1.0331670208835244, 1.510205836780023]),
    ("dtlz5/3/0/12", &[0.8204355104235992, 0.5678471805724865, 1.458479692005105]),
    (
        "dtlz5/4/0/13",
        &[0.4384996343659362, 0.7510400175009586, 0.5872132070880439, 1.5338796793425593],
    ),
    ("dtlz6/2/0/11", &[5.749418395153825, 8.404067341431922]),
    ("dtlz6/3/0/12", &[5.296021058479618, 2.310187114770798, 8.445785009797833]),
    (
        "dtlz6/4/0/13",
        &[1.4490141018999794, 4.945737708708192, 2.254823895629922, 8.222665620717871],
    ),
    ("dtlz7/2/0/21", &[0.6180339887498949, 12.788463788109507]),
    ("dtlz7/3/0/22", &[0.6180339887498949, 0.2360679774997898, 19.41848761817126]),
    (
        "dtlz7/4/0/23",
        &[0.6180339887498949, 0.2360679774997898, 0.8541019662496847, 23.3046408935637],
    ),
    ("wfg1/2/4/24", &[2.939037411146005, 0.9832374912410734]),
    ("wfg1/3/4/24", &[2.8820873384856114, 0.9820773521324854, 0.9921051907023839]),
    ("wfg2/2/4/24", &[1.3492238401704415, 3.7373178070166415]),
    ("wfg2/3/4/24", &[0.8744161236948389, 0.7783685592908863, 4.532968267822618]),
    ("wfg3/2/4/24", &[1.7499924938409186, 2.479482662592495]),
    ("wfg3/3/4/24", &[1.178800159356488, 1.330071264060726, 4.09751665134239]),
    ("wfg4/2/4/24", &[1.2478165824433742, 3.974110773340181]),
    ("wfg4/3/4/24", &[0.7164043494316825, 1.388997249094538, 6.088042986368188]),
    ("wfg5/2/4/24", &[2.124953266952323, 2.8789165408491657]),
    ("wfg5/3/4/24", &[1.7982201592063998, 2.757207291173043, 3.640614501947697]),
    ("wfg6/2/4/24", &[2.323156744615874, 2.9310146795079817]),
    ("wfg6/3/4/24", &[2.0044489777202337, 2.047140885485833, 4.644977213537713]),
    ("wfg7/2/4/24", &[1.4810832820888287, 4.015589294011599]),
    ("wfg7/3/4/24", &[0.8752037041313457, 1.3091538148488437, 6.293818700639212]),
    ("wfg8/2/4/24", &[2.141616478494278, 3.2520753301010634]),
    ("wfg8/3/4/24", &[1.7040758448489868, 1.8861001486550797, 5.330787939850939]),
    ("wfg9/2/4/24", &[2.6893643260491507, 2.1286027730360577]),
    ("wfg9/3/4/24", &[2.1129904917216638, 3.808725346157165, 1.259112706890673]),
];

fn space(text: &str) -> Arc<dyn SearchSpace> {
    contract::build(&ENTRY, text)
}

fn faults(text: &str) -> String {
    let section = Section::from_text(text).unwrap();
    assert!(read(&section).is_none(), "{text}");
    section.finish().unwrap_err().to_string()
}

fn problem(text: &str) -> Problem {
    let parts: Vec<&str> = text.split('/').collect();
    let (family, number) = Family::find(parts[0]).unwrap();
    let [objectives, position, variables] = [1, 2, 3].map(|at| parts[at].parse().unwrap());
    Problem { family, number, objectives, variables, position }
}

/// Multiples of the golden ratio's fraction, spread over the ranges.
fn point(problem: &Problem) -> Vec<f64> {
    (0..problem.variables)
        .map(|at| {
            let (low, high) = problem.range(at);
            low + (high - low) * (f64::from(at + 1) * 0.618_033_988_749_894_9).fract()
        })
        .collect()
}

#[test]
fn values_are_those_of_an_independent_implementation() {
    for (name, expected) in VALUES {
        let problem = problem(name);
        let found = problem.evaluate(&point(&problem));
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(*expected) {
            assert!(
                (found - expected).abs() <= 1e-9 * (1.0 + expected.abs()),
                "{name}: {found} {expected}"
            );
        }
    }
}

#[test]
fn optimal_variables_lie_on_the_known_fronts() {
    // Huband et al. 2006: distance parameters at 0.35 of their range; the sphere with semi-axes 2,
    // 4, 6 for WFG4 to WFG7.
    for number in 4..=7 {
        let problem = problem(&format!("wfg{number}/3/4/24"));
        let mut x = point(&problem);
        for at in 4..24 {
            x[at as usize] = 0.35 * problem.range(at).1;
        }
        let sum: f64 =
            problem.evaluate(&x).iter().zip([2.0, 4.0, 6.0]).map(|(f, s)| (f / s) * (f / s)).sum();
        assert!((sum - 1.0).abs() < 1e-6, "wfg{number}: {sum}");
    }
    for number in 2..=4 {
        let problem = problem(&format!("dtlz{number}/4/0/13"));
        let mut x = point(&problem);
        x[3..].fill(0.5);
        let sum: f64 = problem.evaluate(&x).iter().map(|f| f * f).sum();
        assert!((sum - 1.0).abs() < 1e-9, "dtlz{number}: {sum}");
    }
    let mut x = vec![0.0; 30];
    x[0] = 0.25;
    assert_eq!(problem("zdt1/2/0/30").evaluate(&x), [0.25, 0.5]);
    assert_eq!(problem("zdt2/2/0/30").evaluate(&x), [0.25, 0.9375]);
}

#[test]
fn every_problem_keeps_the_contract_with_its_published_size() {
    for name in names() {
        contract::check(&*space(&format!("{{name: {name}}}")));
    }
    contract::check(&*space("{name: dtlz2, objectives: 8, variables: 8}"));
    contract::check(&*space("{name: wfg3, objectives: 5, variables: 14, position: 8}"));
}

#[test]
fn a_genotype_says_everything_that_its_evaluation_needs() {
    for text in ["{name: zdt4}", "{name: dtlz5, objectives: 4}", "{name: wfg9, objectives: 3}"] {
        let space = space(text);
        let mut rng = crate::rng::stream(1, crate::rng::Purpose::Proposal, 1);
        let genotype = space.schema().sample(&mut rng);
        let written = space.format(&genotype);
        let objectives = space.parameters()["objectives"].as_u64().unwrap();
        let values = evaluate(&written).unwrap();
        assert_eq!(values.len() as u64, objectives, "{written}");
        assert!(values.iter().all(|value| value.is_finite()), "{written}: {values:?}");
    }
    let evaluated = evaluate("zdt1(0.25 0 0)").unwrap();
    assert_eq!(evaluated, [0.25, 0.5]);
}

#[test]
fn bounds_of_every_problem_give_finite_values() {
    for name in names() {
        for (objectives, position) in [(2, 4), (3, 4)] {
            let (family, number) = Family::find(&name).unwrap();
            let objectives = if family == Family::Zdt { 2 } else { objectives };
            let variables = 24;
            let problem = Problem { family, number, objectives, variables, position };
            for share in [0.0, 0.35, 0.5, 1.0] {
                let x: Vec<f64> = (0..variables)
                    .map(|at| problem.range(at))
                    .map(|(low, high)| low + share * (high - low))
                    .collect();
                let values = problem.evaluate(&x);
                assert!(
                    values.iter().all(|value| value.is_finite()),
                    "{name} at {share}: {values:?}"
                );
            }
        }
    }
}

#[test]
fn malformed_texts_are_refused_with_a_reason() {
    for (text, expected) in [
        ("", "expected a problem"),
        ("zdt1", "expected a problem"),
        ("zdt5(0 0)", "no problem called"),
        ("zdt1(0.5)", "variables"),
        ("zdt1(0.5 x)", "`x` is not a number"),
        ("zdt1(0.5 1.5)", "outside 0 to 1"),
        ("zdt1(0.5 NaN)", "outside"),
        ("dtlz2/9(0.5 0.5)", "out of range"),
        ("dtlz2/x(0.5 0.5)", "no problem called"),
        ("wfg1/3/3(0 0 0 0 0 0)", "multiple of 2"),
    ] {
        let error = evaluate(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn senseless_parameters_are_reported() {
    for (text, expected) in [
        ("{}", "name"),
        ("{name: zdt5}", "zdt6"),
        ("{name: zdt1, objectives: 3}", "has 2"),
        ("{name: dtlz1, objectives: 9}", "from 2 to 8"),
        ("{name: dtlz1, objectives: 4, variables: 3}", "from 4 to"),
        ("{name: dtlz1, position: 3}", "no such parameter"),
        ("{name: wfg1, objectives: 4, position: 4}", "multiple of 3"),
        ("{name: wfg1, objectives: 0}", "from 2 to 8"),
        ("{name: wfg2, variables: 25}", "even"),
        ("{name: zdt1, sizes: 3}", "sizes"),
    ] {
        let found = faults(text);
        assert!(found.contains(expected), "{text}: {found}");
    }
}
