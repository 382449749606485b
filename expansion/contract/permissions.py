# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a configuration may ask for only if the operator of the service allows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Permission:
    """One thing to be allowed.

    Attributes:
        path: Field path, relative to the message that asks.
        option: Option of ``serve`` that allows it: "--allow-format", "--trust-type", "--allow-import",
            "--allow-server-arg", "--allow-env-var", "--allow-inline-source" or "--trust-artifact-root".
        value: What is asked for, as the option takes it: "joblib", an importable "package.module.Class", or where
            something is; empty if the option takes none.
        reason: What it does, after "got 'x', which …" or "is set, which …".
        instead: What does not need permission, after "expected …".
    """

    path: str
    option: str
    value: str
    reason: str
    instead: str
