# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import argparse
import copy
import linecache
from pathlib import Path
from unittest.mock import Mock

import apache_beam as beam
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions, StandardOptions
from apache_beam.transforms import userstate

from expansion.service import environments, pipelines
from expansion.service.expand import ExpansionServicer, Offer

COUNT = userstate.ReadModifyWriteStateSpec("count", VarIntCoder())
LATER = userstate.TimerSpec("later", userstate.TimeDomain.WATERMARK)


class Counting(beam.DoFn):
    def process(self, element, count=beam.DoFn.StateParam(COUNT), later=beam.DoFn.TimerParam(LATER)):  # noqa: B008
        yield element

    @userstate.on_timer(LATER)
    def when_later(self):
        pass


def source():
    return beam.Create([beam.Row(id="one", a=1.0, b=0.0)])


class Plain(beam.DoFn):
    def process(self, element):
        yield element


def test_the_graph_is_the_one_that_beams_own_options_and_look_for_state_lead_to(
    monkeypatch, java_request, wire_config, python_request, row_config
):
    requests = [java_request("bytes", wire_config.SerializeToString())]
    row_config.ClearField("tensor_batch")
    requests.append(python_request(source(), row_config.SerializeToString(), ["--streaming"]))
    row_config.batching.max_batch_duration_secs = 1  # has state and timers
    requests.append(python_request(source(), row_config.SerializeToString()))
    servicer = ExpansionServicer(Offer(environments.parse("docker:worker:1")))
    ours = [servicer.Expand(request) for request in requests]
    assert [graph.error for graph in ours] == [""] * 3
    monkeypatch.setattr(pipelines, "_Options", lambda **options: PipelineOptions(flags=[], **options))
    monkeypatch.setattr(userstate, "get_dofn_specs", pipelines._look_for_specs)
    assert [servicer.Expand(request) for request in requests] == ours


def test_what_is_set_in_one_view_of_the_options_is_seen_in_all():
    with pipelines.new_pipeline(streaming=True) as pipeline:
        standard = pipeline.options.view_as(StandardOptions)
        assert standard.streaming
        standard.streaming = False
        assert not pipeline.options.view_as(StandardOptions).streaming
        assert not copy.deepcopy(pipeline.options).view_as(StandardOptions).streaming
        assert pipeline.options.get_all_options()["streaming"] is False


def test_no_expansion_but_the_first_parses_a_command_line_or_reads_source(monkeypatch, python_request, row_config):
    row_config.ClearField("tensor_batch")
    request = python_request(source(), row_config.SerializeToString())
    servicer = ExpansionServicer(Offer(environments.parse("docker:worker:1")))
    first = servicer.Expand(request)
    for module, name in ((argparse.ArgumentParser, "__init__"), (linecache, "getlines"), (linecache, "checkcache")):
        monkeypatch.setattr(module, name, Mock(side_effect=AssertionError(name)))
    assert first.error == ""
    assert servicer.Expand(request) == first


def test_options_of_one_pipeline_do_not_reach_another():
    with pipelines.new_pipeline() as first, pipelines.new_pipeline() as second:
        first.options.view_as(StandardOptions).resource_hints.append("min_ram=1GB")
        first.options.view_as(DebugOptions).add_experiment("mine")
        assert second.options.view_as(StandardOptions).resource_hints == []
        assert not second.options.view_as(DebugOptions).lookup_experiment("mine")
    with pipelines.new_pipeline() as third:
        assert third.options.view_as(StandardOptions).resource_hints == []
        assert not third.options.view_as(DebugOptions).lookup_experiment("mine")


@pytest.mark.parametrize("fails", [False, True])
def test_the_directory_of_a_pipeline_is_gone_afterwards(fails):
    def build():
        with pipelines.new_pipeline() as pipeline:
            folders.append(Path(pipeline.local_tempdir))
            assert folders[0].is_dir()
            if fails:
                raise ValueError("this one")

    folders: list[Path] = []
    if fails:
        with pytest.raises(ValueError, match="this one"):
            build()
    else:
        build()
    assert not folders[0].exists()


def test_state_and_timers_are_found_each_time_and_only_where_they_are():
    for _ in range(2):
        assert userstate.get_dofn_specs(Counting()) == ({COUNT}, {LATER})
        assert userstate.get_dofn_specs(Plain()) == (set(), set())


def test_an_instance_with_a_method_of_its_own_is_looked_at_by_itself():
    assert userstate.get_dofn_specs(Plain()) == (set(), set())
    odd = Plain()
    odd.process = Counting().process
    assert userstate.get_dofn_specs(odd) == ({COUNT}, {LATER})
    assert userstate.get_dofn_specs(Plain()) == (set(), set())
