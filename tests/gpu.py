# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Runs the tests that are marked with ``gpu``, each file in a process of its own, as TensorFlow and PyTorch need it.

Files whose imports are not installed are named and left out, so that any Python with one of the frameworks will do;
where there is no GPU, all are skipped. Ends with a table, as ``make test`` does. Reports are in build/test-gpu.

Usage: python tests/gpu.py [PYTEST_OPTION…]     (make test-gpu sets up first; docs/gpu.md says what else is needed)
"""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / "build" / "test-gpu"


def main(*options: str) -> int:
    """Runs them all, also if some fail; returns 1 then."""
    shutil.rmtree(REPORTS, ignore_errors=True)
    # Where this package is not installed, worker processes are to find it all the same.
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    failed, left_out = [], []
    for path in files():
        name = str(path.relative_to(ROOT))
        missing = sorted(set(missing_packages(path)))
        if missing:
            left_out.append(f"{name}: {', '.join(missing)} not installed")
            continue
        print(f"\n== {name}", flush=True)
        report = f"--junitxml={REPORTS / path.stem}.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", report, *options, name]
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(name)
    print("\n== summary")
    for line in [*(f"not run, {line}" for line in left_out), *(f"FAILED: {name}" for name in failed)]:
        print(line)
    sys.stdout.flush()
    subprocess.run([sys.executable, "tests/summary.py", str(REPORTS), str(REPORTS / "none")], cwd=ROOT)
    return bool(failed)


def files() -> Iterator[Path]:
    """Yields the files that have such tests."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "pytest.mark.gpu" in path.read_text():
            yield path


def missing_packages(path: Path) -> Iterator[str]:
    """Yields what a file imports when it is loaded, or needs otherwise, and what is not installed."""
    if path.parent.name == "runners" and not list(metadata.distributions(name="beam-ml-expansion")):
        yield "beam-ml-expansion"  # whose pipelines say its version
    for node in ast.parse(path.read_text()).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        for name in (name.partition(".")[0] for name in names):
            if not importlib.util.find_spec(name) and not (path.parent / f"{name}.py").exists():
                yield name


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
