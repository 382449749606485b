# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Real requests, changed here and there by what they are made of: does the service answer all of them clearly?"""

from __future__ import annotations

import collections
import contextlib
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from google.protobuf import text_format

from benchmarks.service import services
from benchmarks.service.answers import ask
from benchmarks.service.config_rows import payload_of
from benchmarks.service.mutation import Mutation
from benchmarks.service.requests import ExpansionRequest, Requests
from benchmarks.service.row import Row
from expansion.contract import urns
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.config import to_mapping
from expansion.service.requests import SCHEMA_TRANSFORM

_TEXTS = Path(__file__).parents[2] / "tests/service/requests"
_COUNT, _SHORT_COUNT = 20_000, 2_000
_AT_A_TIME, _CLIENTS = 200, 4


def run(short: bool) -> Row:
    """Sends changed requests one after another, the same ones each time; BEAMML_FUZZ_SEED is for others."""
    seed = int(os.environ.get("BEAMML_FUZZ_SEED", "1"))
    count = _SHORT_COUNT if short else _COUNT
    faults: collections.Counter[str] = collections.Counter()
    graphs = 0
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bml"))
        service = stack.enter_context(services.ours())
        channel = stack.enter_context(service.channel())
        clients = stack.enter_context(ThreadPoolExecutor(_CLIENTS))
        real = _real(Requests(Path(folder)))
        stub = services.stub_of(channel)
        unwell = [name for name, request in real.items() if ask(stub, request).error]
        mutation = Mutation(list(real.values()), seed)
        for _ in range(count // _AT_A_TIME):
            for answer in clients.map(lambda request: ask(stub, request), [mutation.next() for _ in range(_AT_A_TIME)]):
                graphs += not answer.error
                faults[answer.fault[:200]] += 1
        log = service.log.read_text(errors="replace")
        tracebacks, crashes = log.count("Traceback"), int(service.process.poll() is not None)
        if tracebacks:
            print(log[log.index("Traceback") :][:6000], file=sys.stderr)
    del faults[""]
    for fault, times in faults.items():
        print(f"fuzz: seed {seed}: {times} × {fault}", file=sys.stderr)
    ours = f"{crashes} crashes, {tracebacks} tracebacks, {faults.total()} unclear answers, {graphs:,} graphs"
    for name in unwell:
        print(f"fuzz: {name} gets no graph before it is changed", file=sys.stderr)
    holds = not (crashes or tracebacks or faults or unwell) and 0 < graphs < count
    return Row(f"{count:,} real requests, changed", "–", ours, holds)


def _real(requests: Requests) -> dict[str, ExpansionRequest]:
    """Returns what clients send: Java's and Python's, of rows and TensorBatches, as messages and as rows."""
    rows = requests.ours(0)
    config = RunInferenceConfig.FromString(rows.transform.spec.payload)
    model = to_mapping(config.model)
    found = {"python rows": rows}
    wire = RunInferenceConfig(
        model=model,
        inputs=[{"name": "X", "columns": ["a", "b"]}],
        pre_hooks=[
            {"scale": {"columns": ["a"], "affine": {"factor": 2}}},
            {"cast": {"columns": ["b"], "datatype": "FP64"}},
        ],
        outputs=[{"source": "predict"}],
        batching={"max_batch_size": 32, "length_boundaries": []},
        tensor_batch={
            "columns": [{"name": "a", "datatype": "FP64"}, {"name": "b", "datatype": "FP64"}],
            "opaque_columns": ["element"],
        },
    )
    by_key = RunInferenceConfig()
    by_key.CopyFrom(wire)
    by_key.tensor_batch.columns.add(name="key", datatype="STRING")
    by_key.per_key.column, by_key.per_key.uris["one"] = "key", model["sklearn"]["uri"]
    arms = RunInferenceConfig()
    arms.CopyFrom(by_key)
    arms.ClearField("model")
    arms.split.column = "key"
    for name in ("one", "other"):
        arms.split.arms.add(name=name, weight=1, model=model)
    found |= {"wire": _java("bytes", wire), "by key": _java("bytes", by_key), "arms": _java("bytes", arms)}
    found["as a row"] = _as_row(rows, urns.RUN_INFERENCE_SCHEMA_TRANSFORM, to_mapping(config))
    learning = {"operations": [{"scale_to_01": {"columns": ["a0"]}}], "write_artifact_location": "/tmp/none"}  # noqa: S108
    found["learning"] = _as_row(rows, urns.ML_TRANSFORM_SCHEMA_TRANSFORM, learning)
    return found


def _java(name: str, config: RunInferenceConfig) -> ExpansionRequest:
    request = text_format.Parse((_TEXTS / f"java_{name}.textproto").read_text(), ExpansionRequest())
    request.transform.spec.payload = config.SerializeToString()
    return request


def _as_row(request: ExpansionRequest, identifier: str, config: dict[str, object]) -> ExpansionRequest:
    changed = ExpansionRequest()
    changed.CopyFrom(request)
    changed.transform.spec.urn = SCHEMA_TRANSFORM
    changed.transform.spec.payload = payload_of(identifier, config)
    return changed
