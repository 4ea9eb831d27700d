//! What goes wrong at a worker, and what it does about it by itself.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cambrian_proto::v1::{Capabilities, Outcome};
use cambrian_transport::dial::Dialler;
use cambrian_worker::simulated::{Evaluations, World};

use super::*;

#[tokio::test]
async fn a_worker_whose_evaluator_starts_again_gets_what_it_was_barred_from() {
    let mut coordinator = FakeCoordinator::start().await;
    let mut rig = Rig::new(&[coordinator.url()]);
    let broken = rig.root.path().join("broken");
    let script = format!("[ ! -e '{}' ] || exit 9; exec {SYNTHETIC} \"$@\"", broken.display());
    let mut arguments = vec!["-c".to_owned(), script, "sh".to_owned()];
    arguments.append(&mut rig.config.evaluator.arguments);
    rig.config.evaluator = EvaluatorCommand { program: "sh".into(), arguments };
    rig.start();
    let mut stream = coordinator.accept().await;
    stream.full_credit(2).await;
    std::fs::write(&broken, "").unwrap();
    stream.assign(assignment(1, r#"{"faults": {"crash": 1.0}}"#)).await;
    stream.assign(assignment(2, "{}")).await;
    let (crashed, handed_back) = (stream.report().await, stream.report().await);
    assert_eq!(failed(&crashed).kind(), FailureKind::Crash);
    assert_eq!((handed_back.task, failed(&handed_back).kind()), (2, FailureKind::BadNode));
    stream.acknowledge(&crashed).await;
    stream.acknowledge(&handed_back).await;
    std::fs::remove_file(&broken).unwrap();
    let session = stream.register.session;

    // The first stream is still open: the worker has left it.
    let mut again = coordinator.accept().await;
    assert!(again.register.session > session && again.holding().is_empty());
    again.full_credit(2).await;
    again.assign(Assignment { attempt: 2, ..assignment(2, "{}") }).await;
    assert_eq!(measured(&again.report().await).len(), 2);
    while stream.next().await.is_some() {}
}

/// Evaluations that bring their slot down.
struct Faulty;

impl Evaluations for Faulty {
    fn offer(&self) -> Capabilities {
        Capabilities::default()
    }

    fn lasts(&self, _: &Assignment) -> Duration {
        Duration::ZERO
    }

    fn finish(&self, assignment: &Assignment) -> Outcome {
        panic!("task {} brings the slot down", assignment.task)
    }
}

fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

#[tokio::test]
async fn a_slot_that_panics_ends_the_agent_which_hands_everything_back() {
    let mut coordinator = FakeCoordinator::start().await;
    let mut rig = Rig::new(&[coordinator.url()]);
    rig.config.slots = 2;
    let world = World { dialler: Dialler::System, wall, evaluations: Arc::new(Faulty) };
    let agent =
        tokio::spawn(Agent::simulated(rig.config.clone(), world).run(std::future::pending::<()>()));
    let mut stream = coordinator.accept().await;
    stream.assign(assignment(1, "{}")).await;
    let left = timeout(PATIENCE, wait_for_goodbye(&mut stream)).await;
    assert!(left.is_ok(), "the agent holds its task for ever");
    drop(stream);
    let error = timeout(PATIENCE, agent).await.expect("the agent goes on").unwrap().unwrap_err();
    assert!(matches!(error, AgentError::SlotEnded(_)), "{error}");
    assert!(error.to_string().contains("task 1 brings the slot down"), "{error}");
}
