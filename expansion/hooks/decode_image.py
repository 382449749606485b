# Licensed under the Apache License, Version 2.0; see LICENSE.
"""decode_image: turn image files into tensors of pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import NUMPY_DTYPES, Field
from expansion.contract.problems import did_you_mean
from expansion.errors import Problem, SystemicError
from expansion.hooks.demands import Demands, Kind, finite, required
from expansion.tensors.columns import Blobs, Column, Columns, Ragged

_BYTES = Kind("BYTES", lambda datatype: datatype == "BYTES")
_CHOICES = {
    "resize": ("stretch", "crop", "pad"),
    "channels": ("RGB", "BGR", "L"),
    "layout": ("HWC", "CHW"),
    "datatype": ("UINT8", "FP32"),
}
_MAX_PIXELS = 178_956_970  # Pillow refuses larger images, whatever is asked for


def check(config: hook_pb2.DecodeImage) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required("column", config.column)
    for path, allowed in _CHOICES.items():
        value = getattr(config, path)
        if value and value not in allowed:
            yield Problem(path, f"got {value!r}; {did_you_mean(value, allowed)}")
    yield from _check_size(config)
    yield from _check_scaling(config)
    if not 0 <= config.max_pixels <= _MAX_PIXELS:
        yield Problem("max_pixels", f"got {config.max_pixels}; expected 1 to {_MAX_PIXELS}, as many as Pillow decodes")


def _check_size(config: hook_pb2.DecodeImage) -> Iterator[Problem]:
    for path, other in (("width", "height"), ("height", "width")):
        if getattr(config, path) < 0:
            yield Problem(path, f"got {getattr(config, path)}; expected 1 or more")
        elif getattr(config, other) and not getattr(config, path):
            yield Problem(path, f"missing; expected it together with {other}")
    if config.resize and not (config.width or config.height):
        yield Problem("resize", "is set without width and height; set all three, or none")
    if not config.crop_fraction:
        return
    if config.resize != "crop":
        yield Problem("crop_fraction", f'is set without resize: "crop"; got {config.resize or "stretch"!r}')
    if not 0 < config.crop_fraction <= 1:
        yield Problem("crop_fraction", f"got {config.crop_fraction}; expected above 0, at most 1")


def _check_scaling(config: hook_pb2.DecodeImage) -> Iterator[Problem]:
    if config.HasField("factor"):
        yield from finite("factor", config.factor)
    for path in ("mean", "standard_deviation"):
        values = getattr(config, path)
        if values and len(values) != _channels(config):
            reason = f"{_channels(config)} of {config.channels or 'RGB'}"
            yield Problem(path, f"got {len(values)} numbers; expected one for each channel, {reason}")
        for index, value in enumerate(values):
            yield from finite(f"{path}[{index}]", value)
    for index, value in enumerate(config.standard_deviation):
        if value <= 0:
            yield Problem(f"standard_deviation[{index}]", f"got {value}; expected above 0")
    if config.datatype == "UINT8" and _is_scaled(config):
        yield Problem(
            "datatype", "got 'UINT8' with factor, mean or standard_deviation; expected 'FP32', or none of them"
        )


def fields(config: hook_pb2.DecodeImage, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, with one of pixels; height and width are -1 where the message does not set them."""
    demands = Demands(inputs)
    files = demands.column("column", config.column, _BYTES)
    demands.that(files.shape == (), "column", f"column {config.column!r} is {files}; expected one file a row")
    demands.settle()
    height, width, channels = config.height or -1, config.width or -1, _channels(config)
    shape = (channels, height, width) if config.layout == "CHW" else (height, width, channels)
    output = config.output or config.column
    return {**inputs, output: Field(output, _datatype(config), shape)}


def build(config: hook_pb2.DecodeImage) -> Callable[[Columns], Columns]:
    """Returns the operation.

    Raises:
        SystemicError: Pillow is missing.
    """
    try:
        from expansion.tensors import images
    except ImportError as error:
        reason = "run pip install 'beam-ml-expansion[hooks]' on the workers"
        raise SystemicError(f"decode_image needs Pillow, which can't be imported ({error}); {reason}") from error

    resize = _resize(config, images)
    scale = _scale(config)
    mode = "L" if config.channels == "L" else "RGB"
    max_pixels = config.max_pixels or images.MAX_PIXELS

    def tensor(image: Any) -> npt.NDArray[Any]:
        pixels = np.asarray(resize(image))
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        if config.channels == "BGR":
            pixels = pixels[:, :, ::-1]
        pixels = scale(pixels)
        return pixels.transpose(2, 0, 1) if config.layout == "CHW" else pixels

    def decode_image(columns: Columns) -> Columns:
        files = columns[config.column]
        if not isinstance(files, Blobs):
            raise TypeError(f"column {config.column!r} holds {files.datatype}, not BYTES")
        tensors = images.decode(files.to_list(), mode, tensor, max_pixels)
        return columns.with_column(config.output or config.column, _column(tensors, _datatype(config)))

    return decode_image


def _channels(config: hook_pb2.DecodeImage) -> int:
    return 1 if config.channels == "L" else 3


def _is_scaled(config: hook_pb2.DecodeImage) -> bool:
    return config.HasField("factor") or bool(config.mean) or bool(config.standard_deviation)


def _datatype(config: hook_pb2.DecodeImage) -> str:
    return config.datatype or ("FP32" if _is_scaled(config) else "UINT8")


def _scale(config: hook_pb2.DecodeImage) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[Any]]:
    """Returns what makes numbers of the datatype of pixels [height, width, channels]."""
    if _datatype(config) == "UINT8":
        return lambda pixels: pixels
    factor = np.float32(config.factor if config.HasField("factor") else 1 / 255)
    mean = np.array(config.mean or 0, np.float32)
    deviation = np.array(config.standard_deviation or 1, np.float32)

    def scale(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        values = pixels.astype(np.float32)
        values *= factor
        values -= mean
        values /= deviation
        return values

    return scale


def _column(tensors: list[npt.NDArray[Any]], datatype: str) -> Column:
    column = Ragged.of_rows(tensors, NUMPY_DTYPES[datatype], 3)
    return column.to_dense() if len(column) and (column.shapes == column.shapes[0]).all() else column


def _resize(config: hook_pb2.DecodeImage, images: ModuleType) -> Callable[[Any], Any]:
    """Returns what makes of an image of Pillow's one of the size that the message says."""
    if not config.width:
        return lambda image: image
    size = (config.width, config.height)
    if config.resize == "crop":
        # Rounded, as the fraction may be: 0.9655 is what 224 is of 232.
        covered = tuple(round(side / (config.crop_fraction or 1)) for side in size)
        return lambda image: images.crop(image, size, covered)
    resize = images.pad if config.resize == "pad" else images.stretch
    return lambda image: resize(image, size)
