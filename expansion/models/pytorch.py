# Licensed under the Apache License, Version 2.0; see LICENSE.
"""pytorch: TorchScript, exported programs, and weights for a class of the user's own."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expansion.contract._gen import model_pb2
from expansion.contract.declared import check_fields
from expansion.contract.fields import NUMPY_DTYPES, Field
from expansion.contract.permissions import Permission
from expansion.contract.problems import did_you_mean
from expansion.errors import ConfigError, Problem, SystemicError, first_line
from expansion.files import local_file, open_on_host
from expansion.imports import check_arguments, check_name, construct
from expansion.models.pytorch_file import (
    EXPORT,
    SAFETENSORS,
    STATE_DICT,
    TORCHSCRIPT,
    Interface,
    PyTorchFileError,
    exported_interface,
    kind_of,
)
from expansion.models.pytorch_gpu import errors_of_pytorch, on, pick_device
from expansion.models.runtime import Runtime
from expansion.models.signature import Signature
from expansion.tensors.arrays import stack
from expansion.tensors.columns import Column, Columns
from expansion.tensors.results import column_of

_DTYPES = {"FP32": "float32", "FP16": "float16", "BF16": "bfloat16"}


def check(config: model_pb2.PyTorchModel) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    if not config.uri:
        yield Problem("uri", "missing; expected the path or URI of a PyTorch file")
    if config.model_class:
        yield from check_name("model_class", config.model_class)
    elif config.class_arguments:
        yield Problem("class_arguments", "is set without model_class; set both, or neither")
    yield from check_arguments("class_arguments", config.class_arguments)
    for path in ("inputs", "outputs"):
        if getattr(config, path):
            yield from check_fields(path, getattr(config, path), "")
    for path, allowed in (("dtype", tuple(_DTYPES)), ("autocast", ("FP16", "BF16"))):
        value = getattr(config, path)
        if value and value not in allowed:
            yield Problem(path, f"got {value!r}; {did_you_mean(value, allowed)}")


def permissions(config: model_pb2.PyTorchModel) -> Iterator[Permission]:
    """Yields the class, which workers run."""
    if config.model_class:
        instead = "a TorchScript file or an exported program, which needs no class"
        reason = "is imported and run by workers"
        yield Permission("model_class", "--allow-import", config.model_class, reason, instead)


def is_one_file(config: model_pb2.PyTorchModel) -> bool:
    """Says that a model is always one file."""
    return True


def signature(config: model_pb2.PyTorchModel) -> Signature:
    """Returns what an exported program says of itself; of other files, what is declared."""
    with open_on_host(config.uri) as file:
        try:
            kind = kind_of(file)
            exported = exported_interface(file) if kind == EXPORT else None
        except PyTorchFileError as error:
            raise ConfigError([Problem("uri", f"{config.uri!r} is no PyTorch model: {error}")]) from error
    problems = list(_check_kind(config, kind))
    if exported and exported.batch_size not in (-1, 1):
        reason = f"{config.uri!r} was exported for batches of {exported.batch_size} rows"
        problems.append(Problem("uri", f"{reason}; export it with a dynamic first dimension (torch.export.Dim)"))
    if problems:
        raise ConfigError(problems)
    interface = exported or _declared(config)
    return Signature(
        {field.name: field for field in interface.inputs}, {field.name: field for field in interface.outputs}
    )


def _declared(config: model_pb2.PyTorchModel) -> Interface:
    inputs, outputs = map(Field.from_proto, config.inputs), map(Field.from_proto, config.outputs)
    return Interface(list(inputs), list(outputs), frozenset(), -1)


def _check_kind(config: model_pb2.PyTorchModel, kind: str) -> Iterator[Problem]:
    holds_weights = kind in (STATE_DICT, SAFETENSORS)
    if holds_weights and not config.model_class:
        yield Problem(
            "model_class", f"missing; the file is a {kind}, which holds weights only: name the class they are for"
        )
    if not holds_weights and config.model_class:
        yield Problem("model_class", f"the file is a {kind}, which needs no class; leave it out")
    for path, what in (("inputs", "what forward takes"), ("outputs", "what forward returns")):
        declared = getattr(config, path)
        if kind == EXPORT and declared:
            yield Problem(path, "the file is an exported program, which says them itself; leave it out")
        elif kind != EXPORT and not declared:
            yield from check_fields(path, declared, f"{what}, as a {kind} does not say it")


def build(config: model_pb2.PyTorchModel, runtime: Runtime = Runtime()) -> PyTorchModule:
    """Loads the model.

    PyTorch's number of threads is the process's: where several models set it, the last one does for all.
    """
    try:
        import torch
    except ImportError as error:
        raise SystemicError("torch is missing; install beam-ml-expansion[pytorch] on the workers") from error

    device = pick_device(runtime)
    torch.set_num_threads(runtime.thread_count())
    warnings.filterwarnings("ignore", "The given NumPy array is not writ")  # it is copied to the GPU, or before
    with local_file(config.uri, private=runtime.files_change) as path:
        try:
            with path.open("rb") as file:
                kind = kind_of(file)
                interface = exported_interface(file) if kind == EXPORT else _declared(config)
            with on(device):
                module = _load(config, kind, path, device)
        except SystemicError:
            raise
        except PyTorchFileError as error:
            raise SystemicError(f"{config.uri!r} is no PyTorch model: {error}") from error
        except Exception as error:  # a damaged file may raise anything
            raise SystemicError(f"PyTorch can't load {config.uri!r}: {first_line(error)}") from error
    if kind != EXPORT:
        interface = interface._replace(keywords=_parameters(module, interface))
    return PyTorchModule(module, config, interface, device)


def _parameters(module: Any, interface: Interface) -> frozenset[str]:
    """Returns the names of the inputs if they are all parameters of forward, and can so be passed by keyword."""
    names = frozenset(field.name for field in interface.inputs)
    if hasattr(module.forward, "schema"):  # TorchScript
        parameters = {argument.name for argument in module.forward.schema.arguments}
    else:
        parameters = set(inspect.signature(module.forward).parameters)
    return names if names <= parameters else frozenset()


def _load(config: model_pb2.PyTorchModel, kind: str, path: Path, device: str) -> Any:
    import torch
    from torch.export.passes import move_to_device_pass

    if kind == TORCHSCRIPT:
        module = torch.jit.load(path, map_location=device)
    elif kind == EXPORT:
        # Devices are written into its operations too, as of torch.arange: those of the machine where it was exported.
        module = move_to_device_pass(torch.export.load(path), device).module()
    else:
        module = construct(config.model_class, config.class_arguments)
        module.load_state_dict(_weights(kind, path))
    if kind != EXPORT:  # which has no modes: it was exported in one of them
        module.eval()
    module = module.to(device)
    if config.dtype:
        module = module.to(getattr(torch, _DTYPES[config.dtype]))
    return torch.compile(module, dynamic=True) if config.compile else module


def _weights(kind: str, path: Path) -> Any:
    import torch

    if kind == SAFETENSORS:
        import safetensors.torch

        return safetensors.torch.load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


class PyTorchModule:
    """A loaded module."""

    def __init__(
        self,
        module: Any,
        config: model_pb2.PyTorchModel,
        interface: Interface,
        device: str,
    ):
        import torch

        self._module = module
        self._inputs = interface.inputs
        self._outputs = interface.outputs
        self._keywords = interface.keywords
        self._device = device
        self._row_by_row = interface.batch_size == 1
        self._dtype = getattr(torch, _DTYPES[config.dtype]) if config.dtype else None
        self._autocast = getattr(torch, _DTYPES[config.autocast]) if config.autocast else None

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Runs the module on a batch; row by row if it was exported for one row."""
        try:
            # GPUs fail when data is copied there, or when results are fetched, as well.
            with errors_of_pytorch(), on(self._device):
                return self._run(inputs, outputs)
        except RuntimeError as error:  # most are about the rows
            raise ValueError(_reason(error)) from error

    def _run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        row_count = next(iter(inputs.values())).row_count
        feed = [self._tensor(inputs[field.name], field) for field in self._inputs]
        if self._row_by_row:
            parts = [self._call([tensor[row : row + 1] for tensor in feed]) for row in range(row_count)]
            arrays = [np.concatenate(rows) for rows in zip(*parts, strict=True)]
        else:
            arrays = self._call(feed)
        results = {field.name: array for field, array in zip(self._outputs, arrays, strict=True)}
        return {name: column_of(name, results[name], row_count) for name in outputs}

    def _tensor(self, columns: Columns, field: Field) -> Any:
        import torch

        array = stack(columns, field)
        # Modules may write to what they get, and arrays from the wire can't be written to. A GPU gets a copy anyway.
        if self._device == "cpu" and not array.flags.writeable:
            array = array.copy()
        tensor = torch.from_numpy(array).to(self._device)
        return tensor.to(self._dtype) if self._dtype is not None and tensor.is_floating_point() else tensor

    def _call(self, feed: Sequence[Any]) -> list[Any]:
        import torch

        named = list(zip([field.name for field in self._inputs], feed, strict=True))
        arguments = [tensor for name, tensor in named if name not in self._keywords]
        keywords = {name: tensor for name, tensor in named if name in self._keywords}
        autocast = (
            torch.autocast(self._device.partition(":")[0], self._autocast)
            if self._autocast
            else contextlib.nullcontext()
        )
        with torch.inference_mode(), autocast:
            result = self._module(*arguments, **keywords)
        return [self._array(field, value) for field, value in zip(self._outputs, self._ordered(result), strict=True)]

    def _ordered(self, result: Any) -> list[Any]:
        names = [field.name for field in self._outputs]
        if isinstance(result, Mapping):
            missing = [name for name in names if name not in result]
            if missing:
                raise SystemicError(f"the model returned {sorted(result)}, and not {missing[0]!r}, as declared")
            return [result[name] for name in names]
        values = list(result) if isinstance(result, (tuple, list)) else [result]
        if len(values) != len(names):
            raise SystemicError(f"the model returned {len(values)} tensors; declared are {len(names)}: {names}")
        return values

    def _array(self, field: Field, tensor: Any) -> Any:
        import torch

        if not isinstance(tensor, torch.Tensor):
            raise SystemicError(f"output {field.name!r} is {type(tensor).__name__}; expected a tensor")
        tensor = tensor.detach()
        if tensor.is_floating_point() and field.datatype in ("FP16", "FP32", "FP64"):
            # What autocast and dtype made of it; numpy has no BF16.
            tensor = tensor.to(getattr(torch, NUMPY_DTYPES[field.datatype].name))
        return tensor.cpu().numpy()


def _reason(error: RuntimeError) -> str:
    text = str(error)
    # TorchScript puts the model's code before the reason.
    reason = text.rsplit("RuntimeError: ", 1)[-1] if "RuntimeError: " in text else text
    return reason.strip().splitlines()[0] if reason.strip() else type(error).__name__
