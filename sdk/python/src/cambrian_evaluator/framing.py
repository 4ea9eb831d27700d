"""Messages on a byte stream: each is preceded by its length in bytes as a protobuf varint.

Must not know what the messages say.
"""

from __future__ import annotations

import os
from typing import BinaryIO, TypeVar

from google.protobuf.message import DecodeError, Message

MAX_MESSAGE_BYTES = 16 << 20
"""The longest message in either direction, in bytes."""

_MAX_VARINT_BYTES = 10

M = TypeVar("M", bound=Message)


class FramingError(Exception):
    """A stream that carries no messages; nothing can be read from it any more."""


def read(stream: BinaryIO, kind: type[M]) -> M | None:
    """The next message of `stream`, `None` where it ends between two messages.

    Raises FramingError where the stream ends inside a message, or carries none of this kind.
    """
    length = _read_length(stream)
    if length is None:
        return None
    content = _read_exactly(stream, length)
    try:
        return kind.FromString(content)
    except DecodeError as error:
        raise FramingError(f"a message cannot be decoded: {error}") from error


def write(descriptor: int, message: Message) -> None:
    """Writes a message to a file descriptor, without a buffer that a forked process could repeat.

    Raises OSError where the other side is gone, ValueError where the message is too long.
    """
    content = message.SerializeToString()
    if len(content) > MAX_MESSAGE_BYTES:
        raise ValueError(
            f"a message of {len(content)} bytes exceeds the limit of {MAX_MESSAGE_BYTES} bytes"
        )
    rest = memoryview(_varint(len(content)) + content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_length(stream: BinaryIO) -> int | None:
    length = 0
    for position in range(_MAX_VARINT_BYTES):
        byte = stream.read(1)
        if not byte:
            if position == 0:
                return None
            raise FramingError("the stream ended inside the length of a message")
        length |= (byte[0] & 0x7F) << (7 * position)
        if not byte[0] & 0x80:
            if length > MAX_MESSAGE_BYTES:
                raise FramingError(
                    f"a message of {length} bytes exceeds the limit of {MAX_MESSAGE_BYTES} bytes"
                )
            return length
    raise FramingError("the length of a message is not a valid varint")


def _read_exactly(stream: BinaryIO, length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise FramingError("the stream ended inside a message")
    return content
