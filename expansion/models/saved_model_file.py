# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the saved_model.pb of a SavedModel says of its signatures and operations, read as data and without TensorFlow.

Field numbers are those of saved_model.proto, meta_graph.proto, graph.proto, function.proto and node_def.proto in
https://github.com/tensorflow/tensorflow/tree/master/tensorflow/core.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from expansion.contract.fields import Field
from expansion.files import looks_like
from expansion.models.signature import Signature
from expansion.models.wire import Span, WireError, WireReader, message, number

SERVE = "serve"  # the tag of the MetaGraph for serving

# A node has some 20 fields, and the largest models have some 100,000 nodes.
_MAX_FIELDS = 4_000_000
_RANK = 254  # of a tensor, at most
_INTERNAL = "__saved_model"  # begins the names of signatures that are TensorFlow's own

# TensorFlow has one type for texts and bytes. What goes in is BYTES, which a text is too; what comes out is STRING,
# unless configured otherwise.
_STRING = 7
_DATATYPES = {
    1: "FP32",
    2: "FP64",
    3: "INT32",
    4: "UINT8",
    5: "INT16",
    6: "INT8",
    9: "INT64",
    10: "BOOL",
    17: "UINT16",
    19: "FP16",
    22: "UINT32",
    23: "UINT64",
}
_UNSUPPORTED = {8: "COMPLEX64", 14: "BFLOAT16", 18: "COMPLEX128", 20: "RESOURCE", 21: "VARIANT"}
_DYNAMIC = "export it with a first dimension of None"

# Operations that read or write files which they name themselves, open connections or run Python. A SavedModel is a
# program: https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md. Those that every SavedModel has to restore
# its variables, and tables from its assets, are not among them. Print writes to the log only, and PrintV2 to any file.
_REFUSED = re.compile(
    r"PrintV2|(Experimental)?("
    "ReadFile|WriteFile|MatchingFiles|ImmutableConst|FileSystemSetConfiguration|DumpTensor|CalibrationStatisticsSaver|"
    "PyFunc|PyFuncStateless|EagerPyFunc|"
    "FixedLengthRecordReader|LMDBReader|TFRecordReader|TextLineReader|WholeFileReader|RecordInput|"
    "CSVDataset|CacheDataset|DatasetToTFRecord|DistributedSave|FixedLengthRecordDataset|LMDBDataset|LoadDataset|"
    "ListSnapshotChunksDataset|MatchingFilesDataset|SaveDataset|SnapshotChunkDataset|SnapshotDataset|"
    "SnapshotDatasetReader|SnapshotNestedDatasetReader|SqlDataset|TFRecordDataset|TextLineDataset|"
    "DataServiceDataset|RegisterDataset|RemoteCall|RpcCall|RpcClient|RpcServer|RpcServerRegister|RpcServerStart|"
    "DebugIdentity|DebugNanCount|DebugNumericSummary|CreateSummaryDbWriter|CreateSummaryFileWriter|"
    r"FixedUnigramCandidateSampler|GenerateVocabRemapping|LoadAndRemapMatrix|Skipgram)(V\d+)?"
)


class SavedModelError(Exception):
    """The file is no saved_model.pb, or not the whole of one."""


class Interface(NamedTuple):
    """What one signature takes and returns.

    Attributes:
        signature: Inputs and outputs, in alphabetical order, as the file has none.
        row_by_row: Whether the batch dimension is fixed to 1, so that rows must be run one by one.
        problems: Why it can't be served; empty when it can.
    """

    signature: Signature
    row_by_row: bool
    problems: tuple[str, ...]


class _Tensor(NamedTuple):
    """An input or output: a dense tensor if kind is "tensor". Dimensions are None where the rank is unknown."""

    kind: str
    element_type: int
    dimensions: tuple[int, ...] | None

    def field(self, name: str, string: str) -> Field:
        datatype = string if self.element_type == _STRING else _DATATYPES.get(self.element_type, "")
        return Field(name, datatype, (self.dimensions or ())[1:])


class _Signature(NamedTuple):
    inputs: Mapping[str, _Tensor]
    outputs: Mapping[str, _Tensor]


@dataclass(frozen=True)
class SavedModel:
    """What is known of a SavedModel.

    Attributes:
        tags: Tags of the MetaGraph to serve; empty where it is the only one.
        refused: Operations that a model must not have, anywhere in the file.
        signatures: Inputs and outputs of each signature.
    """

    tags: frozenset[str]
    refused: frozenset[str]
    signatures: Mapping[str, _Signature]

    @property
    def signature_names(self) -> list[str]:
        """Names of the signatures that can be called."""
        return sorted(name for name in self.signatures if not name.startswith(_INTERNAL))

    @property
    def refusal(self) -> str:
        """Why it is not run, after its name; empty if it may be."""
        reason = "has operations that touch files or connections by themselves, or run Python: "
        return reason + ", ".join(sorted(self.refused)[:20]) if self.refused else ""

    def interface(self, name: str) -> Interface:
        """Returns what a signature takes and returns."""
        inputs, outputs = self.signatures[name]
        problems = [problem for key in sorted(inputs) for problem in _input_problems(key, inputs[key])]
        if not inputs:
            problems.append(f"signature {name!r} takes no inputs; call one that does")
        notes = {key: note for key in sorted(outputs) if (note := _output_note(key, outputs[key]))}
        fields = {key: outputs[key].field(key, "STRING") for key in sorted(outputs)}
        fields.update({key: Field(key, "", fields[key].shape) for key in notes})
        signature = Signature({key: inputs[key].field(key, "BYTES") for key in sorted(inputs)}, fields, notes)
        row_by_row = any(tensor.dimensions and tensor.dimensions[0] == 1 for tensor in inputs.values())
        return Interface(signature, row_by_row, tuple(problems))


class _MetaGraph(NamedTuple):
    tags: frozenset[str]
    refused: frozenset[str]
    signatures: Mapping[str, _Signature]


def read_saved_model(file: BinaryIO) -> SavedModel:
    """Reads a saved_model.pb: every node is visited, and no constant is read.

    Raises:
        SavedModelError: It is none, or not the whole of one, or has no MetaGraph for serving.
    """
    head = file.read(64)
    reader = WireReader(file, _MAX_FIELDS)
    graphs = []
    try:
        for field, value in reader.fields(reader.whole_file()):
            if field == 2:  # SavedModel.meta_graphs
                graphs.append(_meta_graph(reader, message(value)))
        if not graphs:
            raise WireError("it has no MetaGraph")
    except WireError as error:
        guess = looks_like(head)
        raise SavedModelError(guess.removeprefix("; ") or f"it is damaged, or only a part of one: {error}") from error
    chosen = _for_serving(graphs)
    refused = frozenset[str]().union(*(graph.refused for graph in graphs))
    return SavedModel(chosen.tags if len(graphs) > 1 else frozenset(), refused, chosen.signatures)


def _for_serving(graphs: list[_MetaGraph]) -> _MetaGraph:
    if len(graphs) == 1:
        return graphs[0]
    for graph in graphs:
        if graph.tags == {SERVE}:
            return graph
    tags = "; ".join(", ".join(sorted(graph.tags)) for graph in graphs[:20])
    raise SavedModelError(f"none of its {len(graphs)} MetaGraphs has the one tag {SERVE!r}; their tags are {tags}")


def _meta_graph(reader: WireReader, span: Span) -> _MetaGraph:
    """Reads a MetaGraphDef."""
    tags: set[str] = set()
    refused: set[str] = set()
    signatures = {}
    for field, value in reader.fields(span):
        if field == 1:  # meta_info_def
            tags.update(reader.text(tag) for number_, tag in reader.fields(message(value)) if number_ == 4)
        elif field == 2:  # graph_def
            refused.update(filter(_REFUSED.fullmatch, _operations(reader, message(value))))
        elif field == 5:  # signature_def
            name, signature = _entry(reader, message(value))
            signatures[name] = _signature(reader, signature)
    return _MetaGraph(frozenset(tags), frozenset(refused), signatures)


def _operations(reader: WireReader, graph: Span) -> Iterator[str]:
    """Yields the operation of every node of a GraphDef and of its functions."""
    for field, value in reader.fields(graph):
        if field == 1:  # node
            yield from _operation(reader, message(value))
        elif field == 2:  # library
            for part, function in reader.fields(message(value)):
                if part == 1:  # function
                    for number_, node in reader.fields(message(function)):
                        if number_ == 3:  # node_def
                            yield from _operation(reader, message(node))


def _operation(reader: WireReader, node: Span) -> Iterator[str]:
    for field, value in reader.fields(node):
        if field == 2:  # op
            yield reader.text(value)


def _signature(reader: WireReader, span: Span) -> _Signature:
    """Reads a SignatureDef."""
    inputs: dict[str, _Tensor] = {}
    outputs: dict[str, _Tensor] = {}
    for field, value in reader.fields(span):
        if field in (1, 2):  # inputs, outputs
            name, tensor = _entry(reader, message(value))
            (inputs if field == 1 else outputs)[name] = _tensor(reader, tensor)
    return _Signature(inputs, outputs)


def _entry(reader: WireReader, span: Span) -> tuple[str, Span]:
    """Reads an entry of a map from names to messages."""
    name, content = "", Span(span.start, span.start)
    for field, value in reader.fields(span):
        if field == 1:
            name = reader.text(value)
        elif field == 2:
            content = message(value)
    return name, content


def _tensor(reader: WireReader, span: Span) -> _Tensor:
    """Reads a TensorInfo."""
    kind, element_type, dimensions = "tensor", 0, None
    for field, value in reader.fields(span):
        if field == 2:  # dtype
            element_type = number(value)
        elif field == 3:  # tensor_shape
            dimensions = _shape(reader, message(value))
        elif field in (4, 5):  # coo_sparse, composite_tensor
            kind = "sparse tensor" if field == 4 else "ragged or other composite tensor"
    return _Tensor(kind, element_type, dimensions)


def _shape(reader: WireReader, span: Span) -> tuple[int, ...] | None:
    """Reads a TensorShapeProto; None if the rank is unknown."""
    sizes: list[int] = []
    for field, value in reader.fields(span):
        if field == 3 and number(value):  # unknown_rank
            return None
        if field == 2:  # dim, of size 0 where it is not set
            sizes.append(0)
            for part, size in reader.fields(message(value)):
                if part == 1:  # size
                    sizes[-1] = max(-1, number(size))
        if len(sizes) > _RANK:
            raise WireError(f"a shape has more than {_RANK} dimensions")
    return tuple(sizes)


def _input_problems(name: str, tensor: _Tensor) -> Iterator[str]:
    name = f"input {name!r}"
    if tensor.kind != "tensor":
        yield f"{name} is a {tensor.kind}; expected a dense one"
    elif not tensor.field("", "BYTES").datatype:
        yield f"{name} is of {_type_name(tensor)}, which is not supported; convert it in the model"
    elif tensor.dimensions is None:
        yield f"{name} does not say its rank; export the model with an input_signature, which gives the shapes"
    elif not tensor.dimensions:
        yield f"{name} is a scalar, without a batch dimension; {_DYNAMIC}"
    elif tensor.dimensions[0] not in (-1, 1):
        yield f"{name} takes batches of exactly {tensor.dimensions[0]} rows; {_DYNAMIC}"


def _output_note(name: str, tensor: _Tensor) -> str:
    name = f"output {name!r}"
    if tensor.kind != "tensor":
        return f"{name} is a {tensor.kind}, which is not supported; leave it out, or export a dense one"
    if not tensor.field("", "STRING").datatype:
        return f"{name} is of {_type_name(tensor)}, which is not supported; leave it out, or convert it in the model"
    if tensor.dimensions is None:
        return f"the model does not say the rank of {name}; declare its datatype and shape"
    if not tensor.dimensions:
        return f"{name} is a scalar, without a batch dimension; leave it out"
    return ""


def _type_name(tensor: _Tensor) -> str:
    return _UNSUPPORTED.get(tensor.element_type, f"DataType {tensor.element_type}")
