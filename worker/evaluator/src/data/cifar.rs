//! The binary format of CIFAR: records of one or two label bytes and the planes of an RGB image,
//! without a header, plain or gzipped.
//!
//! Every fault names the file and what to do. It must not know which dataset a file belongs to nor
//! libtorch.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::packed::Packed;

/// The largest content that is read from one file, in bytes.
const MAX_BYTES: u64 = 1 << 31;

/// A file that cannot be read as CIFAR records.
#[derive(Debug, Error)]
pub enum CifarError {
    /// There is no such file, plain or gzipped.
    #[error("neither {path} nor {path}.gz exists", path = .0.display())]
    Absent(PathBuf),
    /// The file cannot be read or decompressed.
    #[error("{path} cannot be read ({source}); fetch the dataset again", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system or the decompressor says.
        source: io::Error,
    },
    /// The file is empty, cut off, or of another dataset.
    #[error(
        "{path} holds {found} bytes after decompression, which is no whole number of records of \
         {record} bytes; fetch the dataset again",
        path = .path.display()
    )]
    Partial {
        /// The file.
        path: PathBuf,
        /// Bytes that it holds.
        found: u64,
        /// Bytes of one record.
        record: usize,
    },
    /// A label is not a class.
    #[error(
        "{path}: label {value} of record {index} is not a class, 0 to {}; fetch the dataset again",
        .classes - 1, path = .path.display()
    )]
    Label {
        /// The file.
        path: PathBuf,
        /// The position of the record.
        index: usize,
        /// The label.
        value: u8,
        /// The number of classes.
        classes: u32,
    },
}

/// The layout of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Label bytes; the last one is the class (CIFAR-100 has a coarse label before it).
    pub labels: usize,
    /// Bytes of the image, channel by channel.
    pub image: usize,
    /// The number of classes.
    pub classes: u32,
}

/// The labels and images of files of records, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// One class a record.
    pub labels: Vec<u8>,
    /// The images, one after another.
    pub images: Vec<u8>,
}

/// Whether `directory` has the file called `name`, plain or gzipped.
///
/// # Errors
/// [`CifarError::Absent`] if it has neither.
pub fn find(directory: &Path, name: &str) -> Result<PathBuf, CifarError> {
    let plain = directory.join(name);
    let zipped = directory.join(format!("{name}.gz"));
    let found = [&plain, &zipped].into_iter().find(|path| path.is_file()).cloned();
    found.ok_or(CifarError::Absent(plain))
}

/// Appends the records of the file called `name` in `directory` to `records`.
///
/// # Errors
/// [`CifarError`] if the file is absent, unreadable, cut off or has a label that is no class;
/// `records` are of no use then.
pub fn read(
    directory: &Path,
    name: &str,
    record: Record,
    records: &mut Records,
) -> Result<(), CifarError> {
    let path = find(directory, name)?;
    let bytes =
        content(&path).map_err(|source| CifarError::Unreadable { path: path.clone(), source })?;
    let length = record.labels + record.image;
    if bytes.is_empty() || bytes.len() % length != 0 {
        return Err(CifarError::Partial { path, found: bytes.len() as u64, record: length });
    }
    for (index, bytes) in bytes.chunks(length).enumerate() {
        let (labels, image) = bytes.split_at(record.labels);
        let value = labels.last().copied().unwrap_or(0);
        if u32::from(value) >= record.classes {
            return Err(CifarError::Label { path, index, value, classes: record.classes });
        }
        records.labels.push(value);
        records.images.extend_from_slice(image);
    }
    Ok(())
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = BufReader::new(File::open(path)?);
    match path.extension().is_some_and(|extension| extension == "gz") {
        true => Packed::new(file).take(MAX_BYTES).read_to_end(&mut bytes)?,
        false => file.take(MAX_BYTES).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::idx::tests::gzip;
    use super::*;

    const RECORD: Record = Record { labels: 2, image: 3, classes: 10 };

    fn attempt(name: &str, content: &[u8]) -> Result<Records, CifarError> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(name), content).unwrap();
        let mut records = Records::default();
        read(directory.path(), "train.bin", RECORD, &mut records).map(|()| records)
    }

    #[test]
    fn records_are_read_plain_and_zipped() {
        let content = [7, 1, 10, 11, 12, 7, 9, 20, 21, 22];
        let expected = Records { labels: vec![1, 9], images: vec![10, 11, 12, 20, 21, 22] };
        assert_eq!(attempt("train.bin", &content).unwrap(), expected);
        assert_eq!(attempt("train.bin.gz", &gzip(&content)).unwrap(), expected);
        let members = [gzip(&content[..5]), gzip(&content[5..])].concat();
        assert_eq!(attempt("train.bin.gz", &members).unwrap(), expected);
        let padded = [gzip(&content), vec![0; 300]].concat();
        assert_eq!(attempt("train.bin.gz", &padded).unwrap(), expected);
    }

    #[test]
    fn faults_are_told_apart() {
        let cases: [(&str, &[u8], &str); 5] = [
            ("test.bin", &[], "train.bin nor"),
            ("train.bin", &[], "holds 0 bytes"),
            ("train.bin", &[0, 1, 2, 3], "records of 5 bytes"),
            ("train.bin", &[0, 1, 2, 3, 4, 0, 10, 2, 3, 4], "label 10 of record 1"),
            ("train.bin.gz", &[1, 2, 3], "cannot be read"),
        ];
        for (name, content, message) in cases {
            let error = attempt(name, content).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
