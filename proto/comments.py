# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writes the comments of .proto files, which generated stubs do not have, as JSON. `generate.sh` calls it.

Usage: comments.py DESCRIPTOR_SET OUTPUT_JSON, where the set was made with --include_source_info. The result maps the
full name of a message, field or oneof to its comment, with each paragraph on one line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

# Numbers of fields in descriptor.proto, of which the paths of comments consist.
_MESSAGES_OF_FILE = FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER
_MESSAGES, _FIELDS, _ONEOFS = (
    DescriptorProto.NESTED_TYPE_FIELD_NUMBER,
    DescriptorProto.FIELD_FIELD_NUMBER,
    DescriptorProto.ONEOF_DECL_FIELD_NUMBER,
)


def comments_of(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Yields full names and comments."""
    comments = {tuple(place.path): _unwrapped(place.leading_comments) for place in file.source_code_info.location}
    for path, name in _named(file.message_type, (_MESSAGES_OF_FILE,), file.package):
        if comments.get(path):
            yield name, comments[path]


def _named(messages: Sequence[Any], path: tuple[int, ...], scope: str) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yields path and full name of messages and of what is in them."""
    for index, message in enumerate(messages):
        here, name = (*path, index), f"{scope}.{message.name}"
        yield here, name
        yield from (((*here, _FIELDS, at), f"{name}.{field.name}") for at, field in enumerate(message.field))
        yield from (((*here, _ONEOFS, at), f"{name}.{oneof.name}") for at, oneof in enumerate(message.oneof_decl))
        yield from _named(message.nested_type, (*here, _MESSAGES), name)


def _unwrapped(comment: str) -> str:
    paragraphs = "\n".join(line.strip() for line in comment.splitlines()).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs).strip()


def main() -> None:
    """Reads the set and writes the file, sorted, an entry on each line."""
    files = FileDescriptorSet.FromString(Path(sys.argv[1]).read_bytes()).file
    comments = dict(entry for file in files for entry in comments_of(file))
    text = json.dumps(comments, indent=0, sort_keys=True, ensure_ascii=False)
    Path(sys.argv[2]).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
