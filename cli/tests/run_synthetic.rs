//! `cambrian run` end to end with real processes and made-up evaluations: results, resumption after
//! kills, interruption, and what other commands see meanwhile.
#![expect(clippy::unwrap_used, reason = "whatever a test cannot do makes it fail")]

mod support;

use std::collections::BTreeSet;
use std::process::Output;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use support::{Campaign, cambrian, programs_are_built};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn expect_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}\n{}", stdout(output), stderr(output));
}

/// Verifies and replays the journal; the verification's answer.
#[track_caller]
fn expect_sound(campaign: &Campaign, evaluations: u64) -> Value {
    let verified = campaign.journal("verify");
    expect_code(&verified, 0);
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(verified["sound"], true);
    assert_eq!(verified["campaigns"][0]["evaluations_started"], evaluations);
    assert_eq!(verified["campaigns"][0]["pending"], 0);
    let replayed = campaign.journal("replay");
    expect_code(&replayed, 0);
    let replayed: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!(replayed["reproduced"], true);
    assert_eq!(replayed["digest"], verified["digest"]);
    let front: Value = serde_json::from_str(&campaign.read("front.json")).unwrap();
    let members = front["front"]["members"].as_array().unwrap();
    assert_eq!(replayed["campaigns"][0]["front"].as_array().unwrap().len(), members.len());
    verified
}

#[test]
fn a_test_problem_is_solved_by_real_workers() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::of(
        "version: 1\nname: sphere\nspace: {kind: problem, name: dtlz2, variables: 5}\n\
         metrics: {f1: {}, f2: {}}\nobjectives: [f1, f2]\nalgorithm: {kind: sms_emoa, population: 10}\n\
         stages: [{evaluator: problem, measures: [f1, f2]}]\nbudget: {evaluations: 300}\n",
    );
    let output = campaign.run();
    expect_code(&output, 0);
    expect_sound(&campaign, 300);
    let front: Value = serde_json::from_str(&campaign.read("front.json")).unwrap();
    let members = front["front"]["members"].as_array().unwrap();
    let radius = |member: &Value| {
        let value = |name: &str| member["metrics"][name]["value"].as_f64().unwrap();
        value("f1").hypot(value("f2"))
    };
    let radii: Vec<f64> = members.iter().map(radius).collect();
    assert!(
        radii.iter().all(|radius| *radius >= 1.0),
        "nothing is within the true front: {radii:?}"
    );
    // An end of the front may be far from it whenever two workers report in a rare order.
    let mean = radii.iter().sum::<f64>() / radii.len() as f64;
    assert!(mean < 1.1, "{mean}: {radii:?}");
}

/// Each worker has one evaluation, and is refused where it has several devices.
#[test]
fn workers_share_the_devices_that_the_surroundings_name() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(20, 0.01, "");
    let mut command = campaign.command();
    let output = command.env("CAMBRIAN_WORKER_DEVICES", "cpu,cpu,cpu").output().unwrap();
    expect_code(&output, 0);
    let told = "CAMBRIAN_WORKER_DEVICES names 3 devices, and there are 2 workers: nothing runs on cpu; \
                --workers 3 uses all";
    assert!(stderr(&output).contains(told), "{}", stderr(&output));
    expect_sound(&campaign, 20);
}

#[test]
fn early_stages_throw_candidates_away_and_say_what_they_cost() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::of(
        "version: 1\nname: rungs\nspace: {kind: problem, name: dtlz2, variables: 5}\n\
         metrics: {f1: {}, f2: {}}\nobjectives: [f1, f2]\nalgorithm: {kind: nsga2, population: 10}\n\
         stages:\n\
         - {name: early, evaluator: problem, measures: [f1], \
         pass: {gates: [{metric: f1, at_most: 1.2}], top: 1/2, by: [f1]}}\n\
         - {name: late, evaluator: problem, measures: [f2]}\nbudget: {evaluations: 120}\n",
    );
    let output = campaign.run();
    expect_code(&output, 0);
    assert!(stdout(&output).contains("screened"), "{}", stdout(&output));
    let verified = expect_sound(&campaign, 120);
    let front: Value = serde_json::from_str(&campaign.read("front.json")).unwrap();
    let stages = front["campaign"]["stages"].as_array().unwrap();
    let count = |stage: usize, what: &str| stages[stage][what].as_u64().unwrap();
    assert_eq!((count(0, "entered"), count(0, "waiting"), count(1, "screened")), (120, 0, 0));
    assert_eq!(count(0, "passed") + count(0, "screened"), 120);
    assert_eq!((count(1, "entered"), count(1, "passed")), (count(0, "passed"), count(0, "passed")));
    // Half of what is known at the time; as the search improves, more of what is new is among them.
    assert!((40..115).contains(&count(0, "passed")), "{stages:?}");
    assert_eq!(verified["campaigns"][0]["screened"], count(0, "screened"));
    assert_eq!(front["totals"]["screened"], count(0, "screened"));
    assert!(stages.iter().all(|stage| stage["slot_seconds"].as_f64().unwrap() > 0.0));
    let table = campaign.read("candidates.csv");
    let screened = table.lines().filter(|line| line.contains(",screened,"));
    let reasons = screened.map(|line| line.contains("after stage early: "));
    assert_eq!(reasons.filter(|has| *has).count() as u64, count(0, "screened"));
}

/// Three repeats on two workers: the means are shown with their errors, and every repeat counts once.
#[test]
fn noisy_measurements_are_repeated_and_averaged() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::of(
        "version: 1\nname: noisy\nseed: 3\n\
         space: {kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}\n\
         objectives: [accuracy, params]\nalgorithm: {kind: nsga2, population: 8}\n\
         stages:\n- {evaluator: synthetic, measures: [accuracy], repeats: 3, \
         settings: {seconds: 0.01, noise: 0.02, faults: {crash: 0.05}}}\n\
         budget: {evaluations: 30}\nfailures: {attempts: 9, crash: retry}\n",
    );
    let output = campaign.run();
    expect_code(&output, 0);
    assert!(stdout(&output).contains("mean of 3"), "{}", stdout(&output));
    let verified = expect_sound(&campaign, 30);
    let front: Value = serde_json::from_str(&campaign.read("front.json")).unwrap();
    let metrics = front["front"]["metrics"].as_array().unwrap();
    assert_eq!((&metrics[0]["repeats"], &metrics[1]["repeats"]), (&3.into(), &1.into()));
    for member in front["front"]["members"].as_array().unwrap() {
        let accuracy = &member["metrics"]["accuracy"];
        let (value, spread) = (accuracy["value"].as_f64(), accuracy["spread"].as_f64());
        assert!(value.unwrap() > 20.0 && spread.unwrap() > 0.0, "{member}");
        assert!(member["attempts"].as_u64().unwrap() >= 3, "{member}");
    }
    // A candidate that crashed on both workers has fewer.
    let scored = verified["campaigns"][0]["scored"].as_u64().unwrap();
    let completed = verified["completed"].as_u64().unwrap();
    assert!(scored > 20 && completed >= 3 * scored, "{verified}");
}

/// Real workers report their curves, are told to stop, and report what the stopped evaluations took.
#[test]
fn hopeless_evaluations_are_stopped_before_their_end() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::of(
        "version: 1\nname: early\nseed: 3\n\
         space: {kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}\n\
         objectives: [accuracy, params]\nalgorithm: random\n\
         stages:\n- {evaluator: synthetic, measures: [accuracy], \
         settings: {seconds: 1.2, steps: 6}, \
         stop_early: {metric: accuracy, by: [], after: 2, least: 4}}\nbudget: {evaluations: 24}\n",
    );
    let output = campaign.run();
    expect_code(&output, 0);
    let verified = expect_sound(&campaign, 24);
    let screened = verified["campaigns"][0]["screened"].as_u64().unwrap();
    let scored = verified["campaigns"][0]["scored"].as_u64().unwrap();
    assert!(screened > 2 && screened + scored == 24, "{verified}");
    let front: Value = serde_json::from_str(&campaign.read("front.json")).unwrap();
    let stage = &front["campaign"]["stages"][0];
    assert_eq!((&stage["screened"], &stage["passed"]), (&screened.into(), &scored.into()));
    // Whoever is stopped has cost at most five of six steps.
    let seconds = stage["slot_seconds"].as_f64().unwrap();
    assert!(seconds < 1.2 * 24.0 && seconds > 1.2 * scored as f64, "{seconds} s");
    let table = campaign.read("candidates.csv");
    let reasons = table.lines().filter(|line| line.contains("in stage synthetic: stopped at step"));
    assert_eq!(reasons.count() as u64, screened, "{table}");
}

#[test]
fn a_campaign_goes_on_from_the_front_of_another() {
    if !programs_are_built() {
        return;
    }
    let first = Campaign::new(12, 0.01, "");
    expect_code(&first.run(), 0);
    let column = |campaign: &Campaign, table: &str, name: &str| -> Vec<String> {
        let text = campaign.read(table);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let at = reader.headers().unwrap().iter().position(|known| known == name).unwrap();
        reader.records().map(|row| row.unwrap()[at].to_owned()).collect()
    };
    let front = column(&first, "front.csv", "genotype");
    let from = first.output().join("front.csv");
    let start = format!("start:\n- {{from: '{}'}}\n", from.display());
    let second = Campaign::new(20, 0.01, &start);
    expect_code(&second.run(), 0);
    expect_sound(&second, 20);
    let mut given = column(&second, "candidates.csv", "genotype");
    given.truncate(front.len());
    assert_eq!(given, front);
    // The same command finds its campaign again as long as the file says the same.
    expect_code(&second.run(), 0);
    std::fs::remove_file(&from).unwrap();
    expect_code(&second.run(), 3);
}

#[test]
fn models_are_fitted_beside_the_search_and_its_replay_is_the_same() {
    if !programs_are_built() {
        return;
    }
    // Proposed, queued, leased, completed and scored: whatever else is stored are the start, the
    // workers' coming and going, and the adoption of models after the twelfth result.
    let other_records = |algorithm: &str| {
        let campaign = Campaign::new(40, 0.01, "").with_algorithm(algorithm);
        expect_code(&campaign.run(), 0);
        expect_sound(&campaign, 40)["records"].as_u64().unwrap() - 5 * 40
    };
    let (with_models, without) = (other_records("auto"), other_records("random"));
    assert!(with_models > without + 3, "{with_models} against {without}");
}

#[test]
fn a_campaign_runs_to_its_end_and_leaves_its_files() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(40, 0.02, "");
    let output = campaign.run();
    expect_code(&output, 0);
    let text = stdout(&output);
    assert!(text.starts_with("campaign 1 (made-up) is finished: budget spent\n"), "{text}");
    for expected in ["[%, synthetic]", "[ms, synthetic]", "hypervolume ", "40 evaluations in "] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    assert!(stderr(&output).contains("40/40 evaluations"), "{}", stderr(&output));

    assert_eq!(campaign.read("candidates.csv").lines().count(), 41);
    let front: Value = serde_json::from_str(&campaign.read("front.json")).unwrap();
    let members = front["front"]["members"].as_array().unwrap();
    assert_eq!(campaign.read("front.csv").lines().count(), members.len() + 1);
    assert!(front["front"]["hypervolume"].as_f64().unwrap() > 0.0);
    // The curve is computed apart from the coordinator, and ends at the same value.
    let last = front["hypervolume_history"].as_array().unwrap().last().unwrap();
    assert_eq!(last["evaluations"], 40);
    let (curve, stated) = (&last["hypervolume"], &front["front"]["hypervolume"]);
    assert!((curve.as_f64().unwrap() / stated.as_f64().unwrap() - 1.0).abs() < 1e-9);
    for name in ["front.svg", "hypervolume.svg"] {
        assert!(campaign.read(name).starts_with("<svg"));
    }
    for name in ["front.png", "hypervolume.png"] {
        assert!(std::fs::read(campaign.output().join(name)).unwrap().starts_with(b"\x89PNG"));
    }
    expect_sound(&campaign, 40);

    let again = campaign.run();
    expect_code(&again, 0);
    assert!(stderr(&again).contains("finished already"), "{}", stderr(&again));
    assert_eq!(stdout(&again), text);
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(60, 0.1, "");
    for evaluations in [3, 15, 30] {
        let running = campaign.start();
        running.until_finished(evaluations);
        running.kill_group();
    }
    let output = campaign.run();
    expect_code(&output, 0);
    assert!(stderr(&output).contains("resuming campaign made-up"), "{}", stderr(&output));
    assert!(stdout(&output).contains("campaign 1 (made-up) is finished"), "{}", stdout(&output));
    let verified = expect_sound(&campaign, 60);
    assert_eq!(verified["campaigns"].as_array().unwrap().len(), 1);
    assert_eq!(verified["campaigns"][0]["scored"], 60);
}

#[test]
fn an_interrupted_run_keeps_what_is_done_and_says_how_to_resume() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(40, 0.2, "");
    let running = campaign.start();
    running.until_finished(10);
    running.interrupt();
    let output = running.end();
    expect_code(&output, 130);
    let text = stderr(&output);
    assert!(text.contains("what runs may finish"), "{text}");
    assert!(text.contains("the same command resumes"), "{text}");
    assert!(text.contains("--workers="), "workers are as many: {text}");
    assert!(campaign.read("candidates.csv").lines().count() > 10);
    expect_code(&campaign.run(), 0);
    expect_sound(&campaign, 40);
}

#[test]
fn a_second_interrupt_stops_at_once() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(20, 600.0, "");
    let running = campaign.start();
    let deadline = Instant::now() + support::PATIENCE;
    while running.ask_json(&["list"])["campaigns"][0]["running"].as_u64() < Some(2) {
        assert!(Instant::now() < deadline, "no evaluation began");
        std::thread::sleep(Duration::from_millis(50));
    }
    running.interrupt();
    std::thread::sleep(Duration::from_millis(300));
    running.interrupt();
    // Evaluations of ten minutes would otherwise go on for the 30 seconds of a drain.
    expect_code(&running.end(), 130);
}

#[test]
fn a_changed_campaign_is_refused_and_nothing_is_touched() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(10, 0.0, "");
    expect_code(&campaign.run(), 0);
    let before = campaign.read("front.json");
    let file = campaign.output().with_file_name("campaign.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("seed: 11", "seed: 12")).unwrap();
    let output = campaign.run();
    expect_code(&output, 8);
    assert!(stderr(&output).contains("--fresh"), "{}", stderr(&output));
    assert_eq!(campaign.read("front.json"), before);
    let output = campaign.command().arg("--fresh").output().unwrap();
    expect_code(&output, 0);
    assert_ne!(campaign.read("front.json"), before);
    expect_sound(&campaign, 10);
}

#[test]
fn a_campaign_that_no_worker_can_serve_ends_with_the_reasons() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(10, 0.0, "  labels: {pool: gpu}\n");
    let output = campaign.run();
    expect_code(&output, 9);
    let text = stderr(&output);
    assert!(text.contains("worker-1 cannot serve stage synthetic: it has no label pool"), "{text}");
    assert!(text.contains("help: workers of `cambrian run` have the labels of"), "{text}");
    let output = campaign.command().env("CAMBRIAN_WORKER_LABELS", "pool=gpu").output().unwrap();
    expect_code(&output, 0);
}

#[test]
fn an_evaluator_that_does_not_start_is_quoted() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(10, 0.0, "");
    let output = campaign.command().args(["--evaluator", "/bin/false"]).output().unwrap();
    expect_code(&output, 9);
    assert!(stderr(&output).contains("/bin/false does not start"), "{}", stderr(&output));
}

#[test]
fn a_campaign_without_a_score_says_why() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(8, 0.0, "");
    let file = campaign.output().with_file_name("campaign.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("steps: 4", "steps: 4, faults: {non_finite: 1.0}")).unwrap();
    let output = campaign.run();
    expect_code(&output, 6);
    assert!(stderr(&output).contains("8 × non_finite"), "{}", stderr(&output));
    assert!(stdout(&output).contains("The front is empty"), "{}", stdout(&output));
    assert!(campaign.read("front.svg").contains("no scored candidate yet"));
}

#[test]
fn other_commands_see_and_steer_a_run() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(5_000, 0.1, "");
    let running = campaign.start();
    running.until_finished(12);

    let workers = running.ask_json(&["workers"]);
    let workers = workers["workers"].as_array().unwrap();
    // Numbered in order of registration, which may be any.
    let names: BTreeSet<_> = workers.iter().filter_map(|worker| worker["name"].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["worker-1", "worker-2"]));
    let front = running.ask_json(&["front", "made-up"]);
    assert!(!front["front"]["members"].as_array().unwrap().is_empty());
    let csv = stdout(&running.ask(&["front", "1", "--format", "csv"]));
    assert!(csv.starts_with("candidate,status,on_front,genotype,"), "{csv}");
    let scored = running.ask_json(&["candidates", "1", "--status", "scored", "--limit", "5"]);
    assert_eq!(scored["candidates"].as_array().unwrap().len(), 5);
    assert_eq!(scored["more"], true);
    let why = running.ask_json(&["explain", "candidate", "1/1"]);
    assert!(why["headline"].as_str().unwrap().contains("1/1"), "{why}");
    let picture = campaign.output().join("elsewhere/now.svg");
    expect_code(&running.ask(&["front", "1", "--svg", picture.to_str().unwrap()]), 0);
    assert!(std::fs::read_to_string(picture).unwrap().starts_with("<svg"));

    for (arguments, code) in [
        (&["front", "99"][..], 4),
        (&["explain", "worker", "nobody"], 4),
        (&["explain", "candidate", "1/99999"], 4),
        (&["resume", "1"], 8),
        (&["worker", "drain", "worker-1", "nobody", "worker-2"], 4),
        (&["worker", "release", "worker-1"], 8),
    ] {
        let output = running.ask(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
    }
    // One wrong name, and none is drained.
    let workers = running.ask_json(&["workers"]);
    let drains = |worker: &Value| worker["draining"] == false;
    assert!(workers["workers"].as_array().unwrap().iter().all(drains), "{workers}");

    assert_eq!(running.ask_json(&["pause", "1"])["campaign"]["status"], "paused");
    assert_eq!(running.ask_json(&["resume", "1"])["campaign"]["status"], "running");
    assert_eq!(running.ask_json(&["cancel", "1"])["campaign"]["status"], "finished");
    let output = running.end();
    expect_code(&output, 0);
    assert!(stdout(&output).contains("finished: cancelled"), "{}", stdout(&output));
    expect_code(&campaign.journal("verify"), 0);
}

#[test]
fn a_second_campaign_can_be_submitted_and_watched() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(5_000, 0.1, "");
    let running = campaign.start();
    running.until_finished(1);
    let second = Campaign::new(9, 0.0, "");
    let file = second.output().with_file_name("campaign.yaml");
    let output = running.ask(&["submit", file.to_str().unwrap(), "--watch"]);
    expect_code(&output, 0);
    let text = stdout(&output);
    assert!(text.starts_with("campaign 2 (made-up) is submitted\n"), "{text}");
    assert!(text.contains("9/9 evaluations"), "{text}");
    assert!(text.contains("campaign 2 (made-up) is finished: budget spent"), "{text}");
}

#[test]
fn a_watch_shows_results_as_they_come() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(5_000, 0.3, "");
    let running = campaign.start();
    let (mut delays, mut steps_seen, mut known, mut updates) = (Vec::new(), 0, None, 0);
    running.watch(|update| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let works = update["in_work"].as_array().unwrap();
        steps_seen += works.iter().filter(|work| work["step"].as_u64() > Some(0)).count();
        if let Some(members) = update["front"]["members"].as_array() {
            let newest = members
                .iter()
                .filter_map(|member| member["resolved_at"].as_str())
                .map(|at| at.parse::<jiff::Timestamp>().unwrap().as_microsecond() as f64 / 1e6)
                .fold(f64::MIN, f64::max);
            // The first update shows a front that may be old.
            if known.is_some_and(|known| newest > known) {
                delays.push(now - newest);
            }
            known = Some(newest);
        }
        updates += 1;
        // On a busy machine the first results may come in updates that show nothing begun.
        delays.len() < 5 || (steps_seen == 0 && updates < 200)
    });
    assert!(steps_seen > 0, "no progress of an evaluation was shown");
    delays.sort_by(f64::total_cmp);
    // The median: one of them may meet a pause of the machine.
    assert!(delays[delays.len() / 2] < 1.0, "results took {delays:?} s to reach the watch");
}

fn evaluate(campaign: &Campaign, arguments: &[&str]) -> Output {
    cambrian().arg("evaluate").arg(campaign.file()).args(arguments).output().unwrap()
}

const SKIPS: &str = "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|";

#[test]
fn one_architecture_is_evaluated_and_leaves_nothing() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(100, 0.0, "");
    let output = evaluate(&campaign, &[SKIPS, "--json"]);
    expect_code(&output, 0);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["genotype"], SKIPS);
    let metrics = found["metrics"].as_array().unwrap();
    let value = |name: &str| metrics.iter().find(|metric| metric["metric"] == name).unwrap();
    assert_eq!(value("accuracy")["source"], "synthetic");
    assert_eq!(value("latency")["unit"], "ms");
    // What follows from the network is there as well.
    assert_eq!(value("params")["source"], "analytic");
    assert!(value("macs")["value"].as_f64().unwrap() > 1e5);
    let again: Value =
        serde_json::from_slice(&evaluate(&campaign, &[SKIPS, "--json"]).stdout).unwrap();
    assert_eq!(again["metrics"], found["metrics"]);
    assert!(!campaign.output().exists());

    let text = stdout(&evaluate(&campaign, &[SKIPS, "--stage", "synthetic"]));
    assert!(text.starts_with(SKIPS) && text.contains("params"), "{text}");
}

#[test]
fn an_architecture_that_cannot_be_evaluated_says_why() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(100, 0.0, "");
    let refused = evaluate(&campaign, &["|conv~0|"]);
    expect_code(&refused, 2);
    assert!(stderr(&refused).contains("genotype"), "{}", stderr(&refused));
    let refused = evaluate(&campaign, &[SKIPS, "--stage", "train"]);
    expect_code(&refused, 2);
    assert!(stderr(&refused).contains("its stages are synthetic"), "{}", stderr(&refused));

    let campaign = Campaign::of(
        "version: 1\nname: fails\nspace: nasbench201\nobjectives: [accuracy]\nalgorithm: random\n\
         stages: [{evaluator: synthetic, measures: [accuracy], \
         settings: {faults: {non_finite: 1}}}]\nbudget: {evaluations: 5}\n",
    );
    let failed = evaluate(&campaign, &[SKIPS]);
    expect_code(&failed, 6);
    assert!(stderr(&failed).contains("non_finite"), "{}", stderr(&failed));
}
