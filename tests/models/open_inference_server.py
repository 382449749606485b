# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A small server of the Open Inference Protocol, real gRPC on loopback, that fails when it is told to."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

from expansion.contract._gen.open_inference_pb2 import (
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
)

CODE = grpc.StatusCode


class Failure(Exception):  # noqa: N818
    """What the server aborts a call with."""

    def __init__(self, code, details="", metadata=()):
        self.code, self.details, self.metadata = code, details, metadata


class OpenInferenceServer:
    """Answers with what ``infer(request)`` returns or raises; keeps the requests that came."""

    def __init__(self, infer, inputs=(), outputs=(), port=0, credentials=None, **options):
        self.infer, self.requests, self.asked = infer, [], []
        self.metadata = ModelMetadataResponse(name="model", inputs=list(inputs), outputs=list(outputs))
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(8), options=list(options.items()))
        methods = {
            "ModelInfer": _handler(self._infer, ModelInferRequest, ModelInferResponse),
            "ModelMetadata": _handler(self._metadata, ModelMetadataRequest, ModelMetadataResponse),
        }
        service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", methods)
        self._server.add_generic_rpc_handlers((service,))
        if credentials:
            self.port = self._server.add_secure_port(f"127.0.0.1:{port}", credentials)
        else:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    def uri(self, model="model"):
        return f"grpc://127.0.0.1:{self.port}/{model}"

    def stop(self):
        self._server.stop(0).wait()

    def _infer(self, request, context):
        with self._lock:
            self.requests.append(request)
        return self._answer(self.infer, request, context)

    def _metadata(self, request, context):
        with self._lock:
            self.asked.append(request)
        return self._answer(self.describe, request, context)

    def describe(self, request):
        return self.metadata

    @staticmethod
    def _answer(answer, request, context):
        try:
            return answer(request)
        except Failure as failure:
            context.set_trailing_metadata(failure.metadata)
            context.abort(failure.code, failure.details)


def _handler(behaviour, request, response):
    return grpc.unary_unary_rpc_method_handler(behaviour, request.FromString, response.SerializeToString)
