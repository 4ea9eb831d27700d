//! The datasets in memory: loaded once, split once for each combination of sizes; the combinations
//! asked for last are kept.
//!
//! Must not know what the splits are used for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;

use cambrian_core::rng::{Purpose, stream};
use rand::seq::SliceRandom;
use tch::{Device, TchError, Tensor};

use super::format::RawSplit;
use super::samples::{Normalization, Samples};
use super::{DataError, DatasetEntry, dataset};
use crate::failure::EvaluationError;

/// The seed of the permutation that holds validation samples out of the training file. One
/// constant, so that every campaign on a dataset compares like with like.
const SPLIT_SEED: u64 = 0;

/// How many samples each split has; absent: as many as there are (all that validation leaves, for
/// training).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Training samples.
    pub train: Option<usize>,
    /// Validation samples, held out of the training file; absent: one sixth of it.
    pub validation: Option<usize>,
    /// Test samples.
    pub test: Option<usize>,
}

/// The splits of a dataset, on the device.
#[derive(Debug)]
pub struct Splits {
    /// For training.
    pub train: Samples,
    /// For everything that a search may read.
    pub validation: Samples,
    /// Locked: only for the sealed test accuracy.
    pub test: Samples,
    /// Statistics of the training samples, applied to all splits.
    pub normalization: Normalization,
}

struct Whole {
    train: Samples,
    test: Samples,
    /// A fixed permutation of the training file.
    order: Vec<i64>,
}

/// Combinations of sizes that are kept of a dataset, so that stages that take turns in one process
/// do not split it anew each time.
const KEPT: usize = 3;

struct Shelf {
    entry: DatasetEntry,
    whole: Whole,
    /// The ones asked for last, latest last.
    splits: VecDeque<(Sizes, Rc<Splits>)>,
}

/// The datasets of this process.
pub struct Library {
    directories: Vec<PathBuf>,
    device: Device,
    /// The names of those that whoever hands out assignments relies on.
    announced: BTreeSet<String>,
    shelves: BTreeMap<String, Shelf>,
}

impl Library {
    /// A library over `directories` whose splits live on `device`; nothing is read yet.
    #[must_use]
    pub fn new(directories: Vec<PathBuf>, device: Device) -> Self {
        Self { directories, device, announced: BTreeSet::new(), shelves: BTreeMap::new() }
    }

    /// Where it looks.
    #[must_use]
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Remembers that these datasets were said to be here: one of them that is gone later is the
    /// fault of this node, not of whoever asks for it.
    pub fn announce(&mut self, names: impl IntoIterator<Item = String>) {
        self.announced.extend(names);
    }

    /// What the dataset `name` looks like; of one in memory as it was when it was loaded.
    ///
    /// # Errors
    /// [`EvaluationError::Invalid`] if there is none of that name, [`EvaluationError::BadNode`] if it is
    /// malformed here, or was announced and is gone.
    pub fn entry(&self, name: &str) -> Result<DatasetEntry, EvaluationError> {
        if let Some(shelf) = self.shelves.get(name) {
            return Ok(shelf.entry.clone());
        }
        dataset(name, &self.directories).map_err(|error| match error {
            DataError::Unknown { name, .. } if self.announced.contains(&name) => {
                DataError::Gone { name, directories: self.directories.clone() }.into()
            }
            DataError::Unknown { .. } => EvaluationError::Invalid(error.to_string()),
            error => error.into(),
        })
    }

    /// The splits of the dataset `name` with these sizes.
    ///
    /// Validation samples are the first of a fixed permutation of the training file, training
    /// samples the last of it, test samples the first of the test file: smaller splits are subsets
    /// of larger ones.
    ///
    /// # Errors
    /// [`EvaluationError::BadNode`] if the dataset is absent or malformed here,
    /// [`EvaluationError::Invalid`] if it does not have that many samples.
    pub fn splits(&mut self, name: &str, sizes: Sizes) -> Result<Rc<Splits>, EvaluationError> {
        if !self.shelves.contains_key(name) {
            let entry = self.entry(name)?;
            let whole = Whole::load(&entry, &self.directories)?;
            let shelf = Shelf { entry, whole, splits: VecDeque::new() };
            self.shelves.insert(name.to_owned(), shelf);
        }
        let Some(shelf) = self.shelves.get_mut(name) else {
            return Err(EvaluationError::Crash("a dataset vanished from memory".into()));
        };
        let kept = shelf.splits.iter().position(|(kept, _)| *kept == sizes);
        let found = match kept.and_then(|position| shelf.splits.remove(position)) {
            Some(found) => found,
            None => (sizes, Rc::new(shelf.whole.split(name, sizes, self.device)?)),
        };
        let splits = Rc::clone(&found.1);
        shelf.splits.push_back(found);
        if shelf.splits.len() > KEPT {
            shelf.splits.pop_front();
        }
        Ok(splits)
    }
}

impl Whole {
    fn load(entry: &DatasetEntry, directories: &[PathBuf]) -> Result<Self, EvaluationError> {
        let [train, test] = entry.read(directories).map_err(|error: DataError| error)?;
        let mut order: Vec<i64> = (0..train.labels.len() as i64).collect();
        order.shuffle(&mut stream(SPLIT_SEED, Purpose::Evaluation, 0));
        Ok(Self { train: tensors(train, entry)?, test: tensors(test, entry)?, order })
    }

    fn split(&self, name: &str, sizes: Sizes, device: Device) -> Result<Splits, EvaluationError> {
        let available = self.order.len();
        let validation = sizes.validation.unwrap_or(available / 6);
        let train = sizes.train.unwrap_or(available.saturating_sub(validation));
        let test = sizes.test.unwrap_or(self.test.count());
        if train == 0 || validation == 0 || test == 0 {
            return Err(EvaluationError::Invalid(format!(
                "a split of {name} would be empty: {train} training, {validation} validation and \
                 {test} test samples"
            )));
        }
        if train.saturating_add(validation) > available {
            return Err(EvaluationError::Invalid(format!(
                "{train} training and {validation} validation samples exceed the {available} \
                 samples of {name}'s training file"
            )));
        }
        if test > self.test.count() {
            return Err(EvaluationError::Invalid(format!(
                "{test} test samples exceed the {} of {name}'s test file",
                self.test.count()
            )));
        }
        let first: Vec<i64> = (0..test as i64).collect();
        let train = self.train.select(&self.order[available - train..], device)?;
        Ok(Splits {
            normalization: Normalization::of(&train.images)?,
            train,
            validation: self.train.select(&self.order[..validation], device)?,
            test: self.test.select(&first, device)?,
        })
    }
}

fn tensors(raw: RawSplit, entry: &DatasetEntry) -> Result<Samples, TchError> {
    let [channels, height, width] = entry.input.map(i64::from);
    let count = raw.labels.len() as i64;
    let images = Tensor::f_from_slice(&raw.images)?;
    Ok(Samples {
        images: images.f_view([count, channels, height, width])?,
        labels: Tensor::f_from_slice(&raw.labels)?.f_to_kind(tch::Kind::Int64)?,
    })
}
