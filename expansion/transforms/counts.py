# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How many parts a configuration may have: a small request must not keep a service from answering others."""

from __future__ import annotations

from collections.abc import Iterator

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.operation_pb2 import Embed
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig, Step
from expansion.errors import Problem

# Each takes its milliseconds and kilobytes of the graph, and one graph is built at a time.
MAX_STEPS = 200
# Each is worked out on all columns.
MAX_HOOKS_AND_MODELS = 1_000
MAX_COLUMNS = 10_000
# The model is copied and looked at for each uri.
_MAX_BYTES_BY_KEY = 10_000_000


def check(config: RunInferenceConfig | MLTransformConfig) -> Iterator[Problem]:
    """Yields what there is too much of; then nothing else of the configuration is to be looked at.

    It takes time that grows with the number of parts only.
    """
    steps = "operations" if isinstance(config, MLTransformConfig) else "then"
    count = len(getattr(config, steps))
    if count > MAX_STEPS:
        yield Problem(steps, f"got {count}; expected at most {MAX_STEPS}; apply the transform more than once")
    found = dict(_hooks_and_models(config))
    if sum(found.values()) > MAX_HOOKS_AND_MODELS:
        path = max(found, key=lambda each: found[each])
        reason = f"got {found[path]}, and {sum(found.values())} hooks and models all together"
        yield Problem(path, f"{reason}; expected at most {MAX_HOOKS_AND_MODELS} in one configuration")
    for name in ("columns", "opaque_columns", "return_columns"):
        count = len(getattr(config.tensor_batch, name))
        if count > MAX_COLUMNS:
            yield Problem(f"tensor_batch.{name}", f"got {count}; expected at most {MAX_COLUMNS}")
    if isinstance(config, RunInferenceConfig):
        uris, model_bytes = len(config.per_key.uris), config.model.ByteSize()
        if uris * model_bytes > _MAX_BYTES_BY_KEY:
            reason = f"got {uris} for a model whose configuration has {model_bytes} bytes"
            yield Problem("per_key.uris", f"{reason}; expected at most {_MAX_BYTES_BY_KEY} bytes for all keys together")


def _hooks_and_models(config: RunInferenceConfig | MLTransformConfig) -> Iterator[tuple[str, int]]:
    """Yields how many there are in each field that holds some."""
    yield from _hooks("", config)
    if isinstance(config, MLTransformConfig):
        for index, operation in enumerate(config.operations):
            yield from _hooks(f"operations[{index}].embed.", operation.embed)
        return
    yield "split.arms", len(config.split.arms)
    yield "ensemble.models", len(config.ensemble.models)
    for index, step in enumerate(config.then):
        yield from _hooks(f"then[{index}].", step)


def _hooks(prefix: str, part: RunInferenceConfig | MLTransformConfig | Step | Embed) -> Iterator[tuple[str, int]]:
    for name in ("pre_hooks", "post_hooks"):
        yield f"{prefix}{name}", len(getattr(part, name))
