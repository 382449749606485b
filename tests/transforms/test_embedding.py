# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What MLTransform's embed will do is settled at expansion, and what is wrong with it said there."""

import numpy as np
import pytest

from expansion.contract.fields import Field
from expansion.errors import ConfigError, SystemicError
from expansion.hooks import ml_transform as ml_transform_hook
from expansion.operations.manifest import LearnedByOne, Manifest
from expansion.service.policy import Policy
from expansion.tensors.columns import Columns, Dense
from expansion.transforms import embedding
from expansion.transforms.batch import Batch
from expansion.transforms.ml_transform_config import read_config
from expansion.transforms.ml_transform_plan import make_plan
from expansion.transforms.ml_transform_stages import last_to_learn, stages_of

TEXT = {"title": Field("title", "STRING"), "number": Field("number", "FP64")}
SERVICE = {"embedding_service": {"provider": "openai", "uri": "m", "size": 4}}
SCALE = {"scale_to_z_score": {"columns": ["number"]}}


def embed(model=SERVICE, **more):
    return {"embed": {"columns": ["title"], "model": model, **more}}


def plan(*operations, **more):
    return make_plan(read_config({"operations": list(operations), **more}), TEXT, [])


def problems(*operations, **more):
    with pytest.raises(ConfigError) as error:
        plan(*operations, **more)
    return {problem.path: problem.message for problem in error.value.problems}


def test_the_size_is_the_models_own_where_it_is_not_said():
    made = plan(embed())
    assert made.results == {"title": Field("title", "FP32", (4,))}
    assert made.operations[0].embed.size == 4
    assert made.features == {"title": TEXT["title"]}


def test_another_size_than_the_models_is_a_problem():
    assert problems(embed(size=3)) == {
        "operations[0].embed.size": "got 3; 'embedding' is FP32[4]; leave it out",
    }


def test_a_size_may_be_said_of_a_model_that_does_not_say_it():
    hub = {"huggingface": {"uri": "hf://a/b", "task": "sentence-embedding"}}
    assert plan(embed(hub)).results["title"] == Field("title", "FP32", (-1,))
    assert plan(embed(hub, size=7)).results["title"] == Field("title", "FP32", (7,))


def test_what_is_wrong_with_model_and_hooks_has_the_path_of_the_operation():
    found = problems(
        embed(
            {"embedding_service": {"provider": "openai"}, "env_vars": {"OPENAI_API_KEY": "x"}},
            pre_hooks=[{"cast": {"columns": ["text"], "datatype": "TEXT"}}],
            model_outputs=[{"name": "x"}],
        )
    )
    assert set(found) == {
        "operations[0].embed.model.embedding_service.uri",
        "operations[0].embed.model.embedding_service.size",
        "operations[0].embed.model.env_vars.OPENAI_API_KEY",
        "operations[0].embed.pre_hooks[0].cast.datatype",
        "operations[0].embed.model_outputs[0].source",
    }


def test_a_model_that_does_not_take_texts_needs_hooks(models):
    found = problems(embed({"onnx": {"uri": str(models / "identity.onnx")}}))
    (message,) = found.values()
    assert list(found) == ["operations[0].embed.inputs"]
    assert message.startswith("column 'text' is STRING; model input 'x' takes FP32")


def test_hooks_and_outputs_leave_one_vector_of_fp32(models):
    hook = {"cast": {"columns": ["text"], "datatype": "FP32"}}
    uri = str(models / "sum_and_difference.onnx")
    inputs = [{"name": name, "columns": ["text"]} for name in "ab"]
    two = embed({"onnx": {"uri": uri}}, pre_hooks=[hook], inputs=inputs)
    assert problems(two) == {
        "operations[0].embed.post_hooks": "after them there are 2 columns: sum, difference; keep one with "
        "model_outputs, or with a select post hook"
    }
    two["embed"]["model_outputs"] = [{"source": "sum"}]
    (message,) = problems(two).values()
    assert message == "'sum' is FP32; expected a vector of FP32; cast or reshape it in a post hook"
    two["embed"]["post_hooks"] = [{"reshape": {"column": "sum", "shape": [1]}}]
    assert plan(two).results["title"] == Field("title", "FP32", (1,))


def test_stages_are_cut_where_a_model_runs():
    scale = {"scale_to_z_score": {"columns": ["title"]}}
    made = plan(SCALE, embed(), scale, SCALE, write_artifact_location="/tmp/none")  # noqa: S108 - nothing is there
    stages = stages_of(made)
    assert [(stage.first, stage.count) for stage in stages] == [(0, 1), (2, 2)]
    assert [len(stage.lessons.all) for stage in stages] == [1, 2]
    assert stages[1].lessons.before["title"] == Field("title", "FP32", (4,))
    assert last_to_learn(stages) == 1
    only = stages_of(plan(embed()))
    assert [(stage.first, stage.count, stage.embedding is None) for stage in only] == [(0, 0, False), (1, 0, True)]


def test_a_model_learns_nothing_so_that_no_location_is_needed():
    assert plan(embed()).embeddings
    assert "operations[1].scale_to_z_score" in problems(embed(), SCALE)


@pytest.fixture
def artifact(tmp_path):
    """An artifact of embed alone, written for titles and vectors of 4."""
    operation = {"embed": {**embed()["embed"], "size": 4}}
    manifest = Manifest((TEXT["title"],), (LearnedByOne(operation, {}, {}),), (Field("title", "FP32", (4,)),))
    (tmp_path / "artifact.json").write_bytes(manifest.to_json())
    return str(tmp_path)


def test_an_artifact_does_not_decide_which_model_is_run(artifact):
    found = problems(read_artifact_location=artifact)
    assert found["operations"].startswith("the artifact's operations[0] is embed, and no artifact decides")
    assert plan(embed(), read_artifact_location=artifact).embeddings
    other = {"embedding_service": {**SERVICE["embedding_service"], "uri": "other"}}
    assert list(problems(embed(other), read_artifact_location=artifact)) == ["operations[0].embed.model"]


def test_an_artifact_with_a_model_is_no_hook(artifact):
    config = read_config({"operations": [SCALE], "per_window": True}).pre_hooks.add().ml_transform
    config.read_artifact_location = artifact
    with pytest.raises(ConfigError, match=r"operations\[0\] is embed, which runs a model, as a hook can't"):
        ml_transform_hook.fields(config, TEXT)


def test_the_operator_is_asked_for_what_a_model_and_its_hooks_need():
    model = {"sklearn": {"uri": "m.joblib", "format": "joblib"}}
    function = {"columns": ["text"], "function": "their.hook", "outputs": [{"name": "text", "datatype": "STRING"}]}
    hooks = [{"custom": function}]
    config = read_config({"operations": [SCALE, embed(model, pre_hooks=hooks)], "per_window": True})
    assert [problem.path for problem in Policy(installed=()).check(config)] == [
        "operations[1].embed.model.sklearn.format",
        "operations[1].embed.pre_hooks[0].custom.function",
    ]


def test_vectors_of_another_size_than_is_said_fail_the_bundle():
    """As those of a model whose size nobody knows before it runs."""
    end = embedding._End("title", Field("embedding", "FP32", (3,)))
    nothing = Columns({}, 2)
    vectors = Columns({"embedding": Dense(np.zeros((2, 4), np.float32))}, 2)
    with pytest.raises(SystemicError, match="a vector has 4 numbers; embed says size 3"):
        next(end.process(Batch(nothing, nothing, vectors, kept=nothing)))
