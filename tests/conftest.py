# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What tests of several folders share."""

import io
import runpy
import zipfile
from pathlib import Path

import pytest

CONFORMANCE = Path(__file__).parent / "conformance"


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A directory with those of the conformance cases' models that take no time to make."""
    folder = tmp_path_factory.mktemp("models")
    runpy.run_path(str(CONFORMANCE / "make_models.py"))["main"](folder, large_frameworks=False)
    return folder


@pytest.fixture(scope="session")
def adder():
    """Makes ONNX models that add a number: x FP32 → y FP32, scalars unless told otherwise. All have the same size."""
    from onnx import TensorProto, helper

    def adder(number, output="y", shape=()):
        shape = ["batch", *shape]
        node = helper.make_node("Add", ["x", "number"], [output])
        graph = helper.make_graph(
            [node],
            "adder",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            [helper.make_tensor("number", TensorProto.FLOAT, [], [float(number)])],
        )
        opset = helper.make_opsetid("", 17)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()

    return adder


@pytest.fixture
def make_wheel(tmp_path):
    """Makes wheels of the given modules; returns their paths."""

    def make(modules, name="their_models-1.0-py3-none-any.whl", metadata="their_models-1.0.dist-info"):
        folder = tmp_path / "wheels"
        folder.mkdir(exist_ok=True)
        with zipfile.ZipFile(folder / name, "w") as archive:
            for path, text in modules.items():
                archive.writestr(path, text)
            archive.writestr(f"{metadata}/METADATA", "Metadata-Version: 2.1\nName: their-models\nVersion: 1.0\n")
            archive.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{metadata}/RECORD", "")
        return folder / name

    return make


@pytest.fixture(scope="session")
def object_store():
    """The objects of a filesystem of Beam's that knows names and no directories, as GCS and S3 do."""
    from apache_beam.io.filesystem import FileMetadata, FileSystem

    objects = {}

    class ObjectStore(FileSystem):
        @classmethod
        def scheme(cls):
            return "objects"

        def has_dirs(self):
            return False

        def _list(self, prefix):
            return [FileMetadata(name, len(data)) for name, data in objects.items() if name.startswith(prefix)]

        def open(self, path, mime_type="", compression_type=""):
            if path not in objects:
                raise FileNotFoundError(path)
            return io.BytesIO(objects[path])

        def exists(self, path):
            return path in objects

        join = split = mkdirs = create = copy = rename = size = last_updated = metadata = delete = None

    yield objects
    assert ObjectStore  # Beam finds it for as long as something refers to it
