# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What tests of several folders share."""

import runpy
from pathlib import Path

import pytest

CONFORMANCE = Path(__file__).parent / "conformance"


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A directory with those of the conformance cases' models that take no time to make."""
    folder = tmp_path_factory.mktemp("models")
    runpy.run_path(str(CONFORMANCE / "make_models.py"))["main"](folder, large_frameworks=False)
    return folder
