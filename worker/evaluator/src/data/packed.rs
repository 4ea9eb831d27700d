//! Gzipped files: all that is packed in them, one file after another, as `cat`, `bgzip` and appending make them.
//!
//! What follows and does not begin as a packed file does, such as the zeros that fill up a block of a tape, ends
//! it, as `gzip` has it. Must not know what is in a file.

use std::io::{self, BufRead, Chain, Read};

use flate2::bufread::GzDecoder;

/// How a packed file begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The content of a gzipped file.
#[derive(Debug)]
pub(super) struct Packed<R> {
    /// The file that is unpacked; `None` after the last one.
    present: Option<GzDecoder<Chain<&'static [u8], R>>>,
}

impl<R: BufRead> Packed<R> {
    /// What `file` holds.
    pub(super) fn new(file: R) -> Self {
        Self { present: Some(GzDecoder::new((&[][..]).chain(file))) }
    }
}

impl<R: BufRead> Read for Packed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(present) = &mut self.present {
            let read = present.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let ended = self.present.take().map(|ended| ended.into_inner().into_inner().1);
            if let Some(mut rest) = ended
                && begins_anew(&mut rest)?
            {
                self.present = Some(GzDecoder::new(MAGIC[..].chain(rest)));
            }
        }
        Ok(0)
    }
}

/// Whether a packed file comes next; its first two bytes are taken.
fn begins_anew(rest: &mut impl BufRead) -> io::Result<bool> {
    let mut next = Vec::new();
    rest.take(MAGIC.len() as u64).read_to_end(&mut next)?;
    Ok(next == MAGIC)
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn pack(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// Read with buffers of every kind of size, so that each byte is the last of one.
    fn unpack(file: &[u8]) -> Vec<io::Result<Vec<u8>>> {
        let read = |size| {
            let mut content = Vec::new();
            let mut packed = Packed::new(BufReader::with_capacity(size, file));
            packed.read_to_end(&mut content).map(|_| content)
        };
        [1, 2, 3, 29, 8_192].map(read).into()
    }

    #[test]
    fn files_one_after_another_are_read_and_what_is_none_ends_them() {
        let two = [pack(b"first "), pack(b""), pack(b"second")].concat();
        let others = [&b""[..], &[0; 512], b"\x1f", b"\x1f\x1f\x8b", b"signature", b"\x8b\x1f"];
        for other in others {
            for content in unpack(&[&two, other].concat()) {
                assert_eq!(content.unwrap(), b"first second", "before {other:?}");
            }
        }
    }

    #[test]
    fn what_begins_as_a_packed_file_has_to_be_one() {
        let whole = pack(b"content");
        let mut damaged = whole.clone();
        damaged[whole.len() - 6] ^= 1;
        for broken in [&whole[..whole.len() - 3], &damaged, &MAGIC, b"\x1f\x8b\x07 not deflated"] {
            for content in unpack(broken) {
                content.unwrap_err();
            }
            for content in unpack(&[&whole, broken].concat()) {
                content.unwrap_err();
            }
        }
        for content in unpack(b"plain text") {
            content.unwrap_err();
        }
    }
}
