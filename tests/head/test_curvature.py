"""Second and third derivatives of heads against autodiff of their values."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import SVC
from support import cases
from support.marks import more

from pcacam_jax import Chain, Flatten, GlobalAverage, HybridHead, InputError, MaxPool, hybrid_head
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.head import curvature
from pcacam_jax.head.curvature import cell_derivatives, head_hessian, hessian_product, symmetric_triples
from pcacam_jax.head.entry import split_entry
from pcacam_jax.head.hybrid import dense_stages
from pcacam_jax.verification.cases import Draw
from pcacam_jax.verification.measure import compiler_options

SHAPE = (2, 4, 3)


def fitted(activation="sigmoid"):
    """Return the head of a fitted network, a point, and rows of its outputs."""
    network = cases.network()
    head = network.head
    return head, np.float64(network.maps[1])


def drawn(activation, *, pool: Any = False, dense=True, pca=True, shape=SHAPE):
    """Return a head with random parameters and a point."""
    draw = Draw(np.random.default_rng(2))
    if pool == "average":
        spatial, size = (GlobalAverage(shape),), shape[-1]
    elif pool:
        spatial = (MaxPool(shape), Flatten(MaxPool(shape).out_shape))
        size = math.prod(MaxPool(shape).out_shape)
    else:
        spatial, size = (Flatten(shape, "channels_first"),), math.prod(shape)
    layers = dense_stages(draw.layers(size, 4, 3, 2), activation) if dense else []
    width = 3 if dense else size
    components = 2 if pca else width
    svms: dict = {"svm_rbf": draw.svm(components, 3, 6, "rbf"), "svm_poly": draw.expansion(components, 1, 6, "poly")}
    head = HybridHead(
        spatial=Chain(spatial),
        dense=Chain(tuple(layers[:2])),
        cnn=Chain(tuple(layers[2:])) if dense else None,
        pca=draw.pca(width, 2) if pca else None,
        svms=svms,
        names=(
            *((("cnn", ("0", "1")),) if dense else ()),
            *((("pca", ("0", "1")),) if pca else ()),
            ("svm_rbf", ("a", "b", "c")),
            ("svm_poly", ("value",)),
        ),
    )
    return head, draw.maps(*shape)


HEADS = {
    "silu before a max-pool": functools.partial(drawn, "silu", pool=True),
    "average, no dense layers, no PCA": functools.partial(drawn, "", pool="average", dense=False, pca=False),
    "average, tanh": functools.partial(drawn, "tanh", pool="average"),
    "fitted, sigmoid": fitted,
    "relu": functools.partial(drawn, "relu"),
    "no dense layers": functools.partial(drawn, "", dense=False),
    "no dense layers before a max-pool, no PCA": functools.partial(drawn, "", pool=True, dense=False, pca=False),
    "no PCA, gelu": functools.partial(drawn, "gelu", pca=False),
    "signals": functools.partial(drawn, "mish", shape=(5, 3)),
    "volumes before a max-pool": functools.partial(drawn, "elu", pool=True, shape=(2, 3, 2, 2)),
}
every_head = pytest.mark.parametrize("name", [name if number < 2 else more(name) for number, name in enumerate(HEADS)])


def rows_of(head):
    """Two random rows of every output but the last SVM, one row of which is taken."""
    rng = np.random.default_rng(1)
    return {
        output: rng.normal(size=(1 if number == len(head.names) - 1 else 2, len(names)))
        for number, (output, names) in enumerate(head.names)
    }


def targets(head, rows):
    """The function from the input of a head to all targets, in the order of its outputs."""
    return lambda x: jnp.concatenate([rows[output] @ value for output, value in head(x).items() if output in rows])


def third_derivatives(function, maps):
    """Return the second and third derivative of a function along each entry, ``(T, *maps)``, by nested jvp."""

    def differentiated(function):
        return lambda t: jax.jvp(function, (t,), (jnp.ones_like(t),))[1]

    def along(cell):
        second = differentiated(differentiated(lambda t: function(maps + t * cell)))
        return second(jnp.zeros(())), differentiated(second)(jnp.zeros(()))

    cells = jnp.eye(maps.size).reshape(-1, *maps.shape)
    return [jnp.moveaxis(values, 0, -1).reshape(-1, *maps.shape) for values in jax.vmap(along)(cells)]


@every_head
def test_derivatives_equal_autodiff_of_the_values(name, x64):
    head, maps = HEADS[name]()
    rows, tangent = rows_of(head), np.random.default_rng(5).normal(size=maps.shape)

    def everything(head, maps, rows):
        entry = split_entry(head)
        u, function = entry(maps), targets(head, rows)
        hessians = jax.hessian(function)(maps)
        closed = (
            hessian_product(head, maps, tangent, rows),
            head_hessian(entry.rest, u, rows),
            *cell_derivatives(head, maps, rows),
        )
        reference = (
            jnp.tensordot(hessians, tangent, maps.ndim),
            jax.hessian(targets(entry.rest, rows))(u),
            *third_derivatives(function, maps),
        )
        size = maps.size
        diagonal = jnp.diagonal(hessians.reshape(-1, size, size), axis1=1, axis2=2).reshape(closed[2].shape)
        return closed, reference, diagonal

    closed, reference, diagonal = jax.jit(everything, compiler_options=compiler_options())(
        head, jnp.asarray(maps), rows
    )
    for result, expected in zip(closed, reference, strict=True):
        assert np.linalg.norm(expected) > 0
        # Each target is compared by itself, because their derivatives differ in size.
        for one, other in zip(result, expected, strict=True):
            assert relative_error(one, other, smallest=1e-7) < 1e-9
    assert relative_error(closed[2], diagonal) < 1e-10


def test_chunks_and_direct_series_change_nothing(monkeypatch, x64):
    head, maps = drawn("tanh", pool="average")
    rows = rows_of(head)
    expected = jax.jit(cell_derivatives)(head, maps, rows)
    monkeypatch.setattr(curvature, "ENTRIES", 24)
    monkeypatch.setattr(curvature, "MOST_COMPONENTS", 1)
    some = {output: rows[output] for output in ("pca", "svm_poly")}
    results = jax.jit(lambda *arguments: cell_derivatives(*arguments))(head, maps, some)
    for result, values in zip(results, expected, strict=True):
        assert relative_error(result, values[np.array([2, 3, 6])]) < 1e-12


def test_every_triple_is_its_sorted_one():
    triples, places = symmetric_triples(3)
    assert len(triples) == 10
    for (i, j, k), place in zip(np.ndindex(3, 3, 3), places, strict=True):
        assert sorted((i, j, k)) == triples[place].tolist()


def test_derivatives_in_float32_and_then_in_float64():
    x = np.random.default_rng(0).normal(size=(12, 2))
    svm = SVC().fit(x, np.arange(12) % 2)
    for name in ("float32", "float64"):
        with jax.enable_x64(name == "float64"):
            head = hybrid_head([], maps_shape=(1, 2, 1), svms={"svm": svm})
            maps = jnp.ones((1, 2, 1), name)
            second, third = jax.jit(cell_derivatives)(head, maps, {"svm": jnp.ones((1, 2), name)})
            assert second.dtype == third.dtype == name


def test_what_has_no_hessian_is_rejected():
    head, maps = drawn("relu")
    rows = rows_of(head)
    with pytest.raises(InputError, match=r"reads a vector; got one that reads \(2, 4, 3\), so take split_entry"):
        head_hessian(head, maps, rows)
    columns = HybridHead(head.spatial, head.dense, head.cnn, head.pca, head.svms, head.names, columns=2)
    for call in (cell_derivatives, functools.partial(hessian_product, tangent=maps)):
        with pytest.raises(InputError, match="reads 2 further columns"):
            call(columns, maps, rows=rows)
