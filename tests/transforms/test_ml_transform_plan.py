# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What MLTransform will do, worked out from the configuration, the input's columns and the artifact."""

import pytest

from expansion.contract.fields import Field
from expansion.errors import ConfigError
from expansion.transforms.ml_transform_config import read_config
from expansion.transforms.ml_transform_plan import make_plan

AGE, CITY, NOTE = Field("age", "FP64"), Field("city", "STRING"), Field("note", "STRING")
INPUTS = {field.name: field for field in (AGE, CITY, NOTE)}
SCALE = {"scale_to_01": {"columns": ["age"]}}
VOCABULARY = {"compute_and_apply_vocabulary": {"columns": ["city"], "outputs": ["index"]}}
IMPUTE = {"impute": {"columns": ["age"], "strategy": "mean"}}


def plan(*operations, taken=(), inputs=None, **config):
    if operations:
        config["operations"] = list(operations)
    if not {"write_artifact_location", "read_artifact_location"} & set(config):
        config.setdefault("per_window", True)
    return make_plan(read_config(config), inputs or INPUTS, taken)


def problems(*operations, **config):
    with pytest.raises(ConfigError) as raised:
        plan(*operations, **config)
    return [str(problem) for problem in raised.value.problems]


def test_transformed_columns_have_their_places_and_new_ones_come_behind():
    made = plan(VOCABULARY, SCALE)
    assert list(made.results) == ["age", "index"]
    assert made.results["index"] == Field("index", "INT64")
    assert made.dropped == ()


def test_only_columns_that_are_read_are_features():
    assert list(plan(VOCABULARY).features) == ["city"]
    assert list(plan(SCALE, post_hooks=[{"rename": {"columns": {"note": "text"}}}]).features) == ["age", "note"]


def test_a_column_that_is_overwritten_before_it_is_read_is_no_feature():
    made = plan(
        {"compute_and_apply_vocabulary": {"columns": ["city"], "outputs": ["note"]}},
        {"scale_to_01": {"columns": ["note"]}},
    )
    assert list(made.features) == ["city"]
    assert made.results == {"note": Field("note", "FP32")}


def test_hooks_change_the_row_unlike_those_of_run_inference():
    made = plan(
        {"scale_to_01": {"columns": ["years"]}},
        pre_hooks=[{"rename": {"columns": {"age": "years"}}}],
        post_hooks=[{"select": {"columns": ["years", "city"]}}],
    )
    assert list(made.results) == ["city", "years"]
    assert made.dropped == ("age", "note")


def test_an_operation_may_drop_what_it_reads():
    made = plan({"tfidf": {"columns": ["note"]}})
    assert list(made.results) == ["note_vocab_index", "note_tfidf_weight"]
    assert made.dropped == ("note",)


def test_nulls_are_filled_in_or_noted_where_the_first_to_read_a_column_does_so():
    assert plan(SCALE).fills == {}
    assert plan(SCALE, pre_hooks=[{"impute": {"columns": ["age"], "value": 1}}]).fills == {"age": 1.0}
    assert plan(IMPUTE, SCALE).noted == ("age",)
    assert plan(SCALE, IMPUTE).noted == ()
    made = plan(IMPUTE, pre_hooks=[{"round": {"columns": ["age"]}}])
    assert (made.fills, made.noted) == ({}, ())


def test_what_learns_needs_a_place_for_what_it_learns():
    [problem] = problems({"ngrams": {"columns": ["note"]}}, SCALE, per_window=False)
    assert problem.startswith("operations[1].scale_to_01: learns from the data; set write_artifact_location")
    assert plan({"ngrams": {"columns": ["note"]}}, per_window=False).results == {"note": Field("note", "STRING", (-1,))}


def test_problems_have_the_path_of_their_hook_or_operation():
    rename = {"rename": {"columns": {"age": "years"}}}
    assert problems(SCALE, pre_hooks=[rename])[0].startswith("operations[0].scale_to_01.columns[0]: there is no column")
    assert problems(pre_hooks=[rename, rename], read_artifact_location="/none")[1].startswith("pre_hooks[1].rename")
    assert problems(SCALE, post_hooks=[{"round": {"columns": ["x"]}}])[0].startswith("post_hooks[0].round.columns[0]")


def test_a_new_column_needs_a_name_that_no_other_column_of_the_row_has():
    operation = {"hash_strings": {"columns": ["city"], "outputs": ["where"], "buckets": 2}}
    [problem] = problems(operation, taken=["where"])
    assert problem.startswith("post_hooks: the input has a column 'where' already")
    [problem] = problems(operation, post_hooks=[{"cast": {"columns": ["where"], "datatype": "UINT64"}}])
    assert "which no Beam schema has" in problem


def test_the_artifact_to_be_written_must_not_be_there(tmp_path, write_artifact):
    assert plan(SCALE, write_artifact_location=str(tmp_path)).read_sha256 == ""
    assert list(tmp_path.iterdir()) == []
    write_artifact(str(tmp_path))
    [problem] = problems(SCALE, write_artifact_location=str(tmp_path))
    assert problem.startswith("write_artifact_location: there is an artifact in")
    plan(SCALE, write_artifact_location=str(tmp_path), overwrite=True)


def test_what_an_artifact_does_is_known_without_its_operations_being_repeated(tmp_path, write_artifact):
    sha256 = write_artifact(str(tmp_path))
    for made in (
        plan(read_artifact_location=str(tmp_path)),
        plan(SCALE, VOCABULARY, read_artifact_location=str(tmp_path)),
    ):
        assert made.read_sha256 == sha256
        assert list(made.results) == ["age", "index"]
        assert [operation.WhichOneof("operation") for operation in made.operations] == list({**SCALE, **VOCABULARY})


def test_operations_that_are_repeated_must_be_those_that_were_written(tmp_path, write_artifact):
    write_artifact(str(tmp_path))
    changed = {"compute_and_apply_vocabulary": {"columns": ["city"], "top_k": 5}}
    fix = "leave operations out, or write the artifact again"
    assert problems(SCALE, changed, read_artifact_location=str(tmp_path)) == [
        f"operations[1].compute_and_apply_vocabulary.top_k: got 5; the artifact has nothing; {fix}",
        f"operations[1].compute_and_apply_vocabulary.outputs: got nothing; the artifact has ['index']; {fix}",
    ]
    assert problems(VOCABULARY, read_artifact_location=str(tmp_path)) == [
        f"operations: got 1 operation(s); the artifact has 2; {fix}",
        f"operations[0].compute_and_apply_vocabulary: the artifact has scale_to_01 here; {fix}",
    ]


def test_an_artifact_that_does_not_suit_the_columns_is_refused(tmp_path, write_artifact):
    write_artifact(str(tmp_path))
    inputs = {"age": Field("age", "FP32"), "city": CITY}
    [problem] = problems(read_artifact_location=str(tmp_path), inputs=inputs)
    assert problem.startswith("read_artifact_location: column 'age' is FP32; the artifact's operations have learned")
    cast = {"cast": {"columns": ["age"], "datatype": "FP64"}}
    assert plan(read_artifact_location=str(tmp_path), inputs=inputs, pre_hooks=[cast]).features == inputs


def test_an_artifact_that_can_not_be_read_is_refused(tmp_path):
    [problem] = problems(read_artifact_location=str(tmp_path))
    assert problem.startswith("read_artifact_location: there is no artifact in")
