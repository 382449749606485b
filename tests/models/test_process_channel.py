# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Exceptions that cross from a model's process mean the same on the other side."""

import errno

import pytest

from expansion.errors import DeviceFailed, RemoteError, SystemicError
from expansion.models.process_channel import decode_error, encode_error


class BadRecordError(Exception):
    """As a user's own code raises."""


class AwayError(OSError):
    """As libraries of networks raise, without a number."""


UnidentifiedImageError = type("UnidentifiedImageError", (OSError,), {"__module__": "PIL"})


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (RemoteError("not now"), RemoteError, "not now"),
        (DeviceFailed("the GPU failed"), SystemicError, "the GPU failed"),
        (BadRecordError("of row 5"), Exception, "BadRecordError: of row 5"),
        (ConnectionResetError("gone"), SystemicError, "ConnectionResetError: gone"),
        (AwayError("no route"), SystemicError, "AwayError: no route"),
        (OSError("image file is truncated"), OSError, "image file is truncated"),
        (UnidentifiedImageError("no image"), OSError, "UnidentifiedImageError: no image"),
    ],
)
def test_what_is_about_a_row_stays_so_and_what_is_about_the_system_too(error, kind, text):
    there = decode_error(encode_error(error))
    assert (type(there), str(there)) == (kind, text)


def test_an_error_of_the_system_keeps_its_meaning():
    there = decode_error(encode_error(OSError(errno.ENOSPC, "No space left on device")))
    assert type(there) is SystemicError
    assert "No space left on device" in str(there)
