# Licensed under the Apache License, Version 2.0; see LICENSE.
"""This package as a wheel of what runs here."""

import io
import json
import subprocess
import sys
import zipfile
from importlib import metadata

import pytest

from expansion.service import artifacts, own_wheel, server_config, staged_wheels, wheels


def test_an_operator_names_it_with_the_extras_that_workers_need():
    [wheel] = staged_wheels.read_all(["beam-ml-expansion[sklearn,onnx]"])
    version = metadata.version("beam-ml-expansion")
    assert (wheel.project, wheel.version, wheel.extras) == ("beam-ml-expansion", version, ("onnx", "sklearn"))
    _, requirements = artifacts.of_wheels([wheel])
    assert requirements.data.decode() == f"beam-ml-expansion[onnx,sklearn]=={version}\n"
    assert staged_wheels.read_all(["Beam_ML_Expansion"])[0].requirement == f"beam-ml-expansion=={version}"


def test_a_path_is_a_path_even_where_it_looks_like_the_name(make_wheel):
    assert own_wheel.extras_of("beam-ml-expansion==0.1.0") is None
    assert own_wheel.extras_of("./beam-ml-expansion") is None
    path = make_wheel({"their_models.py": ""})
    assert [wheel.project for wheel in staged_wheels.read_all([str(path), "beam-ml-expansion"])] == [
        "their-models",
        "beam-ml-expansion",
    ]


def test_an_unknown_extra_is_refused_with_what_may_have_been_meant():
    with pytest.raises(wheels.WheelError, match="no extra 'sklear'; did you mean 'sklearn'"):
        staged_wheels.read_all(["beam-ml-expansion[sklear]"])


def test_it_may_be_there_once():
    with pytest.raises(wheels.WheelError, match="are one project; a worker can have one of them"):
        staged_wheels.read_all(["beam-ml-expansion[onnx]", "beam-ml-expansion"])


def test_the_same_files_make_the_same_wheel():
    assert own_wheel.build() == own_wheel.build()
    assert own_wheel.build(("onnx",)).sha256 == own_wheel.build().sha256


def test_a_configuration_file_names_it_beside_files_of_its_own_folder(tmp_path):
    (tmp_path / "server.yaml").write_text(
        json.dumps({"worker_packages": ["a-1-py3-none-any.whl", "beam-ml-expansion[onnx]"]})
    )
    packages = server_config.read(tmp_path / "server.yaml").worker_packages
    assert list(packages) == [str(tmp_path / "a-1-py3-none-any.whl"), "beam-ml-expansion[onnx]"]


def test_pip_installs_what_runs_here(tmp_path):
    wheel = own_wheel.build()
    (tmp_path / wheel.staged_name).write_bytes(wheel.data)
    options = ["--quiet", "--no-deps", "--no-index", f"--target={tmp_path}/installed"]
    command = ["uv", "pip", "install", "--python", sys.executable, *options, str(tmp_path / wheel.staged_name)]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as archive:
        names = [name for name in archive.namelist() if name.startswith("expansion/")]
        for name in names:
            assert (tmp_path / "installed" / name).read_bytes() == archive.read(name)
    assert "expansion/contract/_gen/server_pb2.py" in names
    [installed] = metadata.distributions(path=[str(tmp_path / "installed")])
    assert installed.requires == metadata.distribution("beam-ml-expansion").requires
    assert "beam-ml-expansion" in {entry.name for entry in installed.entry_points}
