//! Names for networks that do not depend on how they are written down.
//!
//! [`CanonicalHash`] is the key of every cache and of duplicate detection. It is stable across
//! platforms and releases: a changed encoding must take a new domain string.
//!
//! It must not know genotypes, nor which different networks a space takes for the same.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::{Graph, NodeId, Op, Shape, Window};

const HASH_BYTES: usize = 16;
/// Texts up to this length, in bytes, are put together without asking for memory.
const SHORT: usize = 256;

/// A 128-bit name of a network or of anything else that is compared by content; 32 lower-case
/// hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalHash([u8; HASH_BYTES]);

/// Text that is no [`CanonicalHash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a canonical hash is 32 hexadecimal digits; this text is not")]
pub struct ParseHashError;

impl CanonicalHash {
    /// The hash of `parts`, in order, under `domain`: equal only for the same domain and the same
    /// parts (the first 16 bytes of BLAKE3 over all of them, each preceded by its length).
    #[must_use]
    pub fn of<'a>(domain: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut text = Vec::with_capacity(256);
        let mut write = |part: &[u8]| {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part);
        };
        write(domain.as_bytes());
        parts.into_iter().for_each(write);
        Self::of_bytes(&text)
    }

    /// As [`Self::of`], with one part: the little-endian bytes of `numbers`.
    #[must_use]
    pub fn of_numbers(domain: &str, numbers: &[u32]) -> Self {
        let (name, start) = (8 + domain.len(), 16 + domain.len());
        let length = start + 4 * numbers.len();
        let (mut short, mut long) = ([0; SHORT], Vec::new());
        let text = if length <= SHORT {
            &mut short[..length]
        } else {
            long.resize(length, 0);
            &mut long[..]
        };
        text[..8].copy_from_slice(&(domain.len() as u64).to_le_bytes());
        text[8..name].copy_from_slice(domain.as_bytes());
        text[name..start].copy_from_slice(&(4 * numbers.len() as u64).to_le_bytes());
        for (bytes, number) in text[start..].as_chunks_mut::<4>().0.iter_mut().zip(numbers) {
            *bytes = number.to_le_bytes();
        }
        Self::of_bytes(text)
    }

    /// The hash that has these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let digest = blake3::hash(bytes);
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&digest.as_bytes()[..HASH_BYTES]);
        Self(hash)
    }
}

impl fmt::Display for CanonicalHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CanonicalHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CanonicalHash({self})")
    }
}

impl FromStr for CanonicalHash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, ParseHashError> {
        let digits = text.as_bytes();
        if digits.len() != 2 * HASH_BYTES {
            return Err(ParseHashError);
        }
        let mut hash = [0; HASH_BYTES];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = 16 * hex_digit(pair[0])? + hex_digit(pair[1])?;
        }
        Ok(Self(hash))
    }
}

fn hex_digit(digit: u8) -> Result<u8, ParseHashError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(ParseHashError),
    }
}

impl Serialize for CanonicalHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CanonicalHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Graph {
    /// A hash that is equal for graphs that differ only in the numbering of their nodes and in the
    /// order of the inputs of [`Op::Add`] and [`Op::Multiply`], and differs for graphs that differ in anything else,
    /// nodes that do not reach the output included.
    ///
    /// Each node is named from its inputs (a Merkle hash) and then again from its readers, so that
    /// one convolution read twice is not mistaken for two convolutions; the graph's name is that of
    /// the multiset of its nodes. Like every refinement of this kind (Weisfeiler and Leman), it
    /// cannot tell apart certain highly regular graphs, which search spaces do not contain.
    #[must_use]
    pub fn canonical_hash(&self) -> CanonicalHash {
        let below = self.hashes_from_inputs();
        let above = self.hashes_from_readers(&below);
        let mut names: Vec<[CanonicalHash; 2]> =
            below.into_iter().zip(above).map(Into::into).collect();
        names.sort_unstable();
        let names = names.as_flattened().iter().map(|hash| hash.as_bytes().as_slice());
        CanonicalHash::of("cambrian graph v1", names)
    }

    /// For each node the hash of its operation, its shape and its inputs' hashes.
    fn hashes_from_inputs(&self) -> Vec<CanonicalHash> {
        let mut hashes: Vec<CanonicalHash> = Vec::with_capacity(self.nodes().len());
        let mut text = Vec::new();
        for node in self.nodes() {
            text.clear();
            text.push(0);
            encode_op(node.op, &mut text);
            encode_shape(node.shape, &mut text);
            let mut inputs: Vec<_> = node.inputs.iter().map(|id| hashes[id.0 as usize]).collect();
            if node.op.is_commutative() {
                inputs.sort_unstable();
            }
            inputs.iter().for_each(|hash| text.extend_from_slice(hash.as_bytes()));
            hashes.push(CanonicalHash::of_bytes(&text));
        }
        hashes
    }

    /// For each node the hash of whether it is the output and of who reads it: each reader's own
    /// two hashes with the places among that reader's inputs where the node stands.
    fn hashes_from_readers(&self, below: &[CanonicalHash]) -> Vec<CanonicalHash> {
        let readers = self.readers();
        let mut hashes = below.to_vec();
        let mut text = Vec::new();
        for (position, readers) in readers.iter().enumerate().rev() {
            let mut uses: Vec<CanonicalHash> = Vec::with_capacity(readers.len());
            for &reader in readers {
                text.clear();
                text.push(1);
                text.extend_from_slice(below[reader].as_bytes());
                text.extend_from_slice(hashes[reader].as_bytes());
                self.encode_places(reader, NodeId(position as u32), &mut text);
                uses.push(CanonicalHash::of_bytes(&text));
            }
            uses.sort_unstable();
            text.clear();
            text.push(2);
            text.push(u8::from(self.output().0 as usize == position));
            uses.iter().for_each(|hash| text.extend_from_slice(hash.as_bytes()));
            hashes[position] = CanonicalHash::of_bytes(&text);
        }
        hashes
    }

    /// For each node the nodes that read it, each once.
    fn readers(&self) -> Vec<Vec<usize>> {
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); self.nodes().len()];
        for (position, node) in self.nodes().iter().enumerate() {
            for input in &node.inputs {
                let readers = &mut readers[input.0 as usize];
                if readers.last() != Some(&position) {
                    readers.push(position);
                }
            }
        }
        readers
    }

    fn encode_places(&self, reader: usize, input: NodeId, text: &mut Vec<u8>) {
        let node = &self.nodes()[reader];
        let places = (0u32..).zip(&node.inputs).filter(|&(_, &id)| id == input);
        if node.op.is_commutative() {
            text.extend_from_slice(&(places.count() as u32).to_le_bytes());
        } else {
            places.for_each(|(place, _)| text.extend_from_slice(&place.to_le_bytes()));
        }
    }
}

fn encode_op(op: Op, text: &mut Vec<u8>) {
    let (tag, numbers): (u8, [u32; 7]) = match op {
        Op::Input => (0, [0; 7]),
        Op::Conv2d {
            out_channels,
            window: Window { kernel, stride, padding },
            dilation,
            groups,
            bias,
        } => (1, [out_channels, kernel, stride, padding, dilation, groups, u32::from(bias)]),
        Op::BatchNorm => (2, [0; 7]),
        Op::Relu => (3, [0; 7]),
        Op::AvgPool(Window { kernel, stride, padding }) => {
            (4, [kernel, stride, padding, 0, 0, 0, 0])
        }
        Op::MaxPool(Window { kernel, stride, padding }) => {
            (5, [kernel, stride, padding, 0, 0, 0, 0])
        }
        Op::GlobalAvgPool => (6, [0; 7]),
        Op::Flatten => (7, [0; 7]),
        Op::Linear { out_features, bias } => (8, [out_features, u32::from(bias), 0, 0, 0, 0, 0]),
        Op::Add => (9, [0; 7]),
        Op::Concat => (10, [0; 7]),
        Op::Zero => (11, [0; 7]),
        Op::Crop { top, bottom, left, right } => (12, [top, bottom, left, right, 0, 0, 0]),
        Op::Sigmoid => (13, [0; 7]),
        Op::HardSigmoid => (14, [0; 7]),
        Op::Silu => (15, [0; 7]),
        Op::HardSwish => (16, [0; 7]),
        Op::Multiply => (17, [0; 7]),
        Op::ChannelMean => (18, [0; 7]),
        Op::ChannelMax => (19, [0; 7]),
        Op::Attention { heads } => (20, [heads, 0, 0, 0, 0, 0, 0]),
        Op::FilterBank => (21, [0; 7]),
        Op::Upsample { factor } => (22, [factor, 0, 0, 0, 0, 0, 0]),
        Op::FirstChannels { channels } => (23, [channels, 0, 0, 0, 0, 0, 0]),
    };
    text.push(tag);
    numbers.iter().for_each(|number| text.extend_from_slice(&number.to_le_bytes()));
}

fn encode_shape(shape: Shape, text: &mut Vec<u8>) {
    let (tag, numbers) = match shape {
        Shape::Map { channels, height, width } => (0, [channels, height, width]),
        Shape::Vector { features } => (1, [features, 0, 0]),
    };
    text.push(tag);
    numbers.iter().for_each(|number| text.extend_from_slice(&number.to_le_bytes()));
}

#[cfg(test)]
mod tests;
