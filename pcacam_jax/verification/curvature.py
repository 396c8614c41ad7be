"""The rows of a certificate about second derivatives: closed-form Hessians against autodiff and differences.

The entries of each output are weighted by fixed random numbers, so that it has one Hessian H. The products of H with
directions are compared with forward over reverse mode, which is how :func:`jax.hessian` computes, and with central
differences of the closed-form gradient. The directions are all unit vectors where the input is small. A head is
compared in u, the first pre-activation: only a pooling and an affine map lie before u.
"""

import functools
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.numerics import frobenius_norm
from pcacam_jax.core.types import Stage
from pcacam_jax.head.curvature import as_stage, block_rows
from pcacam_jax.head.entry import split_entry
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.stages.linear import curved
from pcacam_jax.verification import differences
from pcacam_jax.verification.comparisons import (
    FORWARD_OVER_REVERSE,
    JACOBIAN_DIFFERENCE,
    Comparison,
    compared_with_differences,
    judged,
)
from pcacam_jax.verification.directions import random_signs
from pcacam_jax.verification.measure import compiler_options
from pcacam_jax.verification.rounding import AMOUNT, SAFETY, SAMPLES, perturbed

ALL_UP_TO, COUNT = 32, 8
"""Largest input size for which all unit vectors are directions, and the number of random directions beyond it."""

TOLERANCES = {"float64": 1e-10, "float32": 1e-4}
"""Largest relative error against forward over reverse mode in float64, by dtype of the closed form."""

DIFFERENCE_TOLERANCES = {"float64": 1e-6, "float32": 1e-4}
"""Largest relative error against central differences of the closed-form gradient in float64, by dtype."""

SMALLEST = 1e-4
"""Errors are divided by at least this, times the norm of the gradient over the largest entry of x."""


class Weighted(NamedTuple):
    """A stage with T weighted sums of its outputs, at one point."""

    stage: Any
    rows: Float[Array, "T ..."]
    x: Array
    titles: tuple[str, ...]
    """What is compared, by row."""


class Measured(NamedTuple):
    """The second derivatives along k directions of T weighted outputs in n entries."""

    closed: dict[str, Array]
    """The closed form, ``(k, T, *in)``, by dtype."""
    reference: Float[Array, "samples k T n"]
    """Forward over reverse mode in float64: at the point, and with perturbed parameters and slopes."""
    beside: Float[Array, "k steps T n"]
    """The closed-form gradient at x, at ``x + h v`` and at ``x - h v`` for all steps h."""


def compare_curvature(stage: Any, x: Array, name: str, dtypes: tuple[str, ...]) -> Iterator[Comparison]:
    """Yield the rows for one stage or head and one point, both in float64; none if second derivatives are not given."""
    try:
        weighted = _weighted_head(stage, x, name) if isinstance(stage, HybridHead) else _weighted(stage, x, name)
        measured, vectors, steps = _measured(weighted, dtypes)
    except InputError:
        return
    for dtype, (row, title) in itertools.product(dtypes, enumerate(weighted.titles)):
        values, reference = np.asarray(measured.closed[dtype]), np.asarray(measured.reference[:, :, row])
        closed = values[:, row].reshape(len(vectors), -1) if values.ndim > 1 else values
        noise = SAFETY * float(jnp.finfo(dtype).eps) * _sensitivity(reference)
        at, above, below = np.split(np.asarray(measured.beside[:, :, row]), [1, 1 + len(steps)], axis=1)
        # Rounding hides a second derivative that is small beside the gradient.
        smallest = float(SMALLEST * frobenius_norm(at) * differences.LARGEST / steps[0])
        error, tolerance = judged(closed, reference[0], TOLERANCES[dtype], noise, dtype, smallest)
        yield Comparison(title, dtype, FORWARD_OVER_REVERSE, error, tolerance, len(vectors))
        slopes = differences.slopes(at[:, 0], above, below, steps)
        against = Comparison(title, dtype, JACOBIAN_DIFFERENCE, 0.0, DIFFERENCE_TOLERANCES[dtype])
        yield compared_with_differences(against, closed, slopes, noise, smallest)


def _weighted(stage: Stage, x: Array, name: str) -> Weighted:
    curved(stage)
    row = _weights(jax.eval_shape(stage, x).shape)
    return Weighted(stage, jnp.asarray(row, x.dtype), x, (f"{name}: second derivative",))


def _weights(shape: tuple[int, ...]) -> np.ndarray:
    """Return one row of weights; with equal weights the margins of an SVM would add up to zero."""
    return np.random.default_rng(3).normal(size=(1, *shape)).astype("float32")


def _weighted_head(head: HybridHead, x: Array, name: str) -> Weighted:
    rows = {output: jnp.asarray(_weights((len(names),)), x.dtype) for output, names in head.outputs.items()}
    stage = as_stage(split_entry(head).rest, rows)
    curved(stage)
    # Rounded to float32, so that both dtypes compare the same point.
    u = jnp.asarray(jax.jit(lambda head, x: split_entry(head)(x))(head, x), "float32").astype(x.dtype)
    return Weighted(
        stage, block_rows(head, rows), u, tuple(f"{name}: {output}: second derivative in u" for output in rows)
    )


def _measured(weighted: Weighted, dtypes: tuple[str, ...]) -> tuple[Measured, np.ndarray, np.ndarray]:
    size = weighted.x.size
    vectors = np.eye(size, dtype=np.int8) if size <= ALL_UP_TO else random_signs(COUNT, size, seed=2)
    steps = differences.steps(np.asarray(weighted.x))
    compiled = jax.jit(functools.partial(_measure, dtypes), compiler_options=compiler_options())
    measured = compiled(weighted.stage, weighted.rows, weighted.x, vectors, steps)
    return jax.tree.map(np.asarray, measured), vectors, steps


def _measure(dtypes: tuple[str, ...], stage: Any, rows: Array, x: Array, vectors: Array, steps: Array) -> Measured:
    directions = vectors.astype(x.dtype).reshape(len(vectors), *x.shape)
    cast: dict[str, Any] = {
        dtype: jax.tree.map(lambda leaf, d=dtype: leaf.astype(d), (stage, x, rows, directions)) for dtype in dtypes
    }
    signed = jnp.concatenate([jnp.zeros(1, steps.dtype), steps, -steps])
    return Measured(
        closed={dtype: _closed(*arguments) for dtype, arguments in cast.items()},
        reference=jax.lax.map(
            lambda sample: _by_autodiff(stage, x, rows, directions, sample), jnp.arange(SAMPLES + 1.0)
        ),
        beside=jax.lax.map(lambda v: jax.vmap(lambda h: _gradient(stage, x + h * v, rows))(signed), directions),
    )


def _closed(stage: Any, x: Array, rows: Array, directions: Array) -> Array:
    return jax.vmap(lambda direction: stage.curvature(x, direction, rows))(directions)


def _gradient(stage: Any, x: Array, rows: Array) -> Float[Array, "T n"]:
    _, saved = stage.forward(x)
    return stage.pull_back(saved, rows).reshape(len(rows), -1)


def _by_autodiff(stage: Any, x: Array, rows: Array, directions: Array, sample: Array) -> Float[Array, "k T n"]:
    """Return the products of the Hessians with the directions; for samples after 0, of a perturbed stage."""
    moved, point = perturbed(stage, x, jnp.where(sample == 0, 0, AMOUNT), sample)

    def weighted(x: Array) -> Float[Array, " T"]:
        value = moved(x)
        return jnp.tensordot(rows, value, value.ndim, precision="highest")

    products = jax.vmap(lambda v: jax.jvp(jax.jacrev(weighted), (point,), (v,))[1])(directions)
    return products.reshape(len(directions), len(rows), -1)


def _sensitivity(values: np.ndarray) -> float:
    """Return the change of the derivatives per perturbation, in the root mean square over the samples."""
    changes = (values[1:] - values[:1]).reshape(len(values) - 1, -1)
    change = float(np.sqrt(np.mean(np.sum(changes * changes, axis=1)))) / AMOUNT
    return change if np.isfinite(change) else 0.0
