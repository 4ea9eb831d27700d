//! Messages on a byte stream: each is preceded by its length in bytes as a protobuf varint.
//!
//! Used between the supervisor and its evaluators. Must not know what the messages say.

use std::fmt::{self, Display, Formatter};
use std::io::{self, Read, Write};

use prost::Message;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest message in either direction, on the pipes and on the network, in bytes. Of a worker a coordinator
/// takes less unless told otherwise (`limits.message_mib`, 4 MiB).
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// A stream that does not carry well-formed messages.
#[derive(Debug, Error)]
pub enum FramingError {
    /// The stream ended inside a message or failed.
    #[error("the stream broke inside a message: {0}")]
    Io(#[from] io::Error),
    /// The announced length is no varint.
    #[error("the length of a message is not a valid varint")]
    Length,
    /// The message is longer than allowed.
    #[error("a message of {found} bytes exceeds the limit of {limit} bytes")]
    TooLong {
        /// Its length, bytes.
        found: u64,
        /// The limit, bytes.
        limit: usize,
    },
    /// The bytes are no such message.
    #[error("a message cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
}

/// Puts a length together from the bytes of a varint.
#[derive(Default)]
struct Length {
    value: u64,
    bytes: u32,
}

impl Length {
    /// Takes the next byte; the length once it is complete.
    fn push(&mut self, byte: u8) -> Result<Option<usize>, FramingError> {
        // Ten bytes carry 70 bits; the tenth may hold the topmost of 64 only.
        if self.bytes == 9 && byte > 1 {
            return Err(FramingError::Length);
        }
        self.value |= u64::from(byte & 0x7f) << (7 * self.bytes);
        self.bytes += 1;
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        match usize::try_from(self.value) {
            Ok(length) if length <= MAX_MESSAGE_BYTES => Ok(Some(length)),
            _ => Err(FramingError::TooLong { found: self.value, limit: MAX_MESSAGE_BYTES }),
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

/// A message of which a part has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HalfRead {
    found: usize,
    length: usize,
}

impl Display for HalfRead {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes of a message", self.found, self.length)
    }
}

/// Reads one message; `None` where the stream ends between messages.
///
/// Not cancel safe: a future that is dropped may have read half a message.
///
/// # Errors
/// When the stream fails or does not carry such a message; it cannot be read on then.
pub async fn read<M: Message + Default>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<M>, FramingError> {
    read_watched(stream, |_| {}).await
}

/// [`read()`] that says how much of a message has come, and nothing when it is there.
///
/// # Errors
/// As [`read()`].
pub(crate) async fn read_watched<M: Message + Default>(
    stream: &mut (impl AsyncRead + Unpin),
    mut watch: impl FnMut(Option<HalfRead>),
) -> Result<Option<M>, FramingError> {
    let mut length = Length::default();
    let length = loop {
        let byte = match stream.read_u8().await {
            Ok(byte) => byte,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && length.is_empty() => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(length) = length.push(byte)? {
            break length;
        }
    };
    let mut bytes = Vec::new();
    let mut body = (&mut *stream).take(length as u64);
    loop {
        watch(Some(HalfRead { found: bytes.len(), length }));
        // The buffer grows with what arrives, so that a lying length costs no memory.
        if body.read_buf(&mut bytes).await? == 0 {
            break;
        }
    }
    watch(None);
    complete(&bytes, length).map(Some)
}

/// Writes one message and flushes it.
///
/// # Errors
/// When the message is too long or the stream fails.
pub async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Message,
) -> Result<(), FramingError> {
    stream.write_all(&encode(message)?).await?;
    Ok(stream.flush().await?)
}

/// [`read()`] for programs without a runtime.
///
/// # Errors
/// As [`read()`].
pub fn read_blocking<M: Message + Default>(
    stream: &mut impl Read,
) -> Result<Option<M>, FramingError> {
    let mut length = Length::default();
    let length = loop {
        let mut byte = [0];
        match stream.read_exact(&mut byte) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && length.is_empty() => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        if let Some(length) = length.push(byte[0])? {
            break length;
        }
    };
    let mut bytes = Vec::new();
    stream.take(length as u64).read_to_end(&mut bytes)?;
    complete(&bytes, length).map(Some)
}

/// [`write()`] for programs without a runtime.
///
/// # Errors
/// As [`write()`].
pub fn write_blocking(stream: &mut impl Write, message: &impl Message) -> Result<(), FramingError> {
    stream.write_all(&encode(message)?)?;
    Ok(stream.flush()?)
}

fn encode(message: &impl Message) -> Result<Vec<u8>, FramingError> {
    let length = message.encoded_len();
    if length > MAX_MESSAGE_BYTES {
        return Err(FramingError::TooLong { found: length as u64, limit: MAX_MESSAGE_BYTES });
    }
    Ok(message.encode_length_delimited_to_vec())
}

fn complete<M: Message + Default>(bytes: &[u8], length: usize) -> Result<M, FramingError> {
    if bytes.len() < length {
        return Err(FramingError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(M::decode(bytes)?)
}

#[cfg(test)]
mod tests {
    use cambrian_proto::v1::{Failure, TaskAttempt};

    use super::*;

    fn failure(length: usize) -> Failure {
        Failure { kind: 4, message: "x".repeat(length) }
    }

    #[tokio::test]
    async fn messages_pass_in_order_through_both_kinds_of_stream() {
        let mut bytes = Vec::new();
        for length in [0, 1, 126, 127, 128, 20_000] {
            write_blocking(&mut bytes, &failure(length)).unwrap();
        }
        let mut written = Vec::new();
        let mut blocking = bytes.as_slice();
        let mut waiting = bytes.as_slice();
        for length in [0, 1, 126, 127, 128, 20_000] {
            write(&mut written, &failure(length)).await.unwrap();
            assert_eq!(read_blocking(&mut blocking).unwrap(), Some(failure(length)));
            assert_eq!(read(&mut waiting).await.unwrap(), Some(failure(length)));
        }
        assert_eq!(written, bytes);
        assert_eq!(read_blocking::<Failure>(&mut blocking).unwrap(), None);
        assert_eq!(read::<Failure>(&mut waiting).await.unwrap(), None);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_message_knows_how_much_of_it_has_come() {
        let mut bytes = Vec::new();
        write_blocking(&mut bytes, &failure(300)).unwrap();
        let mut said = Vec::new();
        let watch = |half: Option<HalfRead>| said.push(half.map(|half| half.to_string()));
        let (mut writer, mut reader) = tokio::io::duplex(1_024);
        writer.write_all(&bytes[..100]).await.unwrap();
        drop(writer);
        assert!(read_watched::<Failure>(&mut reader, watch).await.is_err());
        let half = Some(format!("98 of {} bytes of a message", bytes.len() - 2));
        assert!(said.contains(&half), "{said:?}");
        assert_eq!(said.last(), Some(&None));
    }

    #[tokio::test]
    async fn the_default_message_is_a_message_and_not_an_end() {
        let mut bytes = Vec::new();
        write_blocking(&mut bytes, &TaskAttempt::default()).unwrap();
        assert_eq!(bytes, [0]);
        assert_eq!(read(&mut bytes.as_slice()).await.unwrap(), Some(TaskAttempt::default()));
    }

    #[tokio::test]
    async fn every_truncation_is_an_error() {
        let mut bytes = Vec::new();
        write_blocking(&mut bytes, &failure(300)).unwrap();
        for end in 1..bytes.len() {
            assert!(read_blocking::<Failure>(&mut &bytes[..end]).is_err(), "{end} bytes passed");
            assert!(read::<Failure>(&mut &bytes[..end]).await.is_err(), "{end} bytes passed");
        }
    }

    #[test]
    fn absurd_lengths_are_refused_before_anything_is_read() {
        let too_long = (MAX_MESSAGE_BYTES as u64) + 1;
        for length in [too_long, u64::MAX] {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(length, &mut bytes);
            let error = read_blocking::<Failure>(&mut bytes.as_slice()).unwrap_err();
            assert!(
                matches!(error, FramingError::TooLong { found, .. } if found == length),
                "{error}"
            );
        }
        let error = read_blocking::<Failure>(&mut [0xff; 11].as_slice()).unwrap_err();
        assert!(matches!(error, FramingError::Length), "{error}");
    }

    #[test]
    fn a_message_over_the_limit_is_not_written() {
        let mut bytes = Vec::new();
        let error = write_blocking(&mut bytes, &failure(MAX_MESSAGE_BYTES)).unwrap_err();
        assert!(matches!(error, FramingError::TooLong { .. }), "{error}");
        assert!(bytes.is_empty());
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        // Field 1 announced as a string inside a message that has a number there.
        let error = read_blocking::<Failure>(&mut [2, 0x0a, 0x00].as_slice()).unwrap_err();
        assert!(matches!(error, FramingError::Decode(_)), "{error}");
    }
}
