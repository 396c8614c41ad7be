"""Second and third derivatives of a head's targets in closed form: Hessians, and derivatives along single cells.

Rows select targets as in :meth:`HybridHead.pull_back`: ``(T_o, size of output o)`` by output. The results are stacked
in the order of the head's outputs.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.types import CurvedStage, Maps, Rows, Stage, Vector
from pcacam_jax.head.entry import split_entry
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.stages.activation import Elementwise
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.curvature import hessian
from pcacam_jax.stages.linear import curved
from pcacam_jax.stages.parallel import Parallel

ENTRIES = 2**18
"""Number of entries of the derivatives in u that are computed at once, to bound memory."""

MOST_COMPONENTS = 8
"""With more components than this, D^3 products at every cell cost more than the SVMs themselves."""

Series = Float[Array, "3 ..."]


def hessian_product(head: HybridHead, x: Array, tangent: Array, rows: dict[str, Rows]) -> Rows:
    """Return the Hessian of every target times one direction.

    Args:
        head: the head.
        x: its input, such as maps ``(*space, K)``.
        tangent: the direction, of the shape of ``x``.
        rows: the targets.

    Returns:
        The products, ``(T, *in)``.

    Raises:
        InputError: a stage of the head has no second derivative in closed form.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import hybrid_head
        >>> from pcacam_jax.head.curvature import hessian_product
        >>> layers = [(jnp.ones((2, 1)), jnp.zeros(1)), (jnp.ones((1, 1)), jnp.zeros(1))]
        >>> head = hybrid_head(layers, maps_shape=(1, 1, 2), at=1, activation="exp")
        >>> maps = jnp.zeros((1, 1, 2))
        >>> hessian_product(head, maps, maps + 1, {"cnn": jnp.array([[3.0]])}).tolist()
        [[[[6.0, 6.0]]]]
    """
    return curved(as_stage(head, rows)).curvature(x, tangent, block_rows(head, rows))


def head_hessian(head: HybridHead, x: Vector, rows: dict[str, Rows]) -> Float[Array, "T d d"]:
    """Return the Hessian of every target of a head that reads a vector, such as ``split_entry(head).rest``.

    Args:
        head: the head.
        x: its input, ``(d,)``.
        rows: the targets.

    Returns:
        The Hessians, ``(T, d, d)``.

    Raises:
        InputError: the head reads maps, or a stage of it has no second derivative in closed form.
    """
    if len(head.in_shape) != 1:
        raise InputError(
            f"the Hessian needs a head that reads a vector; got one that reads {head.in_shape}, so take "
            f"split_entry(head).rest, or hessian_product for one direction."
        )
    return hessian(as_stage(head, rows), x, block_rows(head, rows))


def as_stage(head: HybridHead, rows: dict[str, Any]) -> Chain:
    """Return the outputs of a head that have rows as one stage, whose output concatenates them in order."""
    head._check_no_columns()
    readers = _readers(head, rows)
    if "pca" in rows:
        readers.insert(0, Elementwise("identity", len(head.outputs["pca"])))
    branches: list[Stage] = [head.cnn] if head.cnn is not None and "cnn" in rows else []
    if readers:
        stages = (Parallel(tuple(readers)),)
        branches.append(Chain(stages if head.pca is None else (head.pca, *stages)))
    return Chain((*head.trunk.stages, Parallel(tuple(branches))))


def _readers(head: HybridHead, rows: dict[str, Any]) -> list[Stage]:
    return [head.svms[name] for name in head.svm_names if name in rows]


def block_rows(head: HybridHead, rows: dict[str, Rows]) -> Rows:
    """Return the rows of all targets on the concatenated outputs, ``(T, sum of sizes)``, zero outside their output."""
    blocks = [rows[name] for name in head.outputs if name in rows]
    return jax.scipy.linalg.block_diag(*blocks)


def cell_derivatives(
    head: HybridHead, maps: Maps, rows: dict[str, Rows]
) -> tuple[Float[Array, "T *space K"], Float[Array, "T *space K"]]:
    """Return the second and the third derivative of every target along each single cell ``A_ijk``.

    A cell moves ``u``, the first pre-activation, along one row of the first kernel. The derivatives along it are pushed
    through the dense layers once for all targets, as a univariate Taylor series. Those of the SVMs are then products
    with their derivatives in ``v``, which are formed once. A max-pool passes a derivative on to the winner of its
    window, and a global average divides it by the square or the cube of the number of positions.

    Args:
        head: the head.
        maps: ``(*space, K)``.
        rows: the targets.

    Returns:
        ``d2y / dA_ijk^2`` and ``d3y / dA_ijk^3``, ``(T, *space, K)`` each.

    Raises:
        InputError: a stage of the head has no second derivative in closed form.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import hybrid_head
        >>> from pcacam_jax.head.curvature import cell_derivatives
        >>> layers = [(jnp.array([[1.0], [2.0]]), jnp.zeros(1)), (jnp.ones((1, 1)), jnp.zeros(1))]
        >>> head = hybrid_head(layers, maps_shape=(1, 1, 2), at=1, activation="exp")
        >>> second, third = cell_derivatives(head, jnp.zeros((1, 1, 2)), {"cnn": jnp.ones((1, 1))})
        >>> second.tolist(), third.tolist()
        ([[[[1.0, 4.0]]]], [[[[1.0, 8.0]]]])
    """
    entry = split_entry(head)
    x_0, saved = entry.spatial.forward(maps)
    series = _target_series(entry.rest, entry.affine(x_0), rows)
    if entry.kernel is None:
        along = _mapped(lambda i: series(jax.nn.one_hot(i, x_0.size, dtype=x_0.dtype)), jnp.arange(x_0.size), x_0.size)
    else:
        along = _mapped(series, entry.kernel, entry.kernel.shape[1])
    second, third = along[:, 0].T, along[:, 1].T
    # Every cell moves at most one entry of x_0, by this slope.
    slope = entry.spatial.pull_back(saved, jnp.ones((1, x_0.size), x_0.dtype))
    return entry.spatial.pull_back(saved, second) * slope, entry.spatial.pull_back(saved, third) * slope * slope


def _mapped(function: Callable[[Array], Array], items: Array, size: int) -> Array:
    """Return ``vmap(function)(items)``, in chunks if the derivatives in u, of ``size`` entries, would take much memory.

    Chunks also bound the results of :func:`jax.vmap` over a batch of examples.
    """
    chunk = max(1, ENTRIES // (3 * size))
    if len(items) <= chunk:
        return jax.vmap(function)(items)
    return jax.lax.map(function, items, batch_size=chunk)


def _target_series(rest: HybridHead, u: Vector, rows: dict[str, Rows]) -> Callable[[Vector], Float[Array, "2 T"]]:
    """Return the function from a direction in u to the second and third derivatives of all targets along it."""
    curved(as_stage(rest, rows))
    x_m = rest.trunk(u)
    v = x_m if rest.pca is None else rest.pca(x_m)
    readers = _readers(rest, rows)
    on_readers = jax.scipy.linalg.block_diag(*(rows[name] for name in rest.svm_names if name in rows))
    through_svms = _through(Parallel(tuple(readers)), v, on_readers) if readers else None

    def along(direction: Vector) -> Float[Array, "2 T"]:
        zeros = jnp.zeros_like(direction)
        on_trunk = rest.trunk.taylor(u, jnp.stack([direction, zeros, zeros]))
        parts = []
        if rest.cnn is not None and "cnn" in rows:
            parts.append(matmul(curved(rest.cnn).taylor(x_m, on_trunk), rows["cnn"].T))
        if readers or "pca" in rows:
            on_v = on_trunk if rest.pca is None else curved(rest.pca).taylor(x_m, on_trunk)
            parts += [matmul(on_v, rows["pca"].T)] if "pca" in rows else []
            parts += [through_svms(on_v)] if through_svms else []
        return jnp.concatenate(parts, axis=1)[1:]

    return along


def _through(stage: CurvedStage, v: Vector, rows: Rows) -> Callable[[Series], Float[Array, "3 T"]]:
    """Return the function from the derivatives of a path in v to those of weighted outputs of a stage.

    For few components the derivatives of the stage are formed once, and each path costs one product.
    """
    if len(v) > MOST_COMPONENTS:
        return lambda series: matmul(stage.taylor(v, series), rows.T)
    form = _forms(stage, v, rows)

    def along(series: Series) -> Float[Array, "3 T"]:
        v1, v2, _ = series
        square = jnp.outer(v1, v1).reshape(-1)
        mixed, cube = 3 * jnp.outer(v1, v2).reshape(-1), jnp.outer(square, v1).reshape(-1)
        first = matmul(form.first, series.T)
        second = first[:, 1] + matmul(form.second, square)
        third = first[:, 2] + matmul(form.second, mixed) + matmul(form.third, cube)
        return jnp.stack([first[:, 0], second, third])

    return along


class _Forms(NamedTuple):
    """The first three derivatives of T functions of v, as matrices with T rows."""

    first: Float[Array, "T D"]
    second: Float[Array, "T D*D"]
    third: Float[Array, "T D*D*D"]


def _forms(stage: CurvedStage, v: Vector, rows: Rows) -> _Forms:
    _, saved = stage.forward(v)
    second = hessian(stage, v, rows).reshape(len(rows), -1)
    return _Forms(stage.pull_back(saved, rows), second, _third_form(stage, v, rows))


def _third_form(stage: CurvedStage, v: Vector, rows: Rows) -> Float[Array, "T D*D*D"]:
    """Return the third derivative in v, by polarisation of those along single directions.

    With ``f(w) = T[w, w, w]``, ``24 T[a, b, c] = f(a + b + c) + f(a - b - c) + f(b - a - c) + f(c - a - b)``.
    """
    triples, place = symmetric_triples(len(v))
    a, b, c = jnp.moveaxis(jnp.eye(len(v), dtype=v.dtype)[triples], 1, 0)
    directions = jnp.concatenate([a + b + c, a - b - c, b - a - c, c - a - b])

    def third(direction: Vector) -> Float[Array, " T"]:
        zeros = jnp.zeros_like(direction)
        return matmul(rows, stage.taylor(v, jnp.stack([direction, zeros, zeros]))[2])

    values = jax.vmap(third)(directions).reshape(4, len(triples), len(rows))
    return (jnp.sum(values, axis=0) / 24)[place].T


@functools.lru_cache(maxsize=MOST_COMPONENTS)
def symmetric_triples(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the triples ``i <= j <= k``, ``(n, 3)``, and for each of all ``size^3`` triples the place of it, sorted.

    Args:
        size: the number of values of each index.
    """
    triples = list(itertools.combinations_with_replacement(range(size), 3))
    places = [triples.index((i, j, k)) for i, j, k in map(sorted, itertools.product(range(size), repeat=3))]
    # JAX mixes up dtypes if a cached array of int64 is first an index without x64 and then one with it.
    return np.array(triples, np.int32), np.array(places, np.int32)
