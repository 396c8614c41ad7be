"""Heads whose estimators or kernels read PyTorch's flatten order, or the input of an activation, against NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from sklearn.decomposition import PCA
from sklearn.svm import SVC
from support.marks import more

from pcacam_jax import InputError, certify, decompose, explain, hybrid_head, jacobian, restore, save

H, W, K, COUNT = 4, 5, 3, 30
LABELS = np.arange(COUNT) % 3


@pytest.fixture(scope="module")
def torch_maps():
    """Feature maps as PyTorch keeps them, (N, K, h, w)."""
    return np.abs(np.random.default_rng(0).normal(size=(COUNT, K, H, W)))


def layers(*sizes):
    random = np.random.default_rng(1)
    return [(random.normal(size=(a, b)) / np.sqrt(a), random.normal(size=b)) for a, b in itertools.pairwise(sizes)]


def max_pooled(maps):
    return maps[:, :, : H // 2 * 2, : W // 2 * 2].reshape(len(maps), K, H // 2, 2, W // 2, 2).max(axis=(3, 5))


def channel_weights(gradient_first, count):
    """The mean over the h w tapped positions of a gradient in PyTorch's order, (count, K)."""
    return gradient_first.reshape(count, K, -1).sum(axis=2) / (H * W)


@pytest.mark.parametrize("pool", [more(False), True])
def test_a_pca_and_an_svm_fitted_on_pytorchs_order(torch_maps, pool, tmp_path, x64):
    flat = (max_pooled(torch_maps) if pool else torch_maps).reshape(COUNT, -1)
    pca = PCA(3).fit(flat)
    svm = SVC(kernel="linear").fit(pca.transform(flat), LABELS == 0)
    head = hybrid_head([], maps_shape=(H, W, K), pca=pca, svms={"svm": svm}, pool=pool, flattened="channels_first")
    maps = np.moveaxis(torch_maps, 1, -1)
    values = jax.vmap(head)(maps)
    np.testing.assert_allclose(values["pca"], pca.transform(flat), atol=1e-12)
    np.testing.assert_allclose(values["svm"][:, 1], svm.decision_function(pca.transform(flat)), atol=1e-12)

    weights = channel_weights(pca.components_, 3)
    expected = np.einsum("tk,bkhw->bthw", weights, torch_maps)
    explanation = explain(head, maps, ["pca", "svm:True"], method="gradcam")
    np.testing.assert_allclose(explanation.signed[:, :3], expected, atol=1e-12)
    parts = decompose(head, maps, "svm:True", method="gradcam")
    np.testing.assert_allclose(parts.signed, explanation.signed[:, 3], atol=1e-12)
    np.testing.assert_allclose(parts.maps, expected * svm.coef_[0][None, :, None, None], atol=1e-12)

    assert certify([("head", head, maps[0])]).passed
    save(tmp_path / "head.safetensors", head)
    again = restore(tmp_path / "head.safetensors")
    np.testing.assert_array_equal(jax.vmap(again)(maps)["pca"], values["pca"])


@pytest.mark.parametrize("pool", [False, True])
def test_dense_layers_that_read_pytorchs_order(torch_maps, pool, x64):
    flat = (max_pooled(torch_maps) if pool else torch_maps).reshape(COUNT, -1)
    dense = layers(flat.shape[1], 6, 2)
    x = expit(flat @ dense[0][0] + dense[0][1])
    pca = PCA(2).fit(x)
    head = hybrid_head(
        dense, maps_shape=(H, W, K), pca=pca, at=1, activation="sigmoid", pool=pool, flattened="channels_first"
    )
    maps = np.moveaxis(torch_maps, 1, -1)
    values = jax.vmap(head)(maps)
    np.testing.assert_allclose(values["cnn"], x @ dense[1][0] + dense[1][1], atol=1e-12)
    np.testing.assert_allclose(values["pca"], pca.transform(x), atol=1e-12)
    slopes = (x * (1 - x))[:, None] * pca.components_
    gradients = np.einsum("btd,fd->btf", slopes, dense[0][0])
    expected = [np.einsum("tk,khw->thw", channel_weights(g, 2), m) for g, m in zip(gradients, torch_maps, strict=True)]
    np.testing.assert_allclose(explain(head, maps, "pca", method="gradcam").signed, expected, atol=1e-12)
    assert certify([("head", head, maps[0])]).passed


def test_the_pooled_pull_back_is_the_mean_of_the_full_one(torch_maps, x64):
    dense = layers(H * W * K, 6, 2)
    head = hybrid_head(dense, maps_shape=(H, W, K), at=1, activation="tanh", flattened="channels_first")
    maps = jnp.asarray(np.moveaxis(torch_maps, 1, -1))[0]
    _, saved = head.forward(maps)
    rows = {"cnn": jnp.eye(2)}
    full = head.pull_back(saved, rows)
    np.testing.assert_allclose(head.pull_back_pooled(saved, rows), full.mean(axis=(1, 2)), atol=1e-15)
    np.testing.assert_allclose(full, jacobian(head, maps, backend="reverse")["cnn"], atol=1e-14)


def test_the_order_does_not_matter_after_an_average(torch_maps):
    pca = PCA(2).fit(torch_maps.mean(axis=(2, 3)))
    maps = np.moveaxis(torch_maps, 1, -1)
    heads = [
        hybrid_head([], maps_shape=(H, W, K), pca=pca, pool="average", flattened=order)
        for order in ("channels_first", "channels_last")
    ]
    np.testing.assert_array_equal(*(explain(head, maps, "pca").signed for head in heads))


# --- before the activation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [more(1), 2])
def test_estimators_fitted_before_the_activation(torch_maps, at, tmp_path, x64):
    maps = np.moveaxis(torch_maps, 1, -1)
    dense = layers(H * W * K, 8, 7, 2)
    x, before = maps.reshape(COUNT, -1), []
    for kernel, bias in dense[:2]:
        before.append(x @ kernel + bias)
        x = np.maximum(before[-1], 0)
    u = before[at - 1]
    pca = PCA(3).fit(u)
    svm = SVC(gamma=0.1).fit(pca.transform(u), LABELS == 0)
    head = hybrid_head(
        dense, maps_shape=(H, W, K), pca=pca, svms={"svm": svm}, at=at, activation="relu", before_activation=True
    )
    values = jax.vmap(head)(maps)
    np.testing.assert_allclose(values["cnn"], x @ dense[2][0] + dense[2][1], atol=1e-12)
    np.testing.assert_allclose(values["pca"], pca.transform(u), atol=1e-12)
    np.testing.assert_allclose(values["svm"][:, 1], svm.decision_function(pca.transform(u)), atol=1e-12)
    after = hybrid_head(dense, maps_shape=(H, W, K), at=at, activation="relu")
    targets = ["cnn:0", "cnn:1"]
    np.testing.assert_allclose(explain(head, maps, targets).signed, explain(after, maps, targets).signed, atol=1e-13)
    assert certify([("head", head, maps[0])]).passed
    save(tmp_path / "head.safetensors", head)
    again = restore(tmp_path / "head.safetensors")
    np.testing.assert_array_equal(jax.vmap(again)(maps)["cnn"], values["cnn"])


def test_the_last_layer_has_no_activation_before_which_x_m_could_lie(torch_maps):
    maps, dense = np.moveaxis(torch_maps, 1, -1), layers(H * W * K, 8, 2)
    options = {"maps_shape": (H, W, K), "at": 2}
    heads = [hybrid_head(dense, before_activation=before, **options) for before in (False, True)]
    np.testing.assert_array_equal(*(jax.vmap(head)(maps)["cnn"] for head in heads))


def test_a_saturated_unit_behind_the_pca_is_flagged():
    dense = [(np.eye(2, dtype=np.float32), np.zeros(2)), (np.ones((2, 1), np.float32), np.zeros(1))]
    options = {"maps_shape": (1, 1, 2), "at": 1, "activation": "sigmoid", "before_activation": True}
    head = hybrid_head(dense, pca=PCA(1).fit([[0.0, 1], [1, 3], [2, 0]]), **options)
    far = np.full((1, 1, 1, 2), 200, np.float32)
    assert explain(head, far, ["cnn:0", "pca:0"]).vanished.tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"before_activation": "yes"}, TypeError, "before_activation must be True or False; got 'yes'."),
        ({"before_activation": True, "dense": []}, InputError, "before_activation needs dense layers, .*leave it out."),
        ({"flattened": "torch"}, InputError, "flattened must be one of channels_last, channels_first; got 'torch'."),
        ({"flattened": True}, InputError, "flattened must be one of channels_last, channels_first; got True."),
    ],
)
def test_invalid_options_are_rejected(changes, error, sentence):
    options = {"dense": layers(H * W * K, 2), "maps_shape": (H, W, K), "at": 1, **changes}
    with pytest.raises(error, match=f"^{sentence}$"):
        hybrid_head(options.pop("dense"), **options)
