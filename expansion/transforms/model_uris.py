# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where the model is, from a second input of the transform: the newest uris, which every batch is given."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, Repeatedly
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.timestamp import Timestamp

from expansion.contract import urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.problems import shown
from expansion.errors import ConfigError, Problem, SystemicError
from expansion.transforms.batch import Batch

# Uris that are there to be used, the newest of which is: the others are for when it can't be.
MAX_URIS = 20

_Uris = list[tuple[int, str]]  # each with its timestamp, in microseconds since the epoch


def takes_uris(config: RunInferenceConfig | MLTransformConfig) -> bool:
    """Whether a configuration is of a transform with a second input."""
    return isinstance(config, RunInferenceConfig) and config.HasField("model_uris")


def check_tags(config: RunInferenceConfig | MLTransformConfig, tags: Iterable[str]) -> Iterator[Problem]:
    """Yields what is wrong with the tags of the transform's inputs: a single one may have any."""
    found, two = sorted(tags), [urns.INPUT, urns.MODEL_URIS]
    got = f"got inputs {', '.join(map(shown, found[:3])) or 'none'}" + (", …" if len(found) > 3 else "")
    if takes_uris(config) and found != two:
        expected = " and ".join(map(repr, two))
        yield Problem("model_uris", f"{got}; expected {expected}; pass the uris as an input of that name")
    elif not takes_uris(config) and len(found) != 1:
        yield Problem("", f"{got}; expected one; only a configuration with model_uris takes another")


def rows_and_uris(
    config: RunInferenceConfig, inputs: beam.PCollection | Mapping[str, beam.PCollection]
) -> tuple[beam.PCollection, beam.PCollection | None]:
    """Returns the input that the model runs on, and the one that says where it is, where the configuration has one.

    Raises:
        ConfigError: There are others.
    """
    by_tag = inputs if isinstance(inputs, Mapping) else {urns.INPUT: inputs}
    problems = list(check_tags(config, by_tag))
    if problems:
        raise ConfigError(problems)
    if takes_uris(config):
        return by_tag[urns.INPUT], by_tag[urns.MODEL_URIS]
    return next(iter(by_tag.values())), None


class WithModelUris(beam.PTransform):  # type: ignore[misc]
    """Gives batches the newest uris: those of an input that ends once all are there, else those that came so far.

    Args:
        uris: Texts, or rows of one text, in any windows.
    """

    def __init__(self, uris: beam.PCollection):
        super().__init__()
        self._uris = uris

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Returns the batches."""
        window = beam.WindowInto(GlobalWindows())
        if not self._uris.is_bounded:
            as_they_come = Repeatedly(AfterCount(1))
            window = beam.WindowInto(GlobalWindows(), as_they_come, accumulation_mode=AccumulationMode.ACCUMULATING)
        newest_uris = (
            self._uris
            | "Window" >> window
            | "Timestamps" >> beam.ParDo(_WithTimestamp()).with_output_types(_Uris)
            | "Newest" >> beam.CombineGlobally(newest).without_defaults()
        )
        return batches | "Give" >> beam.ParDo(_GiveUris(), beam.pvalue.AsIter(newest_uris)).with_output_types(Batch)


def newest(parts: Iterable[_Uris]) -> _Uris:
    """Returns the newest of some uris, the first of all in front, each once; of two at one time, that of later text."""
    latest: dict[str, int] = {}
    for timestamp, uri in itertools.chain.from_iterable(parts):
        latest[uri] = max(timestamp, latest.get(uri, timestamp))
    return sorted(((timestamp, uri) for uri, timestamp in latest.items()), reverse=True)[:MAX_URIS]


class _WithTimestamp(beam.DoFn):  # type: ignore[misc]
    def process(self, element: Any, timestamp: Timestamp = beam.DoFn.TimestampParam) -> Iterator[_Uris]:
        yield [(timestamp.micros, _text(element))]


class _GiveUris(beam.DoFn):  # type: ignore[misc]
    def process(self, batch: Batch, panes: Iterable[_Uris]) -> Iterator[Batch]:
        # Not all runners forget a pane of a side input once there is a later one.
        uris = tuple(uri for _, uri in newest(panes)) if len(batch) else ()
        if len(batch) and not uris:
            reason = "the second input has no uri, and rows came"
            raise SystemicError(f"{urns.MODEL_URIS}: {reason}; emit the uri of a model into it")
        yield replace(batch, uris=uris)


def _text(element: Any) -> str:
    """Returns a uri that is a text, or the only field of a row."""
    values: Sequence[Any] = [element] if isinstance(element, str) else _fields(element)
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    raise SystemicError(f"{urns.MODEL_URIS}: got {shown(element)}; expected a text, or a row of one text")


def _fields(row: Any) -> Sequence[Any]:
    return list(row) if isinstance(row, (tuple, beam.Row)) else ()
