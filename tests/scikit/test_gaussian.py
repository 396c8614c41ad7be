"""Gaussian classifiers equal scikit-learn near the data and far from it, for two and more classes."""

import copy
import importlib

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB
from support import blobs
from support.blobs import NAMES, NUMBERS, assert_equals, assert_predicts

from pcacam_jax import InputError, from_sklearn
from pcacam_jax.scikit import outputs_of

importlib.import_module("support.fits_kernels")
KINDS = (QuadraticDiscriminantAnalysis, GaussianNB)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("labels", [NAMES, NUMBERS], ids=["names", "numbers"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_output(classes, labels, kind):
    x, which = blobs.blobs(classes, count=80)
    estimator = kind().fit(x, labels[which])
    has_decision = kind is QuadraticDiscriminantAnalysis
    assert outputs_of(estimator) == ("decision",) * has_decision + ("log_proba", "proba")
    if has_decision:
        assert_equals(from_sklearn(estimator), x, estimator.decision_function(x))
        assert from_sklearn(estimator)(x[0]).shape == ((1,) if classes == 2 else (classes,))
    assert_equals(from_sklearn(estimator, output="log_proba"), x, estimator.predict_log_proba(x))
    assert_equals(from_sklearn(estimator, output="proba"), x, estimator.predict_proba(x))
    assert_predicts(estimator, x)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", KINDS)
def test_log_probabilities_are_finite_and_equal_far_from_the_data(kind):
    x, which = blobs.blobs(3, count=80)
    estimator = kind().fit(x, which)
    far = 100 * x
    assert estimator.predict_log_proba(far).min() < -1e4
    assert_equals(from_sklearn(estimator, output="log_proba"), far, estimator.predict_log_proba(far))


@pytest.mark.usefixtures("x64")
def test_classes_with_fewer_axes_than_features():
    x, which = blobs.blobs(3, count=80)
    qda = QuadraticDiscriminantAnalysis().fit(x, which)
    qda = copy.copy(qda)
    axes = (4, 2, 3)
    qda.rotations_ = [rotation[:, :n] for rotation, n in zip(qda.rotations_, axes, strict=True)]
    qda.scalings_ = [scaling[:n] for scaling, n in zip(qda.scalings_, axes, strict=True)]
    assert_equals(from_sklearn(qda), x, qda.decision_function(x))


@pytest.mark.exhaustive
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32), name=st.sampled_from([kind.__name__ for kind in KINDS]))
def test_any_fit_equals_scikit_learn(seed, name):
    blobs.assert_any_fit(name, seed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_with_prior_zero_raises(kind):
    x, which = blobs.blobs(3, count=80)
    estimator = kind(priors=[0.5, 0.0, 0.5]).fit(x, NAMES[which])
    with pytest.raises(InputError, match=f"the prior of class {estimator.classes_[1]} is 0"):
        from_sklearn(estimator)


def test_naive_bayes_has_no_decision():
    x, which = blobs.blobs(2)
    with pytest.raises(InputError, match="output of GaussianNB must be one of log_proba, proba; got 'decision'"):
        from_sklearn(GaussianNB().fit(x, which), output="decision")
