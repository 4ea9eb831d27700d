//! Datasets: which ones there are, where they lie, and their samples as tensors that stay in
//! memory between assignments.
//!
//! A new dataset is one line in [`DATASETS`]. The test split is separate by construction: nothing
//! but the sealed test accuracy asks for it. It must not know networks or metrics.

pub mod augment;
pub mod idx;
mod library;
pub mod samples;

pub use library::{Library, Sizes, Splits};

use std::path::{Path, PathBuf};

use cambrian_core::graph::Shape;
use thiserror::Error;

use idx::{Idx, IdxError};

/// A dataset that cannot be used.
#[derive(Debug, Error)]
pub enum DataError {
    /// No dataset has this name.
    #[error("there is no dataset `{name}`; known ones: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// No directory holds the dataset.
    #[error(
        "the dataset {name} is not on this machine (looked in {looked}); run `{remedy}` or name \
         its directory with CAMBRIAN_DATA",
        looked = list(.directories)
    )]
    Absent {
        /// The dataset.
        name: &'static str,
        /// Where it was looked for.
        directories: Vec<PathBuf>,
        /// The command that fetches it.
        remedy: &'static str,
    },
    /// A file is absent or malformed.
    #[error("the dataset {name} is malformed: {source} (run `{remedy}`)")]
    Malformed {
        /// The dataset.
        name: &'static str,
        /// The command that fetches it.
        remedy: &'static str,
        /// What is wrong with which file.
        source: IdxError,
    },
}

/// One line of [`DATASETS`].
#[derive(Debug)]
pub struct DatasetEntry {
    /// The name, as campaigns spell it; also that of its directory.
    pub name: &'static str,
    /// Channels, height and width of an image.
    pub input: [u32; 3],
    /// Number of classes.
    pub classes: u32,
    /// The format of its files.
    format: Format,
    /// The command that fetches it.
    remedy: &'static str,
}

/// How the files of a dataset are read.
#[derive(Debug)]
enum Format {
    /// Four gzipped IDX files under MNIST's names.
    Idx,
}

/// Every dataset that a campaign can name.
pub const DATASETS: &[DatasetEntry] = &[DatasetEntry {
    name: "fashion-mnist",
    input: [1, 28, 28],
    classes: 10,
    format: Format::Idx,
    remedy: "deploy/fetch-fashion-mnist",
}];

/// Where Debian's dataset packages put their files.
const SYSTEM_DIRECTORY: &str = "/usr/share/datasets";

/// The dataset called `name`.
///
/// # Errors
/// [`DataError::Unknown`] if there is none.
pub fn dataset(name: &str) -> Result<&'static DatasetEntry, DataError> {
    DATASETS.iter().find(|entry| entry.name == name).ok_or_else(|| DataError::Unknown {
        name: name.to_owned(),
        known: DATASETS.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", "),
    })
}

/// The directories that are searched for datasets, in order: `data` alone if it is given, else the
/// user's data directory and the system's.
#[must_use]
pub fn directories(data: Option<PathBuf>) -> Vec<PathBuf> {
    if let Some(data) = data {
        return vec![data];
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let user = std::env::var_os("XDG_DATA_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let user = user.or_else(home).map(|data| data.join("cambrian/datasets"));
    user.into_iter().chain([PathBuf::from(SYSTEM_DIRECTORY)]).collect()
}

/// Images and labels of one file pair, as they are on disk.
#[derive(Debug)]
pub(crate) struct RawSplit {
    pub(crate) images: Idx,
    pub(crate) labels: Idx,
}

impl DatasetEntry {
    /// The shape of one sample.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let [channels, height, width] = self.input;
        Shape::Map { channels, height, width }
    }

    /// Whether the dataset is there and begins well; files are read whole only when it is used.
    ///
    /// # Errors
    /// [`DataError`] if it is absent or malformed as far as the headers tell.
    pub fn check(&self, directories: &[PathBuf]) -> Result<(), DataError> {
        let directory = self.directory(directories)?;
        for (images, labels) in self.pairs(&directory) {
            let dimensions = self.attempt(idx::read_header(&images, 3))?;
            self.check_images(&images, &dimensions)?;
            let count = self.attempt(idx::read_header(&labels, 1))?;
            self.check_labels(&labels, &count, dimensions[0])?;
        }
        Ok(())
    }

    /// The training and the test files, checked whole.
    pub(crate) fn read(&self, directories: &[PathBuf]) -> Result<[RawSplit; 2], DataError> {
        let directory = self.directory(directories)?;
        let [train, test] = self.pairs(&directory);
        Ok([self.read_pair(&train)?, self.read_pair(&test)?])
    }

    fn read_pair(
        &self,
        (images_path, labels_path): &(PathBuf, PathBuf),
    ) -> Result<RawSplit, DataError> {
        let images = self.attempt(idx::read(images_path, 3))?;
        self.check_images(images_path, &images.dimensions)?;
        let labels = self.attempt(idx::read(labels_path, 1))?;
        self.check_labels(labels_path, &labels.dimensions, images.dimensions[0])?;
        let wrong = labels.bytes.iter().position(|&label| u32::from(label) >= self.classes);
        if let Some(index) = wrong {
            let (path, value) = (labels_path.clone(), labels.bytes[index]);
            let classes = self.classes;
            return Err(self.malformed(IdxError::Label { path, index, value, classes }));
        }
        Ok(RawSplit { images, labels })
    }

    /// Images and labels of training and test.
    fn pairs(&self, directory: &Path) -> [(PathBuf, PathBuf); 2] {
        match self.format {
            Format::Idx => ["train", "t10k"].map(|part| {
                (
                    directory.join(format!("{part}-images-idx3-ubyte.gz")),
                    directory.join(format!("{part}-labels-idx1-ubyte.gz")),
                )
            }),
        }
    }

    fn directory(&self, directories: &[PathBuf]) -> Result<PathBuf, DataError> {
        let found = directories.iter().map(|base| base.join(self.name)).find(|path| path.is_dir());
        found.ok_or_else(|| DataError::Absent {
            name: self.name,
            directories: directories.iter().map(|base| base.join(self.name)).collect(),
            remedy: self.remedy,
        })
    }

    fn check_images(&self, path: &Path, dimensions: &[u32]) -> Result<(), DataError> {
        let [channels, height, width] = self.input;
        // IDX has no axis for channels; only single-channel datasets come in this format.
        if dimensions[0] > 0 && channels == 1 && dimensions[1..] == [height, width] {
            return Ok(());
        }
        Err(self.malformed(IdxError::Dimensions {
            path: path.into(),
            found: dimensions.to_vec(),
            expected: format!("at least one image of [{height}, {width}]"),
        }))
    }

    fn check_labels(&self, path: &Path, found: &[u32], images: u32) -> Result<(), DataError> {
        if found == [images] {
            return Ok(());
        }
        Err(self.malformed(IdxError::Dimensions {
            path: path.into(),
            found: found.to_vec(),
            expected: format!("[{images}], one label for each image"),
        }))
    }

    fn attempt<T>(&self, result: Result<T, IdxError>) -> Result<T, DataError> {
        result.map_err(|source| self.malformed(source))
    }

    fn malformed(&self, source: IdxError) -> DataError {
        DataError::Malformed { name: self.name, remedy: self.remedy, source }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(crate) mod tests;
