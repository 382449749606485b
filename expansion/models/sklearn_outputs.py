# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the methods of a scikit-learn estimator return, told from its file alone.

Whatever numbers an estimator computes with, what is served is INT64, FP64, BOOL or STRING: an estimator returns FP32 or
FP64 depending on what it is given, and the schema is said before it is given anything.
"""

from __future__ import annotations

from expansion.contract.fields import Field
from expansion.models.signature import Signature
from expansion.models.skops_file import ArrayHeader, Estimator

DATATYPES_BY_KIND = {"b": "BOOL", "i": "INT64", "u": "INT64", "f": "FP64", "U": "STRING"}

# predict() of these returns the number of a cluster, or 1 and -1 for inliers and outliers.
_CLUSTERS = {"AffinityPropagation", "BayesianGaussianMixture", "Birch", "BisectingKMeans", "GaussianMixture", "KMeans"}
_CLUSTERS |= {"MeanShift", "MiniBatchKMeans"}
_OUTLIERS = {"EllipticEnvelope", "IsolationForest", "LocalOutlierFactor", "OneClassSVM", "SGDOneClassSVM"}
# These take texts too, or hand on what they get.
_TAKES_ANYTHING = {"ColumnTransformer", "DummyClassifier", "DummyRegressor", "FeatureHasher", "FeatureUnion"}
_TAKES_ANYTHING |= {"FunctionTransformer", "GaussianProcessClassifier", "GaussianProcessRegressor", "MissingIndicator"}
_TAKES_ANYTHING |= {"OneHotEncoder", "OrdinalEncoder", "Pipeline", "SimpleImputer", "TargetEncoder"}
_TAKES_ANYTHING |= {"TransformedTargetRegressor"}
# Regressors of one target whose files do not say so.
_SINGLE_TARGET = {
    "AdaBoostRegressor",
    "GradientBoostingRegressor",
    "HistGradientBoostingRegressor",
    "IsotonicRegression",
}
_SINGLE_TARGET |= {"NuSVR", "SVR"}
# transform() of these returns as many features as it gets.
_SAME_FEATURES = {"Binarizer", "MaxAbsScaler", "MinMaxScaler", "Normalizer", "PowerTransformer", "QuantileTransformer"}
_SAME_FEATURES |= {"RobustScaler", "StandardScaler"}


def signature_of(estimator: Estimator, methods: list[str], input_format: str) -> Signature:
    """Returns the signature of an estimator of which these methods are called, and given "numpy" or "pandas"."""
    steps = _chain(estimator)
    outputs, notes = {}, {}
    for method in methods:
        field = _OUTPUTS[method](steps[-1]) if steps[-1] else None
        if field is None:
            name = steps[-1].name if steps[-1] else estimator.name
            notes[method] = f"the file does not say what {method} of {name} returns; declare its datatype and shape"
        outputs[method] = Field(method, *(field or ("", ())))
    first = _first(estimator)
    numbers = input_format == "numpy" and first is not None and _takes_numbers_only(first)
    return Signature({"X": _input(first)}, outputs, notes, frozenset({"X"} if numbers else ()))


def takes_texts(module: str, name: str) -> bool:
    """Whether a class takes one text a row, as text vectorizers do, and no matrix."""
    return module.startswith("sklearn.feature_extraction.text") and name.endswith("Vectorizer")


def _chain(estimator: Estimator) -> list[Estimator | None]:
    """Returns the estimators that data goes through, those around others (Pipeline, GridSearchCV) taken apart."""
    steps: list[Estimator | None] = [estimator]
    for _ in range(8):  # as deep as anyone nests them, and no deeper than a hostile file makes us
        last = steps[-1]
        inner = (
            (last.steps() or ([last.child("best_estimator_")] if last.child("best_estimator_") else [])) if last else []
        )
        if not inner:
            break
        steps += inner
    return steps


def _first(estimator: Estimator) -> Estimator | None:
    """Returns the estimator that gets the input, those around others taken apart; None where it can't be known."""
    for _ in range(8):
        steps = [step for step in estimator.steps() if step]
        inner = steps[0] if steps else estimator.child("best_estimator_")
        if inner is None:
            return estimator
        estimator = inner
    return None


def _input(first: Estimator | None) -> Field:
    if first and takes_texts(first.module, first.name):
        return Field("X", "STRING")
    return Field("X", "", ((first.size("n_features_in_") if first else None) or -1,))


def _takes_numbers_only(first: Estimator) -> bool:
    if not first.module.startswith("sklearn.") or first.name in _TAKES_ANYTHING:
        return False
    # What stands around other estimators takes what they take; forests have trees, which take numbers.
    around_others = first.has("estimators") or first.child("estimator") is not None
    return not takes_texts(first.module, first.name) and (
        not around_others or first.module == "sklearn.ensemble._forest"
    )


_Output = tuple[str, tuple[int, ...]]


def _class_count(estimator: Estimator) -> int | None:
    classes = estimator.array("classes_")
    return classes.shape[0] if classes and len(classes.shape) == 1 else None


def _predict(estimator: Estimator) -> _Output | None:
    classes = estimator.array("classes_")
    if classes and len(classes.shape) == 1:
        datatype = DATATYPES_BY_KIND.get(classes.kind)
        return (datatype, ()) if datatype else None
    if estimator.name in _CLUSTERS | _OUTLIERS:
        return "INT64", ()
    if estimator.module.startswith("sklearn.") and _is_regressor(estimator):
        return _regression(estimator)
    return None


def _is_regressor(estimator: Estimator) -> bool:
    named_so = estimator.name.endswith(("Regressor", "Regression", "SVR"))
    return named_so or estimator.module.startswith("sklearn.linear_model.")


def _regression(estimator: Estimator) -> _Output | None:
    targets = estimator.size("n_outputs_")
    if targets:
        return "FP64", (() if targets == 1 else (targets,))
    coefficients = estimator.array("coef_")
    if coefficients and len(coefficients.shape) in (1, 2):
        return "FP64", coefficients.shape[:-1]
    return ("FP64", ()) if estimator.name in _SINGLE_TARGET else None


def _predict_proba(estimator: Estimator) -> _Output | None:
    count = _class_count(estimator) or _length(estimator.array("weights_") if estimator.name in _CLUSTERS else None)
    return ("FP64", (count,)) if count else None


def _decision_function(estimator: Estimator) -> _Output | None:
    if estimator.name in _OUTLIERS:
        return "FP64", ()
    count = _class_count(estimator)
    one_vs_one = estimator.value("decision_function_shape") == "ovo"
    if not count or (one_vs_one and count > 2):
        return None
    return "FP64", (() if count == 2 else (count,))


def _transform(estimator: Estimator) -> _Output | None:
    if estimator.name in _SAME_FEATURES:
        size = estimator.size("n_features_in_")
    else:
        size = _length(estimator.array("components_")) or _length(estimator.array("cluster_centers_"))
    return ("FP64", (size,)) if size else None


def _length(array: ArrayHeader | None) -> int | None:
    return array.shape[0] if array and array.shape else None


_OUTPUTS = {
    "predict": _predict,
    "predict_proba": _predict_proba,
    "transform": _transform,
    "decision_function": _decision_function,
}
METHODS = tuple(_OUTPUTS)
