"""Gradients that underflow are flagged, and the scale-free form recovers their maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA, KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from support.marks import more

from pcacam_jax import InputError, decompose, evidence, explain, hybrid_head
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.stages.jacobian import BACKENDS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
LABELS = np.arange(30) % 3
SPREAD = np.array([1.0, -1.0, 2.0, -2.0]).reshape(1, 2, 2, 1) * np.array([0.3, 0.1, -0.2])
NEAR = X[:4].reshape(4, 1, 1, 3) + 0.1 + SPREAD
FAR = NEAR + np.array([30.0, -45.0, 25.0])
"""Maps of 2 x 2 positions; the SVMs read their mean over positions."""


def head_of(svm, dtype="float64", **options):
    head = hybrid_head([], maps_shape=(2, 2, 3), pool="average", svms={"svm": svm}, **options)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), head)


def direction(svc, v, classes=3):
    """The gradients of the margins at ``v`` up to one common positive factor, without underflow."""
    exponents = -svc.gamma * ((svc.support_vectors_ - v) ** 2).sum(axis=1)
    weights = np.exp(exponents - exponents.max())
    starts = np.concatenate([[0], np.cumsum(svc.n_support_)])
    total = np.zeros((classes, len(v)))
    for i in range(classes):
        for j in range(i + 1, classes):
            for label, row in ((i, j - 1), (j, i)):
                for s in range(starts[label], starts[label + 1]):
                    term = svc.dual_coef_[row, s] * weights[s] * (svc.support_vectors_[s] - v)
                    total[i] += term
                    total[j] -= term
    return total


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_far_from_all_support_vectors_the_map_is_flagged_and_recovered(dtype):
    svc = SVC(gamma=1.0).fit(X, LABELS)
    head = head_of(svc, dtype)
    explained = explain(head, FAR, "svm")
    assert explained.vanished.all()
    assert not explained.positive.any()
    assert not explained.scale_free
    free = explain(head, FAR, "svm", scale_free=True)
    assert free.scale_free
    assert not free.vanished.any()
    np.testing.assert_array_equal(free.values, explained.values)
    for image, maps in enumerate(FAR):
        expected = np.einsum("ck,hwk->chw", direction(svc, maps.mean(axis=(0, 1))), maps).reshape(3, 4)
        signed = np.asarray(free.signed[image]).reshape(3, 4)
        assert relative_error(unit(signed), unit(expected)) < (1e-12 if dtype == "float64" else 1e-3)


def test_near_the_support_vectors_nothing_is_flagged_and_scale_free_maps_are_multiples(x64):
    head = head_of(SVC(gamma=1.0).fit(X, LABELS))
    explained, free = (explain(head, NEAR, ["svm", "svm:predicted"], scale_free=flag) for flag in (False, True))
    assert not explained.vanished.any()
    factors = free.signed / explained.signed
    assert (factors >= 1).all()
    assert relative_error(factors, np.broadcast_to(factors[..., :1, :1], factors.shape)) < 1e-10


def test_only_targets_that_underflowed_are_flagged(x64):
    svms = {"svm": SVC(gamma=1.0).fit(X, LABELS), "line": SVC(kernel="linear").fit(X, LABELS)}
    head = hybrid_head([], maps_shape=(2, 2, 3), pool="average", svms=svms)
    explained = explain(head, np.concatenate([NEAR, FAR]), ["line:1", "svm:0", "svm:predicted"])
    np.testing.assert_array_equal(explained.vanished, [[False] * 3] * 4 + [[False, True, True]] * 4)


def test_a_map_of_differences_is_flagged_only_if_they_are_zero_where_the_gradient_underflowed(x64):
    """Without its first channel, the second example is near the support vectors, and the value changes."""
    head = head_of(SVC(gamma=1.0).fit(X, LABELS))
    maps = np.stack([FAR[0], np.full((2, 2, 3), [40.0, 0, 0]), NEAR[0]])
    assert explain(head, maps, "svm:0").vanished.ravel().tolist() == [True, True, False]
    ablated = explain(head, maps, "svm:0", method="ablationcam")
    assert ablated.vanished.ravel().tolist() == [True, False, False]
    assert ablated.weights.any(axis=(1, 2)).tolist() == [False, True, True]


def maps_at_exponent(svc, exponent):
    """Maps whose mean has the kernel value exp(-exponent) with its nearest support vector, for gamma 1."""
    points = np.linspace(0, 20, 200_001)[:, None] * unit(np.array([1.0, -2.0, 0.5]))
    nearest = np.min([((points - s) ** 2).sum(axis=1) for s in svc.support_vectors_], axis=0)
    return np.broadcast_to(points[np.argmin(abs(nearest - exponent))], (1, 2, 2, 3))


def test_a_gradient_that_lost_digits_is_flagged():
    """In float32 exp(-75) is a normal number, but smaller terms next to it are subnormal or zero."""
    svc = SVC(gamma=1.0).fit(X, LABELS)
    head = head_of(svc, "float32")
    flags = [explain(head, maps_at_exponent(svc, exponent), "svm:0").vanished[0, 0] for exponent in (10, 60, 77, 200)]
    assert flags == [False, False, True, True]


def test_a_gradient_whose_exact_value_is_zero_is_not_flagged(x64):
    svc = SVC(gamma=1.0).fit([[0.0, 0, 0], [5, 5, 5]], [0, 1])
    middle = explain(head_of(svc), np.full((1, 2, 2, 3), 2.5), "svm")
    assert not middle.vanished.any()


def test_a_saturated_probability_is_flagged():
    head = head_of(LogisticRegression().fit(X, X[:, 0] > 0), "float32", output="proba")
    explained = explain(head, np.stack([np.full((2, 2, 3), [1e4, 0, 0]), np.zeros((2, 2, 3))]), "svm:True")
    np.testing.assert_array_equal(explained.vanished[:, 0], [True, False])


@pytest.mark.parametrize("output", ["proba", "log_proba"])
@pytest.mark.parametrize("labels", [LABELS, LABELS > 0])
def test_a_probability_that_depends_on_nothing_is_not_flagged(labels, output):
    model = LogisticRegression().fit(X, labels)
    model.coef_ = np.zeros_like(model.coef_)
    explained = explain(head_of(model, "float32", output=output), NEAR, "svm")
    assert not explained.vanished.any()
    assert not explained.positive.any()
    model.coef_ = np.full_like(model.coef_, 1e6) * np.arange(1, len(model.coef_) + 1)[:, None]
    assert explain(head_of(model, "float32", output=output), 1 + abs(NEAR), "svm").vanished.any()


@pytest.mark.parametrize("units", ["relu", "tanh"])
def test_inactive_relu_units_are_not_flagged_but_saturated_ones_are(units):
    model = MLPClassifier((4,), activation=units, tol=10, n_iter_no_change=1).fit(X, LABELS)
    model.coefs_[0][:] = -1e4
    explained = explain(head_of(model, "float32", output="log_proba"), 1 + abs(NEAR), "svm")
    assert not explained.positive.any()
    np.testing.assert_array_equal(explained.vanished, units == "tanh")


def layers(weight):
    """Dense layers of 4, 3 and 2 units; all units of the first layer read the sum of the means."""
    rng = np.random.default_rng(1)
    sizes = [(3, 4), (4, 3), (3, 2)]
    dense = [(rng.normal(size=size), np.zeros(size[1])) for size in sizes]
    return [(np.full((3, 4), weight), np.zeros(4)), *dense[1:]]


@pytest.mark.parametrize(
    ("activation", "weight", "at", "gone"),
    [
        more("sigmoid", 1e4, 1, True),
        ("sigmoid", 1e4, 3, True),
        ("tanh", -1e4, 2, True),
        ("sigmoid", 1.0, 2, False),
        ("relu", -1e4, 2, False),
    ],
)
def test_saturated_units_are_flagged_in_every_layer_and_inactive_ones_are_not(activation, weight, at, gone):
    dense = layers(weight)
    points = np.random.default_rng(2).normal(size=(30, (4, 3, 2)[at - 1]))
    reducer = PCA(2).fit(points)
    svms = {"svm": SVC(gamma=0.1).fit(reducer.transform(points), LABELS)}
    head = hybrid_head(
        dense, maps_shape=(2, 2, 3), pool="average", pca=reducer, svms=svms, at=at, activation=activation
    )
    head, maps = jax.tree.map(lambda leaf: leaf.astype("float32"), head), 1 + abs(NEAR)
    explained = explain(head, maps, ["svm:1", "cnn", "pca"])
    np.testing.assert_array_equal(explained.vanished, gone)
    assert explained.signed.any(axis=(2, 3)).all() == (activation != "relu" and not gone)
    np.testing.assert_array_equal(decompose(head, maps, "svm:1").vanished, gone)
    np.testing.assert_array_equal(evidence(head, maps, "svm:1").vanished, gone)


def test_a_layer_of_zero_weights_is_not_flagged():
    head = hybrid_head(
        [*layers(0.0)[:1], (np.zeros((4, 2)), np.zeros(2))],
        maps_shape=(2, 2, 3),
        pool="average",
        at=1,
        activation="sigmoid",
    )
    assert not explain(head, NEAR, "cnn").vanished.any()


@pytest.mark.exhaustive
def test_central_differences_also_flag_gradients_below_their_rounding_error(dtype):
    svc = SVC(gamma=1.0).fit(X, LABELS)
    head = head_of(svc, dtype)
    for exponent, gone in ((10, [False] * 4), (60, [False, False, False, True]), (110, None)):
        explained = {name: explain(head, maps_at_exponent(svc, exponent), "svm:0", backend=name) for name in BACKENDS}
        flags = [bool(each.vanished[0, 0]) for each in explained.values()]
        assert flags == (gone or [dtype == "float32"] * 3 + [True])
        assert explained["finite_difference"].signed.any() == (not flags[-1])


def test_central_differences_do_not_flag_a_gradient_whose_exact_value_is_zero(x64):
    svc = SVC(gamma=1.0).fit([[0.0, 0, 0], [5, 5, 5]], [0, 1])
    assert not explain(head_of(svc), np.full((1, 2, 2, 3), 2.5), "svm", backend="finite_difference").vanished.any()


def test_the_scale_free_form_works_after_a_scaler(x64):
    pipeline = make_pipeline(StandardScaler(), SVC(gamma=1.0)).fit(X, LABELS)
    explained = explain(head_of(pipeline), FAR, "svm", scale_free=True)
    slopes = direction(pipeline[-1], pipeline[:-1].transform(FAR[:1].mean(axis=(1, 2)))[0]) / pipeline[0].scale_
    expected = np.einsum("ck,hwk->chw", slopes, FAR[0]).reshape(3, 4)
    assert relative_error(unit(np.asarray(explained.signed[0]).reshape(3, 4)), unit(expected)) < 1e-12


def test_stages_without_a_scale_free_form_are_rejected(x64):
    head = head_of(SVC(gamma=1.0).fit(X, LABELS))
    with pytest.raises(InputError, match=r"scale_free needs backend='closed_form'.*got 'reverse'"):
        explain(head, NEAR, "svm", backend="reverse", scale_free=True)
    several = head_of(OneVsRestClassifier(SVC(gamma=1.0)).fit(X, LABELS))
    with pytest.raises(InputError, match="needs a single expansion in an exponential kernel, but there are 3"):
        explain(several, NEAR, "svm", scale_free=True)
    assert explain(several, FAR, "svm").vanished.all()


def test_a_kernel_pca_far_from_its_training_data_is_flagged_and_recovered(x64):
    reducer = KernelPCA(2, kernel="rbf", gamma=1.0).fit(X)
    svm = SVC(kernel="linear").fit(reducer.transform(X), LABELS)
    head = hybrid_head([], maps_shape=(2, 2, 3), pool="average", pca=reducer, svms={"svm": svm})
    targets = ["pca", "svm:0"]
    assert not explain(head, NEAR, targets).vanished.any()
    assert explain(head, FAR, targets).vanished.all()
    near, free = explain(head, NEAR, targets), explain(head, NEAR, targets, scale_free=True)
    factors = free.signed / near.signed
    assert (factors >= 1).all()
    assert relative_error(factors, np.broadcast_to(factors[..., :1, :1], factors.shape)) < 1e-10
    far = explain(head, FAR, targets, scale_free=True)
    assert not far.vanished.any()
    assert (far.positive + far.negative).max(axis=(2, 3)).min() > 0


def test_scale_free_is_reported_only_if_a_target_has_an_rbf_kernel():
    svms = {"svm": SVC(gamma=1.0).fit(X, LABELS), "line": SVC(kernel="linear").fit(X, LABELS)}
    head = hybrid_head([], maps_shape=(2, 2, 3), pool="average", svms=svms)
    assert not explain(head, NEAR, "line", scale_free=True).scale_free
    assert explain(head, NEAR, ["line", "svm"], scale_free=True).scale_free
    with pytest.raises(TypeError, match="scale_free must be True or False; got 'x'"):
        explain(head, NEAR, "svm", scale_free="x")


@pytest.mark.parametrize("exponent", [60, 77, 85])
def test_decompose_and_evidence_flag_the_same_examples_as_explain(exponent):
    svc = SVC(gamma=1.0).fit(X, LABELS)
    head, maps = head_of(svc, "float32"), maps_at_exponent(svc, exponent)
    expected = explain(head, maps, "svm:0").vanished[:, 0]
    assert expected == [exponent > 70]
    np.testing.assert_array_equal(evidence(head, maps, "svm:0").vanished, expected)
    np.testing.assert_array_equal(decompose(head, maps, "svm:0").vanished, expected)
    assert not evidence(head, maps, "svm:0", scale_free=True).vanished.any()
