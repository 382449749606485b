# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a PyTorch file is, and what an exported program says of its inputs and outputs: read as data, nothing is loaded.

https://docs.pytorch.org/docs/stable/export/pt2_archive.html, https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

from expansion.contract.fields import Field
from expansion.files import looks_like
from expansion.models.zip_archive import ZipArchive, ZipFileError

TORCHSCRIPT, EXPORT, STATE_DICT, SAFETENSORS = "torchscript", "exported program", "state_dict", "safetensors"

# What the graph of an exported program is called, by versions of PyTorch.
_GRAPHS = ("/models/model.json", "serialized_exported_program.json")
# The graph of a model of a billion parameters has a few MB: about 1,200 bytes for each operation.
_MAX_GRAPH_BYTES = 32 * 1024 * 1024
_MAX_HEADER_BYTES = 100 * 1000 * 1000  # safetensors' own limit

# ScalarType of torch/_export/serde/schema.py.
_DATATYPES = {1: "UINT8", 2: "INT8", 3: "INT16", 4: "INT32", 5: "INT64", 6: "FP16", 7: "FP32", 8: "FP64", 12: "BOOL"}
_DATATYPES.update({13: "FP32"})  # BFLOAT16, which comes out as FP32
_DATATYPES.update({28: "UINT16"})


class PyTorchFileError(Exception):
    """The file is none that PyTorch writes, or a damaged one."""


class Interface(NamedTuple):
    """What goes into a program and what comes out of it, in order.

    Attributes:
        inputs: Inputs, by the names of forward's parameters.
        outputs: Outputs, by a dict's keys, else "output", or "output_0" and so on.
        keywords: Names of the inputs that are passed by keyword; the others are passed by position.
        batch_size: The batch size that it was exported for; -1 if it takes any.
    """

    inputs: list[Field]
    outputs: list[Field]
    keywords: frozenset[str]
    batch_size: int


def kind_of(file: BinaryIO) -> str:
    """Returns what a file is: one of the constants of this module.

    Raises:
        PyTorchFileError: It is none of them.
    """
    head = file.read(64)
    if head.startswith(b"PK"):
        names = _archive(file).names
        if any(name.endswith(_GRAPHS) for name in names):
            return EXPORT
        if any(name.endswith("/constants.pkl") for name in names):
            return TORCHSCRIPT
        if any(name.endswith("/data.pkl") for name in names):
            return STATE_DICT
        raise PyTorchFileError("it is a zip file, and none that PyTorch writes")
    size = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and size < _MAX_HEADER_BYTES:
        if size > file.seek(0, 2):
            raise PyTorchFileError("it ends in the middle of the header of safetensors")
        return SAFETENSORS
    if head.startswith(b"\x80"):
        raise PyTorchFileError(
            "it is a pickle, as torch.save wrote before 1.6; save the weights with safetensors, or anew with torch.save"
        )
    raise PyTorchFileError(looks_like(head).removeprefix("; ") or "it begins as none does")


def exported_interface(file: BinaryIO) -> Interface:
    """Returns what an exported program takes and returns.

    Raises:
        PyTorchFileError: The file is damaged, or the program takes or returns something else than tensors in batches.
    """
    try:
        module = _graph(file)
        graph, signature = module["graph"], module["signature"]
        tensors: Mapping[str, Any] = graph["tensor_values"]
        call = module["module_call_graph"][0]["signature"] or {}
        inputs = [_tensor_name(spec["user_input"]["arg"]) for spec in signature["input_specs"] if "user_input" in spec]
        outputs = [
            _tensor_name(spec["user_output"]["arg"]) for spec in signature["output_specs"] if "user_output" in spec
        ]
        input_names = [str(name) for name in call.get("forward_arg_names") or inputs]
        if len(input_names) != len(inputs):
            raise PyTorchFileError("it takes tensors within tuples or dicts; expected each as a parameter of forward")
        keywords = _keywords(call.get("in_spec"))
        output_names = list(_output_names(call.get("out_spec"), len(outputs)))
        found = [_field(name, tensors[tensor]) for name, tensor in zip(input_names, inputs, strict=True)]
        made = [_field(name, tensors[tensor]) for name, tensor in zip(output_names, outputs, strict=True)]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise PyTorchFileError(f"its graph can't be read ({type(error).__name__}: {error})") from error
    sizes = {size for _, size in (*found, *made)}
    if len(sizes) > 1:
        raise PyTorchFileError(
            f"its tensors have first dimensions {sorted(sizes)}; expected one batch dimension in all of them"
        )
    batch_size = sizes.pop() if sizes else -1
    return Interface([field for field, _ in found], [field for field, _ in made], keywords, batch_size)


def _archive(file: BinaryIO) -> ZipArchive:
    try:
        return ZipArchive(file)
    except ZipFileError as error:
        raise PyTorchFileError(str(error)) from error


def _graph(file: BinaryIO) -> Mapping[str, Any]:
    archive = _archive(file)
    name = next(name for name in archive.names if name.endswith(_GRAPHS))
    try:
        graph: Mapping[str, Any] = archive.json(name, _MAX_GRAPH_BYTES)["graph_module"]
    except ZipFileError as error:
        raise PyTorchFileError(str(error)) from error
    return graph


def _tensor_name(argument: Mapping[str, Any]) -> str:
    if "as_tensor" not in argument:
        raise PyTorchFileError(f"it takes or returns {next(iter(argument), 'nothing')}; expected tensors only")
    return str(argument["as_tensor"]["name"])


def _keywords(in_spec: str | None) -> frozenset[str]:
    if not in_spec:
        return frozenset()
    _, by_keyword = json.loads(in_spec)[1]["children_spec"]  # a tuple and a dict, as of (*args, **kwargs)
    return frozenset(map(str, json.loads(by_keyword["context"])))


def _output_names(out_spec: str | None, count: int) -> Iterator[str]:
    if out_spec:
        tree = json.loads(out_spec)[1]
        if tree.get("type") == "builtins.dict":
            yield from map(str, json.loads(tree["context"]))
            return
    yield from ["output"] if count == 1 else [f"output_{index}" for index in range(count)]


def _field(name: str, tensor: Mapping[str, Any]) -> tuple[Field, int]:
    """Returns the field of one row, and the size of the batch dimension."""
    sizes = list(_sizes(tensor["sizes"]))
    if not sizes:
        raise PyTorchFileError(f"{name!r} is a scalar; expected a batch dimension in every tensor")
    datatype = _DATATYPES.get(tensor["dtype"])
    if datatype is None:
        raise PyTorchFileError(f"{name!r} has a dtype (number {tensor['dtype']}) that no column has")
    return Field(name, datatype, tuple(sizes[1:])), sizes[0]


def _sizes(sizes: Sequence[Mapping[str, Any]]) -> Iterator[int]:
    for size in sizes:
        if "as_int" in size and not 0 <= size["as_int"] < 2**31:
            raise PyTorchFileError(f"a tensor has a dimension of {size['as_int']}")
        yield int(size["as_int"]) if "as_int" in size else -1
