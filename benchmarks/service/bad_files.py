# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Model files and artifacts that are damaged, made to do harm, or no files."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.service.answers import Answer
from benchmarks.service.requests import ExpansionRequest
from expansion.contract import urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig

_DEEP = 200_000
_BOMB_BYTES = 1 << 30
_ARTIFACTS = {
    "empty": b"",
    "noise": random.Random(4).randbytes(10_000),  # noqa: S311
    "deep": b"[" * _DEEP,
    "deep object": b'{"a":' * _DEEP,
    "many digits": b'{"format_version": ' + b"9" * 5000 + b"}",
    "another's": b'{"format": "other"}',
}
_FIELDS = [{"name": "X", "datatype": "FP32", "shape": [2]}]


def cases(request: ExpansionRequest, folder: Path) -> Iterator[tuple[str, ExpansionRequest, Callable[[Answer], str]]]:
    """Yields them: what it is, a request with it, and what says what is wrong with the answer."""
    for name, model in _models(folder).items():
        bad = ExpansionRequest()
        bad.CopyFrom(request)
        config = RunInferenceConfig.FromString(request.transform.spec.payload)
        config.model.Clear()
        config.model.MergeFrom(RunInferenceConfig(model=model).model)
        del config.post_hooks[:]
        bad.transform.spec.payload = config.SerializeToString()
        yield name, bad, _is_clear
    for name, content in _ARTIFACTS.items():
        artifact = folder / f"artifact {name}"
        artifact.mkdir()
        (artifact / "artifact.json").write_bytes(content)
        bad = ExpansionRequest()
        bad.CopyFrom(request)
        bad.transform.spec.urn = urns.ML_TRANSFORM
        bad.transform.spec.payload = MLTransformConfig(read_artifact_location=str(artifact)).SerializeToString()
        yield f"artifact: {name}", bad, _is_clear


def _is_clear(answer: Answer) -> str:
    if not answer.error:
        return "expanded"
    first = answer.error.splitlines()[0]
    if "--allow-" in first:
        return f"it was not read: {first[:200]}"
    is_about_it = first.startswith(("model.", "read_artifact_location: ")) and len(first) < 1000
    return "" if is_about_it else f"says nothing of the model, or too much: {first[:200]}"


def _models(folder: Path) -> dict[str, dict[str, Any]]:
    noise = random.Random(3).randbytes(100_000)  # noqa: S311 - the same each time
    deep = b"[" * _DEEP
    files: dict[str, bytes] = {
        "empty.onnx": b"",
        "noise.onnx": noise,
        "text.onnx": b"this is no model\n" * 1000,
        "long field.onnx": b"\x3a" + b"\xff\xff\xff\xff\x7f" + noise,
        "nested groups.onnx": b"\x3b" * _DEEP,
        "empty.skops": b"",
        "noise.skops": b"PK\x03\x04" + noise,
        "no schema.skops": _zip({"other.txt": b"x"}),
        "deep schema.skops": _zip({"schema.json": deep}),
        "bomb.skops": _zip_bomb("schema.json"),
        "bomb packed otherwise.skops": _zip({"schema.json": bytes(_BOMB_BYTES >> 3)}, zipfile.ZIP_BZIP2),
        "a million members.skops": _zip_directory(b"", 1_000_000),
        "noise.pt2": b"PK\x03\x04" + noise,
        "extra fields.pt2": _zip_directory(b"\x77\x77\x00\x00" * 16_000, 250),
        "a million objects.pt2": _zip({"m/models/model.json": b"[" + b"{}," * 2_000_000 + b"1]"}),
        "huge header.safetensors": struct.pack("<Q", 1 << 63) + noise,
        "deep header.safetensors": struct.pack("<Q", _DEEP) + deep,
        "truncated.json": b'{"learner": {"attributes": {}, "feature_names": [',
        "deep.json": deep,
        "huge numbers.json": json.dumps({"learner": {"learner_model_param": {"num_feature": "9" * 5000}}}).encode(),
        "huge count.ubj": b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        "deep config.keras": _zip({"metadata.json": b"{}", "config.json": deep}),
        "bomb.keras": _zip_bomb("config.json"),
        "many members.keras": _zip_directory(b"", 300_000),
        "noise/saved_model.pb": noise,
        "deep/config.json": deep,
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    os.mkfifo(folder / "pipe.onnx")
    (folder / "loop.onnx").symlink_to(folder / "loop.onnx")
    models = {name: _model(str(folder / name)) for name in files}
    models["noise/saved_model.pb"] = {"tensorflow": {"uri": str(folder / "noise")}}
    models["deep/config.json"] = {"huggingface": {"uri": str(folder / "deep"), "task": "sentence-embedding"}}
    for name in ("pipe.onnx", "loop.onnx", "not there.onnx"):
        models[name] = _model(str(folder / name))
    models["a directory"] = {"onnx": {"uri": str(folder)}}
    return models


def _model(uri: str) -> dict[str, Any]:
    suffix = uri.rpartition(".")[2]
    if suffix in ("pt2", "safetensors"):
        return {"pytorch": {"uri": uri}}
    if suffix in ("json", "ubj"):
        return {"xgboost": {"uri": uri}}
    if suffix == "keras":
        return {"tensorflow": {"uri": uri, "outputs": _FIELDS}}
    return {"sklearn" if suffix == "skops" else "onnx": {"uri": uri}}


def _zip(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def _zip_bomb(name: str) -> bytes:
    """A gibibyte of zeros in a mebibyte."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        for _ in range(_BOMB_BYTES >> 20):
            member.write(bytes(1 << 20))
    return content.getvalue()


def _zip_directory(extra: bytes, count: int) -> bytes:
    """A zip file of so many members that are nothing but entries of its directory, with some extra field."""
    signature = b"PK\x01\x02"
    entry = struct.pack("<4s6H3L5H2L", signature, 20, 20, 0, 0, 0, 33, 0, 0, 0, 0, len(extra), 0, 0, 0, 0, 0) + extra
    shown = min(count, 0xFFFF)
    return entry * count + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, shown, shown, count * len(entry), 0, 0)
