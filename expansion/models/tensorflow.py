# Licensed under the Apache License, Version 2.0; see LICENSE.
"""tensorflow: SavedModels and Keras v3 files."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from expansion.contract._gen import model_pb2
from expansion.contract.declared import check_fields
from expansion.contract.fields import NUMPY_DTYPES, VARIABLE_LENGTH, Field
from expansion.contract.permissions import Permission
from expansion.contract.problems import did_you_mean
from expansion.errors import ConfigError, Problem, SystemicError, first_line
from expansion.files import local_copy, open_on_host
from expansion.models.keras_file import KerasFileError, KerasInputs, read_inputs
from expansion.models.runtime import Runtime
from expansion.models.saved_model_file import Interface, SavedModel, SavedModelError, read_saved_model
from expansion.models.signature import Signature
from expansion.models.tensorflow_function import TensorFlowFunction, find_gpus, reason_of
from expansion.tensors.arrays import fits

_EXPECTED = "expected the directory of a SavedModel (tf.saved_model.save, model.export) or a .keras file"


def check(config: model_pb2.TensorFlowModel) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    if not config.uri:
        yield Problem("uri", f"missing; {_EXPECTED}")
    elif config.uri.lower().endswith((".h5", ".hdf5")):
        yield Problem("uri", f"{config.uri!r} is a file of Keras 2; load it and save it with model.export or as .keras")
    if _is_keras(config):
        if config.signature_name:
            yield Problem(
                "signature_name", "only SavedModels have signatures, and a .keras file has none; leave it out"
            )
        if config.inputs:
            yield from check_fields("inputs", config.inputs, "")
        yield from check_fields("outputs", config.outputs, "what the model returns, as a .keras file does not say it")
        return
    if config.inputs:
        yield Problem("inputs", "a SavedModel says itself what it takes; leave it out")
    if config.outputs:
        yield from check_fields("outputs", config.outputs, "")
    for index, field in enumerate(config.outputs):
        if field.datatype != "BYTES":
            reason = "a SavedModel says its outputs itself, all but which of its strings are bytes and no text"
            yield Problem(f"outputs[{index}]", f"got {field.datatype!r}; {reason}: name those as BYTES, and no others")


def permissions(config: model_pb2.TensorFlowModel) -> Iterator[Permission]:
    """Yields the Keras format: a file names the classes and functions that it is made of, of any package."""
    if _is_keras(config):
        instead = "a SavedModel, which model.export writes"
        yield Permission("uri", "--allow-format", "keras", "names code that workers import when they load it", instead)


def is_one_file(config: model_pb2.TensorFlowModel) -> bool:
    """Whether the model is one file: Keras models are, SavedModels are directories."""
    return _is_keras(config)


def signature(config: model_pb2.TensorFlowModel) -> Signature:
    """Returns what a SavedModel's signature says, or a Keras file's input layers and the outputs that are declared."""
    if _is_keras(config):
        with open_on_host(config.uri) as file:
            try:
                found = read_inputs(file)
            except KerasFileError as error:
                raise ConfigError([Problem("uri", f"{config.uri!r} is no Keras v3 file: {error}")]) from error
        problems = list(_misdeclared(config, found))
        if problems:
            raise ConfigError(problems)
        return _keras_interface(config, found).signature
    return _saved_model_interface(config, _read_on_host(config.uri)).signature


def _read_on_host(uri: str) -> SavedModel:
    path = _graph_file(uri)
    try:
        with open_on_host(path) as file:
            try:
                return read_saved_model(file)
            except SavedModelError as error:
                reason = f"{path!r} is of no SavedModel: {error}"
    except ConfigError as error:
        reason = f"{error.problems[0].message}; {_EXPECTED}"
    raise ConfigError([Problem("uri", reason)])


def _saved_model_interface(config: model_pb2.TensorFlowModel, saved: SavedModel) -> Interface:
    """Returns the interface of the signature that is configured.

    Raises:
        ConfigError: There is none, or it can't be served.
    """
    name = _signature_name(config)
    if saved.refusal:
        raise ConfigError([Problem("uri", f"{config.uri!r} {saved.refusal}; export the model without them")])
    if name not in saved.signature_names:
        reason = f"{config.uri!r} has no signature {name!r}; {did_you_mean(name, saved.signature_names)}"
        raise ConfigError([Problem("signature_name", reason)])
    interface = saved.interface(name)
    outputs = dict(interface.signature.outputs)
    problems = [Problem("uri", f"{config.uri!r}: {problem}") for problem in interface.problems]
    for index, field in enumerate(map(Field.from_proto, config.outputs)):
        known = outputs.get(field.name)
        if known is None:
            reason = f"signature {name!r} has no output {field.name!r}; {did_you_mean(field.name, outputs)}"
            problems.append(Problem(f"outputs[{index}].name", reason))
        elif known.datatype not in VARIABLE_LENGTH or not fits(field.shape, known.shape):
            problems.append(Problem(f"outputs[{index}]", f"got {field}; the signature says {known}"))
        else:
            outputs[field.name] = Field(field.name, "BYTES", known.shape)
    if problems:
        raise ConfigError(problems)
    return interface._replace(signature=Signature(interface.signature.inputs, outputs, interface.signature.notes))


def _misdeclared(config: model_pb2.TensorFlowModel, found: KerasInputs | None) -> Iterator[Problem]:
    declared = sorted(field.name for field in config.inputs)
    if found is None and not declared:
        yield from check_fields("inputs", config.inputs, "what the model takes, as the file has no input layers")
    if found is not None and declared:
        names = sorted(field.name for field in found.fields)
        if names != declared:
            yield Problem("inputs", f"got {declared}; the file's inputs are {names}; name those, or leave inputs out")


def _keras_interface(config: model_pb2.TensorFlowModel, found: KerasInputs | None) -> Interface:
    inputs = [Field.from_proto(field) for field in config.inputs] or (found.fields if found else [])
    outputs = [Field.from_proto(field) for field in config.outputs]
    declared = Signature({field.name: field for field in inputs}, {field.name: field for field in outputs})
    return Interface(declared, found is not None and found.batch_size == 1, ())


def build(config: model_pb2.TensorFlowModel, runtime: Runtime = Runtime()) -> TensorFlowFunction:
    """Loads the model.

    TensorFlow's numbers of threads are the process's, and can be set only before it computes anything: where a worker
    loads several models, the first one does for all.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors; else every start logs what the CPU and GPU can do
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise SystemicError("tensorflow is missing; install beam-ml-expansion[tensorflow] on the workers") from error

    device = _set_up(runtime)
    load = _load_keras if _is_keras(config) else _load_saved_model
    try:
        with local_copy(config.uri) as path, tf.device(device):
            return load(config, path, device)
    except SystemicError:
        raise
    except ConfigError as error:
        raise SystemicError(error.reason) from error
    except Exception as error:  # a damaged file may raise anything
        raise SystemicError(f"TensorFlow can't load {config.uri!r}: {reason_of(error)}") from error


def _set_up(runtime: Runtime) -> str:
    """Sets the threads, and that a GPU's memory is taken as it is needed; returns TensorFlow's name of the device."""
    import tensorflow as tf

    device = runtime.pick_device(find_gpus())
    try:
        tf.config.threading.set_intra_op_parallelism_threads(runtime.thread_count())
        # Calls that run at once share these, so they are what the process may use, and not what one call may.
        tf.config.threading.set_inter_op_parallelism_threads(max(runtime.thread_count(), runtime.fair_threads))
    except RuntimeError:
        pass  # TensorFlow has computed something in this process, and keeps the settings that it did so with
    return "/CPU:0" if device == "cpu" else f"/GPU:{device.partition(':')[2]}"


def _load_saved_model(config: model_pb2.TensorFlowModel, path: Path, device: str) -> TensorFlowFunction:
    import tensorflow as tf

    try:
        with open(path / "saved_model.pb", "rb") as file:
            saved = read_saved_model(file)
    except OSError as error:
        raise SystemicError(f"can't read {_graph_file(config.uri)!r}: {first_line(error)}") from error
    except SavedModelError as error:
        raise SystemicError(f"{_graph_file(config.uri)!r} is of no SavedModel: {error}") from error
    interface = _saved_model_interface(config, saved)
    loaded = tf.saved_model.load(str(path), tags=sorted(saved.tags) or None)
    function = loaded.signatures[_signature_name(config)]

    def call(feed: Mapping[str, Any]) -> Mapping[str, Any]:
        results: Mapping[str, Any] = function(**feed)
        return results

    return TensorFlowFunction(call, interface, device, loaded)


def _load_keras(config: model_pb2.TensorFlowModel, path: Path, device: str) -> TensorFlowFunction:
    import tensorflow as tf

    try:
        with open(path, "rb") as file:
            found = read_inputs(file)
    except KerasFileError as error:
        raise SystemicError(f"{config.uri!r} is no Keras v3 file: {error}") from error
    if tf.keras.config.backend() != "tensorflow":
        raise SystemicError(
            f"Keras runs on {tf.keras.config.backend()!r} here; set KERAS_BACKEND=tensorflow on workers"
        )
    model = tf.keras.models.load_model(path, compile=False, safe_mode=True)
    interface = _keras_interface(config, found)
    by_keyword = interface.signature.inputs.keys() <= inspect.signature(model.call).parameters.keys()

    def forward(feed: Mapping[str, Any]) -> Any:
        if by_keyword:
            return model(**feed, training=False)
        return model(feed if len(feed) > 1 else next(iter(feed.values())), training=False)

    rows = 1 if interface.row_by_row else None
    specs = {field.name: _spec(field, rows) for field in interface.signature.inputs.values()}
    function = tf.function(forward, input_signature=[specs])
    names = list(interface.signature.outputs)
    _by_name(function.get_concrete_function().structured_outputs, names)  # says now what is declared wrongly
    return TensorFlowFunction(lambda feed: _by_name(function(feed), names), interface, device, model)


def _spec(field: Field, rows: int | None) -> Any:
    import tensorflow as tf

    dtype = tf.string if field.datatype in VARIABLE_LENGTH else tf.as_dtype(NUMPY_DTYPES[field.datatype])
    return tf.TensorSpec([rows, *(None if size == -1 else size for size in field.shape)], dtype)


def _by_name(result: Any, names: Sequence[str]) -> Mapping[str, Any]:
    """Returns what a Keras model returned by the names that are declared.

    Raises:
        SystemicError: It returned others, or another number.
    """
    if isinstance(result, Mapping):
        missing = [name for name in names if name not in result]
        if missing:
            raise SystemicError(f"the model returns {sorted(result)}, and not {missing[0]!r}, as declared in outputs")
        return result
    values = list(result) if isinstance(result, (tuple, list)) else [result]
    if len(values) != len(names):
        raise SystemicError(f"the model returns {len(values)} tensors; declared in outputs are {len(names)}: {names}")
    return dict(zip(names, values, strict=True))


def _graph_file(uri: str) -> str:
    return f"{uri.rstrip('/')}/saved_model.pb"


def _is_keras(config: model_pb2.TensorFlowModel) -> bool:
    return bool(config.uri.lower().endswith(".keras"))


def _signature_name(config: model_pb2.TensorFlowModel) -> str:
    return config.signature_name or "serving_default"
