# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The models of a chain: each has a part of the configuration that looks like one of a single model."""

from __future__ import annotations

from collections.abc import Iterator

from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig


def steps_of(config: RunInferenceConfig) -> Iterator[tuple[str, RunInferenceConfig]]:
    """Yields the part of each model, with its field path: of the first, which is empty, and of those in ``then``."""
    first = RunInferenceConfig()
    first.CopyFrom(config)
    first.ClearField("then")
    yield "", first
    for index, step in enumerate(config.then):
        part = RunInferenceConfig(
            model=step.model,
            inputs=step.inputs,
            outputs=step.outputs,
            pre_hooks=step.pre_hooks,
            post_hooks=step.post_hooks,
            error_handling=config.error_handling,
            environment=step.environment,
            resource_hints=step.resource_hints if step.HasField("resource_hints") else None,
        )
        yield f"then[{index}]", part
