# Licensed under the Apache License, Version 2.0; see LICENSE.
"""tensorrt: NVIDIA TensorRT engines, and ONNX models from which workers build one.

An engine is a program: to load one runs native code of its file, on the GPU and on the worker's own processor
(https://docs.nvidia.com/deeplearning/tensorrt/latest/reference/security.html, "Engine Deserialization and the Trust
Boundary"). So the operator of a service must allow engines, and directories that workers load them from. An ONNX model
holds no code, and what a worker builds of it is its own.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from expansion.contract._gen import model_pb2
from expansion.contract.declared import check_fields
from expansion.contract.fields import DATATYPES as CONTRACT_DATATYPES
from expansion.contract.fields import Field
from expansion.contract.permissions import Permission
from expansion.contract.problems import did_you_mean
from expansion.errors import ConfigError, Problem, SystemicError
from expansion.files import looks_like, open_on_host, read_on_worker
from expansion.models.onnx_graph import Graph, check_graph, read_graph
from expansion.models.runtime import GET_A_GPU, Runtime, cuda_gpu_count
from expansion.models.signature import Model, Signature
from expansion.models.tensorrt_settings import (
    DATATYPES,
    DEFAULT_MAX_ROWS,
    PRECISIONS,
    Settings,
    check_ranges,
    check_sizes,
)
from expansion.models.wire import WireError

_PERMISSION = "tensorrt-engine"
# The first four bytes of engines: of TensorRT since version 8, before it, and of TensorRT for RTX.
_MAGIC = (b"ftrt", b"ptrt", b"vtrt")
# What is declared of engines, and what is for ONNX models.
_DECLARED = (("inputs", "takes"), ("outputs", "returns"))
_FOR_ONNX = ("max_rows", "optimal_rows", "ranges", "precision", "engine_cache_uri", "workspace_bytes")


def check(config: model_pb2.TensorRtModel) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    if not config.uri:
        yield Problem("uri", "missing; expected the path or URI of an .engine, .plan or .onnx file")
    if _is_engine(config):
        yield from _check_engine(config)
        return
    if config.max_rows < 0:
        yield Problem("max_rows", f"got {config.max_rows}; expected a number of rows, or 0 for {DEFAULT_MAX_ROWS}")
    elif not 0 <= config.optimal_rows <= (config.max_rows or DEFAULT_MAX_ROWS):
        most = config.max_rows or DEFAULT_MAX_ROWS
        yield Problem("optimal_rows", f"got {config.optimal_rows}; expected at most max_rows, {most}")
    if config.precision and config.precision not in PRECISIONS:
        yield Problem("precision", f"got {config.precision!r}; {did_you_mean(config.precision, PRECISIONS)}")
    if config.workspace_bytes < 0:
        yield Problem("workspace_bytes", f"got {config.workspace_bytes}; expected bytes, or 0 for all that the GPU has")
    yield from check_sizes(config.ranges)


def _check_engine(config: model_pb2.TensorRtModel) -> Iterator[Problem]:
    for path, verb in _DECLARED:
        fields = getattr(config, path)
        yield from check_fields(path, fields, f"what the engine {verb}")
        for index, field in enumerate(fields):
            if field.datatype in CONTRACT_DATATYPES.difference(DATATYPES):
                reason = f"got {field.datatype!r}, which TensorRT does not have"
                yield Problem(f"{path}[{index}].datatype", f"{reason}; expected one of {', '.join(DATATYPES)}")
    for path in _FOR_ONNX:
        if getattr(config, path):
            reason = "is for ONNX models; inputs and outputs are declared, as only engines need it"
            yield Problem(path, f"{reason}; leave it out, or leave them out")


def permissions(config: model_pb2.TensorRtModel) -> Iterator[Permission]:
    """Yields engines from a file and from a cache: workers run the native code in them."""
    reason = "is native code that workers run"
    if _is_engine(config):
        instead = "an ONNX model, of which workers build an engine themselves, without inputs and outputs"
        yield Permission("uri", "--allow-format", _PERMISSION, reason, instead)
    if config.engine_cache_uri:
        yield Permission("engine_cache_uri", "--allow-format", _PERMISSION, reason, "no cache")


def is_one_file(config: model_pb2.TensorRtModel) -> bool:
    """Says that a model is always one file."""
    return True


def signature(config: model_pb2.TensorRtModel) -> Signature:
    """Returns the inputs and outputs of an ONNX model as its file says them, and of an engine as they are declared."""
    with open_on_host(config.uri) as file:
        return _read(config, file)[0]


def build(config: model_pb2.TensorRtModel, runtime: Runtime = Runtime()) -> Model:
    """Loads the engine; of an ONNX model builds one, unless the cache has it.

    Raises:
        SystemicError: There is no GPU, or no engine can be built or loaded.
    """
    try:
        import cuda.bindings.runtime  # noqa: F401 - so that both are known to be there
        import tensorrt  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: a shared library of theirs is missing
        reason = f"TensorRT or cuda-bindings is missing ({error})"
        has = f"this one has {cuda_gpu_count() or 'none'}"
        raise SystemicError(
            f"{reason}; install beam-ml-expansion[tensorrt] on the workers, which need NVIDIA GPUs: {has}"
        ) from error

    # Before anything of TensorRT is used, which ends the process where there is no GPU.
    index = gpu_index(runtime, cuda_gpu_count())
    content = read_on_worker(config.uri)
    try:
        read, graph = _read(config, io.BytesIO(content))
    except ConfigError as error:
        raise SystemicError(str(error)) from error
    from expansion.models.tensorrt_load import load_engine, load_onnx

    if graph is None:
        return load_engine(config.uri, content, read, index)
    return load_onnx(config.uri, content, read, Settings.of(config, graph), config.engine_cache_uri, index)


def gpu_index(runtime: Runtime, gpu_count: int) -> int:
    """Returns the index of the GPU to run on.

    Args:
        runtime: The device that is configured.
        gpu_count: GPUs of this worker.

    Raises:
        SystemicError: It comes out as the CPU, or is not there.
    """
    device = runtime.pick_device(gpu_count)
    if device == "cpu":
        reason = f"TensorRT needs an NVIDIA GPU; device is {runtime.device!r}, and this worker has {gpu_count or 'no'}"
        raise SystemicError(f"{reason} GPU(s); {GET_A_GPU}; or run the ONNX model with onnx, on any worker")
    return int(device.partition(":")[2])


def _is_engine(config: model_pb2.TensorRtModel) -> bool:
    """Whether the file is an engine, as far as the configuration says; that the file agrees is seen when it is read.

    What the operator allows depends on it, so that a file which is another one when workers read it is not loaded.
    """
    return bool(config.inputs or config.outputs)


def _read(config: model_pb2.TensorRtModel, file: BinaryIO) -> tuple[Signature, Graph | None]:
    """Returns the signature and, for an ONNX model, the graph.

    Raises:
        ConfigError: The file is of another kind than it is configured as, or no model that TensorRT can run.
    """
    head = file.read(64)
    file.seek(0)
    if _is_engine(config):
        problems = list(_check_kind(config.uri, head, file))
        inputs, outputs = (map(Field.from_proto, fields) for fields in (config.inputs, config.outputs))
        read, graph = Signature({each.name: each for each in inputs}, {each.name: each for each in outputs}), None
    elif head.startswith(_MAGIC):
        reason = "missing; the file is an engine, which only TensorRT can read"
        fix = "such as [{name: x, datatype: FP32, shape: [4]}]"
        raise ConfigError([Problem(path, f"{reason}: declare what it {verb}, {fix}") for path, verb in _DECLARED])
    else:
        graph = check_graph(config.uri, file)
        read = _converted(graph.signature)
        problems = [*_check_datatypes(config.uri, read), *check_ranges(config.ranges, read.inputs)]
    if problems:
        raise ConfigError(problems)
    return read, graph


def _check_kind(uri: str, head: bytes, file: BinaryIO) -> Iterator[Problem]:
    """Yields why a file is no engine, if it is known to be something else."""
    if head.startswith(_MAGIC):
        return
    try:
        read_graph(file)
    except WireError:
        guess = looks_like(head)
        if guess:
            yield Problem("uri", f"{uri!r} is no TensorRT engine{guess}")
    else:
        for path, verb in _DECLARED:
            yield Problem(path, f"{uri!r} is an ONNX model, which says itself what it {verb}; leave it out")


def _converted(read: Signature) -> Signature:
    """Returns the signature with FP32 for FP64: TensorRT has no FP64, and makes FP32 of it."""

    def converted(field: Field) -> Field:
        return Field(field.name, "FP32", field.shape) if field.datatype == "FP64" else field

    inputs = {name: converted(field) for name, field in read.inputs.items()}
    return Signature(inputs, {name: converted(field) for name, field in read.outputs.items()}, read.notes)


def _check_datatypes(uri: str, read: Signature) -> Iterator[Problem]:
    for what, fields in (("input", read.inputs), ("output", read.outputs)):
        for field in fields.values():
            if field.datatype and field.datatype not in DATATYPES:
                reason = f"{uri!r}: {what} {field.name!r} is of {field.datatype}, which TensorRT does not have"
                yield Problem("uri", f"{reason}; convert it in the model, or run the model with onnx")
