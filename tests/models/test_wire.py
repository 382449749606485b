# Licensed under the Apache License, Version 2.0; see LICENSE.
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expansion.contract._gen import tensor_pb2
from expansion.models.wire import Span, WireError, WireReader, message, number


def reader(content, **options):
    return WireReader(io.BytesIO(content), **options)


def test_fields_are_yielded_with_their_numbers_and_values():
    content = tensor_pb2.TensorBatchBuffer(offset=64, length=-1).SerializeToString()
    walked = reader(content)
    assert [(field, number(value)) for field, value in walked.fields(walked.whole_file())] == [(1, 64), (2, -1)]


def test_messages_within_messages_are_walked_without_losing_the_place():
    content = tensor_pb2.TensorBatchHeader(
        rows=3, columns=[{"field": {"name": "x", "shape": [1]}}, {"field": {"name": "y"}}]
    ).SerializeToString()
    walked = reader(content)
    names = []
    for field, value in walked.fields(walked.whole_file()):
        if field == 2:
            for _, inner in walked.fields(message(value)):
                names += [walked.text(text) for number, text in walked.fields(message(inner)) if number == 1]
    assert names == ["x", "y"]


def test_content_that_is_skipped_is_not_read():
    class Counting(io.BytesIO):
        count = 0

        def read(self, size=-1):
            content = super().read(size)
            self.count += len(content)
            return content

    file = Counting(b"\x0a\x80\x80\x40" + bytes(1 << 20) + b"\x10\x05")
    walked = WireReader(file)
    assert [field for field, _ in walked.fields(walked.whole_file())] == [1, 2]
    assert file.count < 100


@pytest.mark.parametrize(
    "content",
    [
        b"\x0a\x05ab",  # a length beyond the end
        b"\x0a",  # no length
        b"\x08\x80",  # half a number
        b"\x08" + b"\xff" * 11,  # a number without an end
        b"\x0d\x00\x00",  # half a fixed32
        b"\x0b",  # a group
        b"\x0f",  # a wire type that does not exist
        b"\x00\x00",  # field number 0
    ],
)
def test_bytes_that_are_no_message_are_refused(content):
    walked = reader(content)
    with pytest.raises(WireError):
        list(walked.fields(walked.whole_file()))


def test_a_message_of_too_many_fields_is_refused():
    walked = reader(b"\x08\x01" * 11, max_fields=10)
    with pytest.raises(WireError, match="too many fields"):
        list(walked.fields(walked.whole_file()))


def test_names_are_of_limited_length_and_utf_8():
    walked = reader(b"\xff\xfe" + b"a" * 5000)
    with pytest.raises(WireError, match="not UTF-8"):
        walked.text(Span(0, 2))
    with pytest.raises(WireError, match="at most 4096"):
        walked.text(Span(0, 5002))
    with pytest.raises(WireError):
        walked.text(1)
    with pytest.raises(WireError):
        message(1)
    with pytest.raises(WireError):
        number(Span(0, 1))


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_bytes_raise_anything_but_wire_error(content):
    walked = reader(content)
    try:
        fields = list(walked.fields(walked.whole_file()))
    except WireError:
        return
    assert all(field > 0 for field, _ in fields)
