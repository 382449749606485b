# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Several models in one RunInference: what is refused at expansion, and which row goes to which model."""

import pickle

import numpy as np
import pytest

from expansion.contract._gen.run_inference_pb2 import Batching, RunInferenceConfig
from expansion.contract.fields import Field
from expansion.contract.places import Places
from expansion.errors import ConfigError, ModelUnavailable
from expansion.service.policy import Policy
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged
from expansion.transforms.batch import Batch, Failures
from expansion.transforms.batching import BatchBounds
from expansion.transforms.config import read_config
from expansion.transforms.handler import ColumnarModelHandler
from expansion.transforms.isolation import RowError
from expansion.transforms.plan import make_plan
from expansion.transforms.routes import router_of
from expansion.transforms.signatures import check_like
from expansion.transforms.steps import Rebatch

X, KEY = Field("x", "FP32"), Field("key", "STRING")


def plan(config, *fields, taken=(), of_data=None):
    return make_plan(read_config(config), {field.name: field for field in fields or (X, KEY)}, taken, of_data)


def problems(config, *fields, taken=()):
    with pytest.raises(ConfigError) as error:
        plan(config, *fields, taken=taken)
    return {problem.path: problem.message for problem in error.value.problems}


@pytest.fixture
def per_key(models):
    uris = {"once": str(models / "identity_scalar.onnx"), "twice": str(models / "double_scalar.onnx")}

    def per_key(uri="", **more):
        return {
            "model": {"onnx": {"uri": uri}},
            "per_key": {"column": "key", **({} if uri else {"uris": uris}), **more},
        }

    return per_key


@pytest.fixture
def split(models):
    def split(*names, **more):
        names = names or ("identity_scalar", "double_scalar")
        arms = [{"name": name, "weight": 1, "model": {"onnx": {"uri": str(models / f"{name}.onnx")}}} for name in names]
        return {"split": {"column": "key", "arms": arms, **more}}

    return split


def test_models_by_key_and_arms_may_be_refreshed_and_rows_say_their_version(per_key, split):
    config = per_key()
    config["model"]["refresh_interval_secs"] = 1
    assert list(plan(config).constants) == ["model_id", "model_version"]
    config = split()
    config["split"]["arms"][1]["model"]["refresh_interval_secs"] = 1
    assert list(plan(config).constants) == ["model_id", "model_version"]


def test_the_model_of_the_signature_key_is_the_only_one_that_is_read(per_key, models):
    uris = {"b": str(models / "identity_scalar.onnx"), "a": "nowhere.onnx"}
    assert problems(per_key(uris=uris)) == {"model.onnx.uri": "can't read 'nowhere.onnx': there is no such file"}
    made = plan(per_key(uris=uris, signature_key="b"))
    assert made.predictions == {"y": Field("y", "FP32")}
    assert list(made.features) == ["x", "key"]


def test_a_client_that_names_its_features_does_not_feed_the_key_to_the_model(per_key):
    columns = [{"name": "key", "datatype": "STRING"}, {"name": "feature", "datatype": "FP32"}]
    made = plan({**per_key(), "tensor_batch": {"columns": columns}}, KEY, Field("feature", "FP32"))
    assert made.steps[0].inputs[0].columns == ("feature",)


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"column": ""}, "per_key.column"),
        ({"uris": {}}, "per_key.uris"),
        ({"uris": {"": "m.onnx"}}, "per_key.uris"),
        ({"uris": {"once": ""}}, "per_key.uris"),
        ({"signature_key": "one"}, "per_key.signature_key"),
        ({"max_models_per_worker": -1}, "per_key.max_models_per_worker"),
        ({"uri": "m.onnx", "signature_key": "a"}, "per_key.uris"),
        ({"uri": "{key}.onnx"}, "per_key.signature_key"),
        ({"uri": "{key}.onnx", "signature_key": "../a"}, "per_key.signature_key"),
    ],
)
def test_what_is_wrong_with_models_by_key_is_said(per_key, more, path):
    assert path in problems(per_key(**more))


def test_a_model_id_for_all_keys_is_refused(per_key):
    config = per_key()
    config["model"]["model_id"] = "mine"
    assert "rows say the uri of their key's model" in problems(config)["per_key"]


def test_routing_by_two_ways_is_refused(per_key, split):
    assert "per_key is set as well" in problems({**per_key(), **split()})["split"]


@pytest.mark.parametrize("field", [Field("key", "FP32"), Field("key", "BYTES"), Field("key", "STRING", (2,))])
def test_a_key_is_a_text_or_an_integer(per_key, field):
    assert "expected one STRING or integer a row" in problems(per_key(), X, field)["per_key.column"]
    assert problems(per_key(column="kez"), X, KEY)["per_key.column"] == "no column 'kez'; did you mean 'key'?"


def test_arms_that_take_or_return_something_else_are_refused_with_both_signatures(split):
    found = problems(split("identity_scalar", "double_scalar", "sum_and_difference"))
    assert found == {
        "split.arms[2].model": "takes and returns (a: FP32, b: FP32) -> (sum: FP32, difference: FP32); the first "
        "model of the split (x: FP32) -> (y: FP32); expected the same of all"
    }


def test_every_arm_is_read_and_its_problems_have_its_path(split):
    assert list(problems(split("identity_scalar", "truncated", "nowhere"))) == [
        "split.arms[1].model.onnx.uri",
        "split.arms[2].model.onnx.uri",
    ]


def test_what_is_wrong_with_arms_is_said_all_at_once(split):
    config = split("identity_scalar", "identity_scalar", "double_scalar", column="")
    config["model"] = {"onnx": {"uri": "m.onnx"}}
    config["split"]["arms"][0]["weight"] = 0
    config["split"]["arms"][2].update(name="", weight=float("inf"), model={"onnx": {}})
    assert set(problems(config)) == {
        "model",
        "split.column",
        "split.arms[0].weight",
        "split.arms[1].name",
        "split.arms[2].name",
        "split.arms[2].weight",
        "split.arms[2].model.onnx.uri",
    }


def test_tensorflow_and_pytorch_are_not_for_one_process(split):
    config = split()
    field = [{"name": "x", "datatype": "FP32"}]
    config["split"]["arms"][0]["model"] = {"tensorflow": {"uri": "saved"}}
    config["split"]["arms"][1]["model"] = {"pytorch": {"uri": "m.pt", "inputs": field, "outputs": field}}
    assert problems(config)["split.arms"].startswith("got tensorflow and pytorch, whose libraries abort a process")


def test_arms_do_not_set_an_environment_variable_to_two_values(split):
    config = split()
    for value, arm in enumerate(config["split"]["arms"]):
        arm["model"]["env_vars"] = {"SAME": "1", "OTHER": str(value)}
    assert "env_vars.OTHER differs between 'identity_scalar' and 'double_scalar'" in problems(config)["split.arms"]
    del config["split"]["arms"][1]["model"]["env_vars"]["OTHER"]
    assert ColumnarModelHandler(plan(config))._env_vars == {"OTHER": "0", "SAME": "1"}


@pytest.mark.parametrize("name", ["y", "x", "model_id"])
def test_the_column_of_arms_has_a_name_of_its_own(split, name):
    assert "split.output" in problems(split(output=name), taken=["x"])


def test_the_arm_is_the_last_of_the_results(split):
    assert list(plan(split()).results) == ["y", "arm"]
    concat = {"concat": {"columns": ["y"], "output": "joined"}}
    assert list(plan({**split(output="who"), "post_hooks": [concat]}).results) == ["y", "joined", "who"]


def test_the_operator_is_asked_about_every_model(split, per_key):
    config = split()
    for arm in config["split"]["arms"]:
        arm["model"] = {"sklearn": {"uri": "m.pkl", "format": "pickle"}}
    found = list(Policy().check(read_config(config)))
    assert [problem.path for problem in found] == [f"split.arms[{index}].model.sklearn.format" for index in (0, 1)]
    uris = {"a": "saved", "b": "b.keras", "c": "c.keras"}
    by_key = {**per_key(uris=uris), "model": {"tensorflow": {}}}
    by_key["model"]["tensorflow"]["outputs"] = [{"name": "y", "datatype": "FP32"}]
    assert [problem.path for problem in Policy().check(RunInferenceConfig(**by_key))] == ["model.tensorflow.uri"]


def test_a_key_does_not_lead_to_a_kind_of_file_that_the_operator_was_not_asked_about(models):
    config = RunInferenceConfig(
        model={"tensorflow": {"uri": "{key}"}}, per_key={"column": "key", "signature_key": "saved"}
    )
    expected = plan({"model": {"onnx": {"uri": str(models / "identity_scalar.onnx")}}})
    with pytest.raises(
        ModelUnavailable, match=r"'evil.keras' needs --allow-format keras; the model of key 'saved' does"
    ):
        check_like(config, "evil.keras", expected)


def routes(config, column):
    """Returns the route of each row, None where there is none."""
    found = router_of(read_config(config)).routed(column)
    return [None if of in found.refused else found.names[of] for of in found.of_row.tolist()]


def texts(*values):
    return Blobs.of("STRING", values, len(values))


def test_rows_go_to_their_keys(per_key):
    assert routes(per_key(), texts("once", "twice", "once", "Once", "")) == ["once", "twice", "once", None, None]
    numbered = per_key(uris={"7": "a.onnx", "-1": "b.onnx"})
    assert routes(numbered, Dense(np.array([7, -1, 8, 7], np.int8))) == ["7", "-1", None, "7"]
    assert routes(numbered, Dense(np.array([7, 2**64 - 1], np.uint64))) == ["7", None]


def test_nothing_of_numpy_is_pickled_as_workers_may_have_another_version_of_it(per_key, split):
    batching = Batching(length_column="x", length_boundaries=[8, 16])
    for config in (per_key(), split()):
        assert b"numpy" not in pickle.dumps(Rebatch(batching, router_of(read_config(config))))


def test_the_arm_of_a_value_is_the_same_in_every_release(split):
    config = split()
    for arm, (name, weight) in zip(config["split"]["arms"], [("a", 1), ("b", 3)], strict=True):
        arm.update(name=name, weight=weight)
    assert routes(config, texts("ann", "eve", "bob", "eve", "cy", "dora", "")) == list("babab" + "bb")
    assert routes(config, texts("42")) == routes(config, Dense(np.array([42]))) == ["b"]
    raw = Blobs.of("BYTES", [b"eve"], 1)
    assert routes(config, raw) == ["a"]


@pytest.mark.parametrize("weights", [(1.0, 1e-300), (1e-300, 1.0), (1.0,), (0.1,) * 10])
def test_every_value_has_an_arm_whatever_the_weights(split, weights):
    config = split(*["identity_scalar"] * len(weights))
    for index, (arm, weight) in enumerate(zip(config["split"]["arms"], weights, strict=True)):
        arm.update(name=str(index), weight=weight)
    found = routes(config, Dense(np.arange(20_000)))
    shares = [found.count(str(index)) / len(found) for index in range(len(weights))]
    assert shares == pytest.approx(np.array(weights) / sum(weights), abs=0.01)


def batch(keys, failures=(), **columns):
    count = len(keys)
    features = Columns({"key": texts(*keys), **columns}, count)
    return Batch(Columns({"row": Dense(np.arange(count))}, count), features, failures=tuple(failures))


def test_a_batch_is_of_one_route_and_one_bucket_of_lengths(per_key):
    ragged = Ragged.of_rows([np.zeros(size) for size in (1, 9, 1, 9, 9)], np.float64, 1)
    bounds = BatchBounds(Batching(length_column="x", length_boundaries=[5]), router_of(read_config(per_key())))
    found = list(bounds.buckets(batch(["once", "twice", "twice", "once", "once"], x=ragged)))
    got = {(part.route, bucket): part.carried["row"].values.tolist() for bucket, part in found}
    assert got == {("once", 0): [0], ("once", 1): [3, 4], ("twice", 0): [2], ("twice", 1): [1]}


def test_rows_without_a_model_fail_once_beside_those_that_failed_before(per_key):
    before = Failures(Columns({}, 1), "decode", (RowError("ValueError", "null"),))
    bounds = BatchBounds(Batching(), router_of(read_config(per_key())))
    found = list(bounds.buckets(batch(["nobody", "once", "twice", "noone"], [before])))
    assert [(part.route, len(part), len(part.failures)) for _, part in found] == [("once", 1, 2), ("twice", 1, 0)]
    failures = found[0][1].failures[1]
    assert failures.carried["row"].values.tolist() == [0, 3]
    assert (failures.stage, failures.errors[0].error_type) == ("inference", "ModelUnavailable")
    [(_, alone)] = bounds.buckets(batch(["nobody"], [before]))
    assert (len(alone), len(alone.failures)) == (0, 2)


def test_a_batch_keeps_its_route_and_what_its_rows_say_whatever_is_done_to_it():
    rows = Batch(Columns({}, 4), Columns({"x": Dense(np.arange(4))}, 4), route="r", constants={"model_id": "m"})
    failing = rows.without({1: RowError("ValueError", "bad")}, "preprocess")
    parts = [rows.take(np.array([1])), rows.slice(1, 2), failing, rows.compact(), Batch.concat([rows, rows])]
    parts += [rows.applied("preprocess", lambda x: x), rows.applied("inference", lambda x: x)]
    parts += [pickle.loads(pickle.dumps(rows))]
    assert {part.route for part in parts} == {"r"}
    assert {each.constants["model_id"] for each in [*parts, *failing.failures]} == {"m"}


def test_rows_wait_for_others_of_their_key_but_not_for_those_of_their_arm(per_key, split):
    by_key = read_config({**per_key(), "batching": {"max_batch_size": 32}})
    assert BatchBounds(by_key.batching, router_of(by_key)).min_rows == 32
    assert BatchBounds(Batching(min_batch_size=3), router_of(by_key)).min_rows == 3
    assert BatchBounds(Batching(), router_of(read_config(split()))).min_rows == 1


def test_rows_that_wait_for_others_of_their_key_do_not_fill_memory(per_key, monkeypatch):
    monkeypatch.setattr("expansion.transforms.steps.MAX_WAITING_BYTES", 10_000)
    step = Rebatch(Batching(), router_of(read_config(per_key())))
    step.start_bundle()
    sizes = [[len(out.value) for out in step.process(batch(["once", "twice"] * 100), 0)] for _ in range(5)]
    assert sizes.count([]) >= 1
    assert sum(map(sum, sizes)) + sum(len(out.value) for out in step.finish_bundle()) == 1000


def test_ten_thousand_keys_are_sorted_out(per_key):
    config = per_key(uri="{key}.onnx", signature_key="a")
    bounds = BatchBounds(Batching(), router_of(read_config(config)))
    keys = [str(key) for key in range(10_000)]
    rows = batch(keys, x=Dense(np.zeros((10_000, 8))))
    assert len(list(bounds.buckets(rows))) == 10_000


def test_two_expansions_of_one_configuration_are_written_alike(per_key):
    def written(names):
        config = per_key(uris={name: str(per_key()["per_key"]["uris"]["once"]) for name in names})
        made = plan(config)
        [step] = made.steps
        rebatch = Rebatch(Batching(), router_of(made.config))
        return pickle.dumps((ColumnarModelHandler(step), rebatch)), step.model_tag

    names = [f"k{index}" for index in range(100)]
    assert written(names) == written(names[::-1])
    handler, _ = pickle.loads(written(names)[0])
    assert repr(handler) == "ColumnarModelHandler(per_key)"


@pytest.fixture
def ensemble(models):
    def ensemble(*names, **more):
        return {"ensemble": {"models": [{"onnx": {"uri": str(models / f"{name}.onnx")}} for name in names], **more}}

    return ensemble


def test_an_ensemble_is_of_two_models_or_more_with_a_weight_each(ensemble):
    found = problems({**ensemble("identity_scalar", weights=[1, 0]), "model": {"model_id": "m"}})
    assert set(found) == {"model", "ensemble.models", "ensemble.weights", "ensemble.weights[1]"}
    assert "put it into ensemble.models" in found["model"]


def test_models_of_an_ensemble_take_and_return_the_same_and_what_has_an_average(ensemble):
    found = problems(ensemble("identity_scalar", "sum_and_difference"))
    assert "the first model of the ensemble (x: FP32) -> (y: FP32); expected the same" in found["ensemble.models[1]"]
    found = problems(ensemble("identity_int64", "identity_int64"), Field("x", "INT64", (-1,)))
    assert "'y' is INT64[-1], of which an average says nothing" in found["outputs"]


def test_rows_of_an_ensemble_name_all_its_models(ensemble):
    made = plan(ensemble("identity_scalar", "double_scalar"))
    [step] = made.steps
    handler = ColumnarModelHandler(step)
    rows = Batch(Columns({}, 2), Columns({"x": Dense(np.float32([2, 4]))}, 2), constants=made.constants)
    [result] = handler.run_inference(rows, handler.load_model())
    assert result.predictions["y"].to_rows() == [3, 6]
    first, second = result.constants["model_id"].split(", ")
    assert first.endswith("identity_scalar.onnx")
    assert second.endswith("double_scalar.onnx")


def test_each_keys_model_is_refreshed_by_itself_and_its_rows_say_the_version(tmp_path, adder):
    for key in "ab":
        (tmp_path / f"{key}.onnx").write_bytes(adder(1))
    model = {"onnx": {"uri": f"{tmp_path}/{{key}}.onnx"}, "refresh_interval_secs": 1e6}
    made = plan({"model": model, "per_key": {"column": "key", "signature_key": "a"}})
    [step] = made.steps
    handler = ColumnarModelHandler(step)
    pool = handler.load_model()

    def answer(key):
        x = Columns({"x": Dense(np.float32([0]))}, 1)
        [result] = handler.run_inference(Batch(Columns({}, 1), x, route=key, constants=made.constants), pool)
        return result.predictions["y"].to_rows(), result.constants["model_version"]

    before = {key: answer(key) for key in "ab"}
    (tmp_path / "b.onnx").write_bytes(adder(5))
    for key in "ab":
        for _ in range(2):
            pool.get(key).poll()
    assert answer("a") == before["a"]
    (value, version) = answer("b")
    assert (value, version != before["b"][1]) == ([5], True)


@pytest.fixture
def predict(tmp_path, adder):
    """Predicts a batch of each key, in a graph of a service that allows some places; returns what came of each."""
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed/good.onnx").write_bytes(adder(1))
    (tmp_path / "secret.onnx").write_bytes(adder(2))

    def predict(template, places, *keys):
        config = {"model": {"onnx": {"uri": template}}, "per_key": {"column": "key", "signature_key": "good"}}
        handler = ColumnarModelHandler(plan(config, of_data=places).steps[0])
        pool, found = handler.load_model(), {}
        for key in keys:
            x = Columns({"x": Dense(np.float32([0]))}, 1)
            [result] = handler.run_inference(Batch(Columns({}, 1), x, route=key), pool)
            [error] = result.failures[0].errors if result.failures else [None]
            found[key] = error or result.predictions["y"].to_rows()[0]
        return found

    return predict


def test_rows_of_a_key_that_leads_elsewhere_than_the_operator_allows_are_error_rows_and_others_are_not(
    predict, tmp_path
):
    (tmp_path / "allowed/link.onnx").symlink_to(tmp_path / "secret.onnx")
    (tmp_path / "allowed/same.onnx").symlink_to(tmp_path / "allowed/good.onnx")
    template = f"{tmp_path}/allowed/{{key}}.onnx"
    found = predict(template, Places((str(tmp_path / "allowed"),)), "good", "link", "same")
    assert (found["good"], found["same"]) == (1, 1)
    assert found["link"].error_type == "ModelUnavailable"
    assert "which is in no place that this service allows; expected one below /" in found["link"].message
    assert predict(template, None, "link") == {"link": 2}  # a Python pipeline has no operator


def test_a_key_does_not_complete_what_some_libraries_decode(models):
    config = RunInferenceConfig(model={"onnx": {"uri": "gs://models/%{key}%{key}/a.onnx"}})
    config.per_key.column = config.per_key.signature_key = "k"
    with pytest.raises(
        ModelUnavailable, match=r"'gs://models/%2e%2e/a.onnx', which has '..', '.' or characters that hide"
    ):
        check_like(config, "2e", None, Places(("gs://models",)))


def test_uris_that_the_configuration_lists_by_key_are_not_of_the_data(per_key):
    config = per_key()  # the service has held all of them against its places
    assert plan(config, of_data=Places(("gs://models",))).steps[0].places is None
