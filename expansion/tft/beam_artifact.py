# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Artifacts of Beam's own MLTransform, read as data at expansion: the SavedModel's signature, and the schema beside it.

Beam leaves them in a directory of six letters and digits below the one that is configured. Its graph takes and makes
sparse tensors, so that all results are arrays; where the operations are said, it is known which of them are scalars.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from google.protobuf import text_format

from expansion.contract._gen.feature_schema_pb2 import FeatureSchema, FeatureType
from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract.fields import VARIABLE_LENGTH, Field, Fields, is_numeric
from expansion.contract.problems import did_you_mean
from expansion.errors import ConfigError, Problem, SystemicError
from expansion.files import find_in, open_on_host, read_if_there
from expansion.models.saved_model_file import SavedModel, read_saved_model
from expansion.operations.chain import first_readers, steps_of
from expansion.tft.graph import Graph, graph_of, taken

GRAPH = "transform_fn"
GRAPH_FILE = f"{GRAPH}/saved_model.pb"
_SCHEMA_FILE = "raw_data_metadata/schema.pbtxt"
_SIGNATURE = "serving_default"
# The column in which Beam's MLTransform carries those that no operation knows.
_CARRIED = "CODED_SAMPLE"
_DATATYPES = {FeatureType.BYTES: "BYTES", FeatureType.INT: "INT64", FeatureType.FLOAT: "FP32"}


@dataclass(frozen=True)
class BeamArtifact:
    """What its files say.

    Attributes:
        directory: Where the graph is.
        sha256: Of the graph's file.
        takes: The columns that the graph takes, as arrays of FP32, INT64 and BYTES.
        makes: The columns that it makes, those among them that it hands on.
    """

    directory: str
    sha256: str
    takes: Fields
    makes: Fields


def read_on_host(location: str) -> BeamArtifact:
    """Reads an artifact as data.

    Raises:
        ConfigError: There is none, or more than one, or a graph that is not run; its path is empty.
    """
    try:
        directory = _directory(location)
        saved, sha256 = _saved_model(f"{directory}/{GRAPH_FILE}")
        content = read_if_there(f"{directory}/{_SCHEMA_FILE}")
        takes = _takes(content) if content is not None else {}
    except SystemicError as error:
        raise ConfigError([Problem("", str(error))]) from error
    except ConfigError as error:
        raise ConfigError([Problem("", error.reason)]) from error
    return BeamArtifact(directory, sha256, takes, _makes(saved))


def graph_in(artifact: BeamArtifact, chain: Sequence[Operation], inputs: Fields) -> Graph:
    """Returns the graph of an artifact.

    Args:
        artifact: The artifact.
        chain: The operations that wrote it, if they are said: then only their results are taken, and scalars stay so.
        inputs: The fields of the columns before it.

    Raises:
        ConfigError: The artifact is not of these operations, or can't work on these columns.
    """
    read = first_readers(steps_of(chain, inputs)) if chain else artifact.takes
    problems = list(_misfits(artifact, read, inputs))
    if not artifact.takes and not chain:
        reason = f"nothing beside the graph in {artifact.directory!r} says which columns it takes"
        problems.append(Problem("operations", f"{reason}; say the operations that wrote it"))
    if problems:
        raise ConfigError(problems)
    typed = {name: _as_taken(field, artifact.takes.get(name)) for name, field in inputs.items() if name in read}
    if not chain:
        return Graph(typed, _made(artifact, inputs), (), artifact.directory)
    graph = graph_of(chain, {**inputs, **typed})
    problems = list(_not_made(artifact, graph))
    if problems:
        raise ConfigError(problems)
    return replace(graph, directory=artifact.directory)


def _directory(location: str) -> str:
    """Returns the directory with the graph: this one, or the only one in it that has one."""
    location = location.rstrip("/")
    found = [*find_in(location, GRAPH_FILE), *find_in(location, f"*/{GRAPH_FILE}")]
    if not found:
        reason = f"there is no artifact in {location!r}: neither one of this package's nor one of Beam's MLTransform"
        raise SystemicError(f"{reason}; write one with write_artifact_location, where all workers reach it")
    directories = [path.removesuffix(f"/{GRAPH_FILE}") for path in found]
    if len(directories) > 1:
        listed = ", ".join(map(repr, directories[:5]))
        raise SystemicError(f"there are {len(directories)} graphs in {location!r}; name one: {listed}")
    return directories[0]


def _saved_model(uri: str) -> tuple[SavedModel, str]:
    digest = hashlib.sha256()
    with open_on_host(uri) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
        file.seek(0)
        saved = checked(read_saved_model(file), uri)
    if _SIGNATURE not in saved.signatures:
        raise SystemicError(f"{uri!r} has no signature {_SIGNATURE!r}; expected a graph of tensorflow-transform's")
    return saved, digest.hexdigest()


def checked(saved: SavedModel, uri: str) -> SavedModel:
    """Returns a SavedModel that may be run.

    Raises:
        SystemicError: It has operations for which it may not.
    """
    if saved.refusal:
        raise SystemicError(f"{uri!r} {saved.refusal}")
    return saved


def _takes(content: bytes) -> dict[str, Field]:
    """Reads a schema of TensorFlow Metadata in protobuf's text format."""
    schema = FeatureSchema()
    try:
        text_format.Parse(content.decode(), schema, allow_unknown_field=True)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise SystemicError(f"{_SCHEMA_FILE} is no schema of TensorFlow Metadata: {error}") from error
    features = (feature for feature in schema.feature if feature.name != _CARRIED)
    return {each.name: Field(each.name, _DATATYPES.get(each.type, ""), (-1,)) for each in features}


def _makes(saved: SavedModel) -> dict[str, Field]:
    outputs = saved.signatures[_SIGNATURE].outputs
    return {name: outputs[name].field(name, "STRING") for name in sorted(outputs) if name != _CARRIED}


def _misfits(artifact: BeamArtifact, read: Iterable[str], inputs: Fields) -> Iterator[Problem]:
    """Yields a problem for each column that is not there, or not as the graph takes it."""
    path = "read_artifact_location"
    for name in read:
        field, theirs = inputs.get(name), artifact.takes.get(name)
        if artifact.takes and theirs is None:
            yield Problem(path, f"the artifact takes no column {name!r}; {did_you_mean(name, artifact.takes)}")
        elif field is None:
            reason = f"the artifact takes column {name!r}, which there is not"
            yield Problem(path, f"{reason}; say the operations if none of them reads it; {did_you_mean(name, inputs)}")
        elif theirs and not _fits(field, theirs):
            yield Problem(path, f"column {name!r} is {field}; the artifact takes {theirs}; cast or reshape it before")


def _fits(field: Field, theirs: Field) -> bool:
    if len(field.shape) > 1:
        return False
    if theirs.datatype == "FP32":
        return is_numeric(field.datatype)
    known = taken({"": field})[""].datatype
    return theirs.datatype == ("BYTES" if known in VARIABLE_LENGTH else known)


def _as_taken(field: Field, theirs: Field | None) -> Field:
    if theirs is None or field.datatype in VARIABLE_LENGTH:
        return field
    return replace(field, datatype=theirs.datatype)


def _made(artifact: BeamArtifact, inputs: Fields) -> dict[str, Field]:
    """Returns all results, as arrays; bytes that are handed on stay bytes."""
    return {
        name: replace(field, datatype="BYTES") if inputs.get(name, field).datatype == "BYTES" == _kind(field) else field
        for name, field in artifact.makes.items()
    }


def _not_made(artifact: BeamArtifact, graph: Graph) -> Iterator[Problem]:
    for name, field in graph.makes.items():
        theirs = artifact.makes.get(name)
        if theirs is None:
            reason = f"they make column {name!r}, and the artifact does not; {did_you_mean(name, artifact.makes)}"
            yield Problem("operations", reason)
        elif _kind(theirs) != _kind(field):
            yield Problem("operations", f"they make column {name!r} as {field}; the artifact makes it as {theirs}")


def _kind(field: Field) -> str:
    return "BYTES" if field.datatype in VARIABLE_LENGTH else field.datatype
