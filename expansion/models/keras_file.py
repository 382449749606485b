# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a Keras v3 file (.keras) says of its inputs, read as data: config.json in a zip file, nothing is loaded.

https://keras.io/guides/serialization_and_saving/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

from expansion.contract.fields import NUMPY_DTYPES, Field
from expansion.models.zip_archive import ZipArchive, ZipFileError

_CONFIG = "config.json"
_MAX_CONFIG_BYTES = 16 << 20  # the layers of large models take 1 or 2 MiB
_DATATYPES = {dtype.name: datatype for datatype, dtype in NUMPY_DTYPES.items()}


class KerasFileError(Exception):
    """The file is no Keras v3 file, or a damaged one, or one of a model that can't be served."""


class KerasInputs(NamedTuple):
    """What a model takes.

    Attributes:
        fields: Inputs in the model's order, by the names of the input layers, or by the keys where it takes a dict.
        batch_size: Size of the batch dimension; -1 if it takes any.
    """

    fields: list[Field]
    batch_size: int


def read_inputs(file: BinaryIO) -> KerasInputs | None:
    """Reads what a model takes; None if the file does not say, as of a subclassed model.

    Raises:
        KerasFileError: The file is none that Keras 3 writes, or the model takes what no column can be.
    """
    config = _config(file)
    layers = {
        str(layer["config"]["name"]): layer["config"]
        for layer in _list(_inner(config).get("layers"))
        if isinstance(layer, dict) and layer.get("class_name") == "InputLayer" and "name" in _inner(layer)
    }
    names = _input_names(_inner(config).get("input_layers")) or {name: name for name in layers}
    if not layers:
        return None
    if set(names.values()) - set(layers):
        raise KerasFileError("its inputs are nested; expected one tensor, or a list or dict of them")
    found = {name: _field(name, layers[layer]) for name, layer in names.items()}
    sizes = {size for _, size in found.values()}
    if sizes - {-1, 1} or len(sizes) > 1:
        raise KerasFileError(
            f"its inputs have batch sizes {sorted(sizes)}; make them with one of None (Input(shape=…))"
        )
    return KerasInputs([field for field, _ in found.values()], sizes.pop())


def _config(file: BinaryIO) -> Mapping[str, Any]:
    try:
        archive = ZipArchive(file)
        if _CONFIG not in archive:
            raise KerasFileError(f"it is a zip file without {_CONFIG}, and none that Keras writes")
        config = archive.json(_CONFIG, _MAX_CONFIG_BYTES)
    except ZipFileError as error:
        raise KerasFileError(str(error)) from error
    if not isinstance(config, dict):
        raise KerasFileError(f"its {_CONFIG} describes no model")
    return config


def _inner(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    config = layer.get("config")
    return config if isinstance(config, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _input_names(tensors: Any) -> dict[str, str]:
    """Returns the layer of each input: of one tensor, or of a list or dict of them."""
    if isinstance(tensors, dict):
        return {str(name): _layer(tensor) for name, tensor in tensors.items()}
    layers = [_layer(tensors)] if _layer(tensors) else [_layer(tensor) for tensor in _list(tensors)]
    return {layer: layer for layer in layers}


def _layer(tensor: Any) -> str:
    """Returns the layer of a tensor, which is written as [layer, 0, 0]; empty if this is none."""
    is_tensor = isinstance(tensor, list) and len(tensor) == 3 and isinstance(tensor[0], str)
    return tensor[0] if is_tensor else ""


def _field(name: str, layer: Mapping[str, Any]) -> tuple[Field, int]:
    """Returns the field of one row, and the size of the batch dimension."""
    shape = [-1 if size is None else size for size in _list(layer.get("batch_shape"))]
    if not shape or not all(isinstance(size, int) for size in shape):
        raise KerasFileError(f"input {name!r} does not say its shape")
    if layer.get("sparse") or layer.get("ragged"):
        raise KerasFileError(f"input {name!r} is a sparse or ragged tensor; expected a dense one")
    dtype = str(layer.get("dtype"))
    datatype = "BYTES" if dtype == "string" else _DATATYPES.get(dtype, "")
    if not datatype:
        raise KerasFileError(f"input {name!r} is of {dtype}, which is not supported; convert it in the model")
    return Field(name, datatype, tuple(shape[1:])), shape[0]
