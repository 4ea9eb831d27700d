//! The IDX format of MNIST and its relatives: a magic number, big-endian dimensions, bytes.
//!
//! Every fault names the file and what to do. It must not know which dataset a file belongs to nor
//! libtorch.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::packed::Packed;

/// The largest content that is read from one file, in bytes; protects from a wrong header.
pub const MAX_BYTES: u64 = 1 << 31;

/// Unsigned bytes in the third byte of the magic number.
const UNSIGNED_BYTES: u8 = 0x08;

/// A file that cannot be read as IDX.
#[derive(Debug, Error)]
pub enum IdxError {
    /// There is no such file.
    #[error("{path} does not exist", path = .0.display())]
    Absent(PathBuf),
    /// The file cannot be read or decompressed.
    #[error("{path} cannot be read ({source}); fetch the dataset again", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system or the decompressor says.
        source: io::Error,
    },
    /// The file does not begin as expected.
    #[error(
        "{path} begins with the magic number {found:#010x}, expected {expected:#010x} (unsigned \
         bytes in {} dimensions); it is not the file that its name promises",
        .expected & 0xff, path = .path.display()
    )]
    Magic {
        /// The file.
        path: PathBuf,
        /// Its first four bytes.
        found: u32,
        /// What they should be.
        expected: u32,
    },
    /// The file ends early.
    #[error(
        "{path} is truncated: {expected} bytes expected after decompression, {found} found; fetch \
         the dataset again",
        path = .path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that its header announces, header included.
        expected: u64,
        /// Bytes that it holds.
        found: u64,
    },
    /// The file holds more than its header announces.
    #[error(
        "{path} holds more than the {expected} bytes that its header announces; fetch the dataset \
         again",
        path = .path.display()
    )]
    Overlong {
        /// The file.
        path: PathBuf,
        /// Bytes that its header announces, header included.
        expected: u64,
    },
    /// The header announces absurdly much.
    #[error("{path} announces dimensions {dimensions:?}, more than {MAX_BYTES} bytes", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The announced dimensions.
        dimensions: Vec<u32>,
    },
    /// A dimension is not what the dataset needs.
    #[error(
        "{path} has dimensions {found:?}, expected {expected}; it does not belong to this dataset",
        path = .path.display()
    )]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// Its dimensions.
        found: Vec<u32>,
        /// What is expected, in words.
        expected: String,
    },
    /// A label is not a class.
    #[error(
        "{path}: label {value} of sample {index} is not a class, 0 to {}; fetch the dataset again",
        .classes - 1, path = .path.display()
    )]
    Label {
        /// The file.
        path: PathBuf,
        /// The position of the sample.
        index: usize,
        /// The label.
        value: u8,
        /// The number of classes.
        classes: u32,
    },
}

/// Unsigned bytes in any number of dimensions, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// The size of each dimension.
    pub dimensions: Vec<u32>,
    /// The content.
    pub bytes: Vec<u8>,
}

/// The dimensions that the gzipped IDX file at `path` announces; only the header is read.
///
/// # Errors
/// [`IdxError`] if the file is absent or does not begin as an IDX file of `rank` dimensions.
pub fn read_header(path: &Path, rank: u8) -> Result<Vec<u32>, IdxError> {
    header(&mut open(path)?, path, rank)
}

/// The content of the gzipped IDX file at `path`, which must have `rank` dimensions.
///
/// # Errors
/// [`IdxError`] if the file is absent, unreadable, truncated, overlong or not what it should be.
pub fn read(path: &Path, rank: u8) -> Result<Idx, IdxError> {
    let mut reader = open(path)?;
    let dimensions = header(&mut reader, path, rank)?;
    let head = 4 + 4 * u64::from(rank);
    let length = dimensions.iter().try_fold(1u64, |n, &d| n.checked_mul(u64::from(d)));
    let Some(length) = length.filter(|&length| length <= MAX_BYTES) else {
        return Err(IdxError::TooLarge { path: path.into(), dimensions });
    };
    let mut bytes = Vec::new();
    reader
        .take(length + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| fault(path, source, head + length, head + bytes.len() as u64))?;
    let found = bytes.len() as u64;
    if found < length {
        let (expected, found) = (head + length, head + found);
        return Err(IdxError::Truncated { path: path.into(), expected, found });
    }
    if found > length {
        return Err(IdxError::Overlong { path: path.into(), expected: head + length });
    }
    Ok(Idx { dimensions, bytes })
}

type Reader = Packed<BufReader<File>>;

fn open(path: &Path) -> Result<Reader, IdxError> {
    match File::open(path) {
        Ok(file) => Ok(Packed::new(BufReader::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(IdxError::Absent(path.into())),
        Err(source) => Err(IdxError::Unreadable { path: path.into(), source }),
    }
}

fn header(reader: &mut Reader, path: &Path, rank: u8) -> Result<Vec<u32>, IdxError> {
    let head = 4 + 4 * u64::from(rank);
    let mut numbers = Vec::with_capacity(1 + usize::from(rank));
    for read in 0..=u64::from(rank) {
        let mut number = [0; 4];
        reader.read_exact(&mut number).map_err(|source| fault(path, source, head, 4 * read))?;
        numbers.push(u32::from_be_bytes(number));
        let expected = u32::from_be_bytes([0, 0, UNSIGNED_BYTES, rank]);
        if numbers[0] != expected {
            return Err(IdxError::Magic { path: path.into(), found: numbers[0], expected });
        }
    }
    Ok(numbers.split_off(1))
}

/// An early end is a truncated file; any other fault is the system's or the decompressor's.
fn fault(path: &Path, source: io::Error, expected: u64, found: u64) -> IdxError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => IdxError::Truncated { path: path.into(), expected, found },
        _ => IdxError::Unreadable { path: path.into(), source },
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    /// An IDX file in memory, uncompressed.
    pub(crate) fn encode(dimensions: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut content = vec![0, 0, UNSIGNED_BYTES, dimensions.len() as u8];
        content.extend(dimensions.iter().flat_map(|d| d.to_be_bytes()));
        content.extend(bytes);
        content
    }

    pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_file_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("labels.gz");
        std::fs::write(&path, gzip(&encode(&[2, 3], &[1, 2, 3, 4, 5, 6]))).unwrap();
        let idx = read(&path, 2).unwrap();
        assert_eq!(idx, Idx { dimensions: vec![2, 3], bytes: vec![1, 2, 3, 4, 5, 6] });
        assert_eq!(read_header(&path, 2).unwrap(), vec![2, 3]);
        let whole = encode(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        std::fs::write(&path, [gzip(&whole[..14]), gzip(&whole[14..])].concat()).unwrap();
        assert_eq!(read(&path, 2).unwrap(), idx);
        std::fs::write(&path, [gzip(&whole), vec![0; 300]].concat()).unwrap();
        assert_eq!(read(&path, 2).unwrap(), idx);
    }

    #[test]
    fn faults_are_told_apart() {
        let whole = encode(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        let incompressible: Vec<u8> =
            (0..4000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let zipped = gzip(&encode(&[4000, 1], &incompressible));
        let cases: Vec<(&str, Vec<u8>, &str)> = vec![
            ("empty", Vec::new(), "truncated"),
            ("not gzip", b"plain text, not compressed".to_vec(), "cannot be read"),
            ("empty content", gzip(b""), "truncated"),
            ("half a header", gzip(&whole[..6]), "truncated"),
            ("missing content", gzip(&whole[..whole.len() - 1]), "truncated"),
            ("cut compressed stream", zipped[..zipped.len() / 2].to_vec(), "truncated"),
            ("too much content", gzip(&[whole.clone(), vec![7]].concat()), "holds more"),
            ("wrong rank", gzip(&encode(&[6], &[1, 2, 3, 4, 5, 6])), "magic number"),
            ("wrong type", gzip(&[&[0, 0, 0x0d, 2], &whole[4..]].concat()), "magic number"),
            ("absurd", gzip(&encode(&[u32::MAX, u32::MAX], &[])), "announces"),
        ];
        let directory = tempfile::tempdir().unwrap();
        for (name, content, message) in cases {
            let path = directory.path().join("file.gz");
            std::fs::write(&path, content).unwrap();
            let error = read(&path, 2).unwrap_err().to_string();
            assert!(error.contains(message) && error.contains("file.gz"), "{name}: {error}");
        }
        let error = read(&directory.path().join("none.gz"), 2).unwrap_err().to_string();
        assert!(error.contains("none.gz does not exist"), "{error}");
    }
}
