//! `cambrian health` at a real coordinator: what it counts, and with which exit code it ends.

#![expect(clippy::unwrap_used, reason = "whatever a test cannot do makes it fail")]

#[expect(dead_code, reason = "other users need the rest")]
mod support;

use std::process::Output;

use serde_json::Value;
use support::{Campaign, programs_are_built};

fn object(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("it prints an object")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A campaign with a stage that asks for a label that no worker has.
fn unserved() -> Campaign {
    Campaign::of(
        "version: 1\nname: elsewhere\nseed: 11\n\
         space: {kind: nasbench201, channels: 4, cells: 1, input: [1, 28, 28]}\n\
         objectives: [accuracy, latency]\nalgorithm: random\n\
         stages:\n- {evaluator: synthetic, measures: [accuracy, latency], labels: {site: moon}}\n\
         budget: {evaluations: 3}\n",
    )
}

#[test]
fn what_needs_a_hand_has_an_exit_code_of_its_own() {
    if !programs_are_built() {
        return;
    }
    let campaign = Campaign::new(5_000, 0.1, "");
    let running = campaign.start();
    running.until_finished(1);
    let output = running.ask(&["health", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let well = object(&output);
    assert_eq!((&well["healthy"], &well["needs"]), (&true.into(), &Value::Array(Vec::new())));
    assert_eq!((&well["workers"]["connected"], &well["slots"]), (&2.into(), &2.into()));
    assert_eq!(well["campaigns"]["running"], 1);
    assert!(text(&running.ask(&["health"])).ends_with("nothing needs a hand\n"));

    let other = unserved();
    let file = other.file().display().to_string();
    assert!(running.ask(&["submit", &file]).status.success());
    let output = running.ask(&["health", "--json"]);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(11), 0));
    let ill = object(&output);
    assert_eq!((&ill["healthy"], &ill["campaigns"]["running"]), (&false.into(), &2.into()));
    let output = running.ask(&["health"]);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(11), 0));
    let words =
        "needs a hand: no connected worker can serve stage synthetic of campaign 2 (elsewhere); ";
    assert!(text(&output).contains(words), "{}", text(&output));

    assert!(running.ask(&["pause", "2"]).status.success());
    let output = running.ask(&["health", "--json"]);
    assert_eq!(
        (output.status.code(), &object(&output)["campaigns"]["paused"]),
        (Some(0), &1.into())
    );
}
