//! Data sets of one's own: `train.safetensors` and `test.safetensors`, each with the images `x` and the
//! classes `y`.
//!
//! The format is that of safetensors: the length of a JSON header, the header, the numbers row by row.
//! Every fault names the file and what to do. It must not know libtorch.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;
use thiserror::Error;

use super::archive::Archive;
use super::own::{MAX_BYTES, images_of};

/// The longest header that is read, bytes.
const MAX_HEADER: u64 = 1 << 20;

/// A file that holds no images and classes.
#[derive(Debug, Error)]
pub enum ArraysError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no safetensors file, or holds something else.
    #[error(
        "{path}: {reason}; write `x`, unsigned bytes of [images, channels, height, width] or [images, \
         height, width], and `y`, whole numbers of [images], with safetensors",
        path = .path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A class is out of range.
    #[error("{path}: y[{index}] is {value}, which is no class from 0 to {}", .classes - 1, path = .path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// The position of the image.
        index: usize,
        /// Its class.
        value: i64,
        /// The number of classes that are possible.
        classes: u32,
    },
}

/// An array as the header describes it.
#[derive(Debug, Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// An opened file whose header is sound.
pub(super) struct Arrays {
    path: PathBuf,
    file: File,
    images: Described,
    labels: Described,
    /// Where the numbers begin.
    start: u64,
    input: [u32; 3],
}

impl Archive for Arrays {
    const FILES: [&'static str; 2] = ["train.safetensors", "test.safetensors"];
    type Error = ArraysError;

    fn open(path: PathBuf) -> Result<Self, ArraysError> {
        let content = |reason: String| ArraysError::Content { path: path.clone(), reason };
        let unreadable = |source| ArraysError::Unreadable { path: path.clone(), source };
        let mut file = File::open(&path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        if size > MAX_BYTES {
            return Err(content(format!("it has {size} bytes, at most {MAX_BYTES} are read")));
        }
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| content("it is too short".to_owned()))?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER || length > size.saturating_sub(8) {
            return Err(content("its header is longer than it can be".to_owned()));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(unreadable)?;
        let mut described: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&header)
            .map_err(|error| content(format!("its header is not JSON ({error})")))?;
        let mut array = |name: &str| -> Result<Described, ArraysError> {
            let found = described.remove(name);
            let found = found.ok_or_else(|| content(format!("it holds no array `{name}`")))?;
            serde_json::from_value(found).map_err(|error| {
                content(format!("its header does not describe `{name}` ({error})"))
            })
        };
        let (images, labels) = (array("x")?, array("y")?);
        let start = 8 + length;
        let input = check(&images, &labels, size - start).map_err(content)?;
        Ok(Self { path, file, images, labels, start, input })
    }

    fn input(&self) -> [u32; 3] {
        self.input
    }

    fn images(&mut self) -> Result<Vec<u8>, ArraysError> {
        self.bytes(self.images.data_offsets)
    }

    fn classes(&mut self) -> Result<(Vec<u8>, usize), ArraysError> {
        let width = label_width(&self.labels.dtype).unwrap_or(1);
        Ok((self.bytes(self.labels.data_offsets)?, width as usize))
    }

    fn odd(&self, reason: String) -> ArraysError {
        ArraysError::Content { path: self.path.clone(), reason }
    }

    fn odd_class(&self, index: usize, value: i64, classes: u32) -> ArraysError {
        ArraysError::Label { path: self.path.clone(), index, value, classes }
    }
}

impl Arrays {
    fn bytes(&mut self, [from, to]: [u64; 2]) -> Result<Vec<u8>, ArraysError> {
        let mut bytes = vec![0; (to - from) as usize];
        let read = self.file.seek(SeekFrom::Start(self.start + from));
        let read = read.and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|source| ArraysError::Unreadable { path: self.path.clone(), source })?;
        Ok(bytes)
    }
}

/// Channels, height and width, or why these are no images with classes in `size` bytes.
fn check(images: &Described, labels: &Described, size: u64) -> Result<[u32; 3], String> {
    if images.dtype != "U8" {
        return Err(format!(
            "`x` holds {}, and images are unsigned bytes (U8): scale them to 0 to 255",
            images.dtype
        ));
    }
    let (count, input) = images_of(&images.shape, &labels.shape)?;
    let Some(label) = label_width(&labels.dtype) else {
        return Err(format!("`y` holds {}, and classes are I64, I32 or U8", labels.dtype));
    };
    let pixels = count.checked_mul(input.iter().product());
    for (name, array, expected) in [("x", images, pixels), ("y", labels, count.checked_mul(label))]
    {
        let [from, to] = array.data_offsets;
        if from > to || to > size || Some(to - from) != expected {
            return Err(format!("the numbers of `{name}` are not all there"));
        }
    }
    Ok(input.map(|side| side as u32))
}

/// Bytes of one class.
fn label_width(dtype: &str) -> Option<u64> {
    match dtype {
        "U8" => Some(1),
        "I32" => Some(4),
        "I64" => Some(8),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use proptest::prelude::any;
    use proptest::sample::Index;
    use serde_json::{Value, json};

    use super::*;
    use crate::data::archive;
    use crate::data::format::RawSplit;
    use crate::data::own::Form;

    const FILES: [&str; 2] = Arrays::FILES;

    fn form(directory: &Path) -> Result<Form, ArraysError> {
        archive::form::<Arrays>(directory)
    }

    fn read(directory: &Path, form: Form) -> Result<[RawSplit; 2], ArraysError> {
        archive::read::<Arrays>(directory, form)
    }

    /// A file of `header` and `numbers`.
    pub(crate) fn encoded(header: &Value, numbers: &[u8]) -> Vec<u8> {
        let header = header.to_string().into_bytes();
        let length = (header.len() as u64).to_le_bytes();
        [length.as_slice(), header.as_slice(), numbers].concat()
    }

    /// `count` images of 1x4x5 with `classes` classes in turn.
    pub(crate) fn images(count: usize, classes: usize) -> Vec<u8> {
        let pixels = (0..count * 20).map(|at| (at % 251) as u8);
        let labels = (0..count).flat_map(|at| ((at % classes) as i64).to_le_bytes());
        let numbers: Vec<u8> = pixels.chain(labels).collect();
        encoded(&header(count), &numbers)
    }

    fn header(count: usize) -> Value {
        json!({
            "__metadata__": {"made": "by hand"},
            "x": {"dtype": "U8", "shape": [count, 4, 5], "data_offsets": [0, 20 * count]},
            "y": {"dtype": "I64", "shape": [count], "data_offsets": [20 * count, 28 * count]},
        })
    }

    fn folder(train: &[u8], test: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILES[0]), train).unwrap();
        std::fs::write(folder.path().join(FILES[1]), test).unwrap();
        folder
    }

    #[test]
    fn images_and_classes_are_read() {
        let folder = folder(&images(6, 3), &images(2, 3));
        let form = form(folder.path()).unwrap();
        assert_eq!(form, Form { input: [1, 4, 5], classes: 3 });
        let [train, test] = read(folder.path(), form).unwrap();
        assert_eq!(train.labels, [0, 1, 2, 0, 1, 2]);
        assert_eq!((train.images.len(), test.labels.as_slice()), (120, [0, 1].as_slice()));
        assert_eq!(train.images[..3], [0, 1, 2]);
    }

    #[test]
    fn bytes_and_short_numbers_are_classes_too() {
        for (dtype, labels) in [("U8", vec![1, 0]), ("I32", vec![1, 0, 0, 0, 0, 0, 0, 0])] {
            let end = 24 + labels.len();
            let header = json!({
                "x": {"dtype": "U8", "shape": [2, 3, 2, 2], "data_offsets": [0, 24]},
                "y": {"dtype": dtype, "shape": [2], "data_offsets": [24, end]},
            });
            let file = encoded(&header, &[vec![7; 24], labels].concat());
            let folder = folder(&file, &file);
            assert_eq!(form(folder.path()).unwrap(), Form { input: [3, 2, 2], classes: 2 });
        }
    }

    proptest::proptest! {
        #[test]
        fn a_strange_file_is_read_whole_or_refused(
            edits in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4),
            length in 0..700_usize,
        ) {
            let mut bytes = images(6, 3);
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(length);
            let folder = folder(&bytes, &bytes);
            if let Ok(form) = form(folder.path())
                && let Ok([train, _]) = read(folder.path(), form)
            {
                let pixels: u32 = form.input.iter().product();
                assert_eq!(train.images.len(), train.labels.len() * pixels as usize);
                assert!(train.labels.iter().all(|label| u32::from(*label) < form.classes));
            }
        }
    }

    #[test]
    fn whatever_is_wrong_is_named_with_its_file() {
        let whole = images(6, 3);
        let numbers = vec![0; 28 * 6];
        let with = |change: fn(&mut Value)| {
            let mut header = header(6);
            change(&mut header);
            encoded(&header, &numbers)
        };
        let cases: [(Vec<u8>, &str); 14] = [
            (Vec::new(), "too short"),
            (vec![0xff; 64], "longer than it can be"),
            (encoded(&json!([1]), &[]), "not JSON"),
            (with(|header| drop(header.as_object_mut().unwrap().remove("y"))), "no array `y`"),
            (with(|header| header["x"] = json!(3)), "does not describe `x`"),
            (with(|header| header["x"]["dtype"] = json!("F32")), "scale them"),
            (with(|header| header["y"]["dtype"] = json!("F32")), "classes are I64"),
            (with(|header| header["x"]["shape"] = json!([6, 20])), "[6, 20]"),
            (with(|header| header["x"]["shape"] = json!([6, 0, 5])), "[6, 0, 5]"),
            (with(|header| header["x"]["shape"] = json!([u64::MAX, 4, 5])), "`y` has the shape"),
            (with(|header| header["y"]["shape"] = json!([5])), "there are 6 images"),
            (with(|header| header["x"]["data_offsets"] = json!([9, 2])), "not all there"),
            (whole[..whole.len() - 1].to_vec(), "not all there"),
            (encoded(&header(6), &numbers), "one class"),
        ];
        for (train, reason) in cases {
            let folder = folder(&train, &whole);
            let error = form(folder.path()).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(FILES[0]), "{reason}: {error}");
        }
        let smaller = folder(&whole, &images(2, 3)[..60]);
        assert!(form(smaller.path()).unwrap_err().to_string().contains(FILES[1]));
        // A class that no training image has.
        let strange = folder(&whole, &images(5, 4));
        let form = form(strange.path()).unwrap();
        let error = read(strange.path(), form).unwrap_err().to_string();
        assert!(error.contains("y[3] is 3") && error.contains(FILES[1]), "{error}");
        let absent = tempfile::tempdir().unwrap();
        assert!(self::form(absent.path()).unwrap_err().to_string().contains("cannot be read"));
    }
}
