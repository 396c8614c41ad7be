"""Support vector machines equal scikit-learn's own numbers: kernels, classes, labels, votes, ties, odd fits."""

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

from pcacam_jax import InputError, from_sklearn
from pcacam_jax.scikit import outputs_of, parity, svm_classifier
from pcacam_jax.scikit.probability import check_probabilities
from pcacam_jax.scikit.svm import MACHINES, expansion_of
from pcacam_jax.stages import SVMClassifier

importlib.import_module("support.fits_kernels")
KERNELS = ("linear", "rbf", "poly", "sigmoid")


def margins_by_hand(svc, x):
    """Signed sums of the pairs that hold a class."""
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
    found = jax.vmap(svm_classifier(svc).predict)(jnp.asarray(x))
    np.testing.assert_array_equal(svc.classes_[np.asarray(found)], svc.predict(x))


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", ["ovo", "ovr"])
@pytest.mark.parametrize("labels", [NAMES, NUMBERS], ids=["names", "numbers"])
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
def test_gamma_is_the_one_of_the_fit(fitted, later):
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
    machine = kind(kernel=kernel, coef0=1.0).fit(csr_matrix(x), which)
    own = machine.decision_function if hasattr(machine, "decision_function") else machine.predict
    assert_equals(from_sklearn(machine), x, own(csr_matrix(x)))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("x", [[[0.0], [1.0]], [[0.0, 1], [4, 1], [9, 1]]])
def test_one_support_vector_a_class(x):
    svc = SVC(gamma=0.5).fit(x, range(len(x)))
    assert list(svc.n_support_) == [1] * len(x)
    assert_equals(from_sklearn(svc), np.array(x), svc.decision_function(x))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kernel", KERNELS)
def test_no_support_vector_at_all_is_a_constant(kernel):
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
            found = svc.classes_[np.asarray(jax.jit(jax.vmap(classifier.predict))(jnp.asarray(far)))]
            np.testing.assert_array_equal(found, svc.predict(far))
            naive = svc.classes_[margins_by_hand(svc, far).argmax(axis=1)]
            assert (naive != found).any()


@pytest.mark.usefixtures("x64")
def test_a_pair_of_exactly_zero_votes_as_scikit_learn_does():
    svc = SVC(kernel="linear").fit([[-1.0], [1.0]], ["left", "right"])
    assert svc.decision_function([[0.0]]) == 0
    assert svc.classes_[int(svm_classifier(svc).predict(jnp.zeros(1)))] == svc.predict([[0.0]])[0]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("last", [SVC(), NuSVC(kernel="poly", coef0=1.0)])
def test_pipelines_that_end_in_a_machine(last):
    x, which = blobs.blobs(3)
    nested = make_pipeline(make_pipeline(StandardScaler(), "passthrough"), None, PCA(3), last).fit(x, NAMES[which])
    assert outputs_of(nested) == ("decision", "pairs", "margin")
    assert_equals(from_sklearn(nested), x, nested.decision_function(x))
    assert_predicts_as(nested, x)
    assert_predicts(nested, x)
    assert_equals(svm_classifier(nested), x, margins_by_hand(nested[-1], nested[:-1].transform(x)))


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM"]))
def test_any_fit_equals_scikit_learn(seed, name):
    blobs.assert_any_fit(name, seed)


# --- expansions -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kernel", KERNELS)
def test_support_vectors_are_kept_on_demand_in_the_order_of_the_training_data(kernel):
    x, which = blobs.blobs(4)
    svc = SVC(kernel=kernel, decision_function_shape="ovo").fit(x, which)
    whole = expansion_of(make_pipeline(StandardScaler(), svc), collapse=False)
    np.testing.assert_array_equal(whole.support, x[svc.support_])
    assert whole.coefficients.shape == (6, len(svc.support_))
    assert_equals(jax.tree.map(jnp.asarray, whole), x, svc.decision_function(x))
    collapsed = expansion_of(svc)
    assert len(collapsed.support) == (6 if kernel == "linear" else len(svc.support_))
    assert_equals(jax.tree.map(jnp.asarray, collapsed), x, svc.decision_function(x))


def test_a_linear_machine_keeps_one_vector_a_pair():
    x, which = blobs.blobs(3, size=40)
    svc = SVC(kernel="linear").fit(x, which)
    np.testing.assert_allclose(expansion_of(svc).support, svc.coef_, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_a_frozen_machine_is_itself():
    x, which = blobs.blobs(3)
    frozen = FrozenEstimator(make_pipeline(StandardScaler(), FrozenEstimator(SVC().fit(x, NAMES[which]))).fit(x))
    assert len(expansion_of(frozen).support) == len(frozen.estimator[-1].support_)
    assert_predicts(frozen, x)


# --- parity -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
def test_parity_sees_a_difference():
    x, which = blobs.blobs(3)
    svc = SVC().fit(x, which)
    classifier = svm_classifier(svc)
    assert parity(svc, classifier, x) < blobs.TOLERANCE
    assert svc.decision_function_shape == "ovr"
    swapped = SVMClassifier(jax.tree.map(lambda leaf: -leaf, classifier.pairs), 3)
    assert parity(svc, swapped, x) > 0.1


@pytest.mark.parametrize("convert", [from_sklearn, svm_classifier])
def test_parameters_have_the_dtype_asked_for(convert):
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
    kept = [np.array(leaf) for leaf in jax.tree.leaves(classifier)]
    for own in (svc.support_vectors_, svc.dual_coef_, svc.intercept_):
        own[:] = 0
    for leaf, before in zip(jax.tree.leaves(classifier), kept, strict=True):
        np.testing.assert_array_equal(leaf, before)


# --- refusals ---------------------------------------------------------------------------------------------------------

X, WHICH = blobs.blobs(3)
PRECOMPUTED = [kind(kernel="precomputed").fit(X @ X.T, WHICH) for kind in MACHINES]
CALLABLE = [kind(kernel=lambda a, b: a @ b.T).fit(X, WHICH) for kind in MACHINES]


@pytest.mark.parametrize("machine", PRECOMPUTED, ids=lambda machine: type(machine).__name__)
def test_a_gram_matrix_is_refused(machine):
    kind = type(machine).__name__
    with pytest.raises(InputError, match=f"kernel of {kind} must be one of linear, rbf, poly, sigmoid; got 'precom"):
        outputs_of(machine)
    with pytest.raises(InputError, match=r"a Gram matrix does not say .* so fit with one of those"):
        expansion_of(machine)


@pytest.mark.parametrize("machine", CALLABLE, ids=lambda machine: type(machine).__name__)
def test_a_python_function_is_refused(machine):
    with pytest.raises(InputError, match=r"got <function.*: a Python function has no closed-form derivative here"):
        from_sklearn(machine)


def test_other_estimators_and_outputs_are_refused():
    svc = SVC().fit(X, WHICH)
    with pytest.raises(InputError, match="output of SVC must be one of decision, pairs, margin; got 'ovr'"):
        from_sklearn(svc, output="ovr")
    with pytest.raises(InputError, match="output of SVR must be one of predict; got 'decision'"):
        from_sklearn(SVR().fit(X, WHICH), output="decision")
    with pytest.raises(InputError, match=r"an SVM must be an SVC, a NuSVC or a Pipeline.*got LogisticRegression"):
        svm_classifier(LogisticRegression().fit(X, WHICH))
    with pytest.raises(InputError, match=r"support vectors are kept by SVC, NuSVC, SVR.*; got LinearSVC"):
        expansion_of(LinearSVC().fit(X, WHICH))
    with pytest.raises(InputError, match="SVC is not fitted"):
        expansion_of(SVC())
    with pytest.raises(InputError, match="SVC is not fitted"):
        check_probabilities(SVC(), "proba")
