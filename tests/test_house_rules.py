# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The tree explains the system: names agree everywhere, and imports go one way."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import expansion
from expansion import hooks, models, operations
from expansion.contract._gen import hook_pb2, model_pb2, operation_pb2

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "expansion"

# What a folder may import from, besides itself.
LAYERS = {
    "cli": {
        "catalogue",
        "extras",
        "snippets",
        "trial",
        "service",
        "transforms",
        "models",
        "files",
        "contract",
        "errors",
    },
    "snippets": {"transforms", "models", "hooks", "operations", "contract", "errors"},
    "trial": {"transforms", "files", "contract", "errors"},
    "page": {"catalogue", "snippets", "transforms", "contract", "errors"},
    "service": {
        "page",
        "transforms",
        "models",
        "hooks",
        "operations",
        "tensors",
        "files",
        "contract",
        "lifeline",
        "errors",
    },
    "transforms": {"tft", "models", "hooks", "operations", "files", "output_files", "tensors", "contract", "errors"},
    "tft": {"models", "operations", "files", "lifeline", "tensors", "contract", "errors"},
    "models": {"files", "imports", "lifeline", "tensors", "contract", "errors"},
    "operations": {"hooks", "files", "tensors", "contract", "errors"},
    "hooks": {"files", "imports", "tensors", "contract", "errors"},
    "tensors": {"contract", "errors"},
    "contract": {"errors"},
    "files": {"errors"},
    "output_files": {"files", "errors"},
    "imports": {"errors"},
    "lifeline": set(),
    "catalogue": {"contract"},
    "extras": set(),
    "errors": set(),
}
# This hook is a chain of operations. Like any hook it is imported when it is asked for.
MORE_OF = {"expansion/hooks/ml_transform.py": {"operations"}}


def oneof(message, name):
    return [field.name for field in message.DESCRIPTOR.oneofs_by_name[name].fields]


def modules(folder):
    return {path.stem for path in (PACKAGE / folder).glob("*.py")}


def imports(path):
    """Yields the dotted names that a file imports from this package."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "expansion":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "expansion")


def cases(folder="run_inference"):
    return [json.loads(path.read_text()) for path in (ROOT / "tests/conformance" / folder).glob("*.json")]


def test_every_hook_of_the_contract_has_a_module_a_case_and_a_row_in_the_readme():
    names = oneof(hook_pb2.Hook, "operation")
    assert list(hooks.NAMES) == names
    assert set(names) <= modules("hooks")
    used = {
        name
        for case in cases()
        for key in ("pre_hooks", "post_hooks")
        for h in case["config"].get(key, ())
        for name in h
    }
    assert used == set(names)
    readme = (ROOT / "README.md").read_text()
    assert [name for name in names if f"| `{name}` |" not in readme] == []


def test_every_framework_of_the_contract_has_a_module_an_extra_a_case_and_a_row_in_the_readme():
    names = oneof(model_pb2.Model, "framework")
    assert list(models.NAMES) == names
    assert set(names) <= modules("models")
    others = {field.name for field in model_pb2.Model.DESCRIPTOR.fields} - set(names)  # of any framework, as sha256 is
    assert {name for case in cases() for name in case["config"].get("model", ())} - others == set(names)
    pyproject = (ROOT / "pyproject.toml").read_text()
    extras = pyproject.split("[project.optional-dependencies]")[1].split("[")[0:]
    declared = [
        line.split(" = ")[0] for line in "[".join(extras).splitlines() if " = [" in line and not line.startswith("dev")
    ]
    # Nobody knows what custom models need; gRPC is there anyway.
    extras_of = {"custom": set(), "open_inference": set(), "vertex_ai": {"gcp"}, "embedding_service": {"openai"}}
    assert set().union(*(extras_of.get(name, {name}) for name in names)) <= set(declared)
    readme = (ROOT / "README.md").read_text()
    assert [name for name in names if f"| `{name}` |" not in readme] == []


def test_every_operation_of_the_contract_has_a_module_tests_of_its_own_and_a_case():
    names = oneof(operation_pb2.Operation, "operation")
    assert list(operations.NAMES) == names
    assert set(names) <= modules("operations")
    assert {f"test_{name}" for name in names} <= {path.stem for path in (ROOT / "tests/operations").glob("*.py")}
    ran = [case["config"]["operations"] for case in cases("ml_transform") if "expected" in case]
    assert {name for chain in ran for operation in chain for name in operation} == set(names)


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_one_way(layer):
    files = (PACKAGE / layer).rglob("*.py") if (PACKAGE / layer).is_dir() else [PACKAGE / f"{layer}.py"]
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        if "_gen" not in path.parts
        for name in imports(path)
        if name.split(".")[1] not in LAYERS[layer] | {layer} | MORE_OF.get(str(path.relative_to(ROOT)), set())
    ]
    assert wrong == []


def test_the_contract_is_read_without_importing_beam_or_a_framework():
    code = "import sys, expansion.contract.config; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"apache_beam", "grpc", "onnxruntime", "sklearn", "torch", "tensorflow"} & set(loaded)


def test_hooks_models_and_operations_are_checked_without_importing_beam_or_a_framework():
    code = (
        "import sys; from expansion import hooks, models, operations; import importlib\n"
        "[importlib.import_module(f'expansion.hooks.{n}') for n in hooks.NAMES]\n"
        "[importlib.import_module(f'expansion.models.{n}') for n in models.NAMES]\n"
        "[importlib.import_module(f'expansion.operations.{n}') for n in operations.NAMES]\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"apache_beam", "grpc", "onnxruntime", "sklearn", "skops"} & set(loaded)


def test_the_public_names_are_these():
    assert expansion.__all__ == ["MLTransform", "RunInference"]
    assert expansion.MLTransform.__module__ == "expansion.transforms.ml_transform"
    assert expansion.RunInference.__module__ == "expansion.transforms.run_inference"


def test_every_source_file_names_the_licence():
    sources = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "proto").rglob("*.proto")]
    sources += [path for path in (ROOT / "java-example").rglob("*.java") if "build" not in path.parts]
    missing = [
        str(path.relative_to(ROOT))
        for path in sources
        if "_gen" not in path.parts and "see LICENSE." not in path.read_text()[:300]
    ]
    assert missing == []
