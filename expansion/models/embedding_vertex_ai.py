# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Embeddings of Vertex AI, over REST.

What is sent is what Beam's handler sends (apache_beam/ml/transforms/embeddings/vertex_ai.py of Beam 2.77). The handler
itself is not used: it stands on a part of google-cloud-aiplatform that Google has announced to remove, which comes with
20 packages of 110 MB; it sets that package's project for the whole process (line 108), makes requests of five texts at
most (line 127), can't ask for shorter vectors (line 135), and waits for ever. A test has both ask for the same.
"""

from __future__ import annotations

import json
from typing import Any

from expansion.contract._gen import model_pb2
from expansion.contract.problems import shown
from expansion.errors import SystemicError
from expansion.models.embedding_service import Embed
from expansion.models.remote_calls import RemoteCalls
from expansion.models.vertex_ai_address import read_address
from expansion.models.vertex_ai_endpoint import Endpoint

# https://cloud.google.com/vertex-ai/generative-ai/docs/embeddings/get-text-embeddings; some models take fewer
_MAX_ROWS = 250
_TASK_TYPE = "RETRIEVAL_DOCUMENT"


def connect(config: model_pb2.EmbeddingServiceModel, calls: RemoteCalls) -> Embed:
    """Returns what makes a request.

    Raises:
        SystemicError: There are no credentials on this worker.
    """
    address = read_address(config.uri, config.endpoint)
    if address is None:
        raise SystemicError(f"{config.uri!r} at {config.endpoint!r} is no endpoint")
    endpoint = Endpoint(config.uri, address, calls)
    further = {"task_type": config.task_type or _TASK_TYPE}
    parameters = {"autoTruncate": True, **({"outputDimensionality": config.size} if config.shorten else {})}
    calls.limit_rows(_MAX_ROWS)

    def embed(texts: list[str]) -> list[Any]:
        instances = [{"content": text, **further} for text in texts]
        return _vectors(endpoint.predict(json.dumps({"instances": instances, "parameters": parameters}).encode()))

    return embed


def _vectors(response: Any) -> list[Any]:
    predictions = response.get("predictions") if isinstance(response, dict) else None
    try:
        return [prediction["embeddings"]["values"] for prediction in predictions or ()]
    except (LookupError, TypeError) as error:
        raise SystemicError(f"Vertex AI returned no embeddings: {shown(predictions)}") from error
