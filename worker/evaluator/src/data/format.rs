//! How the files of a dataset lie in its directory: which there are, whether they begin well, and
//! their content whole.
//!
//! A new format is one variant here. It must not know which datasets there are nor libtorch.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::arrays::ArraysError;
use super::cifar::{self, CifarError, Record, Records};
use super::folders::FoldersError;
use super::idx::{self, IdxError};
use super::npz::NpzError;
use super::own::{AmbiguousError, Form, OwnFormat};

/// The length of a fingerprint: 128 bits.
pub(super) const FINGERPRINT_DIGITS: usize = 32;

/// A file that is absent or malformed.
#[derive(Debug, Error)]
pub enum FormatError {
    /// In the format of MNIST.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// In the format of CIFAR.
    #[error(transparent)]
    Cifar(#[from] CifarError),
    /// Arrays of a user as safetensors.
    #[error(transparent)]
    Arrays(#[from] ArraysError),
    /// Arrays of a user as NumPy writes them.
    #[error(transparent)]
    Npz(#[from] NpzError),
    /// Images of a user in folders.
    #[error(transparent)]
    Folders(#[from] FoldersError),
    /// A folder of a user in more than one form.
    #[error(transparent)]
    Ambiguous(#[from] AmbiguousError),
    /// A file that cannot be read to name its content.
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// How the files of a dataset are read.
#[derive(Debug, Clone)]
pub(super) enum Format {
    /// Four gzipped IDX files under MNIST's names; one channel.
    Idx,
    /// A folder of a user.
    Own(OwnFormat),
    /// Files of CIFAR records, each plain or gzipped.
    Cifar {
        /// The training files, in order.
        train: &'static [&'static str],
        /// The test file.
        test: &'static str,
        /// Bytes before an image; the last one is its class.
        labels: usize,
    },
}

/// The samples of training or test, as bytes.
#[derive(Debug)]
pub(super) struct RawSplit {
    /// Images one after another, channel by channel.
    pub(super) images: Vec<u8>,
    /// One class an image.
    pub(super) labels: Vec<u8>,
}

/// What the samples of a dataset look like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Samples {
    /// Channels, height and width.
    pub(super) input: [u32; 3],
    pub(super) classes: u32,
}

impl Format {
    /// Whether the files in `directory` are there and begin well.
    pub(super) fn check(&self, directory: &Path, samples: Samples) -> Result<(), FormatError> {
        match self {
            Self::Idx => {
                for (images, labels) in idx_pairs(directory) {
                    let dimensions = idx::read_header(&images, 3)?;
                    check_images(&images, &dimensions, samples)?;
                    let count = idx::read_header(&labels, 1)?;
                    check_labels(&labels, &count, dimensions[0])?;
                }
            }
            Self::Own(own) => drop(own.form(directory)?),
            Self::Cifar { train, test, .. } => {
                for name in train.iter().chain([test]) {
                    cifar::find(directory, name)?;
                }
            }
        }
        Ok(())
    }

    /// Training and test samples, checked whole.
    pub(super) fn read(
        &self,
        directory: &Path,
        samples: Samples,
    ) -> Result<[RawSplit; 2], FormatError> {
        match self {
            Self::Idx => {
                let [train, test] = idx_pairs(directory);
                Ok([read_idx(&train, samples)?, read_idx(&test, samples)?])
            }
            Self::Own(own) => {
                let Samples { input, classes } = samples;
                own.read(directory, Form { input, classes })
            }
            Self::Cifar { train, test, labels } => {
                let image = samples.input.iter().product::<u32>() as usize;
                let record = Record { labels: *labels, image, classes: samples.classes };
                let read = |names: &[&str]| -> Result<RawSplit, FormatError> {
                    let mut records = Records::default();
                    for name in names {
                        cifar::read(directory, name, record, &mut records)?;
                    }
                    Ok(RawSplit { images: records.images, labels: records.labels })
                };
                Ok([read(train)?, read(&[test])?])
            }
        }
    }
}

impl Format {
    /// The files that hold the data, in a fixed order.
    pub(super) fn files(&self, directory: &Path) -> Result<Vec<PathBuf>, FormatError> {
        Ok(match self {
            Self::Idx => idx_pairs(directory).into_iter().flat_map(<[_; 2]>::from).collect(),
            Self::Own(own) => own.files(directory)?,
            Self::Cifar { train, test, .. } => {
                let found = train.iter().chain([test]).map(|name| cifar::find(directory, name));
                found.collect::<Result<_, _>>()?
            }
        })
    }

    /// Names the content of all files: other data has another name. Another way to name it is another
    /// version of `fingerprints`.
    pub(super) fn fingerprint(&self, directory: &Path) -> Result<String, FormatError> {
        let mut all = blake3::Hasher::new();
        for path in self.files(directory)? {
            let unreadable = |source| FormatError::Unreadable { path: path.clone(), source };
            let mut content = blake3::Hasher::new();
            content.update_reader(File::open(&path).map_err(unreadable)?).map_err(unreadable)?;
            // Where a file lies within the folder may be its class.
            let name = path.strip_prefix(directory).unwrap_or(&path).to_string_lossy();
            all.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            all.update(content.finalize().as_bytes());
        }
        Ok(all.finalize().to_hex()[..FINGERPRINT_DIGITS].to_owned())
    }
}

/// Images and labels of training and test.
fn idx_pairs(directory: &Path) -> [(PathBuf, PathBuf); 2] {
    ["train", "t10k"].map(|part| {
        (
            directory.join(format!("{part}-images-idx3-ubyte.gz")),
            directory.join(format!("{part}-labels-idx1-ubyte.gz")),
        )
    })
}

fn read_idx(
    (images_path, labels_path): &(PathBuf, PathBuf),
    samples: Samples,
) -> Result<RawSplit, IdxError> {
    let images = idx::read(images_path, 3)?;
    check_images(images_path, &images.dimensions, samples)?;
    let labels = idx::read(labels_path, 1)?;
    check_labels(labels_path, &labels.dimensions, images.dimensions[0])?;
    let classes = samples.classes;
    let wrong = labels.bytes.iter().position(|&label| u32::from(label) >= classes);
    if let Some(index) = wrong {
        let (path, value) = (labels_path.clone(), labels.bytes[index]);
        return Err(IdxError::Label { path, index, value, classes });
    }
    Ok(RawSplit { images: images.bytes, labels: labels.bytes })
}

fn check_images(path: &Path, dimensions: &[u32], samples: Samples) -> Result<(), IdxError> {
    let [channels, height, width] = samples.input;
    // IDX has no axis for channels; only single-channel datasets come in this format.
    if dimensions[0] > 0 && channels == 1 && dimensions[1..] == [height, width] {
        return Ok(());
    }
    Err(IdxError::Dimensions {
        path: path.into(),
        found: dimensions.to_vec(),
        expected: format!("at least one image of [{height}, {width}]"),
    })
}

fn check_labels(path: &Path, found: &[u32], images: u32) -> Result<(), IdxError> {
    if found == [images] {
        return Ok(());
    }
    Err(IdxError::Dimensions {
        path: path.into(),
        found: found.to_vec(),
        expected: format!("[{images}], one label for each image"),
    })
}
