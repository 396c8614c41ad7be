"""The Hessian of a stage in closed form, from products with one direction."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_shape
from pcacam_jax.core.types import Rows, Stage
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.linear import PiecewiseLinear, curved


def hessian(stage: Stage, x: Array, rows: Rows) -> Float[Array, "T ..."]:
    """Return the Hessian of T weighted sums of a stage's outputs, ``sum_o rows[:, o] d2 s_o / dx dx``.

    In a chain it is ``J^T H J`` of the later stages plus the Hessian of the stage itself, from the last stage to the
    first. Other stages multiply their second derivative by every unit vector.

    Args:
        stage: a stage with the methods ``curvature`` and ``taylor``.
        x: the example, of the stage's input shape.
        rows: the weights of the outputs, ``(T, *out)``.

    Returns:
        The Hessians, ``(T, *in, *in)``; symmetric.

    Raises:
        InputError: a stage lacks these methods, or ``x`` has another shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Elementwise
        >>> from pcacam_jax.stages import hessian
        >>> hessian(Elementwise("exp", 2), jnp.zeros(2), rows=jnp.array([[1.0, 3.0]])).tolist()
        [[[1.0, 0.0], [0.0, 3.0]]]
    """
    curved(stage)
    check_shape("x", x.shape, stage.in_shape)
    if isinstance(stage, Chain):
        return _of_chain(stage, x, rows)
    if isinstance(stage, PiecewiseLinear):
        return jnp.zeros((len(rows), *x.shape, *x.shape), rows.dtype)
    directions = jnp.eye(math.prod(x.shape), dtype=x.dtype).reshape(-1, *x.shape)
    products = jax.vmap(lambda tangent: curved(stage).curvature(x, tangent, rows))(directions)
    return jnp.moveaxis(products, 0, 1).reshape(len(rows), *x.shape, *x.shape)


def _of_chain(chain: Chain, x: Array, rows: Rows) -> Float[Array, "T ..."]:
    points = []
    for stage in chain.stages:
        value, saved = stage.forward(x)
        points.append((stage, x, saved))
        x = value
    total = jnp.zeros((len(rows), *x.shape, *x.shape), rows.dtype)
    for stage, x, saved in reversed(points):
        total = pull_back_both(stage, saved, total) + hessian(stage, x, rows)
        rows = stage.pull_back(saved, rows)
    return total


def pull_back_both(stage: Stage, saved: Any, hessians: Float[Array, "T ..."]) -> Float[Array, "T ..."]:
    """Return ``J^T H J`` for the Jacobian J of a stage: ``(T, *out, *out) -> (T, *in, *in)``.

    Args:
        stage: the stage.
        saved: the residuals of its ``forward``.
        hessians: symmetric matrices H in the output of the stage.
    """
    count, inside = len(hessians), stage.in_shape
    outside = hessians.shape[1 : (hessians.ndim + 1) // 2]
    half = stage.pull_back(saved, hessians.reshape(-1, *outside)).reshape(count, math.prod(outside), -1)
    half = half.transpose(0, 2, 1).reshape(-1, *outside)
    return stage.pull_back(saved, half).reshape(count, *inside, *inside)
