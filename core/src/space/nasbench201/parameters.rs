//! The sizes of the skeleton and the operations on offer: read, checked and bounded. It must not know how they
//! become a network or genes.

use serde::{Deserialize, Serialize};

use super::cell::Operation;
use super::network::STAGES;
use crate::spec::Section;

const MAX_CHANNELS: u32 = 512;
const MAX_CELLS: u32 = 64;
const MAX_INPUT_CHANNELS: u32 = 512;
const MAX_SIDE: u32 = 1024;
const MAX_CLASSES: u32 = 100_000;

/// Checked parameters of the space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameters {
    /// Channels of the first stage, 1 to 512; each later stage has twice those of the one before.
    pub(super) channels: u32,
    /// Cells of each stage, 1 to 64.
    pub(super) cells: u32,
    /// Channels, height and width of an image; the sides are multiples of 4, at most 1024.
    pub(super) input: [u32; 3],
    /// Number of classes, 2 to 100,000.
    pub(super) classes: u32,
    /// At least two different operations; a gene is an index into this list.
    pub(super) operations: Vec<Operation>,
    /// Which cells are the same candidate.
    pub(super) same: Same,
}

/// Which cells count as one candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Same {
    /// Those that build the same network, operations that nobody reads included: they cost the
    /// same. 9,742 of the published cells differ.
    #[default]
    Network,
    /// Those that compute the same function by the rule of NATS-Bench, whatever they cost. 6,466 of
    /// the published cells differ.
    Function,
    /// No two cells.
    Spelling,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            channels: 16,
            cells: 5,
            input: [3, 32, 32],
            classes: 10,
            operations: Operation::ALL.to_vec(),
            same: Same::default(),
        }
    }
}

/// The parameters as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    channels: Option<u32>,
    cells: Option<u32>,
    input: Option<[u32; 3]>,
    classes: Option<u32>,
    operations: Option<Vec<Operation>>,
    same: Option<Same>,
}

impl Parameters {
    /// Reads and checks all parameters, recording faults; `None` if there were any.
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let written: Written = section.read();
        let default = Self::default();
        let parameters = Self {
            channels: written.channels.unwrap_or(default.channels),
            cells: written.cells.unwrap_or(default.cells),
            input: written.input.unwrap_or(default.input),
            classes: written.classes.unwrap_or(default.classes),
            operations: written.operations.unwrap_or(default.operations),
            same: written.same.unwrap_or(default.same),
        };
        check_range(section, "channels", parameters.channels, 1, MAX_CHANNELS);
        check_range(section, "cells", parameters.cells, 1, MAX_CELLS);
        check_range(section, "classes", parameters.classes, 2, MAX_CLASSES);
        check_input(section, parameters.input);
        check_operations(section, &parameters.operations);
        section.is_clean().then_some(parameters)
    }
}

fn check_range(section: &Section<'_>, key: &str, value: u32, least: u32, most: u32) {
    if !(least..=most).contains(&value) {
        let help = format!("write a number from {least} to {most}");
        section.fault(key, format!("{value} is out of range"), help);
    }
}

fn check_input(section: &Section<'_>, [channels, height, width]: [u32; 3]) {
    check_range(section, "input[0]", channels, 1, MAX_INPUT_CHANNELS);
    let halvings = STAGES - 1;
    let step = 1 << halvings;
    for (key, name, side) in [("input[1]", "height", height), ("input[2]", "width", width)] {
        if side % step != 0 || !(step..=MAX_SIDE).contains(&side) {
            section.fault(
                key,
                format!(
                    "{name} {side} cannot be halved {halvings} times, once between each two stages"
                ),
                format!(
                    "write [channels, height, width] with sides that are multiples of {step} from \
                     {step} to {MAX_SIDE}, such as 28 or 32"
                ),
            );
        }
    }
}

fn check_operations(section: &Section<'_>, operations: &[Operation]) {
    let repeated = operations
        .iter()
        .enumerate()
        .find(|&(place, operation)| operations[..place].contains(operation));
    if let Some((place, operation)) = repeated {
        let message = format!("{operation} is listed twice");
        section.fault(&format!("operations[{place}]"), message, "list each operation once");
    } else if operations.len() < 2 {
        section.fault(
            "operations",
            format!("{} operation(s) leave nothing to search", operations.len()),
            format!("list at least two of {}", Operation::ALL.map(Operation::name).join(", ")),
        );
    }
}
