# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Some rows of a file: CSV with a header, JSON lines, a JSON list, or Parquet."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet
from pyarrow import json as json_lines

from expansion.contract.fields import NUMPY_DTYPES, Field, Fields, datatype_of
from expansion.contract.problems import did_you_mean
from expansion.errors import ConfigError, Problem
from expansion.files import open_on_host

FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
# What stands for nothing in CSV, where it is not quoted.
_NULLS = ["", "NA", "N/A", "null", "NULL", "NaN", "nan"]


@dataclass(frozen=True)
class Sample:
    """Some rows.

    Attributes:
        table: The rows.
        fields: The columns that can be features; those of other types come back in output rows all the same.
    """

    table: pa.Table
    fields: Fields

    @property
    def names(self) -> list[str]:
        """Names of all columns."""
        return list(self.table.column_names)

    def rows(self) -> list[SimpleNamespace]:
        """Returns the rows, with an attribute for each column."""
        return [SimpleNamespace(**row) for row in self.table.to_pylist()]


def read_sample(uri: str, max_rows: int, declared: Fields, arrays: Mapping[str, tuple[str, str]]) -> Sample:
    """Reads the first rows of a file.

    Args:
        uri: Where it is; the end of its name says what it holds.
        max_rows: Rows to read, at most.
        declared: What columns are, of which the file says something else, such as FP32[64] in place of numbers that
            JSON lists; all others are what the file says.
        arrays: Columns to make of several that stand side by side: the name → those of the first and the last.

    Raises:
        ConfigError: The file can't be read, has no rows, or its columns are not as they are said to be.
    """
    with open_on_host(uri) as file:
        table = _read(uri, file, max_rows)
    if table.num_rows == 0:
        raise ConfigError([Problem("", f"{uri!r} has no rows")])
    problems: list[Problem] = []
    for name, (first, last) in arrays.items():
        table = _joined(table, name, first, last, problems)
    fields = _fields(table)
    for name, field in declared.items():
        if name not in table.column_names:
            problems.append(Problem(name, f"{uri!r} has no such column; {did_you_mean(name, table.column_names)}"))
        else:
            table, fields[name] = _as_declared(table, fields.get(name), field, problems)
    if problems:
        raise ConfigError(problems)
    return Sample(table, fields)


def _read(uri: str, file: BinaryIO, max_rows: int) -> pa.Table:
    end = next((end for end in FORMATS if uri.lower().endswith(end)), None)
    if end is None:
        raise ConfigError([Problem("", f"what is in {uri!r}? expected a name that ends in {', '.join(FORMATS)}")])
    try:
        if end == ".parquet":
            batches = parquet.ParquetFile(file).iter_batches(batch_size=max_rows)
            return pa.Table.from_batches(list(itertools.islice(batches, 1)))
        if end == ".json":
            return pa.Table.from_pylist(json.load(file)[:max_rows])
        if end in (".csv", ".tsv"):
            return _read_csv(file, "\t" if end == ".tsv" else ",", max_rows)
        lines = b"".join(itertools.islice((line for line in file if line.strip()), max_rows))
        return json_lines.read_json(io.BytesIO(lines)) if lines else pa.table({})
    except (pa.ArrowException, ValueError, TypeError, AttributeError) as error:
        kind = end.removeprefix(".")
        raise ConfigError([Problem("", f"{uri!r} can't be read as {kind}: {' '.join(str(error).split())}")]) from error


def _read_csv(file: BinaryIO, delimiter: str, max_rows: int) -> pa.Table:
    convert = csv.ConvertOptions(null_values=_NULLS, strings_can_be_null=True, quoted_strings_can_be_null=False)
    table = csv.read_csv(
        io.BytesIO(_first_lines(file, max_rows)),
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=convert,
    ).slice(0, max_rows)
    for position, name in enumerate(table.column_names):
        values = table[name].to_pylist() if pa.types.is_string(table[name].type) else []
        if any(values) and all(value is None or value.startswith("[") for value in values):
            table = table.set_column(position, name, pa.array([value and json.loads(value) for value in values]))
    return table


def _first_lines(file: BinaryIO, max_rows: int) -> bytes:
    """Returns the header and as many rows: types are inferred from those alone. Quoted values may have line breaks."""
    lines, rows, quotes = [], -1, 0
    for line in file:
        lines.append(line)
        quotes += line.count(b'"')
        rows += quotes % 2 == 0
        if rows >= max_rows:
            break
    return b"".join(lines)


def _joined(table: pa.Table, name: str, first: str, last: str, problems: list[Problem]) -> pa.Table:
    names = table.column_names
    for end in (first, last):
        if end not in names:
            problems.append(Problem(name, f"no column {end!r}; {did_you_mean(end, names)}"))
            return table
    parts = names[names.index(first) : names.index(last) + 1]
    if name in set(names) - set(parts) or not parts:
        problems.append(
            Problem(name, f"got {first}..{last}; expected the first and the last of columns, and a new name")
        )
        return table
    values = zip(*(table[part].to_pylist() for part in parts), strict=True)
    return table.drop_columns(parts).append_column(name, pa.array([list(row) for row in values]))


def _fields(table: pa.Table) -> dict[str, Field]:
    found = {column.name: _field(column.name, column.type) for column in table.schema}
    return {name: field for name, field in found.items() if field is not None}


def _field(name: str, kind: pa.DataType) -> Field | None:
    depth = 0
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind, depth = kind.value_type, depth + 1
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        datatype = "STRING"
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        datatype = "BYTES"
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        datatype = datatype_of(np.dtype(kind.to_pandas_dtype()))
    else:
        return None
    return Field(name, datatype, (-1,) * depth)


def _as_declared(
    table: pa.Table, found: Field | None, wanted: Field, problems: list[Problem]
) -> tuple[pa.Table, Field]:
    """Returns the table with a column converted to the datatype that it is said to have."""
    depth = len(wanted.shape)
    if found is not None and len(found.shape) != depth:
        problems.append(Problem(wanted.name, f"is {found} in the file, not {wanted}"))
        return table, wanted
    if found is None or found.datatype != wanted.datatype:
        try:
            kind = _arrow_type(wanted)
            table = table.set_column(table.column_names.index(wanted.name), wanted.name, table[wanted.name].cast(kind))
        except pa.ArrowException as error:
            problems.append(Problem(wanted.name, f"does not convert to {wanted}: {' '.join(str(error).split())}"))
    return table, replace(wanted, shape=(-1,) * depth) if _varies(table, wanted) else wanted


def _arrow_type(field: Field) -> pa.DataType:
    texts = {"STRING": pa.string(), "BYTES": pa.binary()}
    kind = texts.get(field.datatype) or pa.from_numpy_dtype(NUMPY_DTYPES[field.datatype])
    for _ in field.shape:
        kind = pa.list_(kind)
    return kind


def _varies(table: pa.Table, field: Field) -> bool:
    """Whether some row has another shape than is said: it is an error row of the model, and not of the sample."""
    if not field.shape or -1 in field.shape:
        return False
    return any(value is None or _shape_of(value) != field.shape for value in table[field.name].to_pylist())


def _shape_of(value: Any) -> tuple[int, ...]:
    sizes: list[int] = []
    while isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        sizes.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(sizes)
