//! Messages from workers, coordinators, evaluators and the journal.
//!
//! Must not know how inputs are mutated, nor sockets.

use std::hint::black_box;

use cambrian_coordinator::store::record;
use cambrian_core::engine::{Assignment, Capabilities};
use cambrian_core::graph::Graph;
use cambrian_core::id::{SessionId, WorkerId};
use cambrian_core::rng::{self, Purpose};
use cambrian_core::spec::CampaignSpec;
use cambrian_proto::convert::measurement::outcome;
use cambrian_proto::convert::worker::{Registration, command};
use cambrian_proto::v1;
use cambrian_worker::framing;
use prost::Message;

/// A graph that is accepted must survive the way back.
pub(crate) fn graph(bytes: &[u8]) {
    let Ok(message) = v1::Graph::decode(bytes) else { return };
    if let Ok(graph) = Graph::try_from(message) {
        let again = Graph::try_from(v1::Graph::from(&graph));
        assert_eq!(again.map(|again| again.canonical_hash()), Ok(graph.canonical_hash()));
        let _ = black_box((graph.params(), graph.macs(), graph.depth()));
    }
}

/// Networks of the spaces that the example campaigns search.
fn networks() -> Vec<Graph> {
    let spaces = ["nasbench201", "darts", "ofa_mobilenet_v3", "cnn7"];
    let network = |space: &str| {
        let yaml = format!(
            "{{version: 1, name: seed, space: {space}, objectives: [accuracy], \
             stages: [{{evaluator: synthetic, measures: [accuracy]}}], budget: {{evaluations: 1}}}}"
        );
        let spec = CampaignSpec::parse(&yaml).ok()?;
        let mut rng = rng::stream(1, Purpose::Proposal, 0);
        spec.space.lower(&spec.space.schema().sample(&mut rng)).ok()
    };
    spaces.into_iter().filter_map(network).collect()
}

pub(crate) fn graphs() -> Vec<Vec<u8>> {
    networks().iter().map(|graph| v1::Graph::from(graph).encode_to_vec()).collect()
}

/// What a worker says, first and later.
pub(crate) fn worker(bytes: &[u8]) {
    let Ok(message) = v1::WorkerMessage::decode(bytes) else { return };
    if let Some(v1::worker_message::Message::Register(register)) = &message.message {
        let _ = black_box(Registration::try_from(register.clone()).is_ok());
    }
    let _ = black_box(command(WorkerId(1), SessionId(1), message).is_ok());
}

pub(crate) fn workers() -> Vec<Vec<u8>> {
    use v1::worker_message::Message;
    let register = v1::Register {
        name: "worker".into(),
        session: 7,
        capabilities: Some(capabilities()),
        holding: vec![v1::TaskAttempt { task: 1, attempt: 1 }],
    };
    let report =
        v1::Report { task: 1, attempt: 1, outcome: Some(measured()), energy_joules: Some(2.5) };
    let progress = v1::Progress {
        task: 1,
        attempt: 1,
        step: 1,
        steps: 2,
        metrics: [("accuracy".to_owned(), 50.0)].into(),
    };
    let messages = [
        Message::Register(register),
        Message::Heartbeat(v1::Heartbeat::default()),
        Message::Ready(v1::Ready { credit: 2 }),
        Message::Progress(progress),
        Message::Report(report),
        Message::Goodbye(v1::Goodbye {}),
    ];
    let encode = |message| v1::WorkerMessage { message: Some(message) }.encode_to_vec();
    messages.map(encode).to_vec()
}

fn provenance() -> v1::Provenance {
    v1::Provenance { source: "measured".into(), device_class: "cpu".into() }
}

fn capabilities() -> v1::Capabilities {
    let offer = v1::EvaluatorOffer {
        name: "train".into(),
        version: "1".into(),
        metrics: [("accuracy".to_owned(), provenance())].into(),
        yields: true,
    };
    v1::Capabilities {
        device_class: "cpu".into(),
        evaluators: vec![offer],
        datasets: vec!["mnist".into()],
        slots: 1,
        ..v1::Capabilities::default()
    }
}

fn measured() -> v1::Outcome {
    let measurement = v1::Measurement {
        metric: "accuracy".into(),
        value: 71.5,
        spread: Some(0.5),
        provenance: Some(provenance()),
    };
    let measurements = v1::Measurements { measurements: vec![measurement] };
    v1::Outcome {
        outcome: Some(v1::outcome::Outcome::Measured(measurements)),
        elapsed_micros: 1_000,
        ..v1::Outcome::default()
    }
}

/// What a coordinator hands to a worker, and a worker to an evaluator.
pub(crate) fn assignment(bytes: &[u8]) {
    if let Ok(message) = v1::Assignment::decode(bytes) {
        let _ = black_box(Assignment::try_from(message).is_ok());
    }
}

pub(crate) fn assignments() -> Vec<Vec<u8>> {
    let stage = v1::Stage {
        name: "train".into(),
        evaluator: "train".into(),
        measures: vec!["accuracy".into()],
        settings_json: "{\"epochs\":1}".into(),
        ..v1::Stage::default()
    };
    let encode = |graph: &Graph| {
        let assignment = v1::Assignment {
            task: 1,
            attempt: 1,
            graph: Some(graph.into()),
            stage: Some(stage.clone()),
            seed: 3,
            ..v1::Assignment::default()
        };
        assignment.encode_to_vec()
    };
    networks().iter().take(1).map(encode).collect()
}

/// A record that is understood must be written back as one that is understood alike.
pub(crate) fn journal(bytes: &[u8]) {
    let read = |bytes: &[u8]| record::decode(1, bytes, record::checksum(1, bytes));
    if let Ok(stored) = read(bytes)
        && let Ok(written) = record::encode(1, stored.at, &stored.event)
    {
        let again = read(&written.bytes).map(|again| format!("{:?}", again.event));
        assert_eq!(again.ok(), Some(format!("{:?}", stored.event)));
    }
}

/// What an evaluator writes to its standard output.
pub(crate) fn stream(bytes: &[u8]) {
    use v1::evaluator_message::Message;
    let mut rest = bytes;
    while let Ok(Some(message)) = framing::read_blocking::<v1::EvaluatorMessage>(&mut rest) {
        match message.message {
            Some(Message::Hello(v1::Hello { capabilities: Some(found), .. })) => {
                let _ = black_box(Capabilities::try_from(found).is_ok());
            }
            Some(Message::Ended(v1::EvaluationEnded { outcome: Some(found), .. })) => {
                let _ = black_box(outcome(found).is_ok());
            }
            _ => {}
        }
    }
}

pub(crate) fn streams() -> Vec<Vec<u8>> {
    use v1::evaluator_message::Message;
    let hello = v1::Hello { protocol: 1, capabilities: Some(capabilities()) };
    let attempt = Some(v1::TaskAttempt { task: 1, attempt: 1 });
    let progress = v1::EvaluationProgress {
        attempt,
        step: 1,
        steps: 2,
        metrics: [("accuracy".to_owned(), 50.0)].into(),
    };
    let ended = v1::EvaluationEnded { attempt, outcome: Some(measured()), energy_joules: None };
    let messages = [Message::Hello(hello), Message::Progress(progress), Message::Ended(ended)];
    let mut bytes = Vec::new();
    for message in messages {
        let message = v1::EvaluatorMessage { message: Some(message) };
        let _ = framing::write_blocking(&mut bytes, &message);
    }
    vec![bytes]
}
