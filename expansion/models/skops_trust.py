# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Which types of a skops file are harmless, whoever wrote the file.

Trusting a type lets the file make objects of it with any attributes, call it with any arguments, and have estimators
call it. Being of a well-known package is not enough: scipy.stats has classes that run text among their attributes,
numpy.memmap writes files, and many modules show names of other packages as their own.
"""

from __future__ import annotations

import importlib
import re

# Estimators' parts: classes of scikit-learn, except in these subpackages, which read files, open connections, or call
# whatever they are given.
_CLASS = re.compile(r"sklearn(\.\w+)*\._*[A-Z]\w*")
_EXCLUDED = re.compile(r"sklearn\.(callback|conftest|datasets|externals|utils)\.|.*\.tests\.")
# What else skops asks about in files of usual estimators. The functions take arrays and compute.
_OTHERS = frozenset(
    {
        "numpy.dtype",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.sparse._csr.csr_matrix",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.utils._bunch.Bunch",
    }
)


def is_harmless(name: str) -> bool:
    """Whether a type can be trusted in any file, by its name alone: nothing is imported.

    Args:
        name: As in ``trusted_types``: "module.Class".
    """
    return name in _OTHERS or _is_class_of_sklearn(name)


def is_impostor(name: str) -> bool:
    """Whether a name that ``is_harmless`` is something else on this machine.

    A module also has the names that it imports: ``sklearn.calibration.Parallel``, for one, runs what it is given. This
    imports the module.
    """
    if not _is_class_of_sklearn(name):
        return False
    module, _, attribute = name.rpartition(".")
    named = getattr(importlib.import_module(module), attribute, None)
    if named is None:
        return False  # a class of another version of scikit-learn; the loader will say so
    return not isinstance(named, type) or not is_harmless(f"{named.__module__}.{named.__name__}")


def _is_class_of_sklearn(name: str) -> bool:
    return bool(_CLASS.fullmatch(name)) and not _EXCLUDED.match(name)
