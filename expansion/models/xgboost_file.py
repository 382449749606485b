# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a saved XGBoost model says of itself, read as data and without its trees.

https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html and, there, the JSON schema of models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from expansion.files import looks_like
from expansion.models.json_outline import OutlineError, read_json_outline
from expansion.models.ubjson_outline import read_ubjson_outline

_DEPTH = 3  # learner → feature_names → a name
_RESAVE = 'save it with Booster.save_model("model.ubj"), which a version that reads the file has to do'


class XGBoostFileError(Exception):
    """The file is no XGBoost model in JSON or UBJSON, or not the whole of one."""


@dataclass(frozen=True)
class Learner:
    """What is known of a model.

    Attributes:
        feature_count: Features of a row; -1 where the model does not say.
        group_count: Scores that it computes for each row: classes, targets or quantiles; 1 for a single one.
        objective: Name of the objective, as in "binary:logistic".
        booster: "gbtree", "dart" or "gblinear".
    """

    feature_count: int
    group_count: int
    objective: str
    booster: str

    def shape(self, method: str) -> tuple[int, ...]:
        """Returns the shape of one row of what "predict" or "margin" computes."""
        if self.group_count == 1 or (method == "predict" and self.objective == "multi:softmax"):
            return ()
        return (self.group_count,)


def read_learner(file: BinaryIO) -> Learner:
    """Reads the model in a seekable file.

    Raises:
        XGBoostFileError: It holds none, or only a part of one.
    """
    head = file.read(64)
    file.seek(0)
    try:
        if not head.lstrip().startswith(b"{"):
            raise OutlineError(f"it is neither JSON nor UBJSON{looks_like(head)}; {_RESAVE}")
        # XGBoost tells them apart in the same way: a key begins with a quote in JSON, with its length in UBJSON.
        is_json = head.lstrip()[1:].lstrip()[:1] in (b'"', b"}", b"")
        outline = read_json_outline(file, _DEPTH) if is_json else read_ubjson_outline(file, _DEPTH)
    except OutlineError as error:
        raise XGBoostFileError(str(error)) from error
    learner = _member(outline, "learner")
    parameters = _member(learner, "learner_model_param")
    groups = max(_count(parameters, "num_class"), _count(parameters, "num_target"), 1)
    objective, booster = _member(learner, "objective"), _member(learner, "gradient_booster")
    features = _count(parameters, "num_feature") or -1
    return Learner(features, groups, str(objective.get("name")), str(booster.get("name")))


def _member(parent: Any, name: str) -> Mapping[str, Any]:
    value = parent.get(name) if isinstance(parent, dict) else None
    if not isinstance(value, dict):
        raise XGBoostFileError(f"it has no {name}")
    return value


def _count(parameters: Mapping[str, Any], name: str) -> int:
    """Returns a number that is written as a text; 0 where it is missing, as num_target is in old files."""
    text = parameters.get(name, "0")
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10):
        raise XGBoostFileError(f"its {name} is no number")
    return int(text)
