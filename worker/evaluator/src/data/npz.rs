//! Data sets of one's own as NumPy writes them: `train.npz` and `test.npz`, each with the images `x`
//! and the classes `y`.
//!
//! An `.npz` is a zip archive of `.npy` arrays. Headers of arrays are read here and not by a library:
//! what they claim is compared with what the archive holds before anything is allocated. Every fault
//! names the file and the array. It must not know libtorch.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use thiserror::Error;
use zip::ZipArchive;
use zip::read::ZipFile;

use super::archive::Archive;
use super::own::{MAX_BYTES, images_of};

/// The longest header of an array that is read, bytes; NumPy writes 128 for such shapes.
const MAX_HEADER: u64 = 1 << 14;
/// Deflate makes at most so many bytes of one.
const MOST_PER_BYTE: u64 = 1032;

/// A file that holds no images and classes.
#[derive(Debug, Error)]
pub enum NpzError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no such archive, or holds something else.
    #[error(
        "{path}: {reason}; write `x`, unsigned bytes of [images, channels, height, width] or [images, \
         height, width], and `y`, whole numbers of [images], by numpy.savez_compressed",
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

/// What the header of an array says.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<u64>,
}

/// An opened file whose arrays have sound headers.
pub(super) struct Npz {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
    /// Bytes of one class.
    label_width: u64,
    input: [u32; 3],
}

impl Archive for Npz {
    const FILES: [&'static str; 2] = ["train.npz", "test.npz"];
    type Error = NpzError;

    fn open(path: PathBuf) -> Result<Self, NpzError> {
        let unreadable = |source| NpzError::Unreadable { path: path.clone(), source };
        let content = |reason: String| NpzError::Content { path: path.clone(), reason };
        let file = File::open(&path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        if size > MAX_BYTES {
            return Err(content(format!("it has {size} bytes, at most {MAX_BYTES} are read")));
        }
        let mut zip = ZipArchive::new(BufReader::new(file))
            .map_err(|error| content(format!("it is no archive that NumPy writes ({error})")))?;
        let mut header = |name: &str| {
            let (header, _, _) = array(&mut zip, name).map_err(&content)?;
            if header.fortran_order && header.shape.len() > 1 {
                let reason = format!("`{name}` is column by column; use numpy.ascontiguousarray");
                return Err(content(reason));
            }
            Ok(header)
        };
        let (x, y) = (header("x")?, header("y")?);
        if x.descr != "|u1" {
            return Err(content(format!(
                "`x` holds `{}`, and images are unsigned bytes (uint8): scale them to 0 to 255",
                x.descr
            )));
        }
        let label_width = match y.descr.as_str() {
            "|u1" => 1,
            "<i4" => 4,
            "<i8" => 8,
            other => {
                let reason = format!("`y` holds `{other}`, and classes are int64, int32 or uint8");
                return Err(content(reason));
            }
        };
        let (_, input) = images_of(&x.shape, &y.shape).map_err(&content)?;
        let mut archive = Self { path, zip, label_width, input: input.map(|side| side as u32) };
        for (name, width) in [("x", 1), ("y", label_width)] {
            archive.length(name, width)?;
        }
        Ok(archive)
    }

    fn input(&self) -> [u32; 3] {
        self.input
    }

    fn images(&mut self) -> Result<Vec<u8>, NpzError> {
        self.numbers("x", 1)
    }

    fn classes(&mut self) -> Result<(Vec<u8>, usize), NpzError> {
        Ok((self.numbers("y", self.label_width)?, self.label_width as usize))
    }

    fn odd(&self, reason: String) -> NpzError {
        NpzError::Content { path: self.path.clone(), reason }
    }

    fn odd_class(&self, index: usize, value: i64, classes: u32) -> NpzError {
        NpzError::Label { path: self.path.clone(), index, value, classes }
    }
}

impl Npz {
    /// Bytes of the numbers of an array, which the archive must hold and can.
    fn length(&mut self, name: &str, width: u64) -> Result<u64, NpzError> {
        let found = array(&mut self.zip, name).and_then(|(header, read, entry)| {
            let numbers = header.shape.iter().try_fold(width, |product, side| {
                product.checked_mul(*side).filter(|length| *length <= MAX_BYTES)
            });
            let length = numbers.filter(|length| {
                length.checked_add(read) == Some(entry.size())
                    && entry.size() / MOST_PER_BYTE <= entry.compressed_size()
            });
            length.ok_or_else(|| format!("the numbers of `{name}` are not all there"))
        });
        found.map_err(|reason| self.odd(reason))
    }

    fn numbers(&mut self, name: &str, width: u64) -> Result<Vec<u8>, NpzError> {
        let length = self.length(name, width)?;
        let mut bytes = Vec::new();
        let read = array(&mut self.zip, name).and_then(|(_, _, entry)| {
            // The archive's checksum is compared at the end of the entry.
            entry.take(length + 1).read_to_end(&mut bytes).map_err(|error| {
                format!("the numbers of `{name}` cannot be decompressed ({error})")
            })
        });
        read.map_err(|reason| self.odd(reason))?;
        if bytes.len() as u64 == length {
            return Ok(bytes);
        }
        Err(self.odd(format!("the numbers of `{name}` are not all there")))
    }
}

/// The header of an array, how many bytes it takes, and its numbers, which follow it.
fn array<'z>(
    zip: &'z mut ZipArchive<BufReader<File>>,
    name: &str,
) -> Result<(Header, u64, ZipFile<'z, BufReader<File>>), String> {
    let mut entry = zip
        .by_name(&format!("{name}.npy"))
        .map_err(|error| format!("it holds no array `{name}` ({error})"))?;
    let odd = || format!("`{name}` is no array that NumPy writes");
    let mut start = [0; 8];
    entry.read_exact(&mut start).map_err(|_| odd())?;
    let [0x93, b'N', b'U', b'M', b'P', b'Y', version, _] = start else { return Err(odd()) };
    let mut length = [0; 4];
    let width = if version == 1 { 2 } else { 4 };
    entry.read_exact(&mut length[..width]).map_err(|_| odd())?;
    let length = u64::from(u32::from_le_bytes(length));
    if length > MAX_HEADER {
        return Err(odd());
    }
    let mut text = vec![0; length as usize];
    entry.read_exact(&mut text).map_err(|_| odd())?;
    let header = std::str::from_utf8(&text).ok().and_then(parse).ok_or_else(odd)?;
    Ok((header, 8 + width as u64 + length, entry))
}

/// The header of an array: a literal of Python as NumPy writes it,
/// `{'descr': '|u1', 'fortran_order': False, 'shape': (60000, 28, 28), }`.
fn parse(text: &str) -> Option<Header> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, value) = rest.split_once(':')?;
        let value = value.trim_start();
        let after = match key.trim().trim_matches('\'') {
            "descr" => {
                let (text, after) = value.strip_prefix('\'')?.split_once('\'')?;
                descr = Some(text.to_owned());
                after
            }
            "fortran_order" => {
                let (text, after) = value.split_at(value.find([',', ' ']).unwrap_or(value.len()));
                fortran_order = Some(match text {
                    "True" => true,
                    "False" => false,
                    _ => return None,
                });
                after
            }
            "shape" => {
                let (text, after) = value.strip_prefix('(')?.split_once(')')?;
                let sides = text.split(',').map(str::trim).filter(|side| !side.is_empty());
                shape = Some(sides.map(|side| side.parse().ok()).collect::<Option<Vec<u64>>>()?);
                after
            }
            _ => return None,
        };
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some(Header { descr: descr?, fortran_order: fortran_order?, shape: shape? })
}

#[cfg(test)]
mod tests;
