# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writes the XGBoost models that the conformance cases name, small and exact enough to check by hand."""

from pathlib import Path

import numpy as np
import xgboost


def write(directory: Path) -> None:
    """Writes every model, and what is no model.

    step.ubj: one tree of one split, on "a" at 0; a missing value goes left. A leaf is the learning rate 2 times the sum
    of its four labels, ∓4, over their number plus λ = 1: ∓1.6.
    """
    features = np.array([[-2, 0], [-1, 1], [np.nan, 2], [-3, 3], [1, 0], [2, 1], [3, 2], [4, 3]], np.float32)
    labels = np.array([-1, -1, -1, -1, 1, 1, 1, 1], np.float32)
    data = xgboost.DMatrix(features, labels, feature_names=["a", "b"])
    parameters = {"max_depth": 1, "learning_rate": 2, "lambda": 1, "base_score": 0, "tree_method": "exact"}
    step = xgboost.train(parameters, data, num_boost_round=1)
    step.save_model(directory / "step.ubj")
    content = (directory / "step.ubj").read_bytes()
    (directory / "truncated.ubj").write_bytes(content[: len(content) // 2])
