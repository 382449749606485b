# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The graph that tensorflow-transform, or Beam's MLTransform, has written: applied to columns, on workers."""

from __future__ import annotations

import os
import tempfile
import threading
import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from expansion.contract.problems import did_you_mean
from expansion.errors import SystemicError, first_line
from expansion.files import local_copy, local_file, require_sha256, sha256_of
from expansion.models import stacks
from expansion.models.saved_model_file import SavedModelError, read_saved_model
from expansion.operations import artifact
from expansion.operations.artifact import uri_of
from expansion.operations.manifest import GraphFile
from expansion.tensors.columns import Columns
from expansion.tft.beam_artifact import GRAPH, GRAPH_FILE, checked
from expansion.tft.graph import Graph

# What is in use in this process, so that its threads and steps share it.
_loaded: WeakValueDictionary[tuple[str, str], Any] = WeakValueDictionary()
_loading = threading.Lock()


def load(location: str, sha256: str, graph: Graph) -> TransformFn:
    """Reads an artifact on a worker, its graph's file checked; one that is in use in this process already is shared.

    Args:
        location: Its directory.
        sha256: Of its manifest; of an artifact of Beam's, of the graph's file.
        graph: What the graph takes and makes.

    Raises:
        SystemicError: It can't be read, is not as it was written, another one than expected, or not run.
    """
    with _loading:
        key = graph.directory or location, sha256
        saved = _loaded.get(key)
        if saved is None:
            with _beams(graph.directory, sha256) if graph.directory else _of_this_package(location, sha256) as path:
                _loaded[key] = saved = _load(path, key[0])
    return TransformFn(saved, graph)


@contextmanager
def _beams(directory: str, sha256: str) -> Iterator[Path]:
    with local_copy(f"{directory}/{GRAPH}") as path:
        if sha256_of(path / Path(GRAPH_FILE).name) != sha256:
            raise artifact.another_one(directory)
        yield path


@contextmanager
def _of_this_package(location: str, sha256: str) -> Iterator[Path]:
    file = artifact.read(location, sha256).manifest.transform_fn
    if file is None:
        raise SystemicError(f"the artifact in {location!r} is not of engine TFT; set engine to 'native'")
    with tempfile.TemporaryDirectory(prefix="beam-ml-expansion-") as folder:
        _extract(uri_of(location, file.file), file, folder)
        yield Path(folder, GRAPH)


def _extract(uri: str, file: GraphFile, folder: str) -> None:
    with local_file(uri) as path:
        require_sha256(path, file.sha256)
        try:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)  # which keeps members within the folder
        except (OSError, zipfile.BadZipFile) as error:
            raise SystemicError(f"can't read {uri!r}: {first_line(error)}") from error


def _load(path: Path, place: str) -> Any:
    """Loads a SavedModel; its files are not needed after that."""
    stacks.claim("tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors
    try:
        import tensorflow as tf

        from expansion.models.tensorflow_function import find_gpus
    except ImportError as error:
        raise SystemicError("tensorflow is missing; install beam-ml-expansion[tft] on the workers") from error
    try:
        with open(path / Path(GRAPH_FILE).name, "rb") as file:
            checked(read_saved_model(file), place)
        find_gpus()
        with tf.device("/CPU:0"):  # where its tables and texts have to be
            saved = tf.saved_model.load(str(path))
        _ = saved.transform_fn.structured_input_signature
    except SystemicError:
        raise
    except SavedModelError as error:
        raise SystemicError(f"the graph in {place!r} is of no SavedModel: {error}") from error
    except Exception as error:  # a damaged file may raise anything
        raise SystemicError(f"TensorFlow can't load the graph in {place!r}: {first_line(error)}") from error
    return saved


class TransformFn:
    """A graph that is loaded, as an operation; used by several threads.

    Args:
        saved: What TensorFlow has loaded, which holds the graph's tables.
        graph: What is wanted of it.

    Raises:
        SystemicError: It takes or makes other columns.
    """

    def __init__(self, saved: Any, graph: Graph):
        self._saved = saved
        self._graph = graph
        self._specs = saved.transform_fn.structured_input_signature[0][0]
        _require("takes", graph.takes, self._specs)
        _require("makes", graph.makes, saved.transform_fn.structured_outputs)

    def __call__(self, columns: Columns) -> Columns:
        """Returns the columns after the graph.

        Raises:
            ValueError: TensorFlow refuses some row.
            BadRows: A result of some row has not the shape that it is to have.
            SystemicError: No row can be worked on.
        """
        import tensorflow as tf

        from expansion.models.tensorflow_function import errors_of_tensorflow
        from expansion.tft.tensors import column_of, nothing, tensor_of

        rows, takes = columns.row_count, self._graph.takes
        with errors_of_tensorflow(), tf.device("/CPU:0"):
            feed = {
                name: tensor_of(columns[name], takes[name], spec) if name in takes else nothing(spec, rows)
                for name, spec in self._specs.items()
            }
            results = self._saved.transform_fn(feed)
        made = {name: column_of(field, results[name], rows) for name, field in self._graph.makes.items()}
        return columns.select([name for name in columns if name not in self._graph.drops]).with_columns(made)


def _require(does: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise SystemicError(f"the graph {does} no column {name!r}; {did_you_mean(name, known)}")
