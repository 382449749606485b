# Licensed under the Apache License, Version 2.0; see LICENSE.
import os

import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Labels
from expansion.contract.fields import Field
from expansion.errors import BadRows, SystemicError
from expansion.hooks import labels
from expansion.tensors.columns import Ragged


def test_class_indices_become_names(apply):
    config = Labels(column="class", labels=["setosa", "versicolor", "ä"], output="label")
    after = apply(config, **{"class": np.array([2, 0], np.uint8)})
    assert after["label"].to_rows() == ["ä", "setosa"]


def test_indices_of_any_shape_become_names(apply):
    after = apply(Labels(column="x", labels=["a", "b"]), x=np.array([[0, 1], [1, 1]]))
    assert after["x"].to_rows() == [["a", "b"], ["b", "b"]]


@pytest.mark.parametrize("content", ["a\nb\n", "a\r\nb\r\n", "a\nb", "\ufeffa\nb"])
def test_names_are_read_from_a_file_with_one_a_line(apply, tmp_path, content):
    path = tmp_path / "labels.txt"
    path.write_bytes(content.encode())
    assert apply(Labels(column="x", uri=str(path)), x=np.array([1, 0]))["x"].to_rows() == ["b", "a"]
    with pytest.raises(BadRows):
        apply(Labels(column="x", uri=str(path)), x=np.array([2]))


def test_indices_outside_the_list_are_bad_rows(apply):
    with pytest.raises(BadRows) as raised:
        apply(Labels(column="x", labels=["a", "b"]), x=np.array([0, 2, 1, -1]))
    assert raised.value.messages == {
        1: "column 'x' is 2; labels go from 0 to 1",
        3: "column 'x' is -1; labels go from 0 to 1",
    }


def test_no_rows_have_no_names(apply):
    assert apply(Labels(column="x", labels=["a"]), x=np.zeros(0, np.int64))["x"].to_rows() == []


def test_a_file_that_can_not_be_read_fails_on_the_worker_and_not_before(tmp_path):
    config = Labels(column="x", uri=str(tmp_path / "none.txt"))
    assert list(labels.check(config)) == []
    with pytest.raises(SystemicError, match=r"can't read '.*none.txt': there is no such file"):
        labels.build(config)


def test_a_file_without_names_or_not_utf_8_fails_on_the_worker(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes(b"")
    with pytest.raises(SystemicError, match="is empty"):
        labels.build(Labels(column="x", uri=str(path)))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SystemicError, match="is not UTF-8"):
        labels.build(Labels(column="x", uri=str(path)))


def test_labels_are_read_from_a_file_uri(apply, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("a\nb\n")
    assert apply(Labels(column="x", uri=f"file://{path}"), x=np.array([1, 0]))["x"].to_rows() == ["b", "a"]


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SystemicError, match="it is not a regular file"):
        labels.build(Labels(column="x", uri=str(tmp_path / "pipe")))


def test_impossible_messages_are_problems(problems):
    assert problems(Labels(column="x")) == [
        "labels: missing; list the labels here, or set uri to a file with one a line"
    ]
    assert problems(Labels(column="x", labels=["a"], uri="u")) == ["uri: labels is set too; set one of them"]
    assert problems(Labels(column="x", labels=["a"]), x=Field("x", "FP32")) == [
        "column: column 'x' is FP32; expected an integer datatype"
    ]


def test_indices_of_rows_of_unequal_length_become_names_of_them(apply):
    x = Ragged.of_rows([np.array([1, 0]), np.array([2])], np.int64, 1)
    after = apply(Labels(column="x", labels=["zero", "one", "two"]), x=x)
    assert after["x"].to_rows() == [["one", "zero"], ["two"]]
