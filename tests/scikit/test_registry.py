"""Estimators whose fitted attributes are missing, as after loading a file of another scikit-learn, or malformed."""

import contextlib
import copy
import pickle

import jax
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA, KernelPCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from support import fits
from support.blobs import blobs

from pcacam_jax import InputError, from_sklearn, hybrid_head, outputs_of
from pcacam_jax.scikit import ENTRIES, pair_values, parity, scores_from_sklearn, svm_classifier
from pcacam_jax.scikit.svm import expansion_of

X, WHICH = blobs(3)
PCA_2, SVM = PCA(2).fit(X), SVC().fit(X, WHICH)


def without(estimator, name):
    changed = copy.deepcopy(estimator)
    delattr(changed, name)
    return changed


def test_a_missing_attribute_is_named_with_the_version_and_what_to_do():
    old = without(PCA_2, "components_")
    with pytest.raises(
        InputError, match=r"PCA has no attribute 'components_', which scikit-learn [\d.]+ sets .*fit it"
    ):
        from_sklearn(old)
    old._sklearn_version = "1.2.2"
    for model in (old, make_pipeline(old, SVM)):
        with pytest.raises(InputError, match=r"PCA has no .* fitted with scikit-learn 1\.2\.2; fit it again"):
            from_sklearn(model)
    with pytest.raises(InputError, match="PCA has no attribute 'components_'"):
        hybrid_head([], maps_shape=(1, 1, 4), pca=old)


@pytest.mark.usefixtures("x64")
def test_gamma_of_an_old_kernel_pca_is_derived():
    for gamma in (None, 0.3):
        pca = KernelPCA(2, kernel="rbf", gamma=gamma).fit(X)
        stage = from_sklearn(without(pca, "gamma_"))
        np.testing.assert_allclose(jax.vmap(stage)(X[:5]), pca.transform(X[:5]), atol=1e-12)


def fitted_attributes(estimator):
    return [name for name in vars(estimator) if name.endswith("_") and not name.endswith("__")]


@pytest.mark.parametrize("name", [name for name in fits.FITS if "," not in name])
def test_every_missing_attribute_gives_a_stage_or_a_sentence(name):
    estimator, _ = fits.drawn(name, 0)
    for attribute in [*fitted_attributes(estimator), *(["_gamma"] if hasattr(estimator, "_gamma") else [])]:
        old = without(estimator, attribute)
        for convert in (lambda model: [from_sklearn(model, output=o) for o in outputs_of(model)], scores_from_sklearn):
            with contextlib.suppress(InputError):
                convert(old)


@pytest.mark.parametrize("value", [None, "abc", np.zeros(7), np.array([1, "a"], object), 1j, {}])
def test_malformed_attributes_are_rejected(value):
    for model, attribute in ((PCA_2, "components_"), (SVM, "support_vectors_"), (GaussianNB().fit(X, WHICH), "theta_")):
        changed = copy.deepcopy(model)
        setattr(changed, attribute, value)
        with pytest.raises(InputError, match=r"fit it again|must be finite|fit it on these"):
            hybrid_head([], maps_shape=(1, 1, 4), **({"pca": changed} if model is PCA_2 else {"svms": {"s": changed}}))


def test_masked_attributes_are_rejected():
    changed = copy.deepcopy(PCA_2)
    changed.mean_ = np.ma.masked_array(changed.mean_, [True, False, False, False])
    with pytest.raises(InputError, match="must not be masked"):
        from_sklearn(changed)


def swapped(value):
    """Return an object in which every array of numbers has the other byte order and is read-only."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fi" and value.dtype.itemsize > 1:
        value = value.astype(value.dtype.newbyteorder())
        value.flags.writeable = False
    elif isinstance(value, list | tuple):
        value = type(value)(map(swapped, value))
    elif isinstance(value, BaseEstimator):
        value = copy.copy(value)
        for name, attribute in vars(value).items():
            setattr(value, name, swapped(attribute))
    return value


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "model",
    [PCA_2, SVM, QuadraticDiscriminantAnalysis().fit(X, WHICH), CalibratedClassifierCV(SVC(), cv=2).fit(X, WHICH)],
    ids=lambda model: type(model).__name__,
)
def test_other_byte_orders_give_the_same_stage(model):
    stage, other = scores_from_sklearn(model), scores_from_sklearn(swapped(model))
    jax.tree.map(np.testing.assert_array_equal, stage, other)


@pytest.mark.parametrize("pipeline", [make_pipeline(StandardScaler(), PCA(2), SVC()).fit(X, WHICH)])
def test_pickled_estimators_are_converted(pipeline):
    loaded = pickle.loads(pickle.dumps(pipeline))
    jax.tree.map(np.testing.assert_array_equal, from_sklearn(loaded), from_sklearn(pipeline))


ODD = [
    None,
    True,
    3,
    "abc",
    b"ab",
    [],
    {},
    object(),
    np.array(3),
    np.zeros((2, 3)),
    csr_matrix(np.eye(3)),
    1j,
    PCA,
    len,
]
CALLS = {
    "from_sklearn": from_sklearn,
    "outputs_of": outputs_of,
    "scores_from_sklearn": scores_from_sklearn,
    "svm_classifier": svm_classifier,
    "expansion_of": expansion_of,
    "pair_values": lambda value: pair_values(value, X),
    "examples of pair_values": lambda value: pair_values(SVM, value),
    "parity": lambda value: parity(value, from_sklearn(PCA_2), X),
    "stage of parity": lambda value: parity(PCA_2, value, X),
    "examples of parity": lambda value: parity(PCA_2, from_sklearn(PCA_2), value),
    "output": lambda value: from_sklearn(SVM, output="margins" if value is None else value),
    "output of scores": lambda value: scores_from_sklearn(SVM, output="margins" if value is None else value),
    "dtype": lambda value: from_sklearn(PCA_2, dtype="int8" if value is None else value),
}


@pytest.mark.parametrize("name", CALLS)
def test_arguments_of_other_types_are_rejected(name):
    for value in ODD:
        with pytest.raises((InputError, TypeError), match=r"must|expected|need"):
            CALLS[name](value)


def test_every_registered_estimator_is_of_scikit_learn():
    assert all(kind.__module__.startswith("sklearn.") for kind in ENTRIES)
