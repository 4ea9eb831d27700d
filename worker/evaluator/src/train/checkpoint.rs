//! The state of a training in a file, so that another process continues it.
//!
//! Only a file that is whole and belongs to the same training is read; anything else is a
//! [`CheckpointFault`] and changes nothing. Must not know how a training goes on; `content` knows how a
//! file is laid out.

mod content;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cambrian_core::graph::Graph;
use cambrian_core::rng::Stream;
use cambrian_core::spec::TrainSettings;
use tch::{Kind, TchError, Tensor};

use content::{Array, Description, Entry, HEADER};
pub use content::{CheckpointFault, Identity};
pub(super) use content::{Part, Position};

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
    let (position, arrays) = content::parse(&content, identity, expected)?;
    let mut tensors = BTreeMap::new();
    for Array { name, integers, size, numbers } in arrays {
        let kind = if integers { Kind::Int64 } else { Kind::Float };
        let tensor = Tensor::f_from_data_size(numbers, &size, kind)
            .map_err(|_| CheckpointFault::Damaged("its numbers cannot be read"))?;
        tensors.insert(name, tensor);
    }
    Ok((position, tensors))
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
