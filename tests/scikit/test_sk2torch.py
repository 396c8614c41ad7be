"""Values equal sk2torch, an independent port of scikit-learn to PyTorch, for the estimators that it supports."""

import importlib
import warnings

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from support import blobs, fits, parities

from pcacam_jax import from_sklearn
from pcacam_jax.scikit import outputs_of

sk2torch = pytest.importorskip("sk2torch", reason="sk2torch is no dependency: pip install sk2torch compares with it")
torch = pytest.importorskip("torch", reason="sk2torch needs PyTorch")
importlib.import_module("support.fits_kernels")

SEEDS = range(4)
RENAMED_LOSS = ("SGDClassifier", "proba")
TOLERANCE = 1e-9
"""Relative to values of size 1; sk2torch computes squared distances from norms and products, which loses digits."""


def is_listed(name):
    """Whether sk2torch lists the class of this fit as supported."""
    return type(fits.FITS[name](fits.Draw(0))[0]) in sk2torch.supported_classes()


def converted(estimator):
    """Return the PyTorch module, or None if sk2torch rejects the labels (strings) or the options."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return sk2torch.wrap(estimator).double()
        except (AssertionError, TypeError, ValueError):
            return None


NOT_CONVERTED = {
    "LogisticRegression": "sk2torch reads multi_class, which scikit-learn has removed",
    "LogisticRegressionCV": "sk2torch reads multi_class, which scikit-learn has removed",
    "Pipeline": "its random fits end in LogisticRegression or in estimators that sk2torch does not support",
}
"""Fits that sk2torch lists but cannot convert -> reason."""

NAMES = [name for name in fits.FITS if is_listed(name) and name not in NOT_CONVERTED]


def test_the_most_important_estimators_are_compared():
    assert {"SVC", "SVC, probability", "NuSVC", "SVR", "LinearSVC", "PCA", "StandardScaler", "Nystroem"} <= set(NAMES)
    assert all(map(is_listed, NOT_CONVERTED))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("classes", [2, 3])
def test_a_whole_pipeline(classes):
    x, which = blobs.blobs(classes)
    pipeline = make_pipeline(StandardScaler(), PCA(2, whiten=True), SVC(kernel="poly", coef0=1.0)).fit(x, which)
    with torch.no_grad():
        expected = np.asarray(converted(pipeline).decision_function(torch.from_numpy(x)))
    blobs.assert_equals(from_sklearn(pipeline), x, expected)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", NAMES)
def test_values_equal_sk2torch(name):
    compared = 0
    for seed in SEEDS:
        estimator, x = fits.drawn(name, seed)
        module = converted(estimator)
        for output in outputs_of(estimator) if module else ():
            method = getattr(module, parities.METHODS.get(output, output), None)
            # sk2torch ignores kernel_params, and it gives probabilities only for a loss that was renamed since.
            if method is None or getattr(estimator, "kernel_params", None) or (name, output[-5:]) == RENAMED_LOSS:
                continue
            with torch.no_grad():
                expected = np.asarray(method(torch.from_numpy(x))).reshape(len(x), -1)
            actual = blobs.values(from_sklearn(estimator, output=output), x)
            atol = TOLERANCE * max(1, np.abs(expected).max())
            np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=atol)
            compared += 1
    assert compared
