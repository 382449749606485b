# Licensed under the Apache License, Version 2.0; see LICENSE.
"""open_inference: models on servers of the Open Inference Protocol, called over gRPC.

The protocol: https://github.com/kserve/open-inference-protocol. Its messages come from our own proto file and not from
tritonclient: that needs newer protobuf and older ml-dtypes than what else there is on workers may have.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from expansion.contract._gen import model_pb2
from expansion.contract._gen.open_inference_pb2 import ModelInferRequest, ModelMetadataRequest, ModelMetadataResponse
from expansion.contract.declared import check_fields
from expansion.contract.fields import Field
from expansion.contract.permissions import Permission
from expansion.contract.problems import at, did_you_mean
from expansion.contract.secrets import redacted_start
from expansion.errors import Problem, RemoteError, SystemicError
from expansion.models.open_inference_tensors import columns, request, wire_datatype
from expansion.models.remote_calls import RemoteCalls, check_calls
from expansion.models.runtime import Runtime
from expansion.models.signature import Signature
from expansion.models.wire import WireError
from expansion.tensors.arrays import fits, joined
from expansion.tensors.columns import Column, Columns

if TYPE_CHECKING:
    from expansion.models.open_inference_channel import Channel

_LOG = logging.getLogger(__name__)
_Tensor = ModelMetadataResponse.TensorMetadata

_URI = re.compile(
    r"(?P<scheme>grpcs?)://(?P<server>[^/@\s]+:(?P<port>\d{1,5}))/(?P<model>[^/\s]+)(/versions/(?P<version>[^/\s]+))?"
)
_DECLARED = (("inputs", "takes"), ("outputs", "returns"))


class _Address(NamedTuple):
    """Where a model is.

    Attributes:
        server: "HOST:PORT".
        is_secure: Whether it is called over TLS.
        model: Name of the model.
        version: Its version; empty leaves the choice to the server.
    """

    server: str
    is_secure: bool
    model: str
    version: str


def check(config: model_pb2.OpenInferenceModel) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    if _read_uri(config.uri) is None:
        got = f"got {redacted_start(config.uri, 200)!r}" if config.uri else "missing"
        yield Problem("uri", f"{got}; expected grpc://HOST:PORT/MODEL, or grpcs:// for TLS, or with /versions/VERSION")
    for path, verb in _DECLARED:
        yield from check_fields(path, getattr(config, path), f"what the model {verb}")
    yield from at("calls", check_calls(config.calls))


def permissions(config: model_pb2.OpenInferenceModel) -> Iterator[Permission]:
    """Yields nothing: what the server runs is its own, and workers run nothing that it sends."""
    yield from ()


def signature(config: model_pb2.OpenInferenceModel) -> Signature:
    """Returns the inputs and outputs as they are declared: only workers call the server."""
    inputs = {field.name: Field.from_proto(field) for field in config.inputs}
    return Signature(inputs, {field.name: Field.from_proto(field) for field in config.outputs})


def build(config: model_pb2.OpenInferenceModel, runtime: Runtime = Runtime()) -> RemoteModel:
    """Connects to the server, and compares what it says of the model with what is declared.

    Device and threads are the server's own business; ``runtime`` is not used.

    Raises:
        SystemicError: The server can't be reached, does not have the model, or has another.
    """
    from expansion.models.open_inference_channel import Channel  # and gRPC with it

    address = _read_uri(config.uri)
    if address is None:
        raise SystemicError(f"{config.uri!r} is no address of a model")
    calls = RemoteCalls(config.calls, config.uri)
    channel = Channel(address.server, address.is_secure, calls)
    metadata = _metadata(config.uri, channel, address)
    if metadata is not None:
        _compare(config, metadata)
        if any(tensor.shape[:1] == [1] for tensor in metadata.inputs):
            calls.limit_rows(1)
    return RemoteModel(signature(config), channel, calls, address)


class RemoteModel:
    """A model on a server. Used by several threads at once."""

    def __init__(self, signature: Signature, channel: Channel, calls: RemoteCalls, address: _Address):
        self._signature = signature
        self._channel = channel
        self._calls = calls
        self._address = address

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Has the server run the model on a batch, in as few requests as it takes."""
        batch = {name: joined(columns, self._signature.inputs[name]) for name, columns in inputs.items()}
        wanted = [self._signature.outputs[name] for name in outputs]
        model = ModelInferRequest(model_name=self._address.model, model_version=self._address.version)
        for name in outputs:
            model.outputs.add(name=name)

        def send(start: int, stop: int) -> Columns:
            part = {name: column.slice(start, stop) for name, column in batch.items()}
            response = self._channel.call("ModelInfer", request(model, part))
            try:
                return Columns(columns(response, wanted, stop - start), stop - start)
            except (WireError, DecodeError) as error:
                raise SystemicError(f"the server's response can't be read: {error}") from error

        row_count = next(iter(inputs.values())).row_count
        return dict(Columns.concat(self._calls.in_parts(row_count, send)))


def _read_uri(uri: str) -> _Address | None:
    """Reads an address; returns None if it is none."""
    match = _URI.fullmatch(uri)
    if not match or not 0 < int(match["port"]) < 1 << 16:
        return None
    return _Address(match["server"], match["scheme"] == "grpcs", match["model"], match["version"] or "")


def _metadata(uri: str, channel: Channel, address: _Address) -> ModelMetadataResponse | None:
    """Asks the server what it knows of the model; returns None if it does not tell anybody."""
    from expansion.models.open_inference_channel import is_unimplemented

    asked = ModelMetadataRequest(name=address.model, version=address.version)
    try:
        return ModelMetadataResponse.FromString(channel.call("ModelMetadata", asked.SerializeToString()))
    except SystemicError as error:
        if is_unimplemented(error):
            return None
        raise
    except (ValueError, RemoteError, DecodeError) as error:
        raise SystemicError(f"{uri} does not say what the model takes and returns: {error}") from error


def _compare(config: model_pb2.OpenInferenceModel, metadata: ModelMetadataResponse) -> None:
    """Compares what is declared with what the server says, if it does: some servers do not know.

    Raises:
        SystemicError: They differ.
    """
    problems: list[str] = []
    for path, verb in _DECLARED:
        known = {each.name: each for each in getattr(metadata, path)}
        for field in map(Field.from_proto, getattr(config, path)) if known else ():
            problems += _differences(field, known, verb)
    if problems:
        raise SystemicError(f"{config.uri} is not what it is declared to be: {'; '.join(problems)}")
    further = sorted({each.name for each in metadata.inputs} - {field.name for field in config.inputs})
    if further:  # they may be optional, which the protocol has no word for
        _LOG.warning("%s also has the inputs %s, which are not declared", config.uri, further)


def _differences(field: Field, known: Mapping[str, _Tensor], verb: str) -> Iterator[str]:
    """Yields how an input or output differs from what the server says."""
    there = known.get(field.name)
    if there is None:
        yield f"it {verb} no {field.name!r}; {did_you_mean(field.name, known)}"
        return
    shape = tuple(there.shape)
    is_one_number = shape[1:] == (1,) and field.shape == ()  # of which servers make a vector, and take it for one
    has_shape = not shape or is_one_number or fits(shape[1:], field.shape)
    if there.datatype != wire_datatype(field.datatype) or not has_shape:
        yield f"{field.name!r} is {there.datatype}{list(shape)} with the batch, and is declared as {field} without it"
    elif shape[:1] > (1,):
        yield f"{field.name!r} is for batches of exactly {shape[0]} rows; serve the model with a batch of any size, -1"
