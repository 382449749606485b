# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A model whose uri comes from a second input: what is refused at expansion, which uris count, and what rows say."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from expansion import RunInference, files
from expansion.contract.fields import Field
from expansion.contract.places import Places
from expansion.errors import ConfigError, ModelUnavailable, SystemicError
from expansion.models.newest import NewestModel
from expansion.service.policy import Policy
from expansion.tensors.columns import Columns, Dense
from expansion.transforms.batch import Batch
from expansion.transforms.config import read_config
from expansion.transforms.handler import ColumnarModelHandler, NotAsDeclaredError
from expansion.transforms.model_uris import MAX_URIS, newest
from expansion.transforms.plan import make_plan
from expansion.transforms.signatures import check_like
from expansion.transforms.steps import BeginStep

X = Field("x", "FP32")


def plan(config, of_data=None):
    return make_plan(read_config(config), {"x": X}, [], of_data)


@pytest.fixture
def config(models):
    def config(**model):
        return {"model": {"onnx": {"uri": str(models / "identity_scalar.onnx")}, **model}, "model_uris": {}}

    return config


@pytest.fixture
def save(tmp_path, adder):
    """Writes a model, x → y = x + number unless told otherwise; returns its uri."""

    def save(name, number=0.0, size=None, **more):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(adder(number, **more)[:size])
        return str(path)

    return save


# Expansion -----------------------------------------------------------------------------------------------------------


def test_the_configured_model_says_what_all_of_them_take_and_return_and_rows_do_not_name_it(config):
    made = plan(config())
    assert (made.predictions, made.constants) == ({"y": Field("y", "FP32")}, {"model_id": ""})
    assert str(made.steps[0].signature) == "(x: FP32) -> (y: FP32)"
    assert repr(ColumnarModelHandler(made.steps[0])) == "ColumnarModelHandler(model_uris)"


def test_what_does_not_go_together_with_uris_that_come_with_the_data_is_said(config):
    with pytest.raises(ConfigError) as raised:
        read_config(config(model_id="mine", refresh_interval_secs=60))
    assert [str(problem) for problem in raised.value.problems] == [
        "model_uris: model.refresh_interval_secs is set, and a newer model has a uri of its own here; leave it out",
        "model_uris: model.model_id is 'mine', and rows say the uri of the model that was used; leave it out",
    ]


def test_the_configured_models_file_has_to_be_there(config, models):
    with pytest.raises(ConfigError, match=r"model\.onnx\.uri: can't read 'nowhere\.onnx'"):
        plan(config(onnx={"uri": "nowhere.onnx"}))


def test_the_operator_is_asked_about_the_configured_model():
    config = read_config({"model": {"sklearn": {"uri": "m.pkl", "format": "pickle"}}, "model_uris": {}})
    assert [problem.path for problem in Policy().check(config)] == ["model.sklearn.format"]


@pytest.mark.parametrize("tags", [(), ("input",), ("model_uris",), ("input", "uris"), ("a", "input", "model_uris")])
def test_inputs_by_other_names_are_refused_with_the_way_out(config, tags):
    got = ", ".join(map(repr, tags)) or "none"
    with pytest.raises(ConfigError) as raised:
        RunInference(config()).expand(dict.fromkeys(tags))
    assert str(raised.value) == (
        f"model_uris: got inputs {got}; expected 'input' and 'model_uris'; pass the uris as an input of that name"
    )


def test_a_second_input_that_nothing_asked_for_is_refused(config):
    with pytest.raises(ConfigError, match="only a configuration with model_uris takes another"):
        RunInference({"model": config()["model"]}).expand({"input": None, "model_uris": None})


# Which uris count ----------------------------------------------------------------------------------------------------


def test_the_newest_is_the_one_with_the_latest_timestamp_and_of_one_time_the_one_of_the_later_text():
    assert newest([[(2, "a")], [(1, "z")], [(2, "b")]]) == [(2, "b"), (2, "a"), (1, "z")]


def test_a_uri_that_comes_again_counts_once_with_its_latest_timestamp():
    assert newest([[(1, "a"), (2, "b")], [(3, "a")], [(1, "a")]]) == [(3, "a"), (2, "b")]


def test_so_many_are_kept_and_in_whatever_parts_they_come_it_is_the_same_ones():
    choose = np.random.default_rng(7)
    uris = [(int(timestamp), f"{number}.onnx") for timestamp, number in choose.integers(0, (30, 60), (300, 2))]
    expected = newest([uris])
    assert len(expected) == MAX_URIS
    for _ in range(20):
        choose.shuffle(uris)
        parts = [newest([uris[start : start + 7]]) for start in range(0, len(uris), 7)]
        assert newest([newest(parts[:9]), newest(parts[9:])]) == expected


# What workers do -----------------------------------------------------------------------------------------------------


def batch(*uris, x=(1.0, 2.0)):
    count = len(x)
    features = Columns({"x": Dense(np.array(x, np.float32))}, count)
    return Batch(Columns({"row": Dense(np.arange(count))}, count), features, uris=uris, constants={"model_id": ""})


@pytest.fixture
def run(config):
    """Runs batches one after another in one worker; returns what was predicted, and which model rows say it was."""
    handler = ColumnarModelHandler(plan(config()).steps[0])
    loaded = handler.load_model()

    def run(batch):
        [result] = handler.run_inference(batch, loaded)
        return result.predictions["y"].to_rows(), result.constants["model_id"]

    return run


def test_a_batch_meets_the_newest_model_and_its_rows_name_it(run, save):
    old, new = save("old", 10), save("new", 20)
    assert run(batch(old)) == ([11, 12], old)
    assert run(batch(new, old)) == ([21, 22], new)
    assert run(batch(old)) == ([11, 12], old)


def test_models_that_are_broken_or_of_another_signature_are_passed_over(run, save, caplog):
    good, broken, other = save("good", 10), save("broken", 20, size=60), save("other", 20, output="z")
    for _ in range(2):
        assert run(batch("nowhere.onnx", other, broken, good)) == ([11, 12], good)
    reasons = [message.split(" is not used, the one before it is: ") for message in caplog.messages]
    assert [uri for uri, _ in reasons] == ["model nowhere.onnx", f"model {other}", f"model {broken}"]
    assert "there is no such file" in reasons[0][1]
    assert "takes and returns (x: FP32) -> (z: FP32); expected (x: FP32) -> (y: FP32), as at " in reasons[1][1]
    assert "no ONNX model, or only a part of one" in reasons[2][1]


def test_where_no_model_can_be_used_the_bundle_fails_with_the_reason(run, save):
    with pytest.raises(SystemicError, match="no ONNX model, or only a part of one"):
        run(batch(save("broken", size=60)))


class Returns:
    """Returns its input as another datatype."""

    def __init__(self, dtype):
        self.dtype, self.runs = dtype, 0

    def run(self, inputs, outputs):
        self.runs += 1
        return {"y": Dense(inputs["x"]["x"].values.astype(self.dtype))}


def test_a_model_that_returns_something_else_than_declared_is_passed_over_and_run_once(config):
    handler, made = ColumnarModelHandler(plan(config()).steps[0]), {"a": Returns("f4"), "b": Returns("f8")}
    models_by_uri = NewestModel(made.__getitem__, 60.0, count=lambda event: None)
    for _ in range(2):
        [result] = handler.run_inference(batch("b", "a"), models_by_uri)
        assert (result.route, result.constants) == ("a", {"model_id": "a"})
    assert made["b"].runs == 1
    with pytest.raises(NotAsDeclaredError, match=r"model b: output 'y' is FP64\[\], not FP32 as declared"):
        handler.run_inference(batch("b"), models_by_uri)


def test_a_row_that_makes_the_model_raise_costs_itself_only_and_names_the_model(config):
    class Picky(Returns):
        def run(self, inputs, outputs):
            if (inputs["x"]["x"].values < 0).any():
                raise ValueError("negative")
            return super().run(inputs, outputs)

    handler = ColumnarModelHandler(plan(config()).steps[0])
    models_by_uri = NewestModel({"a": Picky("f4")}.__getitem__, 60.0, count=lambda event: None)
    [result] = handler.run_inference(batch("a", x=(1, -1)), models_by_uri)
    [failures] = result.failures
    assert (len(result), failures.errors, failures.constants) == (1, (("ValueError", "negative"),), {"model_id": "a"})


def test_a_batch_without_rows_needs_no_model(config):
    handler = ColumnarModelHandler(plan(config()).steps[0])
    [result] = handler.run_inference(batch(x=()), handler.load_model())
    assert (len(result), result.constants) == (0, {"model_id": ""})


def test_rows_of_a_chain_name_the_model_at_the_uri_first(config, save, models):
    uri, second = save("first", 10), str(models / "double_scalar.onnx")
    then = [{"model": {"onnx": {"uri": second}}, "inputs": [{"name": "x", "columns": ["y"]}]}]
    then[0]["outputs"] = [{"source": "y", "name": "z"}]
    made = plan({**config(), "then": then})
    result = batch(uri)
    for step, kept in zip(made.steps, [made.kept, None], strict=True):
        handler = ColumnarModelHandler(step)
        [result] = BeginStep(step, kept).process(result)
        [result] = handler.run_inference(result, handler.load_model())
    assert result.predictions["z"].to_rows() == [22, 24]
    assert result.constants == {"model_id": f"{uri}, {second}"}


def test_a_batch_keeps_its_uris(config):
    rows = batch("b", "a")
    assert {part.uris for part in (rows.take(np.array([0])), rows.slice(0, 1), rows.compact(), replace(rows))} == {
        ("b", "a")
    }


# Which models data may name ------------------------------------------------------------------------------------------


def refusal(config, uri):
    """Returns why data may not name a model; the file is not read."""
    config = read_config(config)
    with pytest.raises(ModelUnavailable) as raised:
        check_like(config, uri, None)
    return str(raised.value)


def test_data_does_not_name_a_kind_of_file_that_the_operator_was_not_asked_about():
    config = {"model": {"tensorflow": {"uri": "saved"}}, "model_uris": {}}
    assert refusal(config, "evil.keras") == "'evil.keras' needs --allow-format keras; the model at 'saved' does not"


def test_data_does_not_name_what_a_configuration_can_not():
    field = {"name": "x", "datatype": "FP32"}
    server = {"uri": "grpc://models:8001/digits", "inputs": [field], "outputs": [field]}
    config = {"model": {"open_inference": server}, "model_uris": {}}
    assert refusal(config, "file:///etc/passwd").startswith("'file:///etc/passwd': got ")
    assert refusal({"model": {"onnx": {"uri": "a.onnx"}}, "model_uris": {}}, "").startswith("'': ")


# Where models may be that data names ---------------------------------------------------------------------------------


@pytest.fixture
def run_within(config, tmp_path):
    """Runs a batch as ``run`` does, in a graph of a service that allows some prefixes; its own directory by default."""

    def run_within(batch, *prefixes):
        made = ColumnarModelHandler(plan(config(), Places(prefixes or (str(tmp_path / "allowed"),))).steps[0])
        handler = pickle.loads(pickle.dumps(made))
        [result] = handler.run_inference(batch, handler.load_model())
        return result.constants["model_id"]

    (tmp_path / "allowed").mkdir()
    return run_within


@pytest.fixture
def opened(monkeypatch):
    """The files that are opened."""
    opened, open_ = [], files._open
    monkeypatch.setattr(files, "_open", lambda uri: opened.append(uri) or open_(uri))
    return opened


def test_a_uri_outside_what_the_operator_allows_is_a_refresh_that_is_refused_unread(
    run_within, config, save, tmp_path, opened, caplog, monkeypatch
):
    counted = []
    monkeypatch.setattr("expansion.transforms.metrics.count_refresh", counted.append)
    good, secret = save("allowed/good", 10), save("secret", 20)
    (tmp_path / "allowed/link.onnx").symlink_to(secret)
    ways_out = [
        secret,
        f"file://{secret}",
        f"{tmp_path}/allowed/../secret.onnx",
        f"{tmp_path}/allowed/link.onnx",
        "secret.onnx",
        "/etc/passwd",
        "/proc/self/environ",
        "gs://other/model.onnx",
        "http://169.254.169.254/latest/meta-data",
    ]
    for uri in ways_out:
        assert run_within(batch(uri, good)) == good
    assert set(opened) == {good, config()["model"]["onnx"]["uri"]}
    assert counted == ["failures"] * len(ways_out)
    for uri, message in zip(ways_out, caplog.messages, strict=True):
        assert message.startswith(f"model {uri} is not used, the one before it is: got ")
    assert sum("expected one below" in message for message in caplog.messages) == len(ways_out) - 2
    assert all("--allow-uri-prefix" in message for message in caplog.messages if "expected one below" in message)


def test_where_nothing_is_allowed_of_all_uris_the_bundle_fails_with_the_reason(run_within, save):
    with pytest.raises(SystemicError, match=r"^got '.*', which is in no place that this service allows; expected one"):
        run_within(batch(save("secret")))


def test_a_graph_of_a_service_without_prefixes_reads_nothing_where_nobody_may(config, save, opened):
    handler = ColumnarModelHandler(plan(config(), Places()).steps[0])
    good = save("good", 10)
    opened.clear()
    for uri in ("/proc/self/environ", "/dev/stdin", "http://169.254.169.254/a", "https://models.example/a"):
        [result] = handler.run_inference(batch(uri, good), handler.load_model())
        assert result.constants["model_id"] == good
    assert set(opened) == {good}


def test_a_python_pipeline_has_no_operator_and_no_limits(config):
    assert plan(config()).steps[0].places is None


def test_steps_of_services_that_allow_other_places_do_not_share_a_model(config):
    allowed = [None, Places(), Places(("/a",)), Places(("/b",)), Places(("/a",))]
    tags = [plan(config(), places).steps[0].model_tag for places in allowed]
    assert len(set(tags)) == 4
    assert tags[2] == tags[4]


def test_only_a_step_whose_uris_come_with_the_data_knows_of_places(config, models):
    second = {"model": {"onnx": {"uri": str(models / "double_scalar.onnx")}}}
    second["outputs"], second["inputs"] = [{"source": "y", "name": "z"}], [{"name": "x", "columns": ["y"]}]
    chain = plan({**config(), "then": [second]}, Places(("/a",)))
    assert [step.places for step in chain.steps] == [Places(("/a",)), None]
