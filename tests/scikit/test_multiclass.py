"""One-vs-rest, one-vs-one and frozen classifiers equal scikit-learn."""

import importlib

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from support import blobs
from support.blobs import NAMES, NUMBERS, assert_equals, assert_predicts
from support.marks import more

from pcacam_jax import InputError, from_sklearn
from pcacam_jax.scikit import outputs_of, scores_from_sklearn

importlib.import_module("support.fits_kernels")
BASES = {
    "SVC": (SVC(), ("decision",)),
    "linear": (LogisticRegression(), ("decision", "log_proba", "proba")),
    "pipeline": (make_pipeline(StandardScaler(), PCA(3), LinearSVC()), ("decision",)),
    "naive Bayes": (GaussianNB(), ("log_proba", "proba")),
}
every_base = pytest.mark.parametrize("name", BASES)
classes_and_labels = pytest.mark.parametrize(("classes", "labels"), [(2, NAMES), (3, NUMBERS), more(5, NAMES)])


@pytest.mark.usefixtures("x64")
@classes_and_labels
@every_base
def test_one_vs_rest(classes, labels, name):
    base, outputs = BASES[name]
    x, which = blobs.blobs(classes)
    estimator = OneVsRestClassifier(base).fit(x, labels[which])
    assert outputs_of(estimator) == outputs
    if "decision" in outputs:
        assert_equals(from_sklearn(estimator, output="decision"), x, estimator.decision_function(x))
    if "proba" in outputs:
        proba = estimator.predict_proba(x)
        assert_equals(from_sklearn(estimator, output="proba"), x, proba)
        assert_equals(from_sklearn(estimator, output="log_proba"), x, np.log(proba))
    assert_predicts(estimator, x)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_probabilities_of_far_points_where_every_classifier_gives_almost_zero(dtype):
    x, which = blobs.separated()
    estimator = OneVsRestClassifier(GaussianNB()).fit(x, which)
    far = blobs.around(x).astype(dtype)
    positive = np.stack([classifier.predict_proba(far)[:, 1] for classifier in estimator.estimators_], axis=1)
    largest = positive.max(axis=1)
    assert ((largest < 1e-16) & (largest > 1e-90)).sum() > 5
    blobs.assert_probabilities(estimator, far[largest > 1e-90], tolerance=1e-10 if dtype == "float64" else 1e-4)


@pytest.mark.usefixtures("x64")
@classes_and_labels
@pytest.mark.parametrize("name", ["SVC", more("linear"), more("pipeline")])
def test_one_vs_one(classes, labels, name):
    x, which = blobs.blobs(classes)
    estimator = OneVsOneClassifier(BASES[name][0]).fit(x, labels[which])
    assert outputs_of(estimator) == ("decision", "pairs")
    assert_equals(from_sklearn(estimator), x, estimator.decision_function(x))
    values = np.stack([classifier.decision_function(x) for classifier in estimator.estimators_], axis=1)
    assert_equals(from_sklearn(estimator, output="pairs"), x, values if classes == 2 else -values)
    assert_predicts(estimator, x)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("kind", [OneVsOneClassifier, OneVsRestClassifier])
def test_classifiers_with_decision_zero_tie_as_in_scikit_learn(classes, kind):
    x, which = blobs.blobs(classes)
    estimator = kind(LinearSVC()).fit(x, NAMES[which])
    for svm in estimator.estimators_:
        svm.coef_, svm.intercept_ = np.zeros_like(svm.coef_), np.zeros_like(svm.intercept_)
    assert_equals(from_sklearn(estimator), x, estimator.decision_function(x))
    assert_predicts(estimator, x)


FOUR_POINTS = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(
    "base", [SVC(gamma=1.0), make_pipeline(StandardScaler(), SVC(gamma=1.0)), LinearSVC()], ids=str
)
def test_a_decision_of_exactly_zero_votes_as_the_classifier_predicts(classes, base):
    estimator = OneVsOneClassifier(base).fit(FOUR_POINTS[:classes], NAMES[:classes])
    for svm in estimator.estimators_:
        if isinstance(svm, LinearSVC):
            svm.coef_, svm.intercept_ = np.zeros_like(svm.coef_), np.zeros_like(svm.intercept_)
    x = np.array([[0.0, 0.0], [60.0, 60.0]])
    np.testing.assert_array_equal([svm.decision_function(x) for svm in estimator.estimators_], 0)
    assert_equals(from_sklearn(estimator), x, estimator.decision_function(x))
    assert_predicts(estimator, x)


@pytest.mark.usefixtures("x64")
def test_a_decision_of_exactly_zero_in_nested_classifiers():
    nested = OneVsOneClassifier(OneVsOneClassifier(SVC(gamma=1.0))).fit(FOUR_POINTS, NAMES[:4])
    x = np.array([[60.0, 60.0]])
    assert_equals(from_sklearn(nested), x, nested.decision_function(x))
    assert_predicts(nested, x)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scaled", [False, True])
def test_of_probabilities_that_round_to_equal_numbers_the_first_class_is_predicted(dtype, scaled):
    random = np.random.default_rng(0)
    centers = 0.3 * random.normal(size=(4, 200))
    x = centers[np.arange(300) % 4] + random.normal(size=(300, 200))
    estimator = OneVsRestClassifier(GaussianNB())
    estimator = make_pipeline(StandardScaler(), estimator) if scaled else estimator
    estimator.fit(x, NAMES[np.arange(300) % 4])
    far = (10 * x).astype(dtype)
    last, features = (estimator[-1], estimator[0].transform(far)) if scaled else (estimator, far)
    all_zero = np.max([classifier.predict_proba(features)[:, 1] for classifier in last.estimators_], axis=0) == 0
    assert all_zero.sum() > 10
    with jax.enable_x64(dtype == "float64"):
        for output in (None, "proba"):
            scores = scores_from_sklearn(estimator, output=output)
            predicted = np.asarray(jax.vmap(scores.predict)(far))
            np.testing.assert_array_equal(estimator.classes_[predicted], estimator.predict(far))


@pytest.mark.usefixtures("x64")
def test_votes_outweigh_margins():
    x, which = blobs.blobs(5, seed=3)
    far = 3 * np.random.default_rng(0).normal(size=(500, 4))
    estimator = OneVsOneClassifier(SVC(kernel="linear", C=10)).fit(x, NAMES[which])
    assert_equals(from_sklearn(estimator), far, estimator.decision_function(far))
    assert_predicts(estimator, far)


@pytest.mark.usefixtures("x64")
def test_frozen_estimators():
    x, which = blobs.blobs(3)
    frozen = FrozenEstimator(SVC().fit(x, NAMES[which]))
    assert outputs_of(frozen) == ("decision", "pairs", "margin")
    assert_equals(from_sklearn(frozen), x, frozen.decision_function(x))
    reducer = make_pipeline(FrozenEstimator(PCA(2).fit(x)), LogisticRegression()).fit(x, which)
    assert_equals(from_sklearn(reducer), x, reducer.decision_function(x))


@pytest.mark.exhaustive
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["OneVsRestClassifier", "OneVsOneClassifier"]))
def test_any_fit_equals_scikit_learn(seed, name):
    blobs.assert_any_fit(name, seed)


# --- errors -----------------------------------------------------------------------------------------------------------

X, WHICH = blobs.blobs(3)
UNSUPPORTED = {
    "several labels": (
        OneVsRestClassifier(SVC()).fit(X, np.eye(3, dtype=int)[WHICH]),
        "fitted on several labels per example; convert its estimators_ one by one",
    ),
    "one-vs-rest of regressors": (
        OneVsRestClassifier(Ridge()).fit(X, WHICH),
        "needs classifiers with decision_function or predict_proba; got Ridge",
    ),
    "one-vs-one of regressors": (OneVsOneClassifier(Ridge()).fit(X, WHICH), "classifiers with decision_.*; got Ridge"),
    "one-vs-one of classifiers without decision": (
        OneVsOneClassifier(GaussianNB()).fit(X, WHICH),
        "with decision_function, whose sign is their vote; got GaussianNB",
    ),
    "callable kernel": (
        OneVsRestClassifier(SVC(kernel=lambda a, b: a @ b.T)).fit(X, WHICH),
        "kernel of SVC must be one of",
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_classifiers_raise(name):
    estimator, sentence = UNSUPPORTED[name]
    with pytest.raises(InputError, match=sentence):
        from_sklearn(estimator)


def test_two_classes_have_one_decision_and_two_scores():
    x, which = blobs.blobs(2)
    for kind in (OneVsOneClassifier, OneVsRestClassifier):
        estimator = kind(LinearSVC()).fit(x, which)
        g = from_sklearn(estimator)(jnp.asarray(x[0], jnp.float32))
        scores = scores_from_sklearn(estimator)(jnp.asarray(x[0], jnp.float32))
        assert g.shape == (1,)
        np.testing.assert_array_equal(scores, np.concatenate([-g, g]))
