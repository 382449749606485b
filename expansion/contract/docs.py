# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the contract says of its messages and fields, for those who have only the service: clients, pages, commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor


def doc_of(descriptor: Descriptor | FieldDescriptor | OneofDescriptor) -> str:
    """Returns the comment of a message, a field or a oneof in proto/.

    Args:
        descriptor: Its descriptor.

    Returns:
        The comment, plain text; a paragraph is one line, and an empty line is between paragraphs. "" if it has none.
    """
    return _comments().get(descriptor.full_name, "")


@cache
def _comments() -> Mapping[str, str]:
    # Written by proto/comments.py: stubs keep no comments.
    text = resources.files("expansion.contract._gen").joinpath("comments.json").read_text(encoding="utf-8")
    return cast("Mapping[str, str]", json.loads(text))
