//! Ways from a value of a document to one inside it. Must not know what is wrong there.

use serde_path_to_error::{Path, Segment};
use serde_yaml::Value;

use super::super::document::{Content, Node, Place};

/// One step from a value to a value inside it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    /// Moves `node` and `place` one step inwards, if there is such a value.
    pub(super) fn enter(&self, node: &mut &Node, place: &mut Place, at_key: bool) -> bool {
        match (self, &node.content) {
            (Step::Key(key), Content::Mapping(entries)) => {
                let Some(entry) = entries.iter().find(|entry| entry.key == *key) else {
                    return false;
                };
                *place = if at_key { entry.place } else { entry.value_place() };
                *node = &entry.value;
                true
            }
            (Step::Index(index), Content::Sequence(nodes)) => {
                let Some(element) = nodes.get(*index) else { return false };
                *place = element.place;
                *node = element;
                true
            }
            _ => false,
        }
    }
}

/// The steps of a deserialiser's path, as far as they are keys and positions.
pub(super) fn steps(path: &Path) -> Vec<Step> {
    path.iter()
        .map_while(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Reads `a.b[2].c`.
pub(super) fn parse_steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let mut pieces = part.split('[');
        if let Some(key) = pieces.next().filter(|key| !key.is_empty()) {
            steps.push(Step::Key(key.to_owned()));
        }
        steps.extend(
            pieces.filter_map(|piece| piece.trim_end_matches(']').parse().ok()).map(Step::Index),
        );
    }
    steps
}

/// Takes the innermost key of `steps` out of `value`; elements of lists stay, since the places of
/// those behind them would change. `false` if there is nothing to take.
pub(super) fn remove(value: &mut Value, steps: &[Step]) -> bool {
    let Some(last) = steps.iter().rposition(|step| matches!(step, Step::Key(_))) else {
        return false;
    };
    let mut inner = value;
    for step in &steps[..last] {
        let next = match step {
            Step::Key(key) => inner.get_mut(key.as_str()),
            Step::Index(index) => inner.get_mut(*index),
        };
        match next {
            Some(next) => inner = next,
            None => return false,
        }
    }
    match (inner, &steps[last]) {
        (Value::Mapping(mapping), Step::Key(key)) => mapping.remove(key.as_str()).is_some(),
        _ => false,
    }
}
