# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Hooks of the user's own. What is here stands for a package of theirs: workers import this module by its name."""

import sys
import traceback

import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import CustomHook, Hook
from expansion.contract.fields import Field
from expansion.errors import SystemicError
from expansion.hooks import build, custom
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged
from expansion.transforms.isolation import isolate

X = {"name": "x", "datatype": "FP32"}
SEEN = []


def double(columns, by=2):
    SEEN.append({name: (values.dtype, values.shape) for name, values in columns.items()})
    return {"x": columns["x"] * by, "y": columns["x"], "more": None}  # of which a pipeline takes what it declares


class Adds:
    def __init__(self, what=1):
        self.what = what

    def __call__(self, columns):
        columns["x"] += self.what  # in place
        if (columns["x"] < 0).any():
            raise ValueError("negative")
        return {"x": columns["x"]}


def shout(columns):
    return {"text": [text.upper() for text in columns["text"]], "raw": [raw[::-1] for raw in columns["raw"]]}


def describe(row):
    SEEN.append(row)
    return {"text": f"{row['text']} {row['n']}", "mean": row["x"].mean(), "tail": row["x"][1:]}


def parse(row):
    return {"x": float(row["text"])}


def fails(columns):
    raise RuntimeError("not today")


def opens(columns):
    return open("/no/such/file")


class DoesNotLoad:
    def __init__(self):
        raise OSError("no vocabulary")


NOT_CALLABLE = 3


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setitem(sys.modules, "my_hooks", sys.modules[__name__])
    SEEN.clear()


def config(function, outputs=(X,), columns=("x",), **more):
    return CustomHook(function=f"my_hooks.{function}", columns=columns, outputs=outputs, **more)


def test_a_function_gets_arrays_of_all_rows_and_its_columns_are_added_or_replaced(apply):
    outputs = [X, {"name": "y", "datatype": "FP64"}]
    after = apply(config("double", outputs, arguments={"by": "3"}), x=np.array([1, 2], np.float32), z=np.zeros(2))
    assert {name: column.to_rows() for name, column in after.items()} == {"x": [3, 6], "z": [0, 0], "y": [1, 2]}
    assert [call["x"] for call in SEEN] == [(np.float32, (2,))]


def test_an_instance_of_a_class_is_made_once_with_arguments(apply):
    before = np.array([[1, 2], [3, 4]], np.float32)
    after = apply(config("Adds", [{**X, "shape": [2]}], arguments={"what": "10"}), x=before)
    assert after["x"].to_rows() == [[11, 12], [13, 14]]
    assert before.tolist() == [[1, 2], [3, 4]]  # the function's arrays are its own


def test_texts_and_bytes_go_in_and_come_out(apply):
    outputs = [{"name": "text", "datatype": "STRING"}, {"name": "raw", "datatype": "BYTES", "shape": [2]}]
    text = Blobs.of("STRING", ["zażółć", "", "a\0"], 3)
    raw = Blobs.of("BYTES", [b"\0\xff", b"", b"a", b"b", b"c", b"d\0"], 3, (2,))
    after = apply(config("shout", outputs, ["text", "raw"]), text=text, raw=raw)
    assert after["text"].to_rows() == ["ZAŻÓŁĆ", "", "A\0"]
    assert after["raw"].to_rows() == [[b"", b"\0\xff"], [b"b", b"a"], [b"d\0", b"c"]]


def test_by_row_a_function_gets_values_of_one_row(apply):
    outputs = [
        {"name": "text", "datatype": "STRING"},
        {"name": "mean", "datatype": "FP64"},
        {"name": "tail", "datatype": "FP64", "shape": [-1]},
    ]
    configured = config("describe", outputs, ["text", "n", "x"], by_row=True)
    x = Ragged.of_rows([np.array([1.0, 3.0]), np.array([5.0]), np.array([7.0, 9.0, 8.0])], np.float64, 1)
    after = apply(configured, text=Blobs.of("STRING", ["a", "ä", ""], 3), n=np.array([1, 2, 3], np.int8), x=x)
    assert after["text"].to_rows() == ["a 1", "ä 2", " 3"]
    assert after["mean"].to_rows() == [2, 5, 8]
    assert after["tail"].to_rows() == [[3], [], [9, 8]]
    assert {(type(row["text"]), type(row["n"]), type(row["x"])) for row in SEEN} == {(str, int, np.ndarray)}


def test_rows_of_unequal_shape_come_in_calls_for_each_shape(apply):
    rows = [np.array(row, np.float32) for row in ([1], [1, 2], [3], [5, 6])]
    after = apply(config("double", [{**X, "shape": [-1]}]), x=Ragged.of_rows(rows, np.float32, 1))
    assert after["x"].to_rows() == [[2], [2, 4], [6], [10, 12]]
    assert [call["x"][1] for call in SEEN] == [(2, 1), (2, 2)]


def test_inline_source_is_compiled_on_workers_and_tracebacks_show_its_lines(apply):
    source = "import math\n\ndef hook(columns, of=math.pi):\n    if columns['x'][0] > 9:\n        raise LookupError\n"
    source += "    return {'x': columns['x'] * of}\n"
    configured = CustomHook(source=source, columns=["x"], outputs=[X], arguments={"of": "2"})
    assert apply(configured, x=np.array([1], np.float32))["x"].to_rows() == [2]
    with pytest.raises(LookupError) as raised:
        apply(configured, x=np.array([10], np.float32))
    shown = "".join(traceback.format_exception(raised.value))
    assert 'File "<source of custom hook ' in shown
    assert "raise LookupError" in shown


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def hook(columns:", r"raised SyntaxError: .*<source of custom hook \w+>, line 1"),
        ("x = 1 / 0", "raised ZeroDivisionError: division by zero"),
        ("def hooks(columns): pass", "defines no hook; name its function so"),
        ("hook = 3", "hook is int, which can't be called"),
        ("\0", "raised"),
    ],
)
def test_source_that_gives_no_function_is_systemic_and_fails_only_on_the_worker(source, reason):
    configured = CustomHook(source=source, columns=["x"], outputs=[X])
    assert list(custom.check(configured)) == []
    assert custom.fields(configured, {"x": Field("x", "FP32")}) == {"x": Field("x", "FP32")}
    with pytest.raises(SystemicError, match=reason):
        custom.build(configured)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "my_hooks has no missing on this worker"),
        ("DoesNotLoad", r"my_hooks.DoesNotLoad\(…\) raised OSError: no vocabulary"),
        ("NOT_CALLABLE", "my_hooks.NOT_CALLABLE is int, which can't be called"),
    ],
)
def test_a_name_that_gives_no_function_is_systemic(name, reason):
    with pytest.raises(SystemicError, match=reason):
        custom.build(config(name))


def test_a_value_that_raises_costs_its_row():
    operation = build(Hook(custom=config("parse", columns=["text"], by_row=True)))
    texts = [str(n) for n in range(64)]
    texts[7] = texts[40] = "many"
    result = isolate(operation, Columns({"text": Blobs.of("STRING", texts, 64)}, 64))
    assert result.errors.keys() == {7, 40}
    assert result.errors[7] == ("ValueError", "could not convert string to float: 'many'")
    assert result.columns["x"].to_rows() == [n for n in range(64) if n not in (7, 40)]


def test_a_batch_that_is_tried_again_is_what_it_was_though_the_function_works_in_place():
    operation = build(Hook(custom=config("Adds")))
    result = isolate(operation, Columns({"x": Dense(np.array([1, 2, -5, 4], np.float32))}, 4))
    assert result.columns["x"].to_rows() == [2, 3, 5]
    assert result.errors.keys() == {2}


@pytest.mark.parametrize(("name", "error"), [("fails", RuntimeError), ("opens", OSError)])
def test_a_function_that_fails_whatever_the_rows_fails_the_job(name, error):
    with pytest.raises(error):
        isolate(build(Hook(custom=config(name))), Columns({"x": Dense(np.zeros(64))}, 64))


def test_a_none_costs_its_row_even_among_numbers():
    source = "def hook(row):\n    return {'y': None if row['x'] < 0 else row['x']}"
    configured = CustomHook(source=source, columns=["x"], outputs=[{"name": "y", "datatype": "FP64"}], by_row=True)
    result = isolate(build(Hook(custom=configured)), Columns({"x": Dense(np.array([1.0, -1.0, 2.0]))}, 3))
    assert result.columns["y"].to_rows() == [1, 2]
    assert result.errors == {1: ("ValueError", "output 'y' is None; expected FP64")}


@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ("{'x': columns['x']}", r"hook returned no 'y', which it is declared to; it returned \['x'\]"),
        ("columns['x']", r"hook returned (ndarray|float); expected a dict with \['y'\]"),
    ],
)
def test_a_function_that_does_not_return_what_it_is_declared_to_is_systemic(result, reason, by_row):
    source = f"def hook(columns): return {result}"
    configured = CustomHook(source=source, columns=["x"], outputs=[{**X, "name": "y"}], by_row=by_row)
    with pytest.raises(SystemicError, match=reason):
        custom.build(configured)(Columns({"x": Dense(np.zeros(2, np.float32))}, 2))


def test_a_result_of_another_type_or_shape_names_the_function_and_is_systemic():
    columns = Columns({"x": Dense(np.zeros(2))}, 2)
    with pytest.raises(SystemicError, match=r"my_hooks.double: output 'x' is FP64; it is declared as INT64"):
        custom.build(config("double", [{"name": "x", "datatype": "INT64"}]))(columns)
    with pytest.raises(SystemicError, match=r"my_hooks.double: output 'x' is FP32; it is declared as FP32\[2\]"):
        custom.build(config("double", [{**X, "shape": [2]}]))(columns)


def test_a_function_that_loses_rows_is_systemic():
    configured = CustomHook(source="def hook(columns): return {'x': columns['x'][1:]}", columns=["x"], outputs=[X])
    with pytest.raises(SystemicError, match=r"hook: output 'x' has shape \[1\] for 2 rows; expected rows along"):
        custom.build(configured)(Columns({"x": Dense(np.zeros(2, np.float32))}, 2))


def test_the_code_needs_the_operators_permission():
    (function,) = custom.permissions(config("double"))
    assert (function.path, function.option, function.value) == ("function", "--allow-import", "my_hooks.double")
    (source,) = custom.permissions(CustomHook(source="x"))
    assert (source.path, source.option, source.value) == ("source", "--allow-inline-source", "")


def test_impossible_messages_are_problems(problems):
    assert problems(CustomHook(columns=["x", "x"])) == [
        "neither function nor source is set; set one of them",
        "columns[1]: column 'x' is named twice; name it once",
        "outputs: missing; expected what the function returns, such as [{name: x, datatype: FP32, shape: [4]}]",
    ]
    wrong = CustomHook(function="strip", arguments={"a": "b"}, outputs=[{"name": "y", "datatype": "FLOAT"}])
    assert [problem.partition(":")[0] for problem in problems(wrong)] == [
        "function",
        "arguments.a",
        "columns",
        "outputs[0].datatype",
    ]
    assert problems(CustomHook(source="", columns=["x"], outputs=[X])) == [
        "source: empty; expected Python source that defines a function named hook"
    ]
    assert problems(config("double"), y=Field("y", "FP32")) == [
        "columns[0]: there is no column 'x'; expected one of 'y'"
    ]
