# Licensed under the Apache License, Version 2.0; see LICENSE.
import json
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from expansion.contract._gen.model_pb2 import SklearnModel
from expansion.contract.fields import Field
from expansion.errors import BadRows, ConfigError, SystemicError
from expansion.models import sklearn


def signature(uri, *methods, **options):
    return sklearn.signature(SklearnModel(uri=uri, methods=methods, **options))


def problem(uri, **options):
    with pytest.raises(ConfigError) as raised:
        signature(uri, **options)
    (problem,) = raised.value.problems
    assert problem.path == "uri"
    return problem.message


def asked(config):
    return {permission.path: permission.value for permission in sklearn.permissions(config)}


def run(uri, features, *methods, **options):
    model = sklearn.build(SklearnModel(uri=uri, methods=methods, **options))
    return model.run({"X": features}, methods or ["predict"])


@pytest.fixture(scope="module")
def iris_file(skops_file, classifier):
    return skops_file(classifier)


def test_problems_of_the_message_are_reported_at_once():
    config = SklearnModel(
        format="pikle", methods=["predict", "predict_prob", "predict"], input_format="spark", trusted_types=["x.Y"]
    )
    assert [str(problem) for problem in sklearn.check(config)] == [
        "uri: missing; expected the path or URI of a model file",
        "format: unknown format 'pikle'; did you mean 'pickle'?",
        "methods[1]: unknown method 'predict_prob'; did you mean 'predict_proba'?",
        "methods[2]: 'predict' is named twice; name it once",
        "input_format: unknown input format 'spark'; expected one of 'numpy', 'pandas'",
        "trusted_types: only skops files have trusted types, and format is 'pikle'; leave it out",
    ]
    assert list(sklearn.check(SklearnModel(uri="m.skops", trusted_types=["x.Y"], methods=["transform"]))) == []


def test_only_joblib_and_pickle_run_code_when_loaded():
    assert asked(SklearnModel()) == {}
    assert asked(SklearnModel(format="skops")) == {}
    assert asked(SklearnModel(format="joblib")) == {"format": "joblib"}
    assert asked(SklearnModel(format="pickle")) == {"format": "pickle"}


def test_trusted_types_that_are_not_harmless_are_told_with_their_paths():
    config = SklearnModel(trusted_types=["sklearn.tree._tree.Tree", "posix.system", "scipy.stats._x.Y"])
    assert asked(config) == {"trusted_types[1]": "posix.system", "trusted_types[2]": "scipy.stats._x.Y"}


def test_the_signature_of_a_classifier_is_read_from_its_file(iris_file):
    read = signature(iris_file, "predict", "predict_proba", "decision_function")
    assert read.inputs == {"X": Field("X", "", (4,))}
    assert read.outputs == {
        "predict": Field("predict", "INT64"),
        "predict_proba": Field("predict_proba", "FP64", (3,)),
        "decision_function": Field("decision_function", "FP64", (3,)),
    }
    assert list(signature(iris_file).outputs) == ["predict"]


def test_predictions_are_those_of_scikit_learn_called_by_hand(iris_file, classifier, iris, columns):
    result = run(iris_file, columns(f=iris[0]), "predict_proba", "predict")
    np.testing.assert_array_equal(result["predict"].values, classifier.predict(iris[0]))
    np.testing.assert_array_equal(result["predict_proba"].values, classifier.predict_proba(iris[0]))
    separate = columns(**{name: iris[0][:, index] for index, name in enumerate("abcd")})
    np.testing.assert_array_equal(run(iris_file, separate)["predict"].values, result["predict"].values)


def estimators(iris):
    """Estimators of many kinds, fitted, with the methods to call."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.ensemble import (
        GradientBoostingRegressor,
        IsolationForest,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.linear_model import LinearRegression, Ridge
    from sklearn.mixture import GaussianMixture
    from sklearn.model_selection import GridSearchCV
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.svm import SVC, SVR
    from sklearn.tree import DecisionTreeRegressor

    features, classes = iris
    targets, names = features[:, 0] * 2, np.array(["setosa", "versicolor", "virginica"])[classes]
    two = classes > 0
    yield LinearRegression().fit(features, targets), ("predict",)
    yield LinearRegression().fit(features, features[:, :2]), ("predict",)
    yield LinearRegression().fit(features.astype(np.float32), targets.astype(np.float32)), ("predict",)
    yield Ridge().fit(features, classes), ("predict",)
    yield SVR().fit(features, targets), ("predict",)
    yield DecisionTreeRegressor(max_depth=2).fit(features, features[:, :3]), ("predict",)
    yield RandomForestRegressor(2, max_depth=2).fit(features, targets), ("predict",)
    yield GradientBoostingRegressor(n_estimators=2).fit(features, targets), ("predict",)
    yield RandomForestClassifier(2, max_depth=2).fit(features, names), ("predict", "predict_proba")
    yield GaussianNB().fit(features, names.astype(object)), ("predict", "predict_proba")
    yield GaussianNB().fit(features, two), ("predict", "predict_proba")
    yield GaussianNB().fit(features, classes.astype(np.float32) + 0.0), ("predict", "predict_proba")
    yield GaussianNB().fit(features, classes.astype(np.uint8)), ("predict", "predict_proba")
    yield SVC().fit(features, names), ("predict", "decision_function")
    yield SVC().fit(features, two), ("decision_function",)
    yield KMeans(5, n_init=1).fit(features), ("predict", "transform")
    yield GaussianMixture(4).fit(features), ("predict", "predict_proba")
    yield IsolationForest(n_estimators=2).fit(features), ("predict", "decision_function")
    yield make_pipeline(MinMaxScaler(), PCA(2)).fit(features), ("transform",)
    yield MinMaxScaler().fit(features), ("transform",)
    yield GridSearchCV(make_pipeline(GaussianNB()), {}, cv=2).fit(features, names), ("predict", "predict_proba")


def test_what_the_signature_says_is_what_estimators_of_many_kinds_return(skops_file, iris, columns):
    import skops.io

    for estimator, methods in estimators(iris):
        uri = skops_file(estimator)
        trusted = skops.io.get_untrusted_types(file=uri)
        said = signature(uri, *methods)
        assert said.inputs["X"].shape == (4,), estimator
        for dtype in ("float64", "float32"):
            if dtype == "float32" and type(estimator).__name__ == "KMeans":
                continue  # fitted on FP64, it takes no FP32
            features = iris[0][:7].astype(dtype)
            result = run(uri, columns(f=features), *methods, trusted_types=trusted)
            for method in methods:
                field = said.outputs[method]
                assert (field.datatype, field.shape) == (result[method].datatype, result[method].shape), estimator
                by_hand = getattr(estimator, method)(features)
                np.testing.assert_array_equal(np.array(result[method].to_rows()), by_hand)


def test_what_the_file_does_not_say_must_be_declared(skops_file, iris):
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    read = signature(skops_file(SVC(decision_function_shape="ovo").fit(*iris)), "decision_function", "transform")
    assert {field.datatype for field in read.outputs.values()} == {""}
    assert (
        read.notes["transform"] == "the file does not say what transform of SVC returns; declare its datatype and shape"
    )
    several = DecisionTreeClassifier().fit(iris[0], np.column_stack([iris[1], iris[1]]))
    assert signature(skops_file(several)).outputs["predict"].datatype == ""


def test_texts_go_to_a_text_vectorizer_as_they_are(skops_file, columns):
    import skops.io
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = ["good film", "bad film", "very good", "very bad"]
    estimator = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["pos", "neg", "pos", "neg"])
    uri = skops_file(estimator)
    assert signature(uri).inputs["X"] == Field("X", "STRING")
    trusted = skops.io.get_untrusted_types(file=uri)
    assert run(uri, columns(text=["a good one", ""]), trusted_types=trusted)["predict"].to_rows()[0] == "pos"


def test_texts_go_to_a_vectorizer_wherever_it_is_the_first_step(skops_file, columns):
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    nested = make_pipeline(make_pipeline("passthrough", HashingVectorizer()), LogisticRegression())
    texts, classes = ["good film", "bad film"] * 4, [1, 0] * 4
    uri = skops_file(GridSearchCV(nested, {}, cv=2).fit(texts, classes))
    assert signature(uri).inputs["X"] == Field("X", "STRING")
    assert signature(uri).numeric_only == frozenset()
    trusted = ["sklearn.metrics._scorer._PassthroughScorer", "sklearn.model_selection._split.StratifiedKFold"]
    assert asked(SklearnModel(trusted_types=trusted)) == {}
    assert run(uri, columns(text=["good", "bad"]), trusted_types=trusted)["predict"].to_rows() == [1, 0]


def test_the_size_of_the_input_is_that_of_the_first_step_and_of_no_later_one(skops_file, iris):
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.preprocessing import StandardScaler

    nested = make_pipeline(make_pipeline(StandardScaler(), PCA(2)), LogisticRegression())
    assert signature(skops_file(nested.fit(*iris))).inputs["X"].shape == (4,)
    union = make_pipeline(make_union(PCA(2), PCA(1)), LogisticRegression())
    assert signature(skops_file(union.fit(*iris))).inputs["X"].shape == (-1,)


def test_estimators_of_matrices_take_numbers_only_and_encoders_and_data_frames_do_not(skops_file, iris_file, iris):
    from sklearn.ensemble import RandomForestClassifier, VotingClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    assert signature(iris_file).numeric_only == {"X"}
    assert signature(iris_file, input_format="pandas").numeric_only == frozenset()
    assert signature(skops_file(RandomForestClassifier(2).fit(*iris))).numeric_only == {"X"}
    encoder = OneHotEncoder(sparse_output=False).fit([["a"], ["b"]])
    assert signature(skops_file(encoder), "transform").numeric_only == frozenset()
    encoded = make_pipeline(encoder, GaussianNB()).fit([["a"], ["b"]], [0, 1])
    assert signature(skops_file(encoded)).numeric_only == frozenset()
    voting = VotingClassifier([("x", encoded)]).fit([["a"], ["b"]], [0, 1])
    assert signature(skops_file(voting)).numeric_only == frozenset()


def test_sparse_results_become_dense(skops_file, columns):
    from sklearn.preprocessing import OneHotEncoder

    uri = skops_file(OneHotEncoder().fit([[0], [1], [2]]))
    assert run(uri, columns(f=np.array([[2], [0]])), "transform")["transform"].to_rows() == [[0, 0, 1], [1, 0, 0]]


def test_a_data_frame_has_the_columns_of_the_input_by_name(skops_file, columns):
    import pandas as pd
    import skops.io
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.DataFrame({"age": [20.0, 30, 40, 50], "country": ["de", "fr", "de", "fr"]})
    transformer = make_column_transformer((OneHotEncoder(), ["country"]), (StandardScaler(), ["age"]))
    estimator = make_pipeline(transformer, LogisticRegression()).fit(frame, [0, 1, 0, 1])
    uri = skops_file(estimator)
    options = {"input_format": "pandas", "trusted_types": skops.io.get_untrusted_types(file=uri)}
    assert signature(uri, input_format="pandas").inputs["X"].shape == (2,)
    features = columns(age=np.array([25.0, 35.0]), country=["fr", "de"])
    result = run(uri, features, "predict_proba", **options)
    by_hand = estimator.predict_proba(pd.DataFrame({"age": [25.0, 35.0], "country": ["fr", "de"]}))
    np.testing.assert_array_equal(result["predict_proba"].values, by_hand)
    with pytest.raises(SystemicError, match=r"column 'age' has rows of shape \[1\]; input_format pandas takes scalars"):
        run(uri, columns(age=np.zeros((2, 1))), **options)


@pytest.mark.parametrize("file_format", ["joblib", "pickle"])
def test_joblib_and_pickle_files_say_nothing_before_they_are_loaded(tmp_path, classifier, iris, columns, file_format):
    import joblib

    path = tmp_path / "model.bin"
    if file_format == "joblib":
        joblib.dump(classifier, path, compress=3)
    else:
        path.write_bytes(pickle.dumps(classifier))
    read = signature(str(path), "predict", format=file_format)
    assert read.inputs["X"].shape == (-1,)
    assert read.outputs == {"predict": Field("predict", "")}
    assert "declare its datatype and shape" in read.notes["predict"]
    result = run(str(path), columns(f=iris[0]), format=file_format)
    np.testing.assert_array_equal(result["predict"].values, classifier.predict(iris[0]))


def test_a_pickle_is_not_loaded_for_its_signature(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Bomb()))
    signature(str(path), format="pickle")
    assert "a Python pickle" in problem(str(path))
    assert not (tmp_path / "touched").exists()


def test_types_that_nobody_trusts_are_named_and_refused(skops_file, tmp_path, classifier):
    from sklearn.preprocessing import FunctionTransformer

    uri = skops_file(FunctionTransformer(np.savetxt).fit([[1.0]]))
    with pytest.raises(SystemicError, match=r"types that are not trusted: numpy\S*savetxt; list them in trusted_types"):
        sklearn.build(SklearnModel(uri=uri, methods=["transform"]))


def test_what_scikit_learn_imports_is_not_trusted_as_a_class_of_it(skops_file, tmp_path):
    from sklearn.preprocessing import FunctionTransformer

    path = tmp_path / "model.skops"
    with zipfile.ZipFile(skops_file(FunctionTransformer(np.savetxt))) as original, zipfile.ZipFile(path, "w") as forged:
        schema = json.loads(original.read("schema.json"))
        function = schema["content"]["content"]["func"]
        function["__module__"], function["__class__"] = "sklearn.calibration", "Parallel"
        forged.writestr("schema.json", json.dumps(schema))
    config = SklearnModel(uri=str(path), methods=["transform"], trusted_types=["sklearn.calibration.Parallel"])
    assert asked(config) == {}
    with pytest.raises(SystemicError, match=r"holds what is no part of an estimator: sklearn\.calibration\.Parallel$"):
        sklearn.build(config)


def test_a_file_of_another_kind_is_named_for_what_it_looks_like(tmp_path, iris_file):
    path = tmp_path / "model.skops"
    for content, reason in (
        (b"", "it is empty"),
        (b"\x80\x04\x95" + bytes(100), "it looks like a Python pickle"),
        (b"some text\n", "it looks like text"),
        (Path(iris_file).read_bytes()[:-100], "it is a damaged zip file, or a part of one"),
    ):
        path.write_bytes(content)
        assert reason in problem(str(path))
        with pytest.raises(SystemicError, match="can't load"):
            sklearn.build(SklearnModel(uri=str(path)))
    assert problem(iris_file, format="pickle") == (
        f"{iris_file!r} is no pickle file; it looks like a zip file, as skops and PyTorch write"
    )
    path.write_bytes(b"\x80\x04nonsense")
    with pytest.raises(SystemicError, match=r"can't load .* as pickle"):
        sklearn.build(SklearnModel(uri=str(path), format="pickle"))


def test_a_zip_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "model.skops"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"")
    assert "without the schema.json of skops" in problem(str(path))


def test_a_method_that_the_estimator_lacks_is_systemic(skops_file, iris):
    from sklearn.svm import SVC

    with pytest.raises(SystemicError, match=r"SVC in .* has no method predict_proba"):
        sklearn.build(SklearnModel(uri=skops_file(SVC().fit(*iris)), methods=["predict_proba"]))


def test_nan_that_the_model_refuses_is_a_value_error(iris_file, columns):
    features = np.ones((3, 4))
    features[1, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        run(iris_file, columns(f=features))


def test_an_estimator_runs_with_the_threads_that_it_is_given(columns):
    import threadpoolctl

    class CountThreads:
        def predict(self, features):
            most = max(pool["num_threads"] for pool in threadpoolctl.threadpool_info())
            return np.full(len(features), most)

    threads_before = threadpoolctl.threadpool_info()
    for threads in (1, 2):
        estimator = sklearn.SklearnEstimator(CountThreads(), "numpy", threads)
        assert estimator.run({"X": columns(f=np.ones(1))}, ["predict"])["predict"].to_rows() == [threads]
    assert threadpoolctl.threadpool_info() == threads_before


def test_rows_of_a_wrong_shape_are_bad_rows(iris_file, columns):
    with pytest.raises(BadRows, match=r"shape \[3\] does not fit model input 'X', which takes \[4\]"):
        run(iris_file, columns(f=np.ones((2, 3))))


def test_several_arrays_a_method_are_systemic(skops_file, iris, columns):
    from sklearn.tree import DecisionTreeClassifier

    several = DecisionTreeClassifier().fit(iris[0], np.column_stack([iris[1], iris[1]]))
    with pytest.raises(SystemicError, match="only one is supported"):
        run(skops_file(several), columns(f=iris[0]), "predict_proba", trusted_types=["sklearn.tree._tree.Tree"])


def test_a_missing_package_names_the_extra(monkeypatch, iris_file):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(SystemicError, match=r"install beam-ml-expansion\[sklearn\] on the workers"):
        sklearn.build(SklearnModel(uri=iris_file))
