//! Data sets of one's own: a folder in one of several forms, and what they have in common.
//!
//! A new form is one variant here. It must not know libtorch.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::archive::{self, Archive};
use super::arrays::Arrays;
use super::folders;
use super::format::{FormatError, RawSplit};
use super::npz::Npz;

/// The largest data that is read of training or test, bytes: it stays in memory.
pub(super) const MAX_BYTES: u64 = 1 << 34;
/// The most channels of an image.
pub(super) const MAX_CHANNELS: u64 = 1024;
/// The longest side of an image.
pub(super) const MAX_SIDE: u64 = 4096;
/// The most classes.
pub(super) const MAX_CLASSES: u32 = 256;

/// What the images of a data set look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// Channels, height and width.
    pub(super) input: [u32; 3],
    /// How many classes the training images have.
    pub(super) classes: u32,
}

/// How a folder holds images and classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnFormat {
    /// `train.safetensors` and `test.safetensors`.
    Safetensors,
    /// `train.npz` and `test.npz`.
    Npz,
    /// `train/CLASS/IMAGE` and `test/CLASS/IMAGE`.
    Folders,
}

/// A folder that is in more than one form.
#[derive(Debug, Error)]
#[error("{} holds both {first} and {second}; keep one of them", .directory.display())]
pub struct AmbiguousError {
    directory: PathBuf,
    first: &'static str,
    second: &'static str,
}

impl OwnFormat {
    const ALL: [Self; 3] = [Self::Safetensors, Self::Npz, Self::Folders];

    /// Where training and test lie.
    fn parts(self) -> [&'static str; 2] {
        match self {
            Self::Safetensors => Arrays::FILES,
            Self::Npz => Npz::FILES,
            Self::Folders => folders::PARTS,
        }
    }

    fn is_at(self, directory: &Path) -> bool {
        let train = directory.join(self.parts()[0]);
        if self == Self::Folders { train.is_dir() } else { train.is_file() }
    }

    /// Whether the folder holds training images in any form.
    pub(super) fn is_any_at(directory: &Path) -> bool {
        Self::ALL.iter().any(|form| form.is_at(directory))
    }

    /// The form of a folder that holds training images; `None` if it holds none.
    pub(super) fn of(directory: &Path) -> Result<Option<Self>, AmbiguousError> {
        let mut found = Self::ALL.into_iter().filter(|form| form.is_at(directory));
        let (first, second) = (found.next(), found.next());
        if let (Some(first), Some(second)) = (first, second) {
            let (first, second) = (first.parts()[0], second.parts()[0]);
            return Err(AmbiguousError { directory: directory.to_owned(), first, second });
        }
        Ok(first)
    }

    /// What the images look like, without reading them all.
    pub(super) fn form(self, directory: &Path) -> Result<Form, FormatError> {
        Ok(match self {
            Self::Safetensors => archive::form::<Arrays>(directory)?,
            Self::Npz => archive::form::<Npz>(directory)?,
            Self::Folders => folders::form(directory)?,
        })
    }

    /// Training and test samples, checked whole.
    pub(super) fn read(self, directory: &Path, form: Form) -> Result<[RawSplit; 2], FormatError> {
        Ok(match self {
            Self::Safetensors => archive::read::<Arrays>(directory, form)?,
            Self::Npz => archive::read::<Npz>(directory, form)?,
            Self::Folders => folders::read(directory, form)?,
        })
    }

    /// The files that hold the data, in a fixed order.
    pub(super) fn files(self, directory: &Path) -> Result<Vec<PathBuf>, FormatError> {
        Ok(match self {
            Self::Folders => folders::files(directory)?,
            Self::Safetensors | Self::Npz => {
                self.parts().iter().map(|part| directory.join(part)).collect()
            }
        })
    }
}

/// The number of images, and channels, height and width, of an array `x` of this shape with the
/// classes `y`; what is wrong otherwise.
pub(super) fn images_of(x: &[u64], y: &[u64]) -> Result<(u64, [u64; 3]), String> {
    let (count, input) = match *x {
        [count, height, width] => (count, [1, height, width]),
        [count, channels, height, width] => (count, [channels, height, width]),
        _ => return Err(format!("`x` has the shape {x:?}")),
    };
    let [channels, height, width] = input;
    let sound = (1..=MAX_CHANNELS).contains(&channels)
        && (1..=MAX_SIDE).contains(&height)
        && (1..=MAX_SIDE).contains(&width);
    if !sound || count == 0 {
        return Err(format!("`x` has the shape {x:?}"));
    }
    if y != [count] {
        return Err(format!("`y` has the shape {y:?}, and there are {count} images"));
    }
    Ok((count, input))
}

/// The class in little-endian bytes of 1, 4 or 8.
pub(super) fn class_of(bytes: &[u8]) -> i64 {
    match *bytes {
        [byte] => i64::from(byte),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => bytes.try_into().map_or(-1, i64::from_le_bytes),
    }
}

/// How many classes there are, given those of the training images.
pub(super) fn classes_in(labels: &[u8]) -> Result<u32, String> {
    match u32::from(labels.iter().copied().max().unwrap_or(0)) + 1 {
        0..2 => Err("all images are of one class".to_owned()),
        classes => Ok(classes),
    }
}
