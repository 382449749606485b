# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The conformance cases, each as rows and as a TensorBatch, on the embedded runner."""

import importlib.util
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from expansion.errors import ConfigError
from expansion.models.runtime import cuda_gpu_count

sys.path.insert(0, str(Path(__file__).parent))
from conformance_pipeline import TRANSFORMS, config_of, load, name_of, schema_of, transform_of

pytestmark = pytest.mark.runner

CONFORMANCE = Path(__file__).parents[1] / "conformance"
FILES = {name_of(path): path for folder in TRANSFORMS for path in sorted((CONFORMANCE / folder).glob("*.json"))}
CONTENTS = {name: json.loads(path.read_text()) for name, path in FILES.items()}
REFUSED = [name for name, case in CONTENTS.items() if "refused" in case]
CASES = [name for name in FILES if name not in REFUSED]
ENDS = ("rows", "tensor_batch")
MODEL_COLUMNS = {"run_inference": {"model_id"}, "ml_transform": set()}


def has_tensorrt():
    return bool(importlib.util.find_spec("tensorrt"))


GPU = pytest.mark.gpu(has_tensorrt, "TensorRT is not installed")


def can_run(name):
    return CONTENTS[name].get("needs") != "gpu" or (cuda_gpu_count() and has_tensorrt())


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The directory of the cases' models, all of them."""
    folder = tmp_path_factory.mktemp("models")
    runpy.run_path(str(CONFORMANCE / "make_models.py"))["main"](folder)
    return folder


@pytest.fixture(scope="module")
def results(models, tmp_path_factory):
    """Runs every case; returns what came out by (case, end), as {row index: predictions or error}."""
    folder = tmp_path_factory.mktemp("conformance")
    # TensorFlow and what else there is do not bear each other in one process.
    stacks = {}
    for name in filter(can_run, CASES):
        stacks.setdefault("tensorflow" in CONTENTS[name]["config"].get("model", ()), []).append(str(FILES[name]))
    found = {}
    for stack, paths in stacks.items():
        script, lines = Path(__file__).parent / "conformance_pipeline.py", folder / str(stack)
        subprocess.run([sys.executable, str(script), str(models), str(lines), *paths], check=True)
        for line in lines.read_text().splitlines():
            name, end, row, value = json.loads(line)
            found.setdefault((name, end), {})[row] = value
    return found


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=GPU if CONTENTS[name].get("needs") == "gpu" else ()) for name in CASES]
)
def test_every_row_gives_what_its_case_says(results, name, end):
    case = load(FILES[name], "")
    found = results[name, end]
    for index, expected in enumerate(case["expected"]):
        got = found[index]
        if "error" in expected:
            assert "error" in got, got
            assert got["error"]["stage"] == expected["error"]["stage"]
            assert expected["error"]["message"] in got["error"]["message"]
        else:
            assert set(got) == {*expected, *MODEL_COLUMNS[name.split("/")[0]]}
            for key, value in expected.items():
                assert (
                    got[key] == pytest.approx(value, abs=1e-6, nan_ok=True) if is_number(value) else got[key] == value
                )


def refusals():
    """Yields the refused cases at each end; not those with arrays as rows, as a Beam schema does not say their size."""
    for name in REFUSED:
        yield name, "tensor_batch"
        if not any(column["shape"] for column in CONTENTS[name]["columns"]):
            yield name, "rows"


@pytest.mark.parametrize(("name", "end"), list(refusals()))
def test_a_case_is_refused_for_the_reason_that_it_says(models, tmp_path, name, end):
    case = load(FILES[name], str(models))
    config = config_of(name, case, str(tmp_path))
    if end == "tensor_batch":
        config["tensor_batch"] = {"columns": case["columns"]}
    with pytest.raises(ConfigError) as raised:
        transform_of(name)(config, input_schema=schema_of(case) if end == "rows" else None).prepare()
    assert case["refused"] in str(raised.value)


def is_number(value):
    return any(map(is_number, value)) if isinstance(value, list) else isinstance(value, (int, float))
