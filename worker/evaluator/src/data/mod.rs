//! Datasets: which ones there are, where they lie, and their samples as tensors that stay in
//! memory between assignments.
//!
//! A new dataset is one line in [`DATASETS`]; those of users are folders in one of the forms of `own`.
//! The test split is separate by construction: nothing but the sealed test accuracy asks for it. It must not know networks or metrics.

mod archive;
mod arrays;
pub mod augment;
pub mod cifar;
mod fingerprints;
mod folders;
mod format;
pub mod idx;
mod image_file;
mod library;
mod npz;
mod own;
mod packed;
pub mod samples;

pub use fingerprints::Fingerprints;
pub use library::{Library, Sizes, Splits};

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;

use cambrian_core::graph::Shape;
use cambrian_core::spec::is_dataset_name;
use thiserror::Error;

pub use format::FormatError;
use format::{Format, RawSplit, Samples as SampleForm};
use own::OwnFormat;

/// A dataset that cannot be used.
#[derive(Debug, Error)]
pub enum DataError {
    /// No dataset has this name.
    #[error(
        "there is no dataset `{name}`; known ones: {known}; one of your own is a folder of that name with \
         train.safetensors and test.safetensors, or train.npz and test.npz, or folders train/CLASS and \
         test/CLASS of images"
    )]
    Unknown {
        /// The name asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// A folder of a user that was there is not any more.
    #[error(
        "the dataset {name} was on this machine when its evaluator started and is gone (looked in \
         {looked}); put its folder back, or restart the worker, which then offers what is there",
        looked = list(.directories)
    )]
    Gone {
        /// The dataset.
        name: String,
        /// Where it was looked for.
        directories: Vec<PathBuf>,
    },
    /// No directory holds the dataset.
    #[error(
        "the dataset {name} is not on this machine (looked in {looked}); {remedy}, or name \
         its directory with CAMBRIAN_DATA",
        looked = list(.directories)
    )]
    Absent {
        /// The dataset.
        name: String,
        /// Where it was looked for.
        directories: Vec<PathBuf>,
        /// How to fetch it.
        remedy: String,
    },
    /// A file is absent or malformed.
    #[error("the dataset {name} is malformed: {source} ({remedy})")]
    Malformed {
        /// The dataset.
        name: String,
        /// How to fetch it.
        remedy: String,
        /// What is wrong with which file.
        source: FormatError,
    },
}

/// One line of [`DATASETS`].
#[derive(Debug, Clone)]
pub struct DatasetEntry {
    /// The name, as campaigns spell it; also that of its directory.
    pub name: Cow<'static, str>,
    /// Channels, height and width of an image.
    pub input: [u32; 3],
    /// Number of classes.
    pub classes: u32,
    /// The format of its files.
    format: Format,
    /// How to fetch it.
    remedy: Cow<'static, str>,
}

/// Every dataset that a campaign can name.
pub const DATASETS: &[DatasetEntry] = &[
    DatasetEntry {
        name: Cow::Borrowed("fashion-mnist"),
        input: [1, 28, 28],
        classes: 10,
        format: Format::Idx,
        remedy: Cow::Borrowed("run `deploy/fetch-fashion-mnist`"),
    },
    DatasetEntry {
        name: Cow::Borrowed("mnist"),
        input: [1, 28, 28],
        classes: 10,
        format: Format::Idx,
        remedy: Cow::Borrowed("put the four gzipped files of MNIST into its directory"),
    },
    DatasetEntry {
        name: Cow::Borrowed("cifar-10"),
        input: [3, 32, 32],
        classes: 10,
        format: Format::Cifar {
            train: &[
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
            ],
            test: "test_batch.bin",
            labels: 1,
        },
        remedy: Cow::Borrowed(
            "unpack the binary version of https://www.cs.toronto.edu/~kriz/cifar.html into its \
                 directory",
        ),
    },
    DatasetEntry {
        name: Cow::Borrowed("cifar-100"),
        input: [3, 32, 32],
        classes: 100,
        format: Format::Cifar { train: &["train.bin"], test: "test.bin", labels: 2 },
        remedy: Cow::Borrowed(
            "unpack the binary version of https://www.cs.toronto.edu/~kriz/cifar.html into its \
                 directory",
        ),
    },
];

/// Where Debian's dataset packages put their files.
const SYSTEM_DIRECTORY: &str = "/usr/share/datasets";

/// The dataset called `name`: a known one, or a user's folder in one of `directories`.
///
/// # Errors
/// [`DataError::Unknown`] if there is none, [`DataError::Malformed`] if its files are.
pub fn dataset(name: &str, directories: &[PathBuf]) -> Result<DatasetEntry, DataError> {
    if let Some(known) = DATASETS.iter().find(|entry| entry.name == name) {
        return Ok(known.clone());
    }
    let found = own_folders(directories).find(|(own, _)| own == name);
    let Some((_, directory)) = found else {
        let known = DATASETS.iter().map(|entry| entry.name.to_string());
        let own = own_folders(directories).map(|(own, _)| own);
        let known = known.chain(own).collect::<Vec<_>>().join(", ");
        return Err(DataError::Unknown { name: name.to_owned(), known });
    };
    let remedy = format!("mend {}", directory.display());
    let malformed =
        |source| DataError::Malformed { name: name.to_owned(), remedy: remedy.clone(), source };
    let own = OwnFormat::of(&directory).map_err(|error| malformed(error.into()))?;
    let own = own.unwrap_or(OwnFormat::Safetensors);
    let form = own.form(&directory).map_err(malformed)?;
    Ok(DatasetEntry {
        name: name.to_owned().into(),
        input: form.input,
        classes: form.classes,
        format: Format::Own(own),
        remedy: remedy.into(),
    })
}

/// The names of all datasets that may be here: the known ones, and the folders of users.
#[must_use]
pub fn names(directories: &[PathBuf]) -> BTreeSet<String> {
    let known = DATASETS.iter().map(|entry| entry.name.to_string());
    known.chain(own_folders(directories).map(|(name, _)| name)).collect()
}

/// Folders with images and classes, by the name under which a campaign can ask for them. A known dataset is not
/// replaced by one of its name.
fn own_folders(directories: &[PathBuf]) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = directories.iter().filter_map(|base| std::fs::read_dir(base).ok()).flatten();
    let named = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let holds = is_dataset_name(&name) && OwnFormat::is_any_at(&entry.path());
        holds.then(|| (name, entry.path()))
    });
    named.filter(|(name, _)| DATASETS.iter().all(|entry| entry.name != *name))
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
        self.format.check(&directory, self.form()).map_err(|source| self.malformed(source))
    }

    /// Names the content of its files: other data has another name. Reads them whole; see
    /// [`Fingerprints`].
    ///
    /// # Errors
    /// [`DataError`] if a file cannot be read.
    pub fn fingerprint(&self, directories: &[PathBuf]) -> Result<String, DataError> {
        let directory = self.directory(directories)?;
        self.format.fingerprint(&directory).map_err(|source| self.malformed(source))
    }

    /// The training and the test samples, checked whole.
    fn read(&self, directories: &[PathBuf]) -> Result<[RawSplit; 2], DataError> {
        let directory = self.directory(directories)?;
        self.format.read(&directory, self.form()).map_err(|source| self.malformed(source))
    }

    fn form(&self) -> SampleForm {
        SampleForm { input: self.input, classes: self.classes }
    }

    fn directory(&self, directories: &[PathBuf]) -> Result<PathBuf, DataError> {
        let name = self.name.as_ref();
        let found = directories.iter().map(|base| base.join(name)).find(|path| path.is_dir());
        found.ok_or_else(|| DataError::Absent {
            name: self.name.to_string(),
            directories: directories.iter().map(|base| base.join(name)).collect(),
            remedy: self.remedy.to_string(),
        })
    }

    fn malformed(&self, source: FormatError) -> DataError {
        let (name, remedy) = (self.name.to_string(), self.remedy.to_string());
        DataError::Malformed { name, remedy, source }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(crate) mod tests;
