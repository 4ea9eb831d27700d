//! What all archives with the images `x` and the classes `y` have in common: how a data set is looked at
//! and read, whatever the format. It must not know any of them.

use std::path::{Path, PathBuf};

use super::format::RawSplit;
use super::own::{Form, MAX_CLASSES, class_of, classes_in};

/// An opened file of training or test, whose headers are sound.
pub(super) trait Archive: Sized {
    /// The files of training and test.
    const FILES: [&'static str; 2];
    /// What can be wrong; it names the file.
    type Error;

    /// Opens a file and checks what it says about itself.
    fn open(path: PathBuf) -> Result<Self, Self::Error>;

    /// Channels, height and width of its images.
    fn input(&self) -> [u32; 3];

    /// The bytes of its images.
    fn images(&mut self) -> Result<Vec<u8>, Self::Error>;

    /// The bytes of its classes, little-endian, and how many one takes: 1, 4 or 8.
    fn classes(&mut self) -> Result<(Vec<u8>, usize), Self::Error>;

    /// That the file holds something else, for a `reason`.
    fn odd(&self, reason: String) -> Self::Error;

    /// That the class of the image at `index` is `value`, and none of `classes`.
    fn odd_class(&self, index: usize, value: i64, classes: u32) -> Self::Error;
}

/// What the images look like, from the headers and the classes of the training images.
pub(super) fn form<A: Archive>(directory: &Path) -> Result<Form, A::Error> {
    let [train, test] = A::FILES;
    let mut trained = A::open(directory.join(train))?;
    let labels = labels(&mut trained, MAX_CLASSES)?;
    let classes = classes_in(&labels).map_err(|reason| trained.odd(reason))?;
    let tested = A::open(directory.join(test))?;
    let (input, found) = (trained.input(), tested.input());
    if found != input {
        return Err(tested.odd(format!(
            "its images are {found:?} and those of {train} {input:?} (channels, height, width)"
        )));
    }
    Ok(Form { input, classes })
}

/// Training and test samples, checked whole.
pub(super) fn read<A: Archive>(directory: &Path, form: Form) -> Result<[RawSplit; 2], A::Error> {
    let read = |name: &str| {
        let mut archive = A::open(directory.join(name))?;
        if archive.input() != form.input {
            return Err(archive.odd("it has changed since it was looked at".to_owned()));
        }
        let labels = labels(&mut archive, form.classes)?;
        Ok(RawSplit { images: archive.images()?, labels })
    };
    let [train, test] = A::FILES;
    Ok([read(train)?, read(test)?])
}

/// The classes, each below `classes`.
fn labels<A: Archive>(archive: &mut A, classes: u32) -> Result<Vec<u8>, A::Error> {
    let (bytes, width) = archive.classes()?;
    let class = |(index, bytes): (usize, &[u8])| {
        let value = class_of(bytes);
        let known = u8::try_from(value).ok().filter(|class| u32::from(*class) < classes);
        known.ok_or_else(|| archive.odd_class(index, value, classes))
    };
    bytes.chunks_exact(width).enumerate().map(class).collect()
}
