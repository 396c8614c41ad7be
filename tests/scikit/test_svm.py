"""Support vector machines equal scikit-learn: kernels, classes, labels, votes, ties and degenerate fits."""

import copy
import importlib

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, NuSVR, OneClassSVM
from support import blobs
from support.blobs import NAMES, NUMBERS, assert_equals, assert_predicts
from support.marks import more

from pcacam_jax import InputError, from_sklearn
from pcacam_jax.scikit import outputs_of, parity, svm_classifier
from pcacam_jax.scikit.probability import check_probabilities
from pcacam_jax.scikit.svm import SVM_CLASSES, expansion_of
from pcacam_jax.stages import SVMClassifier

importlib.import_module("support.fits_kernels")
KERNELS = ("linear", "rbf", "poly", "sigmoid")


def margins_by_hand(svc, x):
    """Return class margins as signed sums of the pair values, with explicit loops."""
    pairs = copy.copy(svc).set_params(decision_function_shape="ovo").decision_function(x).reshape(len(x), -1)
    if len(svc.classes_) == 2:
        return np.hstack([-pairs, pairs])
    out, p = np.zeros((len(x), len(svc.classes_))), 0
    for i in range(len(svc.classes_)):
        for j in range(i + 1, len(svc.classes_)):
            out[:, i] += pairs[:, p]
            out[:, j] -= pairs[:, p]
            p += 1
    return out


def assert_predicts_as(svc, x):
    which = jax.vmap(svm_classifier(svc).predict)(jnp.asarray(x))
    np.testing.assert_array_equal(svc.classes_[np.asarray(which)], svc.predict(x))


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("classes", [2, 3, more(10)])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", ["ovo", "ovr"])
@pytest.mark.parametrize("labels", [NAMES, more(NUMBERS)], ids=["names", "numbers"])
def test_svc(classes, kernel, shape, labels):
    x, which = blobs.blobs(classes)
    svc = SVC(kernel=kernel, decision_function_shape=shape, coef0=0.5).fit(x, labels[which])
    assert outputs_of(svc) == ("decision", "pairs", "margin")
    assert_equals(from_sklearn(svc), x, svc.decision_function(x))
    assert_equals(from_sklearn(svc, output="margin"), x, margins_by_hand(svc, x))
    pairs = clone(svc).set_params(decision_function_shape="ovo").fit(x, labels[which]).decision_function(x)
    assert_equals(from_sklearn(svc, output="pairs"), x, pairs)
    assert_predicts_as(svc, x)
    assert_equals(svm_classifier(svc), x, margins_by_hand(svc, x))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "options",
    [
        {"gamma": 0.03},
        {"gamma": 5},
        {"gamma": "auto"},
        {"gamma": "scale"},
        {"class_weight": "balanced"},
        {"class_weight": {0: 30.0, 1: 0.1}},
        {"C": 1e-3},
        {"C": 1e4},
        {"tol": 0.5, "shrinking": False},
        {"kernel": "poly", "degree": 0},
        {"kernel": "poly", "degree": 1},
        {"kernel": "poly", "degree": 2, "coef0": -1.0, "gamma": 0.1},
        {"kernel": "sigmoid", "gamma": "auto", "coef0": -0.5},
    ],
    ids=str,
)
def test_svc_options(options):
    x, which = blobs.blobs(3, size=5)
    svc = SVC(**options).fit(2 * x[7:] + 1, which[7:])
    assert_equals(from_sklearn(svc), x, svc.decision_function(x))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("fitted", "later"), [("scale", 0.3), ("auto", "scale"), (0.3, "auto")])
def test_gamma_is_the_value_of_the_fit(fitted, later):
    x, which = blobs.blobs(3, size=5)
    svc = SVC(gamma=fitted).fit(x, which)
    before = svc.decision_function(x)
    svc.set_params(gamma=later)
    np.testing.assert_array_equal(svc.decision_function(x), before)
    assert_equals(from_sklearn(svc), x, before)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("kind", [SVC, NuSVR, OneClassSVM])
def test_fitted_on_a_sparse_matrix(kernel, kind):
    x, which = blobs.blobs(3)
    x[np.abs(x) < 0.5] = 0
    svm = kind(kernel=kernel, coef0=1.0).fit(csr_matrix(x), which)
    method = svm.decision_function if hasattr(svm, "decision_function") else svm.predict
    assert_equals(from_sklearn(svm), x, method(csr_matrix(x)))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("x", [[[0.0], [1.0]], [[0.0, 1], [4, 1], [9, 1]]])
def test_one_support_vector_per_class(x):
    svc = SVC(gamma=0.5).fit(x, range(len(x)))
    assert list(svc.n_support_) == [1] * len(x)
    assert_equals(from_sklearn(svc), np.array(x), svc.decision_function(x))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kernel", KERNELS)
def test_without_support_vectors_the_stage_is_constant(kernel):
    x, _ = blobs.blobs(2)
    svr = SVR(kernel=kernel).fit(x, np.full(len(x), 3.0))
    assert len(svr.support_vectors_) == 0
    stage = from_sklearn(svr)
    assert_equals(stage, x, svr.predict(x))
    assert not jax.jacrev(stage)(jnp.asarray(x[0])).any()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", [SVC, NuSVC])
def test_predict_counts_votes_and_breaks_ties_as_the_estimator_does(kind):
    x, which = blobs.blobs(10, seed=3)
    far = np.random.default_rng(0).normal(size=(4000, 4)) * 3
    for kernel in ("linear", "rbf"):
        for break_ties in (False, True):
            svc = kind(kernel=kernel, break_ties=break_ties).fit(x, NAMES[which])
            classifier = svm_classifier(svc)
            assert classifier.break_ties is break_ties
            predicted = svc.classes_[np.asarray(jax.jit(jax.vmap(classifier.predict))(jnp.asarray(far)))]
            np.testing.assert_array_equal(predicted, svc.predict(far))
            largest_margin = svc.classes_[margins_by_hand(svc, far).argmax(axis=1)]
            assert (largest_margin != predicted).any()


@pytest.mark.usefixtures("x64")
def test_a_pair_value_of_exactly_zero_votes_as_in_scikit_learn():
    svc = SVC(kernel="linear").fit([[-1.0], [1.0]], ["left", "right"])
    assert svc.decision_function([[0.0]]) == 0
    assert svc.classes_[int(svm_classifier(svc).predict(jnp.zeros(1)))] == svc.predict([[0.0]])[0]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("last", [SVC(), NuSVC(kernel="poly", coef0=1.0)])
def test_pipelines_that_end_in_an_svm(last):
    x, which = blobs.blobs(3)
    nested = make_pipeline(make_pipeline(StandardScaler(), "passthrough"), None, PCA(3), last).fit(x, NAMES[which])
    assert outputs_of(nested) == ("decision", "pairs", "margin")
    assert_equals(from_sklearn(nested), x, nested.decision_function(x))
    assert_predicts_as(nested, x)
    assert_predicts(nested, x)
    assert_equals(svm_classifier(nested), x, margins_by_hand(nested[-1], nested[:-1].transform(x)))


@pytest.mark.exhaustive
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM"]))
def test_any_fit_equals_scikit_learn(seed, name):
    blobs.assert_any_fit(name, seed)


# --- expansions -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kernel", KERNELS)
def test_support_vectors_without_collapse_have_the_order_of_the_training_data(kernel):
    x, which = blobs.blobs(4)
    svc = SVC(kernel=kernel, decision_function_shape="ovo").fit(x, which)
    whole = expansion_of(make_pipeline(StandardScaler(), svc), collapse=False)
    np.testing.assert_array_equal(whole.support, x[svc.support_])
    assert whole.coefficients.shape == (6, len(svc.support_))
    assert_equals(jax.tree.map(jnp.asarray, whole), x, svc.decision_function(x))
    collapsed = expansion_of(svc)
    assert len(collapsed.support) == (6 if kernel == "linear" else len(svc.support_))
    assert_equals(jax.tree.map(jnp.asarray, collapsed), x, svc.decision_function(x))


def test_a_linear_svm_has_one_vector_per_pair():
    x, which = blobs.blobs(3, size=40)
    svc = SVC(kernel="linear").fit(x, which)
    np.testing.assert_allclose(expansion_of(svc).support, svc.coef_, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_frozen_svms():
    x, which = blobs.blobs(3)
    frozen = FrozenEstimator(make_pipeline(StandardScaler(), FrozenEstimator(SVC().fit(x, NAMES[which]))).fit(x))
    assert len(expansion_of(frozen).support) == len(frozen.estimator[-1].support_)
    assert_predicts(frozen, x)


# --- parity -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
def test_parity_detects_a_difference():
    x, which = blobs.blobs(3)
    svc = SVC().fit(x, which)
    classifier = svm_classifier(svc)
    assert parity(svc, classifier, x) < blobs.TOLERANCE
    assert svc.decision_function_shape == "ovr"
    swapped = SVMClassifier(jax.tree.map(lambda leaf: -leaf, classifier.pairs), 3)
    assert parity(svc, swapped, x) > 0.1


@pytest.mark.parametrize("convert", [from_sklearn, svm_classifier])
def test_parameters_have_the_requested_dtype(convert):
    x, which = blobs.blobs(2)
    svc = SVC(kernel="poly", gamma=1, coef0=2).fit(x, which)
    with jax.enable_x64(True):
        assert {leaf.dtype.name for leaf in jax.tree.leaves(convert(svc))} == {"float64"}
        assert {leaf.dtype.name for leaf in jax.tree.leaves(convert(svc, dtype="float32"))} == {"float32"}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(convert(svc))} == {"float32"}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("count", range(40, 60))
def test_a_classifier_does_not_change_with_its_estimator(count):
    x, which = blobs.blobs(2, count=count)
    svc = SVC().fit(x, which)
    classifier = jax.block_until_ready(svm_classifier(svc))
    copies = [np.array(leaf) for leaf in jax.tree.leaves(classifier)]
    for attribute in (svc.support_vectors_, svc.dual_coef_, svc.intercept_):
        attribute[:] = 0
    for leaf, before in zip(jax.tree.leaves(classifier), copies, strict=True):
        np.testing.assert_array_equal(leaf, before)


# --- errors -----------------------------------------------------------------------------------------------------------

X, WHICH = blobs.blobs(3)
PRECOMPUTED = [kind(kernel="precomputed").fit(X @ X.T, WHICH) for kind in SVM_CLASSES]
CALLABLE = [kind(kernel=lambda a, b: a @ b.T).fit(X, WHICH) for kind in SVM_CLASSES]


@pytest.mark.parametrize("svm", PRECOMPUTED, ids=lambda svm: type(svm).__name__)
def test_a_precomputed_kernel_raises(svm):
    kind = type(svm).__name__
    with pytest.raises(InputError, match=f"kernel of {kind} must be one of linear, rbf, poly, sigmoid; got 'precom"):
        outputs_of(svm)
    with pytest.raises(InputError, match=r"whose Gram matrix does not show .* so fit with one of these kernels"):
        expansion_of(svm)


@pytest.mark.parametrize("svm", CALLABLE, ids=lambda svm: type(svm).__name__)
def test_a_callable_kernel_raises(svm):
    with pytest.raises(InputError, match=r"got <function.*, a Python function whose derivative is not known"):
        from_sklearn(svm)


def test_other_estimators_and_outputs_raise():
    svc = SVC().fit(X, WHICH)
    with pytest.raises(InputError, match="output of SVC must be one of decision, pairs, margin; got 'ovr'"):
        from_sklearn(svc, output="ovr")
    with pytest.raises(InputError, match="output of SVR must be one of predict; got 'decision'"):
        from_sklearn(SVR().fit(X, WHICH), output="decision")
    with pytest.raises(InputError, match=r"an SVM must be an SVC, a NuSVC or a Pipeline.*got LogisticRegression"):
        svm_classifier(LogisticRegression().fit(X, WHICH))
    with pytest.raises(InputError, match=r"with support vectors must be one of SVC, NuSVC, SVR.*; got LinearSVC"):
        expansion_of(LinearSVC().fit(X, WHICH))
    with pytest.raises(InputError, match="SVC is not fitted"):
        expansion_of(SVC())
    with pytest.raises(InputError, match="SVC is not fitted"):
        check_probabilities(SVC(), "proba")
