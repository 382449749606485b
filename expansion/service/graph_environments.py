# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The environments of an expanded graph: names that steps carry give way to what the operator has named so."""

from __future__ import annotations

from collections.abc import Mapping

from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.pipeline_context import PipelineContext
from apache_beam.transforms.environments import Environment

from expansion.transforms.placement import EnvironmentHint


def settle(
    components: beam_runner_api_pb2.Components, whole: beam_runner_api_pb2.PTransform, named: Mapping[str, Environment]
) -> None:
    """Leaves a graph with the environments in which something runs: each once, and exactly as the operator gave it.

    Steps with another resource hint are in another environment, so that a runner can tell them apart. Ones that nothing
    runs in would be started, and their images pulled, for nothing.

    Args:
        components: The graph's.
        whole: The transform that all of it is a part of.
        named: The environments that hints may name.
    """
    # By name, as a map's own order differs from one process to the next, and graphs are to be the same.
    transforms = [whole, *(each for _, each in sorted(components.transforms.items()))]
    used = [each.environment_id for each in transforms if each.environment_id and not each.subtransforms]
    ids: dict[str, str] = {}
    kept: dict[bytes, str] = {}
    for environment_id in dict.fromkeys(used):
        _resolve(components.environments[environment_id], named)
        content = components.environments[environment_id].SerializeToString(deterministic=True)
        ids[environment_id] = kept.setdefault(content, environment_id)
    anywhere = next(iter(kept.values()), "")
    for transform in transforms:
        if transform.environment_id:
            transform.environment_id = ids.get(transform.environment_id, anywhere)
    for strategy in components.windowing_strategies.values():  # ours are the standard ones, which all of them know
        strategy.environment_id = ids.get(strategy.environment_id, anywhere)
    for environment_id in set(components.environments) - set(kept.values()):
        del components.environments[environment_id]


def _resolve(environment: beam_runner_api_pb2.Environment, named: Mapping[str, Environment]) -> None:
    """Puts what is named in an environment's place; what else its hints say stays."""
    if EnvironmentHint.urn not in environment.resource_hints:
        return
    hints = dict(environment.resource_hints)
    name = hints.pop(EnvironmentHint.urn).decode()
    environment.CopyFrom(named[name].to_runner_api(PipelineContext()))
    environment.resource_hints.clear()
    environment.resource_hints.update(hints)
