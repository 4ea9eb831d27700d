"""Compares the generated messages with the descriptors of the .proto files; run by a test of the worker.

    compare_messages.py DESCRIPTORS

The file holds an encoded FileDescriptorSet.
"""

import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from cambrian_evaluator._proto import evaluator_pb2, types_pb2


def without_json_names(messages: list[DescriptorProto]) -> None:
    """Compilers differ in writing down names that follow from others."""
    for message in messages:
        for field in message.field:
            field.ClearField("json_name")
        without_json_names(list(message.nested_type))


def normal(file: FileDescriptorProto) -> FileDescriptorProto:
    """What has to be equal."""
    file.ClearField("source_code_info")
    without_json_names(list(file.message_type))
    return file


def main() -> None:
    """Ends with a message where they differ."""
    expected = FileDescriptorSet.FromString(Path(sys.argv[1]).read_bytes())
    files = {file.name: normal(file) for file in expected.file}
    for module in (types_pb2, evaluator_pb2):
        found = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(found)
        if normal(found) != files[found.name]:
            sys.exit(f"{found.name} has changed: run sdk/python/generate")
    print("the messages are those of the .proto files")


if __name__ == "__main__":
    main()
