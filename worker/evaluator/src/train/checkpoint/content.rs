//! How the file of a checkpoint is laid out: a header line, the length and then the text of a JSON
//! description, the numbers of all tensors in its order (little-endian, row by row), a checksum of all
//! that.
//!
//! It must not know libtorch.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(super) const HEADER: &[u8] = b"cambrian checkpoint 1\n";
const LENGTH_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 32;
/// Of an element, whole numbers and others.
const ELEMENT_BYTES: [usize; 2] = [8, 4];

/// Why a checkpoint is not continued.
#[derive(Debug, Error)]
pub enum CheckpointFault {
    /// The file cannot be read.
    #[error("its file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The file is no checkpoint of this version, or not whole.
    #[error("its file is damaged: {0}")]
    Damaged(&'static str),
    /// It is the state of something else.
    #[error("it is the state of another training: {0}")]
    Foreign(String),
}

/// Which training a checkpoint is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The evaluator's version.
    pub version: String,
    /// The network's canonical hash.
    pub network: String,
    /// The hash of the settings that make up the recipe.
    pub recipe: String,
    /// The seed of everything random.
    pub seed: u64,
}

impl Identity {
    fn difference(&self, other: &Self) -> Option<&'static str> {
        let parts = [
            ("the evaluator's version", self.version == other.version),
            ("its network", self.network == other.network),
            ("its recipe", self.recipe == other.recipe),
            ("its seed", self.seed == other.seed),
        ];
        parts.into_iter().find(|(_, same)| !same).map(|(part, _)| part)
    }
}

/// How far a training has come, besides its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Position {
    /// Finished epochs.
    pub(in super::super) epoch: u32,
    /// Steps in all.
    pub(in super::super) step: u64,
    /// The epoch that was begun and not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in super::super) part: Option<Part>,
    /// How many words each generator has put out, as text: JSON has no 128-bit numbers.
    pub(in super::super) words: Vec<String>,
    /// What losses are multiplied with, and for how many steps that went well.
    pub(in super::super) scale: Option<(f64, u32)>,
}

/// What is done of an epoch: its samples are shuffled, and some of its steps taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Part {
    /// Steps taken.
    pub(in super::super) steps: u32,
    /// The bits of the sum of their losses: text would round it.
    pub(in super::super) loss_bits: u64,
}

/// What precedes the numbers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) identity: Identity,
    pub(super) position: Position,
    pub(super) tensors: Vec<Entry>,
}

/// A tensor as it is described.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) integers: bool,
    pub(super) size: Vec<i64>,
}

/// A tensor with its numbers.
#[derive(Debug, PartialEq)]
pub(super) struct Array<'c> {
    pub(super) name: String,
    /// Whether they are 64-bit integers; otherwise they are 32-bit floating-point numbers.
    pub(super) integers: bool,
    pub(super) size: Vec<i64>,
    /// As bytes, as many as the size asks for.
    pub(super) numbers: &'c [u8],
}

/// Reads a whole file: how far the training of `identity` has come, and its tensors, which have the names
/// and sizes of `expected`.
///
/// # Errors
/// [`CheckpointFault`] if it is not whole or not of this training.
pub(super) fn parse<'c>(
    content: &'c [u8],
    identity: &Identity,
    expected: &BTreeMap<String, Vec<i64>>,
) -> Result<(Position, Vec<Array<'c>>), CheckpointFault> {
    let (checked, checksum) = content
        .len()
        .checked_sub(CHECKSUM_BYTES)
        .map(|at| content.split_at(at))
        .ok_or(CheckpointFault::Damaged("it is too short"))?;
    let rest = checked
        .strip_prefix(HEADER)
        .ok_or(CheckpointFault::Damaged("it does not begin like a checkpoint of this version"))?;
    if blake3::hash(checked).as_bytes() != checksum {
        return Err(CheckpointFault::Damaged("its checksum does not match"));
    }
    let described = rest.split_first_chunk::<LENGTH_BYTES>().and_then(|(length, rest)| {
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
    });
    let (text, mut numbers) =
        described.ok_or(CheckpointFault::Damaged("its description is cut off"))?;
    let description: Description = serde_json::from_slice(text)
        .map_err(|_| CheckpointFault::Damaged("its description cannot be read"))?;
    if let Some(part) = identity.difference(&description.identity) {
        return Err(CheckpointFault::Foreign(format!("{part} is different")));
    }
    let found = description.tensors.iter().map(|entry| (&entry.name, &entry.size));
    if !found.eq(expected.iter()) {
        return Err(CheckpointFault::Foreign("its weights have other names or sizes".to_owned()));
    }
    let mut arrays = Vec::new();
    for Entry { name, integers, size } in description.tensors {
        let elements = size.iter().product::<i64>() as usize;
        let (own, rest) = numbers
            .split_at_checked(elements * ELEMENT_BYTES[usize::from(!integers)])
            .ok_or(CheckpointFault::Damaged("its numbers are cut off"))?;
        numbers = rest;
        arrays.push(Array { name, integers, size, numbers: own });
    }
    if !numbers.is_empty() {
        return Err(CheckpointFault::Damaged("it is too long"));
    }
    Ok((description.position, arrays))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity() -> Identity {
        let word = |word: &str| word.to_owned();
        Identity { version: word("1"), network: word("n"), recipe: word("r"), seed: 7 }
    }

    fn expected() -> BTreeMap<String, Vec<i64>> {
        [("a.bias".to_owned(), vec![2]), ("a.steps".to_owned(), vec![])].into()
    }

    /// A description and numbers without header and checksum.
    fn body() -> Vec<u8> {
        let entry = |name: &str, integers, size| Entry { name: name.to_owned(), integers, size };
        let description = Description {
            identity: identity(),
            position: Position {
                epoch: 1,
                step: 9,
                part: None,
                words: vec!["4".to_owned()],
                scale: None,
            },
            tensors: vec![entry("a.bias", false, vec![2]), entry("a.steps", true, vec![])],
        };
        let text = serde_json::to_vec(&description).unwrap();
        [(text.len() as u64).to_le_bytes().as_slice(), &text, &[3; 16]].concat()
    }

    fn sealed(body: &[u8]) -> Vec<u8> {
        let checked = [HEADER, body].concat();
        let checksum = blake3::hash(&checked);
        [checked.as_slice(), checksum.as_bytes()].concat()
    }

    #[test]
    fn tensors_come_with_their_numbers() {
        let content = sealed(&body());
        let (position, arrays) = parse(&content, &identity(), &expected()).unwrap();
        assert_eq!((position.epoch, position.step), (1, 9));
        let lengths: Vec<usize> = arrays.iter().map(|array| array.numbers.len()).collect();
        assert_eq!(lengths, [8, 8]);
    }

    proptest! {
        #[test]
        fn a_changed_file_is_damaged(
            at in any::<prop::sample::Index>(), byte in any::<u8>(), length in 0..400_usize,
        ) {
            let whole = sealed(&body());
            let mut content = whole.clone();
            let at = at.index(content.len());
            content[at] = byte;
            content.resize(length, byte);
            let read = parse(&content, &identity(), &expected());
            prop_assert!(content == whole || matches!(read, Err(CheckpointFault::Damaged(_))));
        }

        #[test]
        fn a_strange_file_with_its_checksum_is_read_whole_or_refused(
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            length in 0..400_usize,
        ) {
            let mut body = body();
            for (at, byte) in edits {
                let at = at.index(body.len());
                body[at] = byte;
            }
            body.resize(length, 3);
            if let Ok((_, arrays)) = parse(&sealed(&body), &identity(), &expected()) {
                let read = arrays.iter().map(|array| (&array.name, &array.size));
                prop_assert!(read.eq(expected().iter()));
            }
        }
    }
}
