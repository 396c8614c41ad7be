"""A head split at its first affine map gives the same values and derivatives, and its parts add up."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.svm import SVC
from support import cases

from pcacam_jax import hybrid_head
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.head.entry import split_entry


@functools.cache
def heads():
    """Heads by the kind of their first affine map, all on maps (4, 3, 5)."""
    rng = np.random.default_rng(0)
    maps = np.abs(rng.normal(size=(40, 4, 3, 5)))
    vectors = {False: maps.reshape(40, -1), "average": maps.mean(axis=(1, 2))}
    layers = lambda size: [(rng.normal(size=(size, 6)), rng.normal(size=6)), (rng.normal(size=(6, 3)), np.ones(3))]  # noqa: E731
    svc = lambda x: SVC(gamma=0.1).fit(x, np.arange(40) % 2)  # noqa: E731
    flat, averaged = (PCA(2).fit(vectors[pool]) for pool in (False, "average"))
    with jax.enable_x64(True):
        return {
            "flattened": hybrid_head(layers(60), maps_shape=(4, 3, 5), at=1),
            "channels first": hybrid_head(layers(60), maps_shape=(4, 3, 5), at=1, flattened="channels_first"),
            "max-pool": hybrid_head(layers(10), maps_shape=(4, 3, 5), at=1, pool=True),
            "average": hybrid_head(layers(5), maps_shape=(4, 3, 5), at=1, pool="average"),
            "logits and PCA read x_0": hybrid_head(
                layers(60), maps_shape=(4, 3, 5), at=0, pca=flat, svms={"svm": svc(flat.transform(vectors[False]))}
            ),
            "PCA of the averages": hybrid_head(
                [], maps_shape=(4, 3, 5), pca=averaged, pool="average", svms={"svm": svc(vectors["average"][:, :2])}
            ),
            "SVM of the vector": hybrid_head([], maps_shape=(4, 3, 5), svms={"svm": svc(vectors[False])}),
        }, jnp.asarray(maps[0])


@pytest.fixture(autouse=True)
def _in_float64(x64):
    return x64


@pytest.fixture(params=list(heads()[0]))
def head(request):
    return heads()[0][request.param]


def test_the_rest_of_the_head_gives_the_same_values(head):
    maps, entry = heads()[1], split_entry(head)
    for output, value in head(maps).items():
        assert relative_error(entry.rest(entry(maps))[output], value) < 1e-12


def test_rows_pulled_back_through_both_parts_are_the_gradient(head):
    maps, entry = heads()[1], split_entry(head)
    for output, names in head.names:
        saved = entry.rest.forward(entry(maps))[1]
        rows = entry.pull_back(maps, entry.rest.pull_back(saved, {output: jnp.eye(len(names))}))
        assert relative_error(rows, jax.jacrev(lambda m, o=output: head(m)[o])(maps)) < 1e-12


def test_the_parts_of_the_maps_add_up(head):
    maps, entry = heads()[1], split_entry(head)
    parts, constant = entry.channel_parts(maps), entry(jnp.zeros_like(maps))
    assert relative_error(parts.sum(axis=0) + constant, entry(maps)) < 1e-12
    for k in range(5):
        alone = jnp.zeros_like(maps).at[..., k].set(maps[..., k])
        assert relative_error(parts[k] + constant, entry(alone)) < 1e-12


def test_the_parts_of_the_positions_add_up(head):
    maps, entry = heads()[1], split_entry(head)
    if entry.has_max_pool:
        return
    parts, constant = entry.position_parts(maps), entry(jnp.zeros_like(maps))
    assert parts.shape[:2] == maps.shape[:2]
    for i, j in np.ndindex(4, 3):
        alone = jnp.zeros_like(maps).at[i, j].set(maps[i, j])
        assert relative_error(parts[i, j] + constant, entry(alone)) < 1e-12


def test_a_network_with_several_outputs():
    network = cases.network()
    entry, maps = split_entry(network.head), jnp.asarray(network.maps[0])
    assert entry.kernel is not None
    assert entry.rest.in_shape == (8,)
    assert relative_error(entry.rest(entry(maps))["svm_rbf"], network.head(maps)["svm_rbf"]) < 1e-6
