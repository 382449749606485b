# Licensed under the Apache License, Version 2.0; see LICENSE.
import pyarrow as pa
import pytest
from pyarrow import parquet

from expansion.contract.fields import Field
from expansion.errors import ConfigError
from expansion.trial.sample import read_sample


@pytest.fixture
def sample(tmp_path):
    """Reads a file of this name and content."""

    def sample(name, content, max_rows=10, declared=(), arrays=None):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_sample(str(path), max_rows, {field.name: field for field in declared}, arrays or {})

    return sample


def values(sample, column):
    return sample.table[column].to_pylist()


def test_types_of_csv_are_those_of_the_values(sample):
    read = sample("a.csv", "n,x,s,b\n1,0.5,a,true\n2,1,b,false\n")
    assert list(read.fields.values()) == [
        Field("n", "INT64"), Field("x", "FP64"), Field("s", "STRING"), Field("b", "BOOL")
    ]  # fmt: skip


def test_what_is_missing_in_csv_is_null_unless_it_is_quoted(sample):
    read = sample("a.csv", 'n,s\nNA,\n2,"NA"\n')
    assert values(read, "n") == [None, 2]
    assert values(read, "s") == [None, "NA"]


def test_lists_in_csv_are_arrays(sample):
    read = sample("a.csv", 'x\n"[1, 2]"\n"[3]"\n')
    assert read.fields["x"] == Field("x", "INT64", (-1,))
    assert values(read, "x") == [[1, 2], [3]]


def test_rows_are_counted_with_line_breaks_in_quotes(sample):
    read = sample("a.csv", 's,n\n"a\nb",1\n"c\nd",2\n"e",x\n', max_rows=2)
    assert values(read, "s") == ["a\nb", "c\nd"]
    assert read.fields["n"].datatype == "INT64"  # what comes after is not looked at


def test_tabs_separate_tsv(sample):
    assert values(sample("a.tsv", "a\tb\n1\t2\n"), "b") == [2]


def test_json_lines_and_lists_of_json_are_read(sample):
    rows = '{"x": [1.5, 2]}\n\n{"x": [3]}\n'
    assert values(sample("a.jsonl", rows), "x") == [[1.5, 2], [3]]
    assert values(sample("a.json", '[{"x": [1.5, 2]}, {"x": [3]}]'), "x") == [[1.5, 2], [3]]
    assert sample("a.jsonl", rows, max_rows=1).table.num_rows == 1


def test_types_of_parquet_are_its_own(tmp_path):
    table = pa.table({"x": pa.array([[1.0], [2.0]], pa.list_(pa.float32())), "t": pa.array([0, 1], pa.timestamp("s"))})
    parquet.write_table(table, tmp_path / "a.parquet")
    read = read_sample(str(tmp_path / "a.parquet"), 1, {}, {})
    assert list(read.fields.values()) == [Field("x", "FP32", (-1,))]  # times are no features, and come back
    assert read.names == ["x", "t"]
    assert read.table.num_rows == 1


def test_columns_side_by_side_become_an_array_in_place_of_them(sample):
    read = sample("a.csv", "id,p0,p1,p2\n7,1,2,3\n", arrays={"p": ("p0", "p2")})
    assert read.names == ["id", "p"]
    assert values(read, "p") == [[1, 2, 3]]


def test_declared_columns_are_converted_and_their_shape_is_known(sample):
    rows = '{"x": [1, 2], "n": 3}\n'
    read = sample("a.jsonl", rows, declared=[Field("x", "FP32", (2,)), Field("n", "STRING")])
    assert read.fields["x"] == Field("x", "FP32", (2,))
    assert values(read, "n") == ["3"]


def test_a_declared_shape_that_some_row_has_not_is_not_relied_on(sample):
    read = sample("a.jsonl", '{"x": [1, 2]}\n{"x": [1]}\n', declared=[Field("x", "FP32", (2,))])
    assert read.fields["x"] == Field("x", "FP32", (-1,))


@pytest.mark.parametrize(
    ("declared", "arrays", "said"),
    [
        ([Field("y", "FP32")], {}, "y: .*no such column; expected one of 'x'"),
        ([Field("x", "FP32")], {}, r"x: is INT64\[-1\] in the file, not FP32"),
        ([], {"p": ("x", "z")}, "p: no column 'z'"),
    ],
)
def test_what_is_said_of_columns_and_is_not_so_is_told(sample, declared, arrays, said):
    with pytest.raises(ConfigError, match=said):
        sample("a.jsonl", '{"x": [1, 2]}\n', declared=declared, arrays=arrays)
