"""Stages of fitted estimators equal scikit-learn's own numbers, and what cannot be converted gets a sentence."""

import copy

import cases
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.decomposition import PCA, KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, NuSVC

from pcacam_jax import InputError, Stage, from_sklearn, hybrid_head
from pcacam_jax.scikit import parity, svm_classifier
from pcacam_jax.stages import SVMClassifier

TOLERANCE = 1e-10
NAMES = np.array(["wolf", "ant", "bear", "newt", "cat", "owl", "eel", "fox", "gnu", "yak"])
NUMBERS = np.array([40, -3, 7, 12, 5, 1, 100, 8, 9, 2])


def blobs(classes, seed=0, size=4, count=60):
    rng = np.random.default_rng(seed)
    which = np.arange(count) % classes
    return 1.2 * rng.normal(size=(classes, size))[which] + rng.normal(size=(count, size)), which


def stage_values(stage, x):
    return (
        np.stack([stage(row) for row in jnp.asarray(x)]) if len(x) < 4 else np.asarray(jax.vmap(stage)(jnp.asarray(x)))
    )


def assert_equals(stage, x, expected):
    expected = np.asarray(expected).reshape(len(x), -1)
    assert isinstance(stage, Stage)
    found = stage_values(stage, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * np.abs(expected).max())


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


# --- transformers -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("solver", ["full", "covariance_eigh", "randomized"])
def test_pca(whiten, solver):
    x, _ = blobs(3)
    pca = PCA(3, whiten=whiten, svd_solver=solver, random_state=0).fit(x + 5)
    assert_equals(from_sklearn(pca), x, pca.transform(x))
    assert_equals(from_sklearn(pca, output="transform"), x, pca.transform(x))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("variance", [1e-20, 0.0])
def test_whitening_without_variance_has_scikit_learns_floor(variance):
    x, _ = blobs(3)
    pca = PCA(3, whiten=True).fit(x)
    pca.explained_variance_ = np.array([2.0, 1.0, variance])
    assert_equals(from_sklearn(pca), x[:1], pca.transform(x[:1]))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("with_mean", [False, True])
@pytest.mark.parametrize("with_std", [False, True])
def test_standard_scaler(with_mean, with_std):
    x, _ = blobs(2)
    x[:, 1] = 3.0
    scaler = StandardScaler(with_mean=with_mean, with_std=with_std).fit(x)
    assert_equals(from_sklearn(scaler), x, scaler.transform(x))


# --- support vector machines ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("shape", ["ovo", "ovr"])
@pytest.mark.parametrize("labels", [NAMES, NUMBERS], ids=["names", "numbers"])
def test_svc(classes, kernel, shape, labels):
    x, which = blobs(classes)
    svc = SVC(kernel=kernel, decision_function_shape=shape).fit(x, labels[which])
    assert_equals(from_sklearn(svc), x, svc.decision_function(x))
    assert_equals(from_sklearn(svc, output="decision"), x, svc.decision_function(x))
    assert_equals(from_sklearn(svc, output="margin"), x, margins_by_hand(svc, x))
    pairs = clone(svc).set_params(decision_function_shape="ovo").fit(x, labels[which]).decision_function(x)
    assert_equals(from_sklearn(svc, output="pairs"), x, pairs)
    classifier = svm_classifier(svc)
    np.testing.assert_array_equal(svc.classes_[jax.vmap(classifier.predict)(jnp.asarray(x))], svc.predict(x))
    assert_equals(classifier, x, margins_by_hand(svc, x))


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
    ],
    ids=str,
)
def test_svc_options(options):
    x, which = blobs(3, size=5)
    svc = SVC(**options).fit(2 * x[7:] + 1, which[7:])
    assert_equals(from_sklearn(svc), x, svc.decision_function(x))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_svc_fitted_on_a_sparse_matrix(kernel):
    x, which = blobs(3)
    x[np.abs(x) < 0.5] = 0
    svc = SVC(kernel=kernel).fit(csr_matrix(x), which)
    assert_equals(from_sklearn(svc), x, svc.decision_function(csr_matrix(x)))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("x", [[[0.0], [1.0]], [[0.0, 1], [4, 1], [9, 1]]])
def test_svc_with_one_support_vector_a_class(x):
    svc = SVC(gamma=0.5).fit(x, range(len(x)))
    assert list(svc.n_support_) == [1] * len(x)
    assert_equals(from_sklearn(svc), np.array(x), svc.decision_function(x))


@pytest.mark.usefixtures("x64")
def test_predict_counts_votes_and_breaks_ties_as_the_estimator_does():
    x, which = blobs(10, seed=3)
    far = np.random.default_rng(0).normal(size=(4000, 4)) * 3
    for kernel in ("linear", "rbf"):
        for break_ties in (False, True):
            svc = SVC(kernel=kernel, break_ties=break_ties, C=10).fit(x, NAMES[which])
            classifier = svm_classifier(svc)
            assert classifier.break_ties is break_ties
            found = svc.classes_[jax.jit(jax.vmap(classifier.predict))(jnp.asarray(far))]
            np.testing.assert_array_equal(found, svc.predict(far))
            naive = svc.classes_[margins_by_hand(svc, far).argmax(axis=1)]
            assert (naive != found).any()


@pytest.mark.usefixtures("x64")
def test_a_pair_of_exactly_zero_votes_as_scikit_learn_does():
    x = np.array([[-1.0], [1.0]])
    svc = SVC(kernel="linear").fit(x, ["left", "right"])
    assert svc.decision_function([[0.0]]) == 0
    assert svc.classes_[svm_classifier(svc).predict(jnp.zeros(1))] == svc.predict([[0.0]])[0]


# --- pipelines --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
def test_pipelines():
    x, which = blobs(3)
    reducer = make_pipeline("passthrough", StandardScaler(), PCA(2, whiten=True)).fit(x)
    assert_equals(from_sklearn(reducer), x, reducer.transform(x))
    nested = make_pipeline(make_pipeline(StandardScaler(), "passthrough"), None, PCA(3), SVC()).fit(x, NAMES[which])
    assert_equals(from_sklearn(nested), x, nested.decision_function(x))
    classifier = svm_classifier(nested)
    np.testing.assert_array_equal(nested.classes_[jax.vmap(classifier.predict)(jnp.asarray(x))], nested.predict(x))
    assert from_sklearn(nested, output="pairs")(jnp.asarray(x[0])).shape == (3,)


@pytest.mark.usefixtures("x64")
def test_pipelines_in_a_head():
    network = cases.network()
    x_m, labels = cases.trunk(network.dense[:2], network.maps), NAMES[np.arange(7) % 4]
    pca = make_pipeline("passthrough", StandardScaler(), PCA(2)).fit(x_m)
    svm = make_pipeline("passthrough", SVC()).fit(pca.transform(x_m), labels)
    head = hybrid_head(network.dense, pca=pca, svms={"svm": svm}, **network.options)
    found = jax.vmap(head)(jnp.asarray(network.maps))
    np.testing.assert_allclose(found["pca"], pca.transform(x_m), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["svm"], margins_by_hand(svm[-1], pca.transform(x_m)), rtol=1e-9, atol=1e-12)


# --- any fit ----------------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(2, 5),
    size=st.integers(1, 6),
    kernel=st.sampled_from(["linear", "rbf"]),
    gamma=st.floats(1e-3, 10) | st.sampled_from(["scale", "auto"]),
    penalty=st.floats(1e-2, 1e2),
    scaled=st.booleans(),
    whiten=st.booleans(),
)
def test_any_fit_equals_scikit_learn(seed, classes, size, kernel, gamma, penalty, scaled, whiten):
    x, which = blobs(classes, seed, size, count=40)
    steps = [StandardScaler()] * scaled + [PCA(max(1, size - 1), whiten=whiten)]
    svm = make_pipeline(*steps, SVC(kernel=kernel, gamma=gamma, C=penalty)).fit(x, which)
    with jax.enable_x64(True):
        assert_equals(from_sklearn(svm[:-1]), x, svm[:-1].transform(x))
        assert_equals(from_sklearn(svm), x, svm.decision_function(x))
        assert parity(svm, svm_classifier(svm), x) < TOLERANCE


@pytest.mark.usefixtures("x64")
def test_parity_sees_a_difference():
    x, which = blobs(3)
    svc, pca = SVC().fit(x, which), PCA(2).fit(x)
    classifier, stage = svm_classifier(svc), from_sklearn(pca)
    assert parity(svc, classifier, x) < TOLERANCE
    assert parity(pca, stage, x) < TOLERANCE
    assert svc.decision_function_shape == "ovr"
    doubled = jax.tree.map(lambda leaf: 2 * leaf, stage)
    assert parity(pca, doubled, x) > 0.1
    swapped = SVMClassifier(jax.tree.map(lambda leaf: -leaf, classifier.pairs), 3)
    assert parity(svc, swapped, x) > 0.1


def test_parameters_have_the_dtype_asked_for():
    x, which = blobs(2)
    svc = SVC().fit(x, which)
    with jax.enable_x64(True):
        assert {leaf.dtype.name for leaf in jax.tree.leaves(from_sklearn(svc))} == {"float64"}
        assert {leaf.dtype.name for leaf in jax.tree.leaves(from_sklearn(svc, dtype="float32"))} == {"float32"}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(from_sklearn(svc))} == {"float32"}


# --- refusals ---------------------------------------------------------------------------------------------------------

X, WHICH = blobs(3)
FITTED = {"pca": PCA(2).fit(X), "svc": SVC().fit(X, WHICH), "scaler": StandardScaler().fit(X)}


def inside(name, **attributes):
    changed = copy.copy(FITTED[name])
    changed.__dict__.update(attributes)
    return changed


CONVERSIONS = {
    "unfitted": (PCA(2), {}, "PCA is not fitted; call its fit"),
    "unfitted pipeline": (make_pipeline(StandardScaler(), SVC()), {}, "Pipeline is not fitted"),
    "unfitted step": (Pipeline([("a", StandardScaler()), ("b", FITTED["svc"])]), {}, "StandardScaler is not fitted"),
    "not an estimator": (42, {}, "expected a fitted scikit-learn estimator; got int"),
    "a class": (PCA, {}, "expected a fitted scikit-learn estimator; got"),
    "other estimator": (NuSVC().fit(X, WHICH), {}, "NuSVC is not supported; expected one of PCA, StandardScaler, SVC"),
    "other reducer": (KernelPCA(2).fit(X), {}, "KernelPCA is not supported"),
    "one against rest": (OneVsRestClassifier(SVC()).fit(X, WHICH), {}, "OneVsRestClassifier is not supported"),
    "polynomial": (SVC(kernel="poly").fit(X, WHICH), {}, "kernel of an SVC must be one of linear, rbf; got 'poly'"),
    "callable": (SVC(kernel=lambda a, b: a @ b.T).fit(X, WHICH), {}, "must be one of linear, rbf; got <function"),
    "precomputed": (SVC(kernel="precomputed").fit(X @ X.T, WHICH), {}, "got 'precomputed'"),
    "only passthrough": (Pipeline([("a", "passthrough")]), {}, "at least one step that is not 'passthrough'"),
    "SVC output": (FITTED["svc"], {"output": "ovr"}, "output of SVC must be one of decision, pairs, margin; got 'ovr'"),
    "SVC transform": (FITTED["svc"], {"output": "transform"}, "decision, pairs, margin; got 'transform'"),
    "PCA output": (FITTED["pca"], {"output": "decision"}, "output of PCA must be one of transform; got 'decision'"),
    "scaler output": (FITTED["scaler"], {"output": "margin"}, "output of StandardScaler must be one of transform"),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_what_cannot_be_converted_gets_a_sentence(name):
    estimator, options, sentence = CONVERSIONS[name]
    with pytest.raises(InputError, match=sentence):
        from_sklearn(estimator, **options)


def layer(*shape):
    return np.ones(shape), np.ones(shape[1])


def head(dense=((12, 5), (5, 4), (4, 3)), **changes):
    """A head on (1, 3, 4) maps whose second layer has as many outputs as X has columns."""
    return hybrid_head([layer(*one) for one in dense], **{"maps_shape": (1, 3, 4), **changes})


NAN = np.full((12, 3), np.nan)
LOGISTIC = LogisticRegression().fit(X, WHICH)
TWO = SVC().fit(X[:, :2], WHICH)
HEADS = {
    "first kernel": (lambda: head([(20, 3)], at=1), r"reads maps of shape \(1, 3, 4\).*\(12, out\).*got \(20, 3\)"),
    "later kernel": (
        lambda: head([(12, 5), (6, 3)]),
        r"layer 2 reads the 5 outputs of layer 1.*\(5, out\).*got \(6, 3\)",
    ),
    "bias": (
        lambda: hybrid_head([(np.ones((12, 3)), np.ones(2))], maps_shape=(1, 3, 4), at=1),
        r"got \(12, 3\) and \(2,\)",
    ),
    "flat kernel": (lambda: hybrid_head([(np.ones(12), np.ones(1))], maps_shape=(1, 3, 4)), r"got \(12,\) and \(1,\)"),
    "pooled": (
        lambda: hybrid_head([layer(32, 3)], maps_shape=(4, 4, 2), at=1, pool=True),
        r"after a 2 x 2 max-pool, so its kernel must have shape \(8, out\).*got \(32, 3\)",
    ),
    "too small to pool": (lambda: head(pool=True), r"h and w at least 2; got \(1, 3, 4\)"),
    "maps shape": (lambda: head(maps_shape=(3, 4)), r"maps_shape must be \(h, w, K\).*got \(3, 4\)"),
    "no layer": (lambda: head([]), "dense must hold at least one"),
    "NaN kernel": (
        lambda: hybrid_head([(NAN, np.ones(3))], maps_shape=(1, 3, 4)),
        "the kernel of dense layer 1 must be fin",
    ),
    "infinite bias": (
        lambda: hybrid_head([layer(12, 3), (np.ones((3, 1)), [np.inf])], maps_shape=(1, 3, 4)),
        "the bias of dense layer 2 must be finite, but 1 of 1",
    ),
    "at 0": (lambda: head(at=0), "at must be a dense layer, 1 to 3; got 0"),
    "at 4": (lambda: head(at=4), "at must be a dense layer, 1 to 3; got 4"),
    "activation": (lambda: head(activation="swish"), "activation must be one of identity, sigmoid.*got 'swish'"),
    "PCA features": (
        lambda: head(pca=FITTED["pca"], at=1),
        "pca was fitted on 4 features, but the output of dense layer 1 has 5; fit it on those",
    ),
    "unfitted PCA": (lambda: head(pca=PCA()), "PCA is not fitted"),
    "SVC as PCA": (lambda: head(pca=FITTED["svc"]), "pca must be a PCA or a Pipeline that ends in one; got SVC"),
    "scaler as PCA": (lambda: head(pca=FITTED["scaler"]), "pca must be a PCA.*got StandardScaler"),
    "SVM features": (
        lambda: head(pca=FITTED["pca"], svms={"svm": FITTED["svc"]}),
        "svm was fitted on 4 features, but the PCA's output has 2",
    ),
    "SVM on a layer": (
        lambda: head(svms={"svm": TWO}),
        "svm was fitted on 2 features, but the output of dense layer 2 has 4",
    ),
    "unfitted SVM": (lambda: head(svms={"svm": SVC()}), "SVC is not fitted"),
    "not an SVM": (lambda: head(svms={"svm": LOGISTIC}), "an SVM must be an SVC or a Pipeline.*got LogisticRegression"),
    "named cnn": (lambda: head(svms={"cnn": FITTED["svc"]}), "not 'cnn' or 'pca'; got 'cnn'"),
    "named pca": (lambda: head(svms={"pca": FITTED["svc"]}), "got 'pca'"),
    "with a colon": (lambda: head(svms={"svm:a": FITTED["svc"]}), "without a colon.*got 'svm:a'"),
    "without a name": (lambda: head(svms={"": FITTED["svc"]}), "got ''"),
    "few class names": (
        lambda: head(class_names=["a", "b"]),
        r"class_names must be 3 different names.*got \('a', 'b'\)",
    ),
    "no bias": (lambda: hybrid_head([(np.ones((12, 3)), None)], maps_shape=(1, 3, 4)), "must be a pair .*takes zeros"),
    "no maps shape": (lambda: head(maps_shape=96), r"maps_shape must be three integers \(h, w, K\); got 96"),
    "half a layer": (lambda: head(at=1.5), "at must be a dense layer, 1 to 3; got 1.5"),
    "one name": (lambda: head(class_names="abc"), "class_names must be a list of names; got the string 'abc'"),
    "SVM of no name": (lambda: head(svms={3: FITTED["svc"]}), "needs a name of its own"),
    "unfitted step": (
        lambda: head(svms={"svm": make_pipeline(StandardScaler(), FITTED["svc"])}),
        "is not fitted; call its fit",
    ),
    "equal class names": (lambda: head(class_names=list("aab")), "class_names must be 3 different names"),
}


@pytest.mark.parametrize("name", HEADS)
def test_parts_that_do_not_fit_together_get_a_sentence(name):
    build, sentence = HEADS[name]
    with pytest.raises(InputError, match=sentence):
        build()


def test_a_head_is_named_and_built_as_asked():
    built = head(svms={"svm": FITTED["svc"]}, class_names=["a", "b", "c"])
    assert built.outputs == {"cnn": ("a", "b", "c"), "svm": ("a", "b", "c")}
    assert built.in_shape == (1, 3, 4)
    assert built.pca is None
    assert head(at=3)(jnp.ones((1, 3, 4)))["cnn"].shape == (3,)
    assert jax.tree.structure(head(maps_shape=np.array([1, 3, 4]))) == jax.tree.structure(head())
    assert head(svms={"svm": SVC().fit(X, WHICH + 5)}).outputs["svm"] == ("5", "6", "7")
    assert head(svms={"svm": SVC().fit(X, NAMES[WHICH])}, class_names=list("abc")).outputs["svm"] == (
        "ant",
        "bear",
        "wolf",
    )


def test_the_first_kernel_decides_the_dtype(x64):
    dense = [layer(12, 4), layer(4, 3)]
    single = hybrid_head(
        [(np.float32(dense[0][0]), dense[0][1]), dense[1]], maps_shape=(1, 3, 4), svms={"a": FITTED["svc"]}, at=1
    )
    assert {leaf.dtype.name for leaf in jax.tree.leaves(single)} == {"float32"}
    whole = hybrid_head([(dense[0][0].astype(int), dense[0][1]), dense[1]], maps_shape=(1, 3, 4))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(whole)} == {"float64"}
