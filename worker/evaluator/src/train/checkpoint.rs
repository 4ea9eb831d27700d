//! The state of a training in a file, so that another process continues it.
//!
//! A header line, the length and then the text of a JSON description, the numbers of all tensors in
//! its order (little-endian, row by row), a checksum of all that. Only a file that is whole and belongs
//! to the same training is read; anything else is a [`CheckpointFault`] and changes nothing. Must not
//! know how a training goes on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cambrian_core::graph::Graph;
use cambrian_core::rng::Stream;
use cambrian_core::spec::TrainSettings;
use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};
use thiserror::Error;

const HEADER: &[u8] = b"cambrian checkpoint 1\n";
const LENGTH_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 32;

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

/// Where the state comes from and goes to.
#[derive(Debug, Clone)]
pub struct Files {
    /// Which training it is.
    pub identity: Identity,
    /// The state that it begins with.
    pub resume: Option<PathBuf>,
    /// Where its state at the end belongs.
    pub write: Option<PathBuf>,
    /// Where its state belongs if it is stopped for another attempt to go on.
    pub left: Option<PathBuf>,
}

/// How far a training has come, besides its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// Finished epochs.
    pub(super) epoch: u32,
    /// Steps in all.
    pub(super) step: u64,
    /// The epoch that was begun and not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<Part>,
    /// How many words each generator has put out, as text: JSON has no 128-bit numbers.
    pub(super) words: Vec<String>,
    /// What losses are multiplied with, and for how many steps that went well.
    pub(super) scale: Option<(f64, u32)>,
}

/// What is done of an epoch: its samples are shuffled, and some of its steps taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Steps taken.
    pub(super) steps: u32,
    /// The bits of the sum of their losses: text would round it.
    pub(super) loss_bits: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    identity: Identity,
    position: Position,
    tensors: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    integers: bool,
    size: Vec<i64>,
}

impl Identity {
    /// The training of `graph` under `settings` from `seed`, by this version of the evaluator.
    #[must_use]
    pub fn of(graph: &Graph, settings: &TrainSettings, seed: u64, version: &str) -> Self {
        let recipe = blake3::hash(settings.recipe().to_string().as_bytes());
        Self {
            version: version.to_owned(),
            network: graph.canonical_hash().to_string(),
            recipe: recipe.to_hex().to_string(),
            seed,
        }
    }

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

/// The word positions of generators, and back.
pub(super) fn words(streams: [&Stream; 3]) -> Vec<String> {
    streams.map(|stream| stream.get_word_pos().to_string()).into()
}

/// Sets the generators to these word positions.
pub(super) fn wind(streams: [&mut Stream; 3], words: &[String]) -> Result<(), CheckpointFault> {
    let damaged = CheckpointFault::Damaged("it does not say where its generators stand");
    let numbers: Option<Vec<u128>> = words.iter().map(|word| word.parse().ok()).collect();
    let Some(numbers) = numbers.filter(|numbers| numbers.len() == streams.len()) else {
        return Err(damaged);
    };
    for (stream, number) in streams.into_iter().zip(numbers) {
        stream.set_word_pos(number);
    }
    Ok(())
}

/// Writes a checkpoint: under another name first, so that it is whole or not there.
///
/// # Errors
/// Those of the disk and of libtorch.
pub(super) fn write(
    path: &Path,
    identity: &Identity,
    position: Position,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<(), io::Error> {
    let entry = |(name, tensor): (&String, &Tensor)| Entry {
        name: name.clone(),
        integers: tensor.kind() == Kind::Int64,
        size: tensor.size(),
    };
    let description = Description {
        identity: identity.clone(),
        position,
        tensors: tensors.iter().map(entry).collect(),
    };
    let text = serde_json::to_vec(&description)?;
    let temporary = path.with_added_extension("tmp");
    let mut file = Checked { hasher: blake3::Hasher::new(), file: File::create(&temporary)? };
    file.put(HEADER)?;
    file.put(&(text.len() as u64).to_le_bytes())?;
    file.put(&text)?;
    for tensor in tensors.values() {
        file.put(&bytes(tensor).map_err(io::Error::other)?)?;
    }
    let checksum = file.hasher.finalize();
    file.file.write_all(checksum.as_bytes())?;
    fs::rename(&temporary, path)
}

struct Checked {
    hasher: blake3::Hasher,
    file: File,
}

impl Checked {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }
}

/// Reads the checkpoint at `path`: how far the training of `identity` has come, and its tensors on the
/// processor, which have the names and sizes of `expected`.
///
/// # Errors
/// [`CheckpointFault`] if it is not there, not whole or not of this training.
pub(super) fn read(
    path: &Path,
    identity: &Identity,
    expected: &BTreeMap<String, Vec<i64>>,
) -> Result<(Position, BTreeMap<String, Tensor>), CheckpointFault> {
    let content = fs::read(path)?;
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
    let mut tensors = BTreeMap::new();
    for Entry { name, integers, size } in description.tensors {
        let kind = if integers { Kind::Int64 } else { Kind::Float };
        let length = size.iter().product::<i64>() as usize * kind.elt_size_in_bytes();
        let (own, rest) = numbers
            .split_at_checked(length)
            .ok_or(CheckpointFault::Damaged("its numbers are cut off"))?;
        numbers = rest;
        let tensor = Tensor::f_from_data_size(own, &size, kind)
            .map_err(|_| CheckpointFault::Damaged("its numbers cannot be read"))?;
        tensors.insert(name, tensor);
    }
    if !numbers.is_empty() {
        return Err(CheckpointFault::Damaged("it is too long"));
    }
    Ok((description.position, tensors))
}

/// The numbers of a tensor, row by row, in the machine's order, which is little-endian on every machine
/// that libtorch runs on.
fn bytes(tensor: &Tensor) -> Result<Vec<u8>, TchError> {
    let kind = if tensor.kind() == Kind::Int64 { Kind::Int64 } else { Kind::Float };
    let tensor =
        tensor.f_detach()?.f_to_device(tch::Device::Cpu)?.f_to_kind(kind)?.f_contiguous()?;
    let mut bytes = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}
