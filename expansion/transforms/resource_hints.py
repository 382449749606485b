# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a model's workers need: checked before anything runs, as runners pass over what they can't read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from expansion.contract._gen.run_inference_pb2 import ResourceHints
from expansion.errors import Problem

EXAMPLE = "type:nvidia-l4;count:1;install-nvidia-driver"
# Settings of an accelerator that Dataflow documents: https://cloud.google.com/dataflow/docs/gpu/use-gpus and, of TPUs,
# https://cloud.google.com/dataflow/docs/tpu/use-tpus. Others may come.
_SETTINGS = ("type", "count", "topology", "machine_type", "install-nvidia-driver", "use_nvidia_mps")
_SETTING = re.compile(r"([a-z][a-z0-9_-]*)(?::([A-Za-z0-9_.-]+))?")
# Types as Dataflow names them, by what else they are called. Others are taken as they are, as new ones come.
_GPUS = ("l4", "tesla-t4", "tesla-p4", "tesla-p100", "tesla-v100", "tesla-a100", "a100-80gb", "h100-80gb")
_GPU_NAMES = {
    **{name.removeprefix("tesla-"): f"nvidia-{name}" for name in _GPUS},
    "a100-40gb": "nvidia-tesla-a100",
    "h100": "nvidia-h100-80gb",
}
_TYPE = re.compile("[a-z][a-z0-9]*(-[a-z0-9]+)*")  # as Compute Engine's resources are named
_NO_TYPES = ("accelerator", "cuda", "gpu", "nvidia", "nvidia-gpu", "tpu")
# GPUs that Compute Engine puts into one machine: https://cloud.google.com/compute/docs/gpus
_COUNTS = ("1", "2", "4", "8", "16")
_TOPOLOGY = re.compile(r"[1-9]\d*(x[1-9]\d*){1,2}")
# What apache_beam.transforms.resources reads.
_SIZE = re.compile(r"\d+(\.\d+)? ?([KMGTP]i?)?B")


def check(hints: ResourceHints) -> Iterator[Problem]:
    """Yields what is wrong with hints; paths are relative to them."""
    if hints.accelerator:
        wrong = "; ".join(_wrong_with_accelerator(hints.accelerator))
        if wrong:
            yield Problem("accelerator", f"got {hints.accelerator[:100]!r}: {wrong}; expected such as {EXAMPLE!r}")
    if hints.min_ram and not _SIZE.fullmatch(hints.min_ram):
        yield Problem(
            "min_ram", f"got {hints.min_ram[:60]!r}; expected a number and a unit, such as '16GB' or '512MiB'"
        )
    for name in ("cpu_count", "max_active_bundles_per_worker"):
        if not 0 <= getattr(hints, name) < 1 << 31:
            yield Problem(
                name, f"got {getattr(hints, name)}; expected a positive number, or 0 for the runner's default"
            )


def keywords(hints: ResourceHints) -> dict[str, str]:
    """Returns hints as arguments of Beam's ``with_resource_hints``."""
    return {field.name: str(value) for field, value in hints.ListFields()}


def _wrong_with_accelerator(accelerator: str) -> Iterator[str]:
    settings: dict[str, str] = {}
    for text in accelerator.split(";"):
        setting = _SETTING.fullmatch(text)
        if setting is None:
            yield f"{text[:40]!r} is not NAME or NAME:VALUE"
            continue
        name = setting[1]
        close = difflib.get_close_matches(name, _SETTINGS, n=1, cutoff=0.8)
        if name in settings:
            yield f"{name!r} is there twice"
        elif name not in _SETTINGS and close:
            yield f"no {name!r}; did you mean {close[0]!r}?"
        settings[name] = setting[2] or ""
    yield from _wrong_with_type(settings.get("type", ""))
    yield from _wrong_with_number(settings)


def _wrong_with_type(name: str) -> Iterator[str]:
    plain = re.sub("^(nvidia-)?(tesla-)?", "", name.lower().replace("_", "-"))
    known = _GPU_NAMES.get(plain, name)
    if not name:
        yield "no type"
    elif name != known:
        yield f"no type {name!r}; did you mean {known!r}?"
    elif name.lower() in _NO_TYPES or not _TYPE.fullmatch(name):
        yield f"{name!r} names no type of accelerator"


def _wrong_with_number(settings: Mapping[str, str]) -> Iterator[str]:
    """Yields what is wrong with how many there are to be: GPUs have a count, TPUs a topology."""
    count, topology, kind = settings.get("count"), settings.get("topology"), settings.get("type", "")
    if count is not None and not re.fullmatch("[1-9][0-9]{0,3}", count):
        yield f"count is {count!r}, which is no positive number"
    elif count and kind.startswith("nvidia-") and count not in _COUNTS:
        yield f"count is {count}, and a machine has {', '.join(_COUNTS[:-1])} or {_COUNTS[-1]} GPUs"
    elif count and count != "1" and "use_nvidia_mps" in settings:
        yield f"count is {count}, and use_nvidia_mps is for a single GPU"
    if topology is not None and not _TOPOLOGY.fullmatch(topology):
        yield f"topology is {topology!r}; expected such as 2x4"
    elif topology is None and kind.startswith("tpu-"):
        yield "no topology, such as topology:1x1"
    elif count is None and not kind.startswith("tpu-") and (topology is None or kind.startswith("nvidia-")):
        yield "no count"
