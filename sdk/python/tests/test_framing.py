"""Framing on byte streams, well formed and not."""

import io
import os
import unittest

from cambrian_evaluator._proto import types_pb2
from cambrian_evaluator.framing import MAX_MESSAGE_BYTES, FramingError, read, write


def written(*messages: types_pb2.TaskAttempt) -> bytes:
    """What the messages look like on a pipe."""
    reader, writer = os.pipe()
    for message in messages:
        write(writer, message)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        return stream.read()


class Framing(unittest.TestCase):
    def test_messages_follow_each_other_until_the_end(self) -> None:
        messages = [types_pb2.TaskAttempt(task=2**63, attempt=attempt) for attempt in range(300)]
        stream = io.BytesIO(written(*messages))
        found = [read(stream, types_pb2.TaskAttempt) for _ in messages]
        self.assertEqual(found, messages)
        self.assertIsNone(read(stream, types_pb2.TaskAttempt))

    def test_lengths_of_several_bytes_are_those_of_the_contract(self) -> None:
        stage = types_pb2.Stage(name="x" * 300)
        reader, writer = os.pipe()
        write(writer, stage)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            content = stream.read()
        # 303 = 0b10_0101111: the lower seven bits first.
        self.assertEqual(content[:2], b"\xaf\x02")
        self.assertEqual(read(io.BytesIO(content), types_pb2.Stage), stage)

    def test_malformed_streams_are_told_apart(self) -> None:
        for content, words in [
            (b"\x05\x08", "ended inside a message"),
            (b"\x80", "ended inside the length"),
            (b"\xff" * 11, "varint"),
            (b"\xff\xff\xff\xff\x0f", "limit"),
            (b"\x02\xff\xff", "decoded"),
        ]:
            with self.subTest(words), self.assertRaisesRegex(FramingError, words):
                read(io.BytesIO(content), types_pb2.TaskAttempt)

    def test_a_message_that_no_supervisor_would_read_is_not_sent(self) -> None:
        with self.assertRaisesRegex(ValueError, "limit"):
            write(-1, types_pb2.Stage(name="x" * MAX_MESSAGE_BYTES))


if __name__ == "__main__":
    unittest.main()
