"""From targets to heatmaps: the batch, the predicted class, and what the formulas imply."""

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

import pcacam_jax
from pcacam_jax import InputError, decompose, evidence, explain, hybrid_head, jacobian
from pcacam_jax.cam.explain import _explain_batch, explain_example
from pcacam_jax.core.numerics import TOLERANCES, relative_error
from pcacam_jax.head.targets import parse_targets

MIXED = ["svm_rbf:predicted", "pca:2", "cnn:1", "pca:0", "svm_linear:cat", "pca:2", "cnn:predicted", "svm_linear:wolf"]
PARTS = ("positive", "negative", "values", "columns")


@pytest.fixture
def network():
    return cases.network()


def deviation(got, want):
    return max(relative_error(getattr(got, part), getattr(want, part)) for part in PARTS)


@functools.cache
def head_in(dtype):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), cases.network().head)


# --- the batch --------------------------------------------------------------------------------------------------------


def test_shapes_names_and_signs(network, dtype):
    found = explain(head_in(dtype), network.maps, MIXED)
    assert found.targets == tuple(MIXED)
    assert found.positive.shape == found.negative.shape == found.signed.shape == (7, 8, 3, 4)
    assert found.values.shape == found.columns.shape == found.labels.shape == (7, 8)
    assert found.positive.dtype == found.negative.dtype == found.values.dtype == jnp.dtype(dtype)
    assert found.positive.min() == found.negative.min() == 0
    assert (np.minimum(found.positive, found.negative) == 0).all()
    np.testing.assert_array_equal(found.signed, found.positive - found.negative)
    assert list(found.labels[0, 1:6]) == ["2", "1", "0", "cat", "2"]
    assert (found.method, found.backend) == ("gradcam", "closed_form")


def test_batch_size_changes_nothing(network):
    whole = explain(head_in("float32"), network.maps, MIXED)
    for size in (1, 3, 7, 100):
        part = explain(head_in("float32"), network.maps, MIXED, batch_size=size)
        assert deviation(part, whole) < TOLERANCES["float32"]
        np.testing.assert_array_equal(part.labels, whole.labels)
        for name in whole.mixture:
            assert relative_error(part.mixture[name], whole.mixture[name]) < TOLERANCES["float32"]


def test_order_and_repeats_change_nothing(network, x64):
    every = ["cnn", "pca", "svm_rbf", "svm_linear"]
    whole = explain(head_in("float64"), network.maps, every)
    order = np.random.default_rng(0).integers(0, len(whole.targets), 20)
    found = explain(head_in("float64"), network.maps, [whole.targets[i] for i in order])
    for part in PARTS:
        assert relative_error(getattr(found, part), getattr(whole, part)[:, order]) < 1e-12


@pytest.mark.parametrize("name", ["svm_rbf", "svm_linear", "cnn"])
def test_predicted_is_each_images_own_class(network, name, x64):
    head = head_in("float64")
    found = explain(head, network.maps, [f"{name}:predicted", name])
    if name == "cnn":
        logits = np.stack([head(one)["cnn"] for one in jnp.asarray(network.maps)])
        expected = logits.argmax(axis=1).astype(str)
    else:
        expected = network.svms[name].predict(network.components)
    assert len(set(expected)) > 1
    np.testing.assert_array_equal(found.labels[:, 0], expected)
    images = np.arange(len(network.maps))
    np.testing.assert_array_equal(found.signed[:, 0], found.signed[images, 1 + found.columns[:, 0]])
    np.testing.assert_array_equal(found.values[:, 0], found.values[images, 1 + found.columns[:, 0]])


def test_values_are_the_heads_outputs(network, x64):
    head = head_in("float64")
    found = explain(head, network.maps, list(head.outputs))
    expected = [np.concatenate([head(one)[name] for name in head.outputs]) for one in jnp.asarray(network.maps)]
    np.testing.assert_allclose(found.values, expected, rtol=1e-12)
    np.testing.assert_allclose(found.values[:, 4:7], network.components, rtol=1e-10, atol=1e-12)


def test_an_svm_map_is_its_mixture_of_component_maps(network, x64):
    found = explain(head_in("float64"), network.maps, ["pca", *MIXED])
    assert set(found.mixture) == {name for name in MIXED if name.startswith("svm")}
    for name, weights in found.mixture.items():
        mixed = np.einsum("br,brij->bij", weights, found.signed[:, :3])
        assert relative_error(mixed, found.signed[:, found.targets.index(name)]) < 1e-12


@pytest.mark.parametrize("method", cases.METHODS)
def test_backends_agree(network, method, x64):
    closed = explain(head_in("float64"), network.maps[:2], MIXED, method=method)
    for backend in cases.BACKENDS:
        found = explain(head_in("float64"), network.maps[:2], MIXED, method=method, backend=backend)
        assert found.backend == backend
        tolerance = 1e-6 if backend == "finite_difference" else 1e-12
        assert deviation(found, closed) < tolerance
        for name in closed.mixture:
            assert relative_error(found.mixture[name], closed.mixture[name]) < tolerance


def test_differences_are_as_good_in_a_float32_head(network):
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
def test_misuse_gets_a_sentence(network, call, sentence):
    with pytest.raises((InputError, TypeError), match=sentence):
        call(network.head, np.asarray(network.maps))


def test_float32_is_close_to_float64(network, x64):
    single, double = (explain(head_in(dtype), network.maps, MIXED) for dtype in ("float32", "float64"))
    assert single.values.dtype == np.float32
    assert relative_error(single.signed, double.signed) < 1e-4


class Foreign:
    """An array of another framework: it can become a NumPy array and nothing else."""

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
    found = explain(head_in("float32"), convert(maps), ["pca", "svm_rbf:predicted"])
    np.testing.assert_array_equal(found.signed, expected.signed)


def test_whole_numbers_are_maps_too(network):
    maps = np.arange(120).reshape(2, 3, 4, 5) % 7
    found = [explain(head_in("float32"), maps.astype(kind), "pca").signed for kind in (np.uint8, np.float32)]
    np.testing.assert_array_equal(*found)


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
def test_bad_maps_get_a_sentence(network, change, sentence):
    with pytest.raises(InputError, match=sentence):
        explain(head_in("float32"), change(network.maps), "pca")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "cam"}, "method must be one of gradcam; got 'cam'"),
        ({"backend": "autodiff"}, "backend must be one of closed_form, reverse"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1; got 0"),
    ],
)
def test_bad_options_get_a_sentence(network, options, sentence):
    with pytest.raises(InputError, match=sentence):
        explain(network.head, network.maps, "pca", **options)


def reduced(reducer):
    """A head of a reducer and an SVM on maps of positive numbers, and these maps."""
    maps = 0.1 + np.random.default_rng(0).random((30, 2, 2, 3))
    flat = maps.reshape(30, -1)
    svm = SVC().fit(reducer.fit_transform(flat), np.arange(30) % 3)
    return hybrid_head([], maps_shape=(2, 2, 3), pca=reducer, svms={"own": svm}), maps


CALLS = {
    "explain": lambda head, maps: explain(head, maps, ["own:1", "pca"], batch_size=1),
    "differences": lambda head, maps: explain(head, maps, ["own:1", "pca"], backend="finite_difference"),
    "decompose": lambda head, maps: decompose(head, maps, "own:1", batch_size=1),
    "evidence": lambda head, maps: evidence(head, maps, "own:1", batch_size=1),
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
def test_examples_without_a_finite_explanation_are_refused(reducer, factor, kind, call, x64):
    head, maps = reduced(reducer)
    head = jax.tree.map(lambda leaf: leaf.astype(kind), head)
    call(head, maps[:3])
    # In float64, in which differences are taken, the SVM far from its support is finite.
    target = "pca:0" if kind == "float32" and call is CALLS["differences"] else "own:1"
    sentence = f"the value and map of {target} must be finite, but at example 2 they are not: .* for {kind}; leave that"
    with pytest.raises(InputError, match=sentence):
        call(head, maps[:3] * np.array([1, 1, factor]).reshape(3, 1, 1, 1))


def test_the_first_target_that_is_not_finite_is_named(x64):
    head, maps = reduced(KernelPCA(2, kernel="poly", degree=2.5))
    with pytest.raises(InputError, match="the value and map of pca:1 must be finite, but at example 1"):
        explain(head, maps[:2] * np.array([1, -50]).reshape(2, 1, 1, 1), ["pca:1", "own:1"])


def test_a_head_without_a_pca(x64):
    network = cases.network(pca=None)
    found = explain(network.head, network.maps, ["svm_rbf:predicted", "svm_linear", "cnn:0"])
    np.testing.assert_array_equal(found.labels[:, 0], network.svms["svm_rbf"].predict(network.components))
    reverse = explain(network.head, network.maps, ["svm_rbf:predicted", "svm_linear", "cnn:0"], backend="reverse")
    assert deviation(found, reverse) < 1e-12
    assert found.mixture == {}
    with pytest.raises(InputError, match="'pca' names no output of this head, which has cnn, svm_rbf, svm_linear"):
        explain(network.head, network.maps, "pca")


def test_a_head_of_two_classes_has_opposite_margins(x64):
    network = cases.network((7, 3))
    found = explain(network.head, network.maps, ["svm_rbf:3", "svm_rbf:7", "svm_rbf:predicted"])
    np.testing.assert_allclose(found.signed[:, 0], -found.signed[:, 1], rtol=1e-12)
    np.testing.assert_allclose(
        found.values[:, 1], network.svms["svm_rbf"].decision_function(network.components), rtol=1e-9
    )
    np.testing.assert_array_equal(found.labels[:, 2].astype(int), network.svms["svm_rbf"].predict(network.components))


def test_equal_shapes_compile_nothing_new(network):
    head = head_in("float32")
    explain(head, network.maps, MIXED, batch_size=3)
    compiled = _explain_batch._cache_size()
    explain(head, network.maps[::-1], MIXED, batch_size=3)
    explain(jax.tree.map(lambda leaf: leaf * 2, head), network.maps[:4], MIXED, batch_size=3)
    assert _explain_batch._cache_size() == compiled
    explain(head, network.maps, MIXED[1:], batch_size=3)
    assert _explain_batch._cache_size() == compiled + 1


def test_one_example_under_the_users_jit_and_vmap(network):
    head = head_in("float32")
    parsed = parse_targets(head, MIXED)
    one = functools.partial(explain_example, targets=parsed, method="gradcam", backend="closed_form")
    positive, negative, *_ = jax.jit(jax.vmap(one, (None, 0)))(head, jnp.asarray(network.maps, "float32"))
    assert relative_error(positive - negative, explain(head, network.maps, MIXED).signed) < 1e-6


# --- what the formulas imply ------------------------------------------------------------------------------------------


def test_pooled_path_is_the_mean_of_the_full_jacobian(network, x64):
    head, maps = head_in("float64"), jnp.asarray(network.maps[0])
    full = jax.jit(jacobian)(head, maps)
    pooled = jax.jit(lambda head, maps, rows: head.pull_back_pooled(head.forward(maps)[1], rows))
    rows = {name: jnp.eye(len(names)) for name, names in head.outputs.items()}
    expected = np.concatenate([full[name].mean(axis=(1, 2)) for name in head.outputs])
    assert relative_error(pooled(head, maps, rows), expected) < 1e-12


def test_heatmap_by_its_definition(network, x64):
    head, maps = head_in("float64"), jnp.asarray(network.maps)
    found = explain(head, maps, "pca")
    for image, one in enumerate(maps[:2]):
        weights = jax.jit(jax.jacrev(lambda m: head(m)["pca"]))(one).mean(axis=(1, 2))
        expected = sum(np.multiply.outer(weights[:, k], one[:, :, k]) for k in range(5))
        assert relative_error(found.signed[image], expected) < 1e-12


def flipped(pca):
    changed = PCA(pca.n_components)
    changed.__dict__.update(pca.__dict__, components_=pca.components_ * [[1], [-1], [1]])
    return changed


def test_flipping_a_components_sign_swaps_its_maps(network, x64):
    own = explain(head_in("float64"), network.maps, "pca")
    other = explain(network._replace(pca=flipped(network.pca), svms={}).head, network.maps, "pca")
    np.testing.assert_array_equal(other.positive[:, 1], own.negative[:, 1])
    np.testing.assert_array_equal(other.negative[:, 1], own.positive[:, 1])
    np.testing.assert_array_equal(other.signed[:, [0, 2]], own.signed[:, [0, 2]])


def test_permuting_channels_changes_nothing(network, x64):
    order = np.array([3, 0, 4, 1, 2])
    (kernel, bias), *later = network.dense
    permuted = kernel.reshape(12, 5, -1)[:, order].reshape(kernel.shape)
    found = explain(network._replace(dense=[(permuted, bias), *later]).head, network.maps[..., order], MIXED)
    assert deviation(found, explain(head_in("float64"), network.maps, MIXED)) < 1e-12


def test_the_map_of_minus_y_is_minus_the_map_of_y(network, x64):
    *first, (kernel, bias) = network.dense
    negated = network._replace(dense=[*first, (-kernel, -bias)]).head
    found, own = (explain(head, network.maps, "cnn") for head in (negated, head_in("float64")))
    np.testing.assert_array_equal(found.positive, own.negative)
    np.testing.assert_array_equal(found.negative, own.positive)


def test_a_tap_before_the_pool_routes_through_it(x64):
    rng = np.random.default_rng(5)
    dense = [(rng.normal(size=(2 * 3 * 4, 5)), rng.normal(size=5)), (rng.normal(size=(5, 3)), rng.normal(size=3))]
    maps = np.round(np.maximum(rng.normal(size=(4, 5, 6, 4)), 0), 1)
    pooled = hybrid_head(dense, maps_shape=(5, 6, 4), at=1, activation="sigmoid", pool=True)
    after = hybrid_head(dense, maps_shape=(2, 3, 4), at=1, activation="sigmoid")
    found = explain(pooled, maps, "cnn")
    assert deviation(found, explain(pooled, maps, "cnn", backend="reverse")) < 1e-12
    for image, one in enumerate(jnp.asarray(maps)):
        pool = pooled.spatial.stages[0]
        assert relative_error(pooled(one)["cnn"], after(pool(one))["cnn"]) < 1e-12
        routed = np.einsum("tijk,ijkabc->tabc", jacobian(after, pool(one))["cnn"], jacobian(pool, one))
        expected = np.einsum("tc,abc->tab", routed.mean(axis=(1, 2)), one)
        assert relative_error(found.signed[image], expected) < 1e-12


def test_maps_of_zeros_give_heatmaps_of_zeros(network):
    found = explain(head_in("float32"), np.zeros((1, 3, 4, 5)), MIXED)
    assert not found.positive.any()
    assert not found.negative.any()
    assert np.isfinite(found.values).all()


def test_an_explanation_is_frozen(network):
    found = explain(head_in("float32"), network.maps[:1], "pca")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.targets = ()
    assert isinstance(found, pcacam_jax.Explanation)
