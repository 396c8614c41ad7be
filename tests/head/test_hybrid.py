"""Heads of all kinds: flattened, pooled or averaged maps, with and without dense layers, and various estimators."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, OneClassSVM
from support.marks import more

from pcacam_jax import InputError, explain, hybrid_head, jacobian
from pcacam_jax.cam.memory import GRADIENT_FLOATS, LARGEST_BATCH, default_batch_size
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.head.batches import checked_batch_size

SHAPE = (4, 5, 3)
LABELS = np.array(["ant", "bee", "cat"])[np.arange(60) % 3]
RNG = np.random.default_rng(3)
CENTERS = RNG.normal(size=(3, *SHAPE))
MAPS = np.maximum(CENTERS[np.arange(60) % 3] + RNG.normal(size=(60, *SHAPE)), 0)
POOLS = (False, True, "average")
SIZES = {False: 60, True: 2 * 2 * 3, "average": 3}


def vector(pool):
    """x_0 of every example, by NumPy."""
    if pool == "average":
        return MAPS.mean(axis=(1, 2))
    maps = MAPS
    if pool:
        maps = MAPS[:, :4, :4].reshape(60, 2, 2, 2, 2, 3).max(axis=(2, 4))
    return maps.reshape(60, -1)


def layers(size, *, dense):
    rng = np.random.default_rng(1)
    sizes = (size, 6, 3) if dense else ()
    return [(rng.normal(size=s) / np.sqrt(s[0]), rng.normal(size=s[1])) for s in itertools.pairwise(sizes)]


def fitted(pool, *, dense, reduced):
    """A head, the inputs of its SVMs for all examples, and the SVMs."""
    dense_layers = layers(SIZES[pool], dense=dense)
    x = vector(pool)
    for kernel, bias in dense_layers[:1]:
        x = np.tanh(x @ kernel + bias)
    pca = PCA(2).fit(x) if reduced else None
    v = x if pca is None else pca.transform(x)
    svms = {"svm": SVC().fit(v, LABELS), "logistic": LogisticRegression(max_iter=1000).fit(v, LABELS)}
    head = hybrid_head(dense_layers, maps_shape=SHAPE, pool=pool, pca=pca, svms=svms, at=1, activation="tanh")
    return head, v, svms


kinds = pytest.mark.parametrize(
    ("pool", "dense", "reduced"),
    [
        case if any(case[1:]) and case[0] != "average" else more(*case)
        for case in itertools.product(POOLS, (True, False), (True, False))
    ],
)


@kinds
@pytest.mark.parametrize("method", ["hirescam", more("gradcam")])
def test_values_predictions_and_maps_of_all_kinds(method, pool, dense, reduced, x64):
    head, v, svms = fitted(pool, dense=dense, reduced=reduced)
    assert tuple(head.outputs) == (("cnn",) if dense else ()) + (("pca",) if reduced else ()) + ("svm", "logistic")
    targets = [*head.outputs, "svm:predicted", "logistic:predicted"]
    closed, reverse = (
        explain(head, MAPS[:3], targets, method=method, backend=backend) for backend in ("closed_form", "reverse")
    )
    assert relative_error(closed.signed, reverse.signed) < 1e-12
    assert relative_error(closed.values, reverse.values) < 1e-12
    for name, svm in svms.items():
        place = closed.targets.index(f"{name}:predicted")
        np.testing.assert_array_equal(closed.labels[:, place], svm.predict(v[:3]))
    start = closed.targets.index("logistic:ant")
    expected = svms["logistic"].decision_function(v[:3])
    np.testing.assert_allclose(closed.values[:, start : start + 3], expected, rtol=1e-10)
    assert set(closed.mixture) == ({t for t in closed.targets if t[:3] not in ("cnn", "pca")} if reduced else set())


@kinds
def test_pooled_path_is_the_mean_of_the_jacobian(pool, dense, reduced, x64):
    head, _, _ = fitted(pool, dense=dense, reduced=reduced)
    maps = jnp.asarray(MAPS[0])
    full = jax.jit(jacobian)(head, maps)
    rows = {name: jnp.eye(len(names)) for name, names in head.outputs.items()}
    pooled = head.pull_back_pooled(head.forward(maps)[1], rows)
    expected = np.concatenate([full[name].mean(axis=(1, 2)) for name in head.outputs])
    assert relative_error(pooled, expected) < 1e-12


def by_average(**options):
    return hybrid_head([], maps_shape=SHAPE, pool="average", **options)


X = vector("average")


@pytest.mark.parametrize(
    ("estimator", "output", "space", "expected"),
    [
        (LinearSVC().fit(X, LABELS), None, "decision", lambda e: e.decision_function(X)),
        (GaussianNB().fit(X, LABELS), None, "log_proba", lambda e: e.predict_log_proba(X)),
        (GaussianNB().fit(X, LABELS), "proba", "proba", lambda e: e.predict_proba(X)),
        (
            make_pipeline(StandardScaler(), SVC()).fit(X, LABELS),
            "decision",
            "decision",
            lambda e: e.decision_function(X),
        ),
        (SVC(decision_function_shape="ovo").fit(X, LABELS), "pairs", "pairs", lambda e: e.decision_function(X)),
        (SVR().fit(X, X[:, 0] ** 2), None, "predict", lambda e: e.predict(X)[:, None]),
        (Ridge().fit(X, X[:, :2] ** 2), None, "predict", lambda e: e.predict(X)),
        (OneClassSVM(gamma=1.0).fit(X), None, "decision", lambda e: e.decision_function(X)[:, None]),
    ],
)
def test_estimators_are_explained_in_their_output_space(estimator, output, space, expected, x64):
    head = by_average(svms={"svm": estimator}, output=output)
    explained = explain(head, MAPS, "svm")
    assert set(explained.spaces) == {space}
    np.testing.assert_allclose(explained.values, expected(estimator), rtol=1e-9, atol=1e-10)
    assert relative_error(explained.signed, explain(head, MAPS, "svm", backend="reverse").signed) < 1e-12


def test_two_classes_have_scores_of_both_signs(x64):
    two = LABELS != "cat"
    svm = LogisticRegression().fit(X[two], LABELS[two])
    explained = explain(by_average(svms={"svm": svm}), MAPS, ["svm:ant", "svm:bee", "svm:predicted"])
    np.testing.assert_allclose(explained.values[:, 1], svm.decision_function(X), rtol=1e-10)
    np.testing.assert_array_equal(explained.values[:, 0], -explained.values[:, 1])
    np.testing.assert_array_equal(explained.labels[:, 2], svm.predict(X))


def test_entries_are_named():
    svms = {"svm": SVC(decision_function_shape="ovo").fit(X, LABELS), "size": SVR().fit(X, X[:, 0])}
    head = by_average(svms=svms, output={"svm": "pairs"})
    assert head.outputs == {"svm": ("ant/bee", "ant/cat", "bee/cat"), "size": ("0",)}
    assert (head.space("svm"), head.space("size"), head.classifiers) == ("pairs", "predict", ())
    assert by_average(svms=svms).outputs["svm"] == ("ant", "bee", "cat")
    assert by_average(svms=svms, output={"svm": "decision"}).outputs["svm"] == ("ant/bee", "ant/cat", "bee/cat")
    for target in ("svm:predicted", "size:predicted"):
        with pytest.raises(InputError, match="names no entry of that output"):
            explain(head, MAPS, target)


@pytest.mark.parametrize(
    "reducer",
    [KernelPCA(2, kernel="rbf"), LinearDiscriminantAnalysis(), make_pipeline(Normalizer(), PCA(2)), Normalizer()],
)
def test_any_reducer_can_give_the_components(reducer, x64):
    head = by_average(pca=reducer.fit(X, LABELS))
    explained = explain(head, MAPS, "pca")
    np.testing.assert_allclose(explained.values, reducer.transform(X), rtol=1e-8, atol=1e-10)
    assert relative_error(explained.signed, explain(head, MAPS, "pca", backend="reverse").signed) < 1e-12
    assert set(explained.spaces) == {"component"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "dense, pca and svms are all empty, so there is nothing to explain"),
        ({"pool": "mean"}, "pool must be False, True .* or 'average'; got 'mean'"),
        ({"pca": PCA(2).fit(np.eye(5))}, "pca was fitted on 5 features, but the maps as one vector has 3"),
        ({"svms": {"svm": SVC().fit(X, LABELS)}, "output": "colour"}, "output of SVC must be one of"),
        ({"svms": {"svm": SVC().fit(X, LABELS)}, "output": {"other": "pairs"}}, "a name in output must be one of svm"),
        ({"svms": {"svm": SVR().fit(X, X[:, 0])}, "output": "margin"}, "output of SVR must be one of predict"),
    ],
)
def test_stages_that_do_not_fit_raise_an_error(options, sentence):
    with pytest.raises(InputError, match=sentence):
        hybrid_head([], **{"maps_shape": SHAPE, "pool": "average", **options})


def test_the_default_batch_is_smaller_for_an_svm_with_many_support_vectors():
    head = by_average(svms={"svm": SVC().fit(X, LABELS)})
    assert default_batch_size(head, "closed_form") == LARGEST_BATCH
    assert default_batch_size(head, "reverse") == 4
    expansion = head.svms["svm"].pairs
    many = dataclasses.replace(expansion, support=jnp.zeros((GRADIENT_FLOATS // 30, 3)))
    large = dataclasses.replace(head, svms={"svm": dataclasses.replace(head.svms["svm"], pairs=many)})
    assert default_batch_size(large, "closed_form") == 10
    assert checked_batch_size(None, 10) == 8
