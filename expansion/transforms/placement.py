# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where steps run: in the environment that the operator of a service has for them, and apart from what aborts them.

Either is said by a resource hint. Runners start workers for each environment, and environments with different hints are
different. What names an environment, the service puts in its place before a runner sees it. Beside that, where models
may be that data names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from apache_beam.transforms.resources import ResourceHint

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.places import Places
from expansion.contract.problems import at, did_you_mean
from expansion.errors import Problem
from expansion.models import stacks
from expansion.transforms.chain import steps_of
from expansion.transforms.routing import named_models


class StackHint(ResourceHint):  # type: ignore[misc]
    """Names the stack of a step's frameworks; runners that don't know it do nothing with it."""

    urn = "beamml:resources:stack:v1"


class EnvironmentHint(ResourceHint):  # type: ignore[misc]
    """Names the environment of a step, as the operator of the service does."""

    urn = "beamml:resources:environment:v1"

    @classmethod
    def parse(cls, value: str) -> dict[str, bytes]:
        """Returns the name in UTF-8: a command may have any letters."""
        return {cls.urn: value.encode()}


ResourceHint.register_resource_hint("beamml_stack", StackHint)
ResourceHint.register_resource_hint("beamml_environment", EnvironmentHint)


@dataclass(frozen=True)
class Placement:
    """What the operator of a service has decided of where steps run and models are. Without a service, nothing.

    Attributes:
        names: The environments that a configuration may name.
        of_frameworks: Environments by the framework whose models run there; of others they run in the service's own.
        of_data: Where models may be that keys or uris in the data name. Default: anywhere.
    """

    names: Collection[str] = ()
    of_frameworks: Mapping[str, str] = field(default_factory=dict)
    of_data: Places | None = None

    def check(self, config: RunInferenceConfig | MLTransformConfig) -> Iterator[Problem]:
        """Yields what is wrong with the environments that a checked configuration names, or needs."""
        if isinstance(config, MLTransformConfig):
            yield from self._check_name(config.environment)
            return
        for path, step in steps_of(config):
            yield from at(path, self._check_name(step.environment))
            yield from at(path, self._check_agreement(step))

    def hints(self, frameworks: Collection[str], environment: str) -> dict[str, str]:
        """Returns the hints of a step, as arguments of Beam's ``with_resource_hints``.

        Args:
            frameworks: Those that it loads.
            environment: The one that the configuration names for it, or "".
        """
        of_step = {stacks.stack_of(framework) for framework in frameworks}
        stack = of_step.pop() if len(of_step) == 1 else stacks.DEFAULT
        named = environment or next(iter(self._environments(frameworks)), "")
        hints = {"beamml_stack": "" if stack == stacks.DEFAULT else stack, "beamml_environment": named}
        return {name: value for name, value in hints.items() if value}

    def of_step(self, step: RunInferenceConfig) -> dict[str, str]:
        """Returns the hints of a model's part of a configuration."""
        return self.hints(frameworks_of(step), step.environment)

    def _environments(self, frameworks: Collection[str]) -> list[str]:
        """Returns the different environments of some frameworks, in order; "" is the service's own."""
        return sorted({self.of_frameworks.get(framework, "") for framework in frameworks})

    def _check_name(self, name: str) -> Iterator[Problem]:
        if not name or name in self.names:
            return
        if self.names:
            hint = did_you_mean(name, self.names)
            if hint.startswith("did"):
                hint += f" The operator of the service has named {', '.join(map(repr, sorted(self.names)[:20]))}"
            kind = "; it is a name, and what it stands for is the operator's to say" if ":" in name else ""
            yield Problem("environment", f"no such environment here; got {name[:70]!r}{kind}; {hint}")
        else:
            reason = "and environments are named by the operator of a service, who has named none here"
            yield Problem("environment", f"got {name[:70]!r}, {reason}; leave it out, or call a service that has it")

    def _check_agreement(self, step: RunInferenceConfig) -> Iterator[Problem]:
        frameworks = frameworks_of(step)
        environments = self._environments(frameworks)
        if len(environments) > 1 and not step.environment:
            which = " and ".join(repr(each) if each else "the default" for each in environments)
            reason = (
                f"models of {' and '.join(sorted(frameworks))} run in one step, and the service has {which} for them"
            )
            yield Problem("environment", f"{reason}; name one that has all of these frameworks")


NOWHERE = Placement()


def frameworks_of(step: RunInferenceConfig) -> set[str]:
    """Returns the frameworks of the models of one step."""
    return {str(model.WhichOneof("framework")) for _, model in named_models(step)}
