# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What tests of several folders share."""

import io
import runpy
import zipfile
from pathlib import Path

import hypothesis
import pytest

from expansion.models.runtime import cuda_gpu_count

# No test fails on a clock: machines are slow at times.
hypothesis.settings.register_profile("any speed", deadline=None)
hypothesis.settings.load_profile("any speed")

CONFORMANCE = Path(__file__).parent / "conformance"


@pytest.hookimpl(tryfirst=True)  # before fixtures are made
def pytest_runtest_setup(item):
    """Skips what needs an NVIDIA GPU where there is none: the tests and parameters that are marked with ``gpu``.

    ``pytest.mark.gpu(usable, otherwise)`` skips where ``usable()`` is false as well, and says ``otherwise``: it is for
    whether the framework can use the GPU, and is asked in the test's own process, only where there is one.
    """
    for mark in item.iter_markers("gpu"):
        if not cuda_gpu_count():
            pytest.skip("no NVIDIA GPU on this machine")
        usable, otherwise = mark.args or (lambda: True, "")
        if not usable():
            pytest.skip(otherwise)


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

    class Writing(io.BytesIO):
        """An object that is there when it is closed."""

        def __init__(self, path):
            super().__init__()
            self._path = path

        def close(self):
            objects[self._path] = self.getvalue()
            super().close()

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

        def create(self, path, mime_type="", compression_type=""):
            return Writing(path)

        def exists(self, path):
            return path in objects

        def delete(self, paths):
            for path in paths:
                del objects[path]

        join = split = mkdirs = copy = rename = size = last_updated = metadata = None

    yield objects
    assert ObjectStore  # Beam finds it for as long as something refers to it


@pytest.fixture
def write_artifact():
    """Writes an artifact of MLTransform that scales age from [0, 10] and knows the words b and a of city.

    Its arguments: where; words, the most frequent first; the largest age; whether to overwrite. Returns its SHA-256.
    """
    import numpy as np
    import pyarrow as pa

    from expansion.contract.fields import Field
    from expansion.operations.manifest import LearnedByOne, Manifest
    from expansion.operations.statistic import Vocabulary
    from expansion.transforms.artifact import write_manifest, write_vocabulary

    def write(location, words=(b"b", b"a"), largest=10.0, overwrite=False):
        counts = np.arange(len(words), 0, -1)
        vocabulary = write_vocabulary(location, [Vocabulary(pa.array(words, pa.binary()), counts)])
        age, city = Field("age", "FP64"), Field("city", "STRING")
        operations = (
            LearnedByOne({"scale_to_01": {"columns": ["age"]}}, {"age.range": {"min": 0.0, "max": largest}}, {}),
            LearnedByOne(
                {"compute_and_apply_vocabulary": {"columns": ["city"], "outputs": ["index"]}},
                {},
                {"city.vocabulary": vocabulary},
            ),
        )
        manifest = Manifest((age, city), operations, (age, city, Field("index", "INT64")))
        return write_manifest(location, manifest, overwrite)

    return write
