"""Heatmaps of targets: batches, predicted classes, backends, invalid input, and consequences of the formulas."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA, KernelPCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer
from sklearn.svm import SVC
from support import cases
from support.marks import more

import pcacam_jax
from pcacam_jax import InputError, decompose, evidence, explain, hybrid_head, jacobian
from pcacam_jax.cam.compute import explain_batch
from pcacam_jax.cam.explain import explain_example
from pcacam_jax.core.numerics import TOLERANCES, relative_error
from pcacam_jax.head.targets import parse_targets

MIXED = ["svm_rbf:predicted", "pca:2", "cnn:1", "pca:0", "svm_linear:cat", "pca:2", "cnn:predicted", "svm_linear:wolf"]
FIELDS = ("positive", "negative", "values", "columns")


@pytest.fixture
def network():
    return cases.network()


def deviation(got, expected):
    return max(relative_error(getattr(got, field), getattr(expected, field)) for field in FIELDS)


@functools.cache
def head_in(dtype):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), cases.network().head)


# --- the batch --------------------------------------------------------------------------------------------------------


def test_shapes_names_and_signs(network, dtype):
    explained = explain(head_in(dtype), network.maps, MIXED)
    assert explained.targets == tuple(MIXED)
    assert explained.positive.shape == explained.negative.shape == explained.signed.shape == (7, 8, 3, 4)
    assert explained.values.shape == explained.columns.shape == explained.labels.shape == (7, 8)
    assert explained.positive.dtype == explained.negative.dtype == explained.values.dtype == jnp.dtype(dtype)
    assert explained.positive.min() == explained.negative.min() == 0
    assert (np.minimum(explained.positive, explained.negative) == 0).all()
    np.testing.assert_array_equal(explained.signed, explained.positive - explained.negative)
    assert list(explained.labels[0, 1:6]) == ["component 3", "1", "component 1", "cat", "component 3"]
    assert (explained.method, explained.backend) == ("hirescam", "closed_form")


def test_batch_size_changes_nothing(network):
    whole = explain(head_in("float32"), network.maps, MIXED)
    for size in (1, 3, 7, 100):
        batched = explain(head_in("float32"), network.maps, MIXED, batch_size=size)
        assert deviation(batched, whole) < TOLERANCES["float32"]
        np.testing.assert_array_equal(batched.labels, whole.labels)
        for name in whole.mixture:
            assert relative_error(batched.mixture[name], whole.mixture[name]) < TOLERANCES["float32"]


def test_order_and_repeats_change_nothing(network, x64):
    every = ["cnn", "pca", "svm_rbf", "svm_linear"]
    whole = explain(head_in("float64"), network.maps, every)
    order = np.random.default_rng(0).integers(0, len(whole.targets), 20)
    explained = explain(head_in("float64"), network.maps, [whole.targets[i] for i in order])
    for field in FIELDS:
        assert relative_error(getattr(explained, field), getattr(whole, field)[:, order]) < 1e-12


@pytest.mark.parametrize("name", ["svm_rbf", "svm_linear", "cnn"])
def test_predicted_means_the_predicted_class_of_each_image(network, name, x64):
    head = head_in("float64")
    explained = explain(head, network.maps, [f"{name}:predicted", name])
    if name == "cnn":
        logits = np.stack([head(one)["cnn"] for one in jnp.asarray(network.maps)])
        expected = logits.argmax(axis=1).astype(str)
    else:
        expected = network.svms[name].predict(network.components)
    assert len(set(expected)) > 1
    np.testing.assert_array_equal(explained.labels[:, 0], expected)
    images = np.arange(len(network.maps))
    np.testing.assert_array_equal(explained.signed[:, 0], explained.signed[images, 1 + explained.columns[:, 0]])
    np.testing.assert_array_equal(explained.values[:, 0], explained.values[images, 1 + explained.columns[:, 0]])


def test_values_are_the_outputs_of_the_head(network, x64):
    head = head_in("float64")
    explained = explain(head, network.maps, list(head.outputs))
    expected = [np.concatenate([head(one)[name] for name in head.outputs]) for one in jnp.asarray(network.maps)]
    np.testing.assert_allclose(explained.values, expected, rtol=1e-12)
    np.testing.assert_allclose(explained.values[:, 4:7], network.components, rtol=1e-10, atol=1e-12)


def test_an_svm_map_is_its_mixture_of_component_maps(network, x64):
    explained = explain(head_in("float64"), network.maps, ["pca", *MIXED])
    assert set(explained.mixture) == {name for name in MIXED if name.startswith("svm")}
    for name, weights in explained.mixture.items():
        mixed = np.einsum("br,brij->bij", weights, explained.signed[:, :3])
        assert relative_error(mixed, explained.signed[:, explained.targets.index(name)]) < 1e-12


@pytest.mark.parametrize("method", ["hirescam", more("gradcam")])
def test_backends_agree(network, method, x64):
    closed = explain(head_in("float64"), network.maps[:2], MIXED, method=method)
    for backend in cases.BACKENDS:
        explained = explain(head_in("float64"), network.maps[:2], MIXED, method=method, backend=backend)
        assert explained.backend == backend
        tolerance = 1e-6 if backend == "finite_difference" else 1e-12
        assert deviation(explained, closed) < tolerance
        for name in closed.mixture:
            assert relative_error(explained.mixture[name], closed.mixture[name]) < tolerance


def test_central_differences_are_accurate_for_a_float32_head(network):
    head, maps = head_in("float32"), network.maps
    closed = explain(head, maps, MIXED)
    differences = explain(head, maps, MIXED, backend="finite_difference")
    assert differences.positive.dtype == jnp.float32
    assert deviation(differences, closed) < 2e-5
    assert relative_error(differences.mixture["svm_rbf:predicted"], closed.mixture["svm_rbf:predicted"]) < 2e-5


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda head, maps: explain({}, maps, "pca"), "head must be a HybridHead"),
        (lambda head, maps: explain(head, maps, 3), "targets must be a string"),
        (lambda head, maps: explain(head, maps, "pca", batch_size=2.5), "batch_size must be an integer"),
        (lambda head, maps: explain(head, maps, "pca", batch_size=True), "batch_size must be an integer"),
        (lambda head, maps: explain(head, maps * 1j, "pca"), "maps must be real numbers; got the dtype complex"),
        (lambda head, maps: explain(head, np.full(maps.shape, "a"), "pca"), "maps must be real numbers"),
        (lambda head, maps: explain(head, np.ma.masked_less(maps, 1), "pca"), "must not be a masked array"),
    ],
)
def test_misuse_raises_an_error(network, call, sentence):
    with pytest.raises((InputError, TypeError), match=sentence):
        call(network.head, np.asarray(network.maps))


def test_float32_is_close_to_float64(network, x64):
    single, double = (explain(head_in(dtype), network.maps, MIXED) for dtype in ("float32", "float64"))
    assert single.values.dtype == np.float32
    assert relative_error(single.signed, double.signed) < 1e-4


class Foreign:
    """An array of another framework, which can only be converted to a NumPy array."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


@pytest.mark.parametrize(
    "convert", [Foreign, np.ndarray.tolist, jnp.asarray, np.asfortranarray, np.float16, np.float64]
)
def test_maps_come_from_any_framework(network, convert):
    maps = np.round(network.maps[:2], 2).astype(np.float16).astype(np.float64)
    expected = explain(head_in("float32"), maps, ["pca", "svm_rbf:predicted"])
    explained = explain(head_in("float32"), convert(maps), ["pca", "svm_rbf:predicted"])
    np.testing.assert_array_equal(explained.signed, expected.signed)


def test_maps_can_be_integers(network):
    maps = np.arange(120).reshape(2, 3, 4, 5) % 7
    signed = [explain(head_in("float32"), maps.astype(kind), "pca").signed for kind in (np.uint8, np.float32)]
    np.testing.assert_array_equal(*signed)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda maps: maps[0], r"maps must have shape \(B, 3, 4, 5\), a batch with channels last; got \(3, 4, 5\)"),
        (lambda maps: maps.transpose(0, 3, 1, 2), r"got \(7, 5, 3, 4\)"),
        (lambda maps: maps[:0], r"got \(0, 3, 4, 5\)"),
        (lambda maps: np.where(maps == maps.max(), np.nan, maps), "maps must be finite, but 1 of 420 values are NaN"),
        (lambda maps: np.full_like(maps, np.inf), r"420 of 420 values.*first at index \(0, 0, 0, 0\); clean them"),
        (lambda maps: np.full_like(maps, 1e300), "420 of 420 values"),
    ],
)
def test_invalid_maps_raise_an_error(network, change, sentence):
    with pytest.raises(InputError, match=sentence):
        explain(head_in("float32"), change(network.maps), "pca")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "gradcams"}, r"method must be one of gradcam, cam, .*; got 'gradcams'"),
        ({"backend": "autodiff"}, "backend must be one of closed_form, reverse"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1; got 0"),
    ],
)
def test_invalid_options_raise_an_error(network, options, sentence):
    with pytest.raises(InputError, match=sentence):
        explain(network.head, network.maps, "pca", **options)


def reduced(reducer):
    """A head with a reducer and an SVM fitted on positive maps, and these maps."""
    maps = 0.1 + np.random.default_rng(0).random((30, 2, 2, 3))
    flat = maps.reshape(30, -1)
    svm = SVC().fit(reducer.fit_transform(flat), np.arange(30) % 3)
    return hybrid_head([], maps_shape=(2, 2, 3), pca=reducer, svms={"svm": svm}), maps


CALLS = {
    "explain": lambda head, maps: explain(head, maps, ["svm:1", "pca"], batch_size=1),
    "differences": lambda head, maps: explain(head, maps, ["svm:1", "pca"], backend="finite_difference"),
    "decompose": lambda head, maps: decompose(head, maps, "svm:1", batch_size=1),
    "evidence": lambda head, maps: evidence(head, maps, "svm:1", batch_size=1),
}


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("reducer", "factor", "kind"),
    [
        (make_pipeline(PowerTransformer("box-cox"), PCA(2)), 0, "float64"),
        (KernelPCA(2, kernel="poly", degree=2.5), -50, "float64"),
        (KernelPCA(2, kernel="poly"), 1e20, "float32"),
    ],
)
def test_examples_without_a_finite_explanation_are_rejected(reducer, factor, kind, call, x64):
    head, maps = reduced(reducer)
    head = jax.tree.map(lambda leaf: leaf.astype(kind), head)
    call(head, maps[:3])
    # Central differences are computed in float64, where the SVM is finite even far from its support vectors.
    target = "pca:0" if kind == "float32" and call is CALLS["differences"] else "svm:1"
    sentence = f"the value and map of {target} must be finite, but at example 2 they are not: .* for {kind}; leave that"
    with pytest.raises(InputError, match=sentence):
        call(head, maps[:3] * np.array([1, 1, factor]).reshape(3, 1, 1, 1))


def test_the_first_target_that_is_not_finite_is_named(x64):
    head, maps = reduced(KernelPCA(2, kernel="poly", degree=2.5))
    with pytest.raises(InputError, match="the value and map of pca:1 must be finite, but at example 1"):
        explain(head, maps[:2] * np.array([1, -50]).reshape(2, 1, 1, 1), ["pca:1", "svm:1"])


def test_a_head_without_a_pca(x64):
    network = cases.network(pca=None)
    explained = explain(network.head, network.maps, ["svm_rbf:predicted", "svm_linear", "cnn:0"])
    np.testing.assert_array_equal(explained.labels[:, 0], network.svms["svm_rbf"].predict(network.components))
    reverse = explain(network.head, network.maps, ["svm_rbf:predicted", "svm_linear", "cnn:0"], backend="reverse")
    assert deviation(explained, reverse) < 1e-12
    assert explained.mixture == {}
    with pytest.raises(InputError, match="'pca' names no output of this head, which has cnn, svm_rbf, svm_linear"):
        explain(network.head, network.maps, "pca")


def test_a_head_of_two_classes_has_opposite_margins(x64):
    network = cases.network((7, 3))
    explained = explain(network.head, network.maps, ["svm_rbf:3", "svm_rbf:7", "svm_rbf:predicted"])
    np.testing.assert_allclose(explained.signed[:, 0], -explained.signed[:, 1], rtol=1e-12)
    np.testing.assert_allclose(
        explained.values[:, 1], network.svms["svm_rbf"].decision_function(network.components), rtol=1e-9
    )
    np.testing.assert_array_equal(
        explained.labels[:, 2].astype(int), network.svms["svm_rbf"].predict(network.components)
    )


def test_equal_shapes_are_compiled_once(network):
    head = head_in("float32")
    explain(head, network.maps[:4], MIXED, batch_size=3)
    compiled = explain_batch._cache_size()
    explain(head, network.maps[::-1], MIXED, batch_size=3)
    explain(jax.tree.map(lambda leaf: leaf * 2, head), network.maps[:4], MIXED, batch_size=3)
    assert explain_batch._cache_size() == compiled
    explain(head, network.maps[:3], MIXED[1:], batch_size=3)
    assert explain_batch._cache_size() == compiled + 1


def test_one_example_inside_the_jit_and_vmap_of_a_user(network):
    head = head_in("float32")
    parsed = parse_targets(head, MIXED)
    one = functools.partial(explain_example, targets=parsed, method="hirescam", backend="closed_form")
    positive, negative, *_ = jax.jit(jax.vmap(one, (None, 0)))(head, jnp.asarray(network.maps, "float32"))
    assert relative_error(positive - negative, explain(head, network.maps, MIXED).signed) < 1e-6


def test_the_shares_of_the_head_are_those_of_the_explanation(network):
    head = head_in("float32")
    for maps in (network.maps, network.maps[:4]):
        np.testing.assert_allclose(explain(head, maps, "pca").shares, network.pca.explained_variance_ratio_, rtol=1e-5)
    assert explain(dataclasses.replace(head, shares=None), network.maps, "pca").shares == ()


# --- consequences of the formulas -------------------------------------------------------------------------------------


def test_pooled_path_is_the_mean_of_the_full_jacobian(network, x64):
    head, maps = head_in("float64"), jnp.asarray(network.maps[0])
    full = jax.jit(jacobian)(head, maps)
    pooled = jax.jit(lambda head, maps, rows: head.pull_back_pooled(head.forward(maps)[1], rows))
    rows = {name: jnp.eye(len(names)) for name, names in head.outputs.items()}
    expected = np.concatenate([full[name].mean(axis=(1, 2)) for name in head.outputs])
    assert relative_error(pooled(head, maps, rows), expected) < 1e-12


def test_heatmaps_by_their_definitions(network, x64):
    head, maps = head_in("float64"), jnp.asarray(network.maps)
    explained, averaged = explain(head, maps, "pca"), explain(head, maps, "pca", method="gradcam")
    for image, one in enumerate(maps[:2]):
        gradient = jax.jit(jax.jacrev(lambda m: head(m)["pca"]))(one)
        weights = gradient.mean(axis=(1, 2))
        expected = sum(np.multiply.outer(weights[:, k], one[:, :, k]) for k in range(5))
        assert relative_error(averaged.signed[image], expected) < 1e-12
        expected = sum(gradient[:, :, :, k] * one[:, :, k] for k in range(5))
        assert relative_error(explained.signed[image], expected) < 1e-12


def flipped(pca):
    changed = PCA(pca.n_components)
    changed.__dict__.update(pca.__dict__, components_=pca.components_ * [[1], [-1], [1]])
    return changed


def test_flipping_a_components_sign_swaps_its_maps(network, x64):
    original = explain(head_in("float64"), network.maps, "pca")
    other = explain(network._replace(pca=flipped(network.pca), svms={}).head, network.maps, "pca")
    np.testing.assert_array_equal(other.positive[:, 1], original.negative[:, 1])
    np.testing.assert_array_equal(other.negative[:, 1], original.positive[:, 1])
    np.testing.assert_array_equal(other.signed[:, [0, 2]], original.signed[:, [0, 2]])


def test_permuting_channels_changes_nothing(network, x64):
    order = np.array([3, 0, 4, 1, 2])
    (kernel, bias), *later = network.dense
    permuted = kernel.reshape(12, 5, -1)[:, order].reshape(kernel.shape)
    explained = explain(network._replace(dense=[(permuted, bias), *later]).head, network.maps[..., order], MIXED)
    assert deviation(explained, explain(head_in("float64"), network.maps, MIXED)) < 1e-12


def test_the_map_of_minus_y_is_minus_the_map_of_y(network, x64):
    *first, (kernel, bias) = network.dense
    negated = network._replace(dense=[*first, (-kernel, -bias)]).head
    negative, original = (explain(head, network.maps, "cnn") for head in (negated, head_in("float64")))
    np.testing.assert_array_equal(negative.positive, original.negative)
    np.testing.assert_array_equal(negative.negative, original.positive)


def test_the_gradient_at_a_tap_before_the_pool_is_routed_through_the_pool(x64):
    rng = np.random.default_rng(5)
    dense = [(rng.normal(size=(2 * 3 * 4, 5)), rng.normal(size=5)), (rng.normal(size=(5, 3)), rng.normal(size=3))]
    maps = np.round(np.maximum(rng.normal(size=(4, 5, 6, 4)), 0), 1)
    pooled = hybrid_head(dense, maps_shape=(5, 6, 4), at=1, activation="sigmoid", pool=True)
    after = hybrid_head(dense, maps_shape=(2, 3, 4), at=1, activation="sigmoid")
    explained, averaged = explain(pooled, maps, "cnn"), explain(pooled, maps, "cnn", method="gradcam")
    assert deviation(explained, explain(pooled, maps, "cnn", backend="reverse")) < 1e-12
    for image, one in enumerate(jnp.asarray(maps)):
        pool = pooled.spatial.stages[0]
        assert relative_error(pooled(one)["cnn"], after(pool(one))["cnn"]) < 1e-12
        routed = np.einsum("tijk,ijkabc->tabc", jacobian(after, pool(one))["cnn"], jacobian(pool, one))
        expected = np.einsum("tc,abc->tab", routed.mean(axis=(1, 2)), one)
        assert relative_error(averaged.signed[image], expected) < 1e-12
        assert relative_error(explained.signed[image], np.einsum("tabc,abc->tab", routed, one)) < 1e-12


def test_maps_of_zeros_give_heatmaps_of_zeros(network):
    explained = explain(head_in("float32"), np.zeros((1, 3, 4, 5)), MIXED)
    assert not explained.positive.any()
    assert not explained.negative.any()
    assert np.isfinite(explained.values).all()


def test_an_explanation_is_frozen(network):
    explained = explain(head_in("float32"), network.maps[:1], "pca")
    with pytest.raises(dataclasses.FrozenInstanceError):
        explained.targets = ()
    assert isinstance(explained, pcacam_jax.Explanation)
