//! What comes in with a call: no message is larger than its method takes, nor on its way for long.
//!
//! Must not know what a message says; of its form it knows the flag and the length that gRPC puts before
//! each.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

/// How long a message may be on its way.
const PATIENCE: Duration = Duration::from_secs(20);
/// The flag and the length before a message, bytes.
const PREFIX: usize = 5;

/// The body of a request.
pub(super) struct Incoming {
    inner: Body,
    /// The largest message, bytes.
    most: usize,
    /// Whether it is one message, which has to be there from the start; messages of a stream may take as
    /// long as they like to begin.
    one: bool,
    patience: Duration,
    message: Message,
    /// When the message has to be there; absent where none is waited for.
    end: Option<Pin<Box<Sleep>>>,
}

/// How much of a message is there.
enum Message {
    /// So much of what comes before it.
    Prefix(Vec<u8>),
    /// All but so many bytes.
    Content(usize),
}

impl Incoming {
    pub(super) fn new(inner: Body, most: usize, one: bool) -> Self {
        let message = Message::Prefix(Vec::new());
        Self { inner, most, one, patience: PATIENCE, message, end: None }
    }

    fn is_awaited(&self) -> bool {
        self.one || !matches!(&self.message, Message::Prefix(found) if found.is_empty())
    }
}

impl Message {
    /// Takes what has arrived; whether a message has come to its end with it.
    fn take(&mut self, mut data: &[u8], most: usize) -> Result<bool, Status> {
        let mut ended = false;
        while !data.is_empty() {
            match self {
                Self::Prefix(found) => {
                    let (head, rest) = data.split_at(data.len().min(PREFIX - found.len()));
                    found.extend_from_slice(head);
                    data = rest;
                    if let [_, length @ ..] = found.as_slice()
                        && let Ok(length) = length.try_into()
                    {
                        *self = Self::Content(bounded(u32::from_be_bytes(length), most)?);
                    }
                }
                Self::Content(left) => {
                    let taken = data.len().min(*left);
                    *left -= taken;
                    data = &data[taken..];
                }
            }
            if matches!(self, Self::Content(0)) {
                (*self, ended) = (Self::Prefix(Vec::new()), true);
            }
        }
        Ok(ended)
    }
}

fn bounded(length: u32, most: usize) -> Result<usize, Status> {
    let length = length as usize;
    let refusal = || format!("the message is too large: {length} bytes, at most {most} are taken");
    if length > most { Err(Status::out_of_range(refusal())) } else { Ok(length) }
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let data = frame.data_ref().map_or(&[][..], |data| data);
                match this.message.take(data, this.most) {
                    Err(status) => return Poll::Ready(Some(Err(status))),
                    Ok(true) if !this.one => this.end = None,
                    Ok(_) => {}
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Pending if this.is_awaited() => {
                let patience = this.patience;
                let end = this.end.get_or_insert_with(|| Box::pin(sleep(patience)));
                ready!(end.as_mut().poll(context));
                let text = format!("the message was not there within {} s", patience.as_secs_f64());
                Poll::Ready(Some(Err(Status::deadline_exceeded(text))))
            }
            others => others,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{self, StreamExt};
    use http_body::Body as _;
    use tonic::Code;

    use super::*;

    /// A body that hands these pieces out and then neither goes on nor ends.
    struct Endless(Vec<Bytes>);

    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            if self.0.is_empty() {
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(Frame::data(self.0.remove(0)))))
        }
    }

    fn message(announced: u32, content: &[u8]) -> Vec<u8> {
        [&[0][..], &announced.to_be_bytes(), content].concat()
    }

    /// What becomes of a body: the bytes that are let through, and how it ends, if it does.
    async fn read(pieces: Vec<Vec<u8>>, one: bool) -> (usize, Option<Code>) {
        let inner = Body::new(Endless(pieces.into_iter().map(Bytes::from).collect()));
        let patience = Duration::from_millis(20);
        let mut body = Incoming { patience, ..Incoming::new(inner, 10, one) };
        let frames = stream::poll_fn(move |context| Pin::new(&mut body).poll_frame(context));
        let mut frames = Box::pin(frames);
        let mut bytes = 0;
        loop {
            match tokio::time::timeout(10 * patience, frames.next()).await {
                Ok(Some(Ok(frame))) => bytes += frame.data_ref().map_or(0, Bytes::len),
                Ok(Some(Err(status))) => return (bytes, Some(status.code())),
                Ok(None) | Err(_) => return (bytes, None),
            }
        }
    }

    #[tokio::test]
    async fn one_message_has_to_be_there_in_time() {
        for pieces in [vec![], vec![vec![0, 0]], vec![message(9, b"12345678")]] {
            let sent = pieces.iter().map(Vec::len).sum();
            assert_eq!(read(pieces, true).await, (sent, Some(Code::DeadlineExceeded)));
        }
        // Nor may a body stay open behind its message.
        assert_eq!(read(vec![message(1, b"1")], true).await, (6, Some(Code::DeadlineExceeded)));
    }

    #[tokio::test]
    async fn a_stream_may_rest_between_messages_only() {
        let two = [message(2, b"12"), message(0, b"")].concat();
        for pieces in [vec![], vec![two.clone()], two.chunks(1).map(<[u8]>::to_vec).collect()] {
            let sent = pieces.iter().map(Vec::len).sum();
            assert_eq!(read(pieces, false).await, (sent, None));
        }
        let half = [two, message(2, b"1")].concat();
        assert_eq!(read(vec![half], false).await, (18, Some(Code::DeadlineExceeded)));
    }

    #[tokio::test]
    async fn a_message_is_refused_when_it_is_announced_too_large() {
        for one in [true, false] {
            let pieces = vec![message(10, b"1234567890"), message(11, b"")];
            assert_eq!(read(pieces, one).await, (15, Some(Code::OutOfRange)));
        }
    }
}
