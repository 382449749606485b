# Licensed under the Apache License, Version 2.0; see LICENSE.
import subprocess
import sys

import pytest

from expansion.models.skops_trust import is_harmless, is_impostor


@pytest.mark.parametrize(
    "name",
    [
        "numpy.dtype",
        "scipy.sparse._csr.csr_matrix",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
    ],
)
def test_what_estimators_are_made_of_is_harmless_and_no_impostor(name):
    assert is_harmless(name)
    assert not is_impostor(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "os.system",
        "posix.system",
        "builtins.eval",
        "functools.partial",
        "subprocess.Popen",
        "mycompany.Buckets",
        "sklearnish.Tree",
        "sklearn",
        "sklearn.Tree\n",
        "sklearn.base.clone",
        "sklearn.calibration.CalibratedClassifierCV.fit",
        "sklearn.datasets._base.load_files",
        "sklearn.datasets._openml.GzipFile",
        "sklearn.callback._transport.Listener",
        "sklearn.externals.x.Y",
        "sklearn.tree.tests.test_tree.Y",
        "sklearn.utils.parallel.Parallel",
        "sklearn.utils._testing.TempMemmap",
        "numpy.memmap",
        "numpy.savetxt",
        "numpy.testing._private.utils.runstring",
        "scipy.io._fortran.FortranFile",
        "scipy.stats._distn_infrastructure.rv_continuous",
        "scipy.stats._distn_infrastructure.rv_frozen",
    ],
)
def test_functions_and_what_does_more_than_compute_are_not_harmless(name):
    assert not is_harmless(name)


@pytest.mark.parametrize("name", ["calibration.Parallel", "cluster._spectral.LinAlgError", "svm._base.LIBSVM_IMPL"])
def test_what_a_module_only_imports_or_is_no_class_is_an_impostor(name):
    assert is_harmless(f"sklearn.{name}")
    assert is_impostor(f"sklearn.{name}")


def test_a_name_is_judged_without_importing_anything():
    program = (
        "import sys; from expansion.models.skops_trust import is_harmless\n"
        "print(is_harmless('sklearn.tree._tree.Tree'), 'sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
