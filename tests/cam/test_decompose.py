"""The terms of an SVM's map over components: comparison with loops and with explain, and the sums that must hold."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.svm import SVC
from support import cases
from support.evidence_world import map_by_loops

from pcacam_jax import InputError, evidence, explain, hybrid_head
from pcacam_jax.cam.component_maps import examples_per_batch
from pcacam_jax.cam.decompose import Decomposition, decompose
from pcacam_jax.cam.methods import METHODS
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.metrics import shares

TARGETS = ("svm_rbf:predicted", "svm_linear:predicted", "svm_rbf:cat")


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


@functools.cache
def network(pca=3):
    return cases.network(pca=pca)


@functools.cache
def head(pca=3):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, "float64"), network(pca).head)


@functools.cache
def decomposed(target, pca=3):
    return decompose(head(pca), network(pca).maps, target)


@functools.cache
def explained(pca=3):
    return explain(head(pca), network(pca).maps, [*(["pca"] if pca else []), *TARGETS])


def column(pca, target):
    return explained(pca).targets.index(target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("pca", [3, None])
def test_the_terms_sum_to_the_map(target, pca):
    got, t = decomposed(target, pca), column(pca, target)
    assert relative_error(got.signed, explained(pca).signed[:, t]) < 1e-12
    np.testing.assert_allclose(got.values, explained(pca).values[:, t], rtol=1e-10)
    np.testing.assert_array_equal(got.columns, explained(pca).columns[:, t])
    np.testing.assert_array_equal(got.labels, explained(pca).labels[:, t])
    assert got.components == (("component 1", "component 2", "component 3") if pca else tuple("0123456"))
    assert got.target == target


@pytest.mark.parametrize("target", TARGETS)
def test_each_term_is_its_weight_times_the_components_map(target):
    got, whole = decomposed(target), explained()
    assert relative_error(got.weights, whole.mixture[target]) < 1e-12
    assert relative_error(got.maps, whole.mixture[target][:, :, None, None] * whole.signed[:, :3]) < 1e-12
    for b in range(len(got.values)):
        np.testing.assert_allclose(got.shares[b], shares(whole.mixture[target][b], whole.signed[b, :3]), rtol=1e-10)


def neuron_map(network, maps, q, method):
    """The map of entry q of x_m by loops over the layers and channels."""
    x, jacobian = maps.reshape(-1), np.eye(maps.size)
    for kernel, bias in network.dense[:2]:
        x = 1 / (1 + np.exp(-(x @ kernel + bias)))
        jacobian = (x * (1 - x))[:, None] * (kernel.T @ jacobian)
    return map_by_loops(jacobian[q].reshape(maps.shape), maps, method)


@pytest.mark.parametrize("method", ["hirescam", "gradcam", "xgradcam"])
def test_without_a_pca_there_is_one_term_for_each_entry_of_x_m(method):
    got, maps = decompose(head(None), network(None).maps, "svm_rbf:predicted", method=method), network(None).maps
    svc = network(None).svms["svm_rbf"]
    x_m = network(None).components
    for b in (0, 4):
        for q in range(7):
            step = 1e-6 * np.eye(7)[q]
            above, below = (margin(svc, x_m[b] + sign * step, int(got.columns[b])) for sign in (1, -1))
            expected = (above - below) / 2e-6 * neuron_map(network(None), maps[b], q, method)
            np.testing.assert_allclose(got.maps[b, q], expected, atol=1e-8)


def margin(svc, v, c):
    """The sum over the pairs that hold class c of scikit-learn's pair values, signed toward c."""
    svc.decision_function_shape, before = "ovo", svc.decision_function_shape
    values, pair, total = svc.decision_function(v[None])[0], 0, 0.0
    svc.decision_function_shape = before
    for i in range(len(svc.classes_)):
        for j in range(i + 1, len(svc.classes_)):
            total += values[pair] * (int(c == i) - int(c == j))
            pair += 1
    return total


@pytest.mark.parametrize("method", [name for name, entry in METHODS.items() if entry.linear == "gradient"])
def test_the_terms_sum_to_the_map_of_every_linear_method(method):
    data = network()
    if method == "cam":
        pca = PCA(2).fit(data.maps.mean(axis=(1, 2)))
        svms = {"svm_linear": SVC(kernel="linear").fit(pca.transform(data.maps.mean(axis=(1, 2))), np.arange(7) % 2)}
        affine = hybrid_head([], maps_shape=data.maps.shape[1:], pool="average", pca=pca, svms=svms)
    else:
        affine = head()
    got = decompose(affine, data.maps, "svm_linear:predicted", method=method)
    whole = explain(affine, data.maps, "svm_linear:predicted", method=method)
    assert relative_error(got.signed, whole.signed[:, 0]) < 1e-12


@pytest.mark.parametrize("method", ["hirescam", "gradcam"])
@pytest.mark.parametrize(("pool", "size"), [(True, 1 * 2 * 5), ("average", 5)])
def test_pooled_heads(pool, size, method):
    data = network()
    kernel = np.random.default_rng(1).normal(size=(size, data.dense[0][0].shape[1]))
    options = {**data.options, "pca": data.pca, "svms": data.svms, "pool": pool}
    pooled = hybrid_head([(kernel, data.dense[0][1]), *data.dense[1:]], **options)
    got = decompose(pooled, data.maps, "svm_rbf:predicted", method=method)
    whole = explain(pooled, data.maps, "svm_rbf:predicted", method=method)
    assert relative_error(got.signed, whole.signed[:, 0]) < 1e-12


def test_batches_change_nothing():
    whole = decomposed("svm_rbf:predicted")
    batched = decompose(head(), network().maps, "svm_rbf:predicted", batch_size=3)
    for field in dataclasses.fields(Decomposition):
        if field.name in ("maps", "weights", "shares", "values"):
            assert relative_error(getattr(batched, field.name), getattr(whole, field.name)) < 1e-13
        else:
            np.testing.assert_array_equal(getattr(batched, field.name), getattr(whole, field.name))


def test_the_batch_size_decreases_with_the_memory_per_example():
    pooled = METHODS["gradcam"]
    assert examples_per_batch(head(), 3, pooled) == 256
    assert examples_per_batch(head(), 3, pooled, 2**20) == 16
    assert examples_per_batch(head(), 3, pooled, 2**30) == 1
    large = hybrid_head([(np.ones((14 * 14 * 512, 2)), np.zeros(2))], maps_shape=(14, 14, 512), at=1)
    assert examples_per_batch(large, 2, pooled) == 256
    assert examples_per_batch(large, 2, METHODS["hirescam"]) == 2**24 // (2 * 14 * 14 * 512)
    assert examples_per_batch(large, 1000, METHODS["hirescam"]) == 2**24 // (10 * 14 * 14 * 512)


def test_float32_is_close_to_float64():
    with jax.enable_x64(False):
        single = jax.tree.map(lambda leaf: leaf.astype("float32"), head())
        got = decompose(single, network().maps, "svm_rbf:predicted")
    assert got.maps.dtype == jnp.float32
    assert relative_error(got.maps, decomposed("svm_rbf:predicted").maps) < 1e-4


def test_maps_of_zeros_have_no_shares():
    got = decompose(head(), np.zeros((1, 3, 4, 5)), "svm_rbf:predicted")
    assert not got.maps.any()
    assert np.isnan(got.shares).all()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: decompose(head(), network().maps, "pca:0"),
            "the SVMs of this head are svm_rbf, svm_linear; got 'pca:0'",
        ),
        (lambda: decompose(head(), network().maps, "svm_rbf"), "target must be one class, svm_rbf:predicted or one of"),
        (lambda: decompose(head(), network().maps[0], "svm_rbf:cat"), "maps must have shape"),
        (lambda: decompose({}, network().maps, "svm_rbf:cat"), "head must be a HybridHead"),
        (lambda: decompose(head(), network().maps, 3), "target must be a string"),
        (
            lambda: decompose(head(), network().maps, "svm_rbf:cat", method="layercam"),
            r"linear in the gradient \(gradcam, cam, xgradcam, hirescam\), .*; got 'layercam'",
        ),
        (
            lambda: evidence(head(), network().maps, "svm_rbf:cat", method="gradcam++"),
            r"evidence needs a method whose map is linear in the gradient .*; got 'gradcam\+\+'",
        ),
        (lambda: decompose(head(), network().maps, "svm_rbf:cat", method="cam"), "method 'cam' needs a head that"),
        (lambda: decompose(head(), network().maps, "svm_rbf:cat", method="grad"), "method must be one of gradcam, cam"),
        (lambda: decompose(head(), network().maps, "svm_rbf:cat", batch_size=0), "batch_size must be an integer"),
    ],
)
def test_misuse_raises_an_error(call, sentence):
    with pytest.raises((InputError, TypeError), match=sentence):
        call()
