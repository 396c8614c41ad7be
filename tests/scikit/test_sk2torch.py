"""sk2torch, an independent port of scikit-learn to PyTorch, gives the same values where it knows the estimator."""

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
RENAMED = ("SGDClassifier", "proba")
TOLERANCE = 1e-9
"""Of values of size 1: sk2torch takes squared distances from norms and products."""


def known(name):
    """Whether sk2torch converts estimators of this fit, by its own list."""
    return type(fits.FITS[name](fits.Draw(0))[0]) in sk2torch.supported_classes()


def converted(estimator):
    """Return the PyTorch module, or None where sk2torch refuses the labels (strings) or the options."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return sk2torch.wrap(estimator).double()
        except (AssertionError, TypeError, ValueError):
            return None


BEHIND = {
    "LogisticRegression": "reads multi_class, which scikit-learn has no longer",
    "LogisticRegressionCV": "reads multi_class, which scikit-learn has no longer",
    "Pipeline": "its random fits end in LogisticRegression or estimators that sk2torch does not know",
}
"""What sk2torch lists and cannot convert, with the reason."""

NAMES = [name for name in fits.FITS if known(name) and name not in BEHIND]


def test_sk2torch_knows_the_estimators_that_matter():
    assert {"SVC", "SVC, probability", "NuSVC", "SVR", "LinearSVC", "PCA", "StandardScaler", "Nystroem"} <= set(NAMES)
    assert all(map(known, BEHIND))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("classes", [2, 3])
def test_a_whole_pipeline(classes):
    x, which = blobs.blobs(classes)
    pipeline = make_pipeline(StandardScaler(), PCA(2, whiten=True), SVC(kernel="poly", coef0=1.0)).fit(x, which)
    with torch.no_grad():
        theirs = np.asarray(converted(pipeline).decision_function(torch.from_numpy(x)))
    blobs.assert_equals(from_sklearn(pipeline), x, theirs)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_sk2torch(name):
    compared = 0
    for seed in SEEDS:
        estimator, x = fits.drawn(name, seed)
        module = converted(estimator)
        for output in outputs_of(estimator) if module else ():
            method = getattr(module, parities.METHODS.get(output, output), None)
            # It looks for kernel parameters beside the kernel only, and for probabilities of a loss renamed since.
            if method is None or getattr(estimator, "kernel_params", None) or (name, output[-5:]) == RENAMED:
                continue
            with torch.no_grad():
                theirs = np.asarray(method(torch.from_numpy(x))).reshape(len(x), -1)
            found = blobs.values(from_sklearn(estimator, output=output), x)
            np.testing.assert_allclose(found, theirs, rtol=TOLERANCE, atol=TOLERANCE * max(1, np.abs(theirs).max()))
            compared += 1
    assert compared
