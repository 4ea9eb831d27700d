//! Data sets of one's own as images in folders: `train/CLASS/IMAGE` and `test/CLASS/IMAGE`, PNG or JPEG.
//!
//! The classes are the folders of `train` in the order of their names. All images have one size and the
//! same channels, grey or red, green and blue; nothing is scaled, cropped or converted. Every fault names
//! the image. It must not know how an image is decoded, or libtorch.

use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::format::RawSplit;
use super::image_file::{ImageFile, ImageFileError};
use super::own::{Form, MAX_BYTES, MAX_CLASSES};

/// The folders of training and test.
pub(super) const PARTS: [&str; 2] = ["train", "test"];
/// The most images of training or test.
const MAX_IMAGES: usize = 1 << 24;

/// A folder that holds no images by classes.
#[derive(Debug, Error)]
pub enum FoldersError {
    /// Something cannot be read.
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// An image or a folder is not what it should be.
    #[error("{path}: {reason}", path = .path.display())]
    Content {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
}

fn fault(path: &Path, reason: impl Into<String>) -> FoldersError {
    FoldersError::Content { path: path.to_owned(), reason: reason.into() }
}

/// What the images look like, from the first training image and the names of all.
pub(super) fn form(directory: &Path) -> Result<Form, FoldersError> {
    let train = directory.join(PARTS[0]);
    let classes = classes(&train)?;
    let images = images(&train, &classes)?;
    self::images(&directory.join(PARTS[1]), &classes)?;
    let first = &images[0].0;
    let input = open(first)?.input().map_err(|error| of_image(first, error))?;
    Ok(Form { input, classes: classes.len() as u32 })
}

/// Training and test samples, checked whole.
pub(super) fn read(directory: &Path, form: Form) -> Result<[RawSplit; 2], FoldersError> {
    let train = directory.join(PARTS[0]);
    let classes = classes(&train)?;
    if classes.len() != form.classes as usize {
        return Err(fault(&train, "it has changed since it was looked at"));
    }
    let mut first = None;
    let mut read = |part: PathBuf| {
        let listed = images(&part, &classes)?;
        let image = form.input.iter().map(|side| u64::from(*side)).product::<u64>();
        let bytes = image.saturating_mul(listed.len() as u64);
        if bytes > MAX_BYTES {
            let reason = format!("its images take {bytes} bytes, at most {MAX_BYTES} are read");
            return Err(fault(&part, reason));
        }
        let mut split = RawSplit { images: Vec::new(), labels: Vec::new() };
        for (path, class) in listed {
            let image = open(&path)?;
            let found = image.input().map_err(|error| of_image(&path, error))?;
            if found != form.input {
                let like: &Path = first.as_deref().unwrap_or(directory);
                return Err(differs(&path, found, like, form.input));
            }
            image.append(&mut split.images).map_err(|error| of_image(&path, error))?;
            split.labels.push(class);
            first.get_or_insert(path);
        }
        Ok(split)
    };
    Ok([read(train.clone())?, read(directory.join(PARTS[1]))?])
}

/// Every image, in a fixed order.
pub(super) fn files(directory: &Path) -> Result<Vec<PathBuf>, FoldersError> {
    let classes = classes(&directory.join(PARTS[0]))?;
    let mut all = Vec::new();
    for part in PARTS {
        all.extend(images(&directory.join(part), &classes)?.into_iter().map(|(path, _)| path));
    }
    Ok(all)
}

fn differs(path: &Path, found: [u32; 3], like: &Path, expected: [u32; 3]) -> FoldersError {
    let text = |[channels, height, width]: [u32; 3]| {
        let colour = if channels == 1 { "grey" } else { "coloured" };
        format!("{height} high, {width} wide and {colour}")
    };
    fault(
        path,
        format!(
            "it is {}, and {} is {}; all images of a data set have one size and one kind of colour",
            text(found),
            like.display(),
            text(expected)
        ),
    )
}

/// The entries of a folder in the order of their names, without hidden ones.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, FoldersError> {
    let unreadable = |source| FoldersError::Unreadable { path: folder.to_owned(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().into_string().map_err(|name| {
            fault(&folder.join(name), "its name is no text; give it one of letters and digits")
        })?;
        if !name.starts_with('.') {
            entries.push((name, entry.path()));
        }
        if entries.len() > MAX_IMAGES {
            return Err(fault(folder, format!("it holds more than {MAX_IMAGES} files")));
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

fn classes(train: &Path) -> Result<Vec<String>, FoldersError> {
    let mut names = Vec::new();
    for (name, path) in entries(train)? {
        if !path.is_dir() {
            return Err(fault(
                &path,
                "it is no folder; put each image into the folder of its class",
            ));
        }
        names.push(name);
    }
    match names.len() {
        0 | 1 => Err(fault(train, "it has fewer than two classes: make a folder for each")),
        found if found > MAX_CLASSES as usize => {
            Err(fault(train, format!("it has {found} classes, at most {MAX_CLASSES} are possible")))
        }
        _ => Ok(names),
    }
}

/// The images of training or test with their classes.
fn images(part: &Path, classes: &[String]) -> Result<Vec<(PathBuf, u8)>, FoldersError> {
    let mut images = Vec::new();
    for (name, folder) in entries(part)? {
        let class = classes.binary_search(&name).ok().and_then(|class| u8::try_from(class).ok());
        let Some(class) = class else {
            return Err(fault(&folder, "no training image is of that class"));
        };
        for (name, path) in entries(&folder)? {
            let extension = Path::new(&name).extension().and_then(|found| found.to_str());
            let extension = extension.unwrap_or_default().to_ascii_lowercase();
            if !["png", "jpg", "jpeg"].contains(&extension.as_str()) {
                return Err(fault(&path, "it is no PNG or JPEG; only images belong here"));
            }
            images.push((path, class));
        }
        if images.len() > MAX_IMAGES {
            return Err(fault(part, format!("it holds more than {MAX_IMAGES} images")));
        }
    }
    if images.is_empty() {
        return Err(fault(part, "it holds no images"));
    }
    Ok(images)
}

fn open(path: &Path) -> Result<ImageFile<'static>, FoldersError> {
    let file = fs::File::open(path).map_err(|error| of_image(path, error.into()))?;
    ImageFile::open(BufReader::new(file)).map_err(|error| of_image(path, error))
}

fn of_image(path: &Path, error: ImageFileError) -> FoldersError {
    let path = path.to_owned();
    match error {
        ImageFileError::Unreadable(source) => FoldersError::Unreadable { path, source },
        error => FoldersError::Content { path, reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests;
