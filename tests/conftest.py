# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What tests of several folders share."""

import runpy
from pathlib import Path

import pytest

CONFORMANCE = Path(__file__).parent / "conformance"


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """The directory of the conformance cases' models."""
    folder = tmp_path_factory.mktemp("models")
    runpy.run_path(str(CONFORMANCE / "make_models.py"))["main"](folder)
    return folder
