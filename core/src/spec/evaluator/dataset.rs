//! What is known beforehand about well-known image data sets, so that a campaign that cannot work
//! is refused before anything runs.
//!
//! Other names are fine: a worker either has that data set or not. It must not know where images come from.

/// The sizes of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::spec) struct DatasetFacts {
    /// The name in campaigns.
    pub(in crate::spec) name: &'static str,
    /// Channels, height and width of an image.
    pub(in crate::spec) input: [u32; 3],
    /// The number of classes.
    pub(in crate::spec) classes: u32,
    /// The number of images in the training file.
    pub(in crate::spec) training: u32,
    /// The number of images in the test file.
    pub(in crate::spec) test: u32,
}

const DATASETS: [DatasetFacts; 4] = [
    DatasetFacts {
        name: "fashion-mnist",
        input: [1, 28, 28],
        classes: 10,
        training: 60_000,
        test: 10_000,
    },
    DatasetFacts { name: "mnist", input: [1, 28, 28], classes: 10, training: 60_000, test: 10_000 },
    DatasetFacts {
        name: "cifar-10",
        input: [3, 32, 32],
        classes: 10,
        training: 50_000,
        test: 10_000,
    },
    DatasetFacts {
        name: "cifar-100",
        input: [3, 32, 32],
        classes: 100,
        training: 50_000,
        test: 10_000,
    },
];

/// Whether `name` can be that of a data set: 1 to 64 of `a-z`, `0-9` and `-`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}

/// The sizes of the data set called `name`, if they are known.
pub(in crate::spec) fn facts(name: &str) -> Option<DatasetFacts> {
    DATASETS.into_iter().find(|facts| facts.name == name)
}
