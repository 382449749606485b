# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a snippet is of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from expansion.contract import urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.config import to_mapping
from expansion.contract.fields import Fields
from expansion.transforms import routing

AnyConfig: TypeAlias = RunInferenceConfig | MLTransformConfig
# What people replace.
SERVICE, JOB_SERVICE = "localhost:8097", "localhost:8099"


@dataclass(frozen=True)
class Call:
    """A transform and its input.

    Attributes:
        config: The configuration; of a preset, what the operator has published.
        columns: The columns of the input.
        name: What the code is to be called, as a file's name or a preset's is: "digits".
        preset: Name of the preset; empty if it is none.
    """

    config: AnyConfig
    columns: Fields
    name: str
    preset: str = ""

    @property
    def is_inference(self) -> bool:
        """Whether it is RunInference, and not MLTransform."""
        return isinstance(self.config, RunInferenceConfig)

    @property
    def urn(self) -> str:
        """The transform's URN, for a serialized message."""
        return urns.RUN_INFERENCE if self.is_inference else urns.ML_TRANSFORM

    @property
    def identifier(self) -> str:
        """The identifier of the transform that takes a row."""
        if self.preset:
            return urns.preset_identifier(self.preset)
        return urns.RUN_INFERENCE_SCHEMA_TRANSFORM if self.is_inference else urns.ML_TRANSFORM_SCHEMA_TRANSFORM

    @property
    def uris(self) -> str:
        """The uri that stands for the second input's, where there is one; else empty."""
        if isinstance(self.config, RunInferenceConfig) and self.config.HasField("model_uris"):
            return routing.signature_route(self.config)
        return ""

    @property
    def serve_command(self) -> str:
        """The command that runs a service for it on this machine, with a runner whose job service is on port 8099."""
        config = " --config server.yaml" if self.preset else ""
        return f"beam-ml-expansion serve{config} --local-runner --job-port 8099"

    @property
    def errors(self) -> str:
        """Name of the second output, of rows that fail: as the configuration says, or ours."""
        return "errors" if self.preset else self.config.error_handling.output or "errors"

    @property
    def class_name(self) -> str:
        """The name as that of a class: "Digits"."""
        words = re.findall(r"[A-Za-z0-9]+", self.name)
        name = "".join(word[0].upper() + word[1:] for word in words) or "Example"
        return name if name[0].isalpha() else f"Example{name}"

    def mapping(self) -> dict[str, Any]:
        """Returns the configuration as mappings and lists, with a second output for rows that fail."""
        config = to_mapping(self.config)
        config["error_handling"] = {"output": self.errors, **config.get("error_handling", {})}
        return config


def as_yaml(value: Any) -> str:
    """Returns mappings and lists as YAML."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
