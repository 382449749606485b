# Licensed under the Apache License, Version 2.0; see LICENSE.
import concurrent.futures
import contextlib
import io
import json
import subprocess
import sys

import numpy as np
import pytest

from expansion.contract._gen.model_pb2 import Model, XGBoostModel
from expansion.contract.fields import Field
from expansion.errors import BadRows, ConfigError, SystemicError
from expansion.models import xgboost
from expansion.models.json_outline import OutlineError, read_json_outline
from expansion.models.runtime import Runtime
from expansion.models.ubjson_outline import read_ubjson_outline
from expansion.models.xgboost_file import read_learner

pytestmark = pytest.mark.framework

ROWS = 60
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(ROWS, 4)).astype(np.float32)
X[::7, 1] = np.nan
AMOUNT = (RANDOM.random(ROWS) + 0.1).astype(np.float32)
BINARY = (np.nan_to_num(X[:, 1]) + X[:, 0] > 0).astype(np.float32)
CLASSES = RANDOM.integers(0, 3, ROWS).astype(np.float32)
TARGETS = np.stack([AMOUNT, 2 * AMOUNT], 1)

# Objective, further parameters, labels; row shapes of "predict" and "margin".
OBJECTIVES = [
    ("reg:squarederror", {}, AMOUNT, (), ()),
    ("reg:logistic", {}, BINARY, (), ()),
    ("reg:absoluteerror", {}, AMOUNT, (), ()),
    ("reg:gamma", {}, AMOUNT, (), ()),
    ("reg:quantileerror", {"quantile_alpha": [0.1, 0.5, 0.9]}, AMOUNT, (3,), (3,)),
    ("reg:quantileerror", {"quantile_alpha": 0.5}, AMOUNT, (), ()),
    ("binary:logistic", {}, BINARY, (), ()),
    ("binary:logistic", {"booster": "dart"}, BINARY, (), ()),
    ("binary:logistic", {"booster": "gblinear"}, BINARY, (), ()),
    ("binary:hinge", {}, BINARY, (), ()),
    ("count:poisson", {}, AMOUNT, (), ()),
    ("survival:cox", {}, AMOUNT, (), ()),
    ("survival:aft", {}, AMOUNT, (), ()),
    ("rank:ndcg", {}, BINARY, (), ()),
    ("multi:softprob", {"num_class": 3}, CLASSES, (3,), (3,)),
    ("multi:softprob", {"num_class": 3, "booster": "gblinear"}, CLASSES, (3,), (3,)),
    ("multi:softmax", {"num_class": 3}, CLASSES, (), (3,)),
    ("reg:squarederror", {}, TARGETS, (2,), (2,)),
    ("reg:squarederror", {"multi_strategy": "multi_output_tree"}, TARGETS, (2,), (2,)),
]


def uses_cuda():
    with contextlib.suppress(ImportError):
        import xgboost as library

        return library.build_info()["USE_CUDA"]
    return False


def train(objective="binary:logistic", labels=BINARY, features=X, rounds=4, **parameters):
    import xgboost as library

    about = {name: parameters.pop(name) for name in ("feature_names", "feature_types") if name in parameters}
    data = library.DMatrix(features, labels, enable_categorical=True, **about)
    if objective == "survival:aft":
        data = library.DMatrix(features, label_lower_bound=labels, label_upper_bound=labels)
    elif objective.startswith("rank:"):
        data.set_group([ROWS // 2, ROWS // 2])
    return library.train({"objective": objective, "max_depth": 3, "nthread": 1, **parameters}, data, rounds)


def by_hand(booster, margin, features=X):
    import xgboost as library

    return booster.predict(library.DMatrix(features), output_margin=margin, validate_features=False)


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """Saves a Booster, or writes bytes; returns the message."""

    def saved(booster, suffix=".ubj", methods=()):
        path = tmp_path_factory.mktemp("xgboost") / f"model{suffix}"
        if isinstance(booster, bytes):
            path.write_bytes(booster)
        else:
            booster.save_model(path)
        return XGBoostModel(uri=str(path), methods=methods)

    return saved


def refusal(config):
    """Returns why a file is refused; the same is said on a worker."""
    with pytest.raises(ConfigError) as raised:
        xgboost.signature(config)
    (problem,) = raised.value.problems
    assert problem.path == "uri"
    with pytest.raises(SystemicError) as on_worker:
        xgboost.build(config)
    assert str(on_worker.value) == problem.message
    assert "\n" not in problem.message
    return problem.message


@pytest.mark.parametrize("suffix", [".json", ".ubj"])
@pytest.mark.parametrize(("objective", "parameters", "labels", "predict", "margin"), OBJECTIVES)
def test_shapes_are_known_before_and_values_are_the_librarys(
    objective, parameters, labels, predict, margin, suffix, saved, columns
):
    booster = train(objective, labels, **parameters)
    config = saved(booster, suffix, ["predict", "margin"])
    read = xgboost.signature(config)
    assert read.inputs == {"X": Field("X", "FP32", (4,))}
    assert read.outputs == {"predict": Field("predict", "FP32", predict), "margin": Field("margin", "FP32", margin)}
    model = xgboost.build(config)
    for rows in (ROWS, 1):
        result = model.run({"X": columns(x=X[:rows])}, ["margin", "predict"])
        for name, column in result.items():
            assert (column.datatype, column.shape) == ("FP32", read.outputs[name].shape)
            expected = by_hand(booster, name == "margin")[:rows]
            np.testing.assert_allclose(column.values, expected, rtol=0, atol=1e-6)


def test_predict_is_the_only_output_unless_others_are_asked_for(saved):
    assert list(xgboost.signature(saved(train())).outputs) == ["predict"]


def test_columns_are_joined_and_converted_and_nan_is_a_missing_value(saved, columns):
    booster = train()
    model = xgboost.build(saved(booster))
    separate = columns(a=X[:, 0].astype(float), b=X[:, 1].astype(float), c=X[:, 2].astype(float), d=np.arange(ROWS))
    features = np.column_stack([X[:, :3], np.arange(ROWS)])
    result = model.run({"X": separate}, ["predict"])["predict"].values
    np.testing.assert_allclose(result, by_hand(booster, False, features), atol=1e-6)
    assert np.isnan(X).any()


def test_predictions_after_early_stopping_are_those_of_the_scikit_learn_interface(saved, columns):
    import xgboost as library

    estimator = library.XGBClassifier(n_estimators=60, early_stopping_rounds=2, learning_rate=1, n_jobs=1)
    estimator.fit(X[:40], BINARY[:40], eval_set=[(X[40:], BINARY[40:])], verbose=False)
    booster = estimator.get_booster()
    assert estimator.best_iteration + 1 < booster.num_boosted_rounds()
    result = xgboost.build(saved(booster)).run({"X": columns(x=X)}, ["predict"])["predict"].values
    np.testing.assert_allclose(result, estimator.predict_proba(X)[:, 1], atol=1e-6)
    assert not np.allclose(result, by_hand(booster, False))


def test_categories_are_given_by_their_codes(saved, columns):
    import pandas as pd
    import xgboost as library

    codes = RANDOM.integers(0, 5, ROWS)
    frame = pd.DataFrame({"x": X[:, 0], "c": pd.Categorical.from_codes(codes, list("vwxyz"))})
    data = library.DMatrix(frame, (codes == 3).astype(np.float32), enable_categorical=True)
    booster = library.train({"objective": "binary:logistic"}, data, 4)
    result = xgboost.build(saved(booster)).run({"X": columns(x=X[:, 0], c=codes)}, ["predict"])["predict"].values
    np.testing.assert_allclose(result, booster.predict(data), atol=1e-6)
    assert result[codes == 3].min() > result[codes != 3].max()


def test_infinite_values_are_bad_rows_and_so_are_values_too_large(saved, columns):
    model = xgboost.build(saved(train()))
    features = X.astype(float)
    features[3, 0], features[7, 2] = np.inf, 1e300
    with pytest.raises(BadRows, match="too large for FP32") as raised:
        model.run({"X": columns(x=features)}, ["predict"])
    assert sorted(raised.value.messages) == [3, 7]


def test_rows_of_a_wrong_shape_are_bad_rows(saved, columns):
    with pytest.raises(BadRows, match=r"shape \[3\] does not fit model input 'X', which takes \[4\]"):
        xgboost.build(saved(train())).run({"X": columns(x=X[:, :3])}, ["predict"])


def test_named_features_in_another_order_are_refused(saved, columns):
    booster = train(feature_names=["a", "b", "c", "d"])
    model = xgboost.build(saved(booster))
    parts = {name: X[:, index] for index, name in enumerate("abcd")}
    np.testing.assert_allclose(
        model.run({"X": columns(**parts)}, ["predict"])["predict"].values, by_hand(booster, False), atol=1e-6
    )
    with pytest.raises(SystemicError, match=r"list them as \['a', 'b', 'c', 'd'\]"):
        model.run({"X": columns(**dict(reversed(parts.items())))}, ["predict"])


@pytest.mark.parametrize("kind", ["gbtree", "gblinear"])
def test_several_threads_may_use_one_model(kind, saved, columns):
    booster = train(booster=kind, rounds=30)
    model = xgboost.build(saved(booster), Runtime(threads=2))
    parts = [X[start : start + 5] for start in range(0, ROWS, 5)] * 8
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda part: model.run({"X": columns(x=part)}, ["predict"])["predict"].values, parts))
    np.testing.assert_allclose(np.concatenate(results), np.tile(by_hand(booster, False), 8), atol=1e-6)


def test_a_gpu_that_is_not_there_is_refused(saved):
    with pytest.raises(SystemicError, match=r"device is 'cuda:99', and this worker has (no GPU|\d+ GPU\(s\))"):
        xgboost.build(saved(train()), Runtime(device="cuda:99"))


@pytest.mark.gpu(uses_cuda, "XGBoost with CUDA is not installed")
def test_predictions_of_a_gpu_are_those_of_the_cpu(saved, columns):
    config = saved(train())
    on_gpu = xgboost.build(config, Runtime(device="cuda")).run({"X": columns(x=X)}, ["predict"])["predict"].values
    on_cpu = xgboost.build(config, Runtime(device="cpu")).run({"X": columns(x=X)}, ["predict"])["predict"].values
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-6)


def test_a_truncated_model_is_refused_wherever_it_is_cut(saved):
    booster = train()
    for suffix in ("json", "ubj"):
        content = bytes(booster.save_raw(suffix))
        for length in (0, 1, 2, 40, len(content) // 3, len(content) // 2, len(content) - 1):
            assert "is no XGBoost model" in refusal(saved(content[:length]))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\x80\x04\x95" + bytes(80), "it looks like a Python pickle"),
        (b"binf\x00\x00\x00?" + bytes(80), 'Booster.save_model("model.ubj")'),
        (b"\x00\x00\x00?\x04\x00" + bytes(80), "it is neither JSON nor UBJSON"),
        (b"{}", "it has no learner"),
        (b'{"learner": []}', "it has no learner"),
        (b'{"learner": {"learner_model_param": 3}}', "it has no learner_model_param"),
        (b'{"learner": {"learner_model_param": {"num_class": "x"}}}', "its num_class is no number"),
        (b'{"model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "it has no learner"),
        (b'{"a": ' + b"[" * 100_000, "it is no JSON, or only a part of it"),
        (b"{i\x01a" + b"[" * 100_000, "nested too deep"),
        (b"{L" + b"\x7f" * 8, "a text of 9187201950435737471 bytes"),
        (b"{L" + bytes(6) + b"\x7f\xff", "it ends in the middle of a value"),
        (b"{i\x01a[#L\x7f" + b"\xff" * 7 + b"Z" * 100, "it ends in the middle of a value"),
        (b"{i\x01a[$d#L" + b"\xff" * 8, "a length is negative"),
    ],
)
def test_files_that_are_no_model_are_refused_with_the_reason(content, reason, saved):
    assert reason in refusal(saved(content))


def test_a_model_that_xgboost_refuses_is_systemic(saved):
    content = bytes(train().save_raw("json")).replace(b'"num_trees":"4"', b'"num_trees":"9"')
    with pytest.raises(SystemicError, match=r"XGBoost can't load .*: Check failed") as raised:
        xgboost.build(saved(content))
    assert "\n" not in str(raised.value)


def test_what_is_kept_of_a_file_is_bounded():
    with pytest.raises(OutlineError, match="larger than such a file can be"):
        read_json_outline(io.BytesIO(b'{"a": "' + bytes(17 << 20) + b'"}'), 3)
    with pytest.raises(OutlineError, match="larger than such a file can be"):
        read_json_outline(io.BytesIO(b'{"a": [[[["' + bytes(3 << 20) + b'"]]]]}'), 3, max_bytes=2 << 20)
    with pytest.raises(OutlineError, match="too many values"):
        read_ubjson_outline(io.BytesIO(b"[" + b"Z" * 100 + b"]"), 3, max_values=50)
    text = b"SI\x7f\x00" + bytes(0x7F00)
    with pytest.raises(OutlineError, match="larger than such a file can be"):
        read_ubjson_outline(io.BytesIO(b"[" + text * 2400 + b"]"), 3)


def test_empty_objects_and_arrays_are_bounded_as_each_takes_many_times_its_bytes_in_memory():
    for piece in (b"[],", b"{},"):
        with pytest.raises(OutlineError, match="more objects and arrays"):
            read_json_outline(io.BytesIO(b"[" + piece * 70_000 + b"1]"), 3)
    with pytest.raises(OutlineError, match="larger than such a file can be"):
        read_ubjson_outline(io.BytesIO(b"[" + b"[]" * (8 << 20) + b"]"), 3)


def test_the_outline_of_json_is_json_without_what_lies_deeper():
    value = {
        'a\\"]{': {"b": [1, {"c": ["}", "\\"]}], "d\\": "]["},
        "e": [[[[]]], True],
        "long": ["\\" * (1 << 20), "x"],
    }
    text = json.dumps(value)
    for padding in range(3):  # so that pieces end at other places
        read = read_json_outline(io.BytesIO(b" " * padding + text.encode()), 2)
        assert read == {'a\\"]{': {"b": [], "d\\": "]["}, "e": [[], True], "long": value["long"]}


def test_the_trees_are_not_kept_and_the_names_are(saved):
    content = bytes(train(feature_names=["a{", "b}", "ü", "d"]).save_raw("json"))
    learner = read_json_outline(io.BytesIO(content), 3)["learner"]
    assert learner["feature_names"] == ["a{", "b}", "ü", "d"]
    assert set(learner["gradient_booster"]) == {"model", "name"}
    assert learner["gradient_booster"]["model"] == {}


def test_files_of_old_versions_without_targets_are_read():
    content = bytes(train().save_raw("json")).replace(b',"num_target":"1"', b"")
    assert b"num_target" not in content
    assert read_learner(io.BytesIO(content)).group_count == 1


def test_a_damaged_file_never_raises_anything_else():
    from expansion.models.xgboost_file import XGBoostFileError

    booster = train()
    random = np.random.default_rng(0)
    for suffix in ("json", "ubj"):
        content = bytes(booster.save_raw(suffix))
        for _ in range(200):
            damaged = bytearray(content)
            for position in random.integers(0, len(damaged), 3):
                damaged[position] = random.integers(256)
            try:
                read_learner(io.BytesIO(damaged))
            except XGBoostFileError:
                continue


def test_what_is_wrong_with_the_message_is_said_all_at_once():
    problems = list(xgboost.check(XGBoostModel(methods=["predikt", "margin", "margin"])))
    assert [problem.path for problem in problems] == ["uri", "methods[0]", "methods[2]"]
    assert "did you mean 'predict'?" in problems[1].message
    assert list(xgboost.check(XGBoostModel(uri="x"))) == []
    assert list(xgboost.permissions(XGBoostModel(uri="x"))) == []


def test_a_missing_package_names_the_extra(monkeypatch, saved):
    config = saved(train())
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(SystemicError, match=r"install beam-ml-expansion\[xgboost\] on the workers"):
        xgboost.build(config)


def test_the_host_reads_the_signature_without_importing_xgboost(saved):
    code = (
        "import sys; from expansion.contract._gen.model_pb2 import XGBoostModel; from expansion.models import xgboost\n"
        f"config = XGBoostModel(uri={saved(train()).uri!r})\n"
        "assert not list(xgboost.check(config)) and xgboost.signature(config).outputs\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"xgboost", "torch", "transformers", "tensorflow", "sklearn"} & set(loaded)


def test_a_file_may_be_overwritten_while_its_model_is_in_use_and_is_then_refreshed(tmp_path, columns, check_refresh):
    for name, rounds in (("first.ubj", 2), ("second.ubj", 4)):
        train(rounds=rounds).save_model(tmp_path / name)

    def configured(uri):
        return Model(xgboost=XGBoostModel(uri=uri))

    check_refresh(tmp_path / "first.ubj", tmp_path / "second.ubj", configured, {"X": columns(f=X)}, "predict")
