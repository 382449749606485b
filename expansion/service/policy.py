# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the operator of a service lets clients ask for, beyond what is right by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from expansion import models
from expansion.contract._gen import run_inference_pb2
from expansion.errors import Problem


@dataclass(frozen=True)
class Policy:
    """What may run code from a model's file when workers load it, and is allowed all the same.

    Attributes:
        allowed_formats: Formats of model files, such as "joblib".
        trusted_types: Types in skops files, as "module.Class", beside those that are known to be harmless.
    """

    allowed_formats: frozenset[str] = frozenset()
    trusted_types: frozenset[str] = frozenset()

    def check(self, config: run_inference_pb2.RunInferenceConfig) -> Iterator[Problem]:
        """Yields what a checked configuration asks for and the operator does not allow."""
        name, message = models.framework(config.model)
        module = models.module_of(config.model)
        format_ = module.unsafe_format(message)
        if format_ and format_ not in self.allowed_formats:
            yield Problem(
                f"model.{name}.format",
                f"got {format_!r}, which runs code from the model's file; expected a format that does not; save the "
                f"model in another one, or start the service with --allow-format {format_}",
            )
        for path, type_ in module.unsafe_types(message).items():
            if type_ not in self.trusted_types:
                yield Problem(
                    f"model.{name}.{path}",
                    f"got {type_[:100]!r}, which may run code from the model's file; expected classes that estimators "
                    f"are made of; leave it out, or start the service with --trust-type {type_[:100]}",
                )
