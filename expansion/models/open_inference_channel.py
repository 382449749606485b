# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Calls of the Open Inference Protocol over gRPC, and what their errors mean."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import cast

import grpc
from google.protobuf.message import DecodeError

from expansion.contract._gen.open_inference_pb2 import ErrorStatus, RetryInfo
from expansion.errors import RemoteError, SystemicError
from expansion.models.remote_calls import RemoteCalls, TooLarge, Unavailable

_SERVICE = "inference.GRPCInferenceService"

_CODE = grpc.StatusCode
# What may pass. NOT_FOUND too: servers that have just started answer it until they have loaded the model.
_PASSING = frozenset(
    {
        _CODE.UNAVAILABLE,
        _CODE.RESOURCE_EXHAUSTED,
        _CODE.DEADLINE_EXCEEDED,
        _CODE.ABORTED,
        _CODE.CANCELLED,
        _CODE.NOT_FOUND,
    }
)
_OF_ROWS = frozenset({_CODE.INVALID_ARGUMENT, _CODE.OUT_OF_RANGE})
_OF_THE_SERVER = frozenset({_CODE.INTERNAL, _CODE.UNKNOWN, _CODE.DATA_LOSS})
# MLServer and KServe say it with INVALID_ARGUMENT and other codes.
_NOT_READY = re.compile(r"\bnot ready\b", re.IGNORECASE)
# A connection that broke while the answer was on its way.
_BROKEN = re.compile(r"RST_STREAM|stream removed", re.IGNORECASE)
# Of gRPC in C++, Python and Go, and of gRPC in Java. The code is that of a quota: RESOURCE_EXHAUSTED.
_TOO_LARGE = re.compile(r"message larger than max|message exceeds maximum size", re.IGNORECASE)
_DETAILS = "grpc-status-details-bin"


class Channel:
    """A connection to a server, which is made anew when it breaks. Used by several threads at once.

    Args:
        server: "HOST:PORT".
        is_secure: Whether to use TLS.
        calls: How to call it.
    """

    def __init__(self, server: str, is_secure: bool, calls: RemoteCalls):
        self._calls = calls
        options = [
            # How large messages may be is the server's business.
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            # Attempts are counted here, and none is to be made behind our back.
            ("grpc.enable_retries", 0),
            # A server that comes back is noticed within two seconds; the default waits up to two minutes.
            ("grpc.initial_reconnect_backoff_ms", 500),
            ("grpc.max_reconnect_backoff_ms", 2000),
            # A server that vanishes without a word, with its machine, is noticed when an attempt has taken too long.
            ("grpc.keepalive_time_ms", round(1e3 * calls.timeout_secs)),
            ("grpc.keepalive_timeout_ms", 10_000),
            # All addresses that a name has, as of a headless service of Kubernetes, share the work.
            ("grpc.lb_policy_name", "round_robin"),
        ]
        if is_secure:
            credentials = grpc.ssl_channel_credentials(_root_certificates())
            self._channel = grpc.secure_channel(server, credentials, options)
        else:
            self._channel = grpc.insecure_channel(server, options)

    def call(self, method: str, request: bytes) -> bytes:
        """Makes one call, in several attempts if need be.

        Args:
            method: "ModelInfer" or "ModelMetadata".
            request: The serialized request.

        Returns:
            The serialized response.

        Raises:
            SystemicError: The server can't be reached, or does not do it.
            RemoteError: The server failed.
            ValueError: The server does not take some row.
            TooLarge: The request or the response is too large.
        """
        stub = self._channel.unary_unary(f"/{_SERVICE}/{method}", None, None)  # bytes go as they are

        def attempt(number: int) -> bytes:
            try:
                # That the server is away is noticed, and counted, at once; then each attempt waits for it to come back.
                return cast(bytes, stub(request, timeout=self._calls.timeout_secs, wait_for_ready=number > 1))
            except grpc.RpcError as error:
                raise translated(error) from error

        return self._calls.request(attempt)


def translated(error: grpc.RpcError) -> Exception:
    """Returns what the caller makes of an error of gRPC."""
    code, details = error.code(), error.details() or ""
    reason = f"{code.name}: {details.strip() or 'no reason given'}"
    if code is _CODE.DEADLINE_EXCEEDED:  # of which gRPC does not say whether there was a connection
        reason += " (the server was not reached, or did not answer in time)"
    if _TOO_LARGE.search(details):
        return TooLarge(reason)
    if code in _PASSING or _NOT_READY.search(details) or (code in _OF_THE_SERVER and _BROKEN.search(details)):
        return Unavailable(reason, _retry_after_secs(error))
    if code in _OF_ROWS:
        return ValueError(reason)
    return RemoteError(reason) if code in _OF_THE_SERVER else SystemicError(f"the server refuses: {reason}")


def is_unimplemented(error: Exception) -> bool:
    """Whether a call failed because the server does not have it."""
    return isinstance(error.__cause__, grpc.RpcError) and error.__cause__.code() is _CODE.UNIMPLEMENTED


def _retry_after_secs(error: grpc.RpcError) -> float | None:
    """Returns for how long the server asks to wait, if it does: https://google.aip.dev/193, google.rpc.RetryInfo."""
    status = {entry.key: entry.value for entry in error.trailing_metadata() or ()}.get(_DETAILS)
    if not isinstance(status, bytes):
        return None
    try:
        for detail in ErrorStatus.FromString(status).details:
            if detail.type_url.endswith("/google.rpc.RetryInfo"):
                delay = RetryInfo.FromString(detail.value).retry_delay
                return max(0.0, delay.seconds + delay.nanos / 1e9)
    except DecodeError:  # some other server's own
        pass
    return None


def _root_certificates() -> bytes | None:
    """Returns the system's root certificates; None, for those of gRPC, where OpenSSL has no file of them."""
    path = ssl.get_default_verify_paths().cafile
    return Path(path).read_bytes() if path else None
