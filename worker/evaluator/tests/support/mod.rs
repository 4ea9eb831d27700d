//! The real process, a tiny data set for it, and assignments.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use cambrian_core::graph::{Graph, GraphBuilder, Op, Shape, Window};
use cambrian_evaluator::pipe;
use cambrian_proto::v1::{
    Assignment, CandidateId, EvaluationEnded, EvaluatorMessage, FailureKind, Hello, Measurement,
    Stage, StopEvaluation, SupervisorMessage, TaskAttempt, evaluator_message, outcome,
    supervisor_message,
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

pub(crate) struct Evaluator {
    pub(crate) process: Child,
    pub(crate) input: Option<ChildStdin>,
    pub(crate) output: BufReader<ChildStdout>,
    pub(crate) hello: Hello,
}

impl Evaluator {
    pub(crate) fn start(base: &Path) -> Self {
        let mut process = command(base)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = process.stdin.take();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let Some(evaluator_message::Message::Hello(hello)) = receive(&mut output) else {
            panic!("the first message is not Hello");
        };
        Self { process, input, output, hello }
    }

    pub(crate) fn send(&mut self, message: supervisor_message::Message) {
        let message = SupervisorMessage { message: Some(message) };
        pipe::write(self.input.as_mut().unwrap(), &message).unwrap();
    }

    pub(crate) fn evaluate(&mut self, assignment: Assignment) {
        self.send(supervisor_message::Message::Evaluate(assignment));
    }

    pub(crate) fn stop(&mut self, attempt: TaskAttempt) {
        self.end(attempt, false);
    }

    /// Stops it; with `keep_state` for another attempt to go on.
    pub(crate) fn end(&mut self, attempt: TaskAttempt, keep_state: bool) {
        let attempt = Some(attempt);
        self.send(supervisor_message::Message::Stop(StopEvaluation { attempt, keep_state }));
    }

    /// The end of the evaluation and the steps that were reported before.
    pub(crate) fn ended(&mut self) -> (EvaluationEnded, Vec<u32>) {
        let mut steps = Vec::new();
        loop {
            match receive(&mut self.output) {
                Some(evaluator_message::Message::Progress(progress)) => {
                    assert!(!progress.metrics.is_empty());
                    steps.push(progress.step);
                }
                Some(evaluator_message::Message::Ended(ended)) => return (ended, steps),
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn failure(&mut self) -> (FailureKind, String) {
        match self.ended().0.outcome.unwrap().outcome.unwrap() {
            outcome::Outcome::Failed(failure) => (failure.kind(), failure.message),
            outcome::Outcome::Measured(measured) => panic!("{measured:?}"),
        }
    }

    pub(crate) fn measured(&mut self) -> Vec<Measurement> {
        match self.ended().0.outcome.unwrap().outcome.unwrap() {
            outcome::Outcome::Measured(measured) => measured.measurements,
            outcome::Outcome::Failed(failure) => panic!("{failure:?}"),
        }
    }

    /// Closes the pipe; the exit code.
    pub(crate) fn close(mut self) -> Option<i32> {
        drop(self.input.take());
        self.process.wait().unwrap().code()
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        // Already gone in the normal case.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn command(base: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cambrian-evaluator"));
    command.env_remove("LD_LIBRARY_PATH");
    // Makes oneDNN print to standard output, which must not reach the pipe.
    command.env("ONEDNN_VERBOSE", "1");
    command.env("XDG_CACHE_HOME", base.join("cache"));
    command.arg("--data").arg(base).arg("--gate-dir").arg(base.join("gate"));
    command
}

pub(crate) fn receive(output: &mut impl Read) -> Option<evaluator_message::Message> {
    pipe::read::<EvaluatorMessage>(output).unwrap().and_then(|message| message.message)
}

/// Fashion-MNIST's files with 120 training and 20 test images: each class is a bright column.
pub(crate) fn write_dataset(base: &Path) {
    write_split(base, "train", 120, 0);
    write_split(base, "t10k", 20, 0);
}

/// One split of it; with a `shift` each image has the label that lies so far behind its own.
pub(crate) fn write_split(base: &Path, part: &str, count: u32, shift: u8) {
    let directory = base.join("fashion-mnist");
    fs::create_dir_all(&directory).unwrap();
    let classes: Vec<u8> = (0..count).map(|i| (i * 7 % 10) as u8).collect();
    let mut pixels = Vec::new();
    for (sample, &class) in (0u32..).zip(&classes) {
        for place in 0..28 * 28u32 {
            let column = place % 28;
            let bright = (u32::from(class) * 2 + 3..u32::from(class) * 2 + 7).contains(&column);
            pixels.push(if bright { 250 } else { ((place * 37 + sample * 13) % 53) as u8 });
        }
    }
    let idx = |dimensions: &[u32], bytes: &[u8]| {
        let mut content = vec![0, 0, 8, dimensions.len() as u8];
        content.extend(dimensions.iter().flat_map(|d| d.to_be_bytes()));
        content.extend(bytes);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&content).unwrap();
        encoder.finish().unwrap()
    };
    let images = idx(&[count, 28, 28], &pixels);
    fs::write(directory.join(format!("{part}-images-idx3-ubyte.gz")), images).unwrap();
    let labels: Vec<u8> = classes.iter().map(|class| (class + shift) % 10).collect();
    let labels = idx(&[count], &labels);
    fs::write(directory.join(format!("{part}-labels-idx1-ubyte.gz")), labels).unwrap();
}

pub(crate) fn graph(input: Shape, classes: u32) -> Graph {
    let mut builder = GraphBuilder::new(input);
    let mut last = builder.input();
    let window = Window { kernel: 3, stride: 2, padding: 1 };
    for op in [
        Op::Conv2d { out_channels: 8, window, dilation: 1, groups: 1, bias: false },
        Op::BatchNorm,
        Op::Relu,
        Op::Flatten,
        Op::Linear { out_features: classes, bias: true },
    ] {
        last = builder.add(op, &[last]).unwrap();
    }
    builder.finish(last).unwrap()
}

pub(crate) const IMAGE: Shape = Shape::Map { channels: 1, height: 28, width: 28 };

pub(crate) fn settings() -> Value {
    json!({
        "dataset": "fashion-mnist", "train_samples": 80, "validation_samples": 40,
        "epochs": 1, "batch_size": 8, "learning_rate": 0.02,
        "augment": {"crop_padding": 0, "flip": false, "cutout": 0},
        "latency": {"warmup_seconds": 0.0, "samples": 10, "min_sample_ms": 0.0, "retries": 0},
    })
}

pub(crate) fn assignment(task: u64, settings: &Value, measures: &[&str]) -> Assignment {
    Assignment {
        task,
        attempt: 1,
        candidate: Some(CandidateId { campaign: 1, ordinal: 1 }),
        graph: Some((&graph(IMAGE, 10)).into()),
        genotype: "test".to_owned(),
        stage: Some(Stage {
            name: "training".to_owned(),
            evaluator: "train".to_owned(),
            settings_json: settings.to_string(),
            measures: measures.iter().map(|&metric| metric.to_owned()).collect(),
            dataset: "fashion-mnist".to_owned(),
            timeout_micros: 1_000_000,
            ..Stage::default()
        }),
        seed: 7,
        ..Assignment::default()
    }
}
