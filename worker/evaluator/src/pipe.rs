//! Messages on a byte stream: each is preceded by its length in bytes as a protobuf varint.
//!
//! Must not know what the messages say.

use std::io::{self, Read, Write};

use prost::Message;
use thiserror::Error;

/// The longest message in either direction, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// The bytes of the longest 64-bit varint.
const MAX_VARINT_BYTES: usize = 10;

/// A stream that does not carry messages.
#[derive(Debug, Error)]
pub enum PipeError {
    /// The stream cannot be read or written, or ends within a message.
    #[error("the pipe broke: {0}")]
    Broken(#[from] io::Error),
    /// The length is no varint or too large.
    #[error(
        "the pipe carries no messages: a length prefix is malformed or above {MAX_MESSAGE_BYTES} bytes"
    )]
    Length,
    /// The content is no message of the expected type.
    #[error("the pipe carries a message that cannot be decoded: {0}")]
    Content(#[from] prost::DecodeError),
}

/// The next message, `None` at the end of the stream.
///
/// # Errors
/// [`PipeError`]; nothing can be read from the stream after one.
pub fn read<M: Message + Default>(stream: &mut impl Read) -> Result<Option<M>, PipeError> {
    let Some(length) = read_length(stream)? else { return Ok(None) };
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(Some(M::decode(bytes.as_slice())?))
}

/// Writes a message and flushes the stream.
///
/// # Errors
/// Those of the stream.
pub fn write(stream: &mut impl Write, message: &impl Message) -> io::Result<()> {
    stream.write_all(&message.encode_length_delimited_to_vec())?;
    stream.flush()
}

fn read_length(stream: &mut impl Read) -> Result<Option<usize>, PipeError> {
    let mut prefix = Vec::with_capacity(MAX_VARINT_BYTES);
    loop {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) if prefix.is_empty() => return Ok(None),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(_) => prefix.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        }
        if byte[0] & 0x80 == 0 {
            let length = prost::decode_length_delimiter(prefix.as_slice());
            return match length {
                Ok(length) if length <= MAX_MESSAGE_BYTES => Ok(Some(length)),
                _ => Err(PipeError::Length),
            };
        }
        if prefix.len() >= MAX_VARINT_BYTES {
            return Err(PipeError::Length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cambrian_proto::v1::TaskAttempt;

    #[test]
    fn messages_follow_each_other_until_the_end() {
        let mut bytes = Vec::new();
        for task in 1..=3 {
            write(&mut bytes, &TaskAttempt { task, attempt: 300 }).unwrap();
        }
        let mut stream = bytes.as_slice();
        for task in 1..=3 {
            let message: TaskAttempt = read(&mut stream).unwrap().unwrap();
            assert_eq!(message, TaskAttempt { task, attempt: 300 });
        }
        assert!(read::<TaskAttempt>(&mut stream).unwrap().is_none());
    }

    #[test]
    fn malformed_streams_are_told_apart() {
        let fault = |bytes: &[u8]| read::<TaskAttempt>(&mut &*bytes).unwrap_err();
        assert!(matches!(fault(&[0x05, 0x08]), PipeError::Broken(_)));
        assert!(matches!(fault(&[0x80]), PipeError::Broken(_)));
        assert!(matches!(fault(&[0xff; 11]), PipeError::Length));
        assert!(matches!(fault(&[0xff, 0xff, 0xff, 0xff, 0x0f]), PipeError::Length));
        assert!(matches!(fault(&[0x02, 0xff, 0xff]), PipeError::Content(_)));
    }
}
