"""Similarity of two heatmaps, and the share of each component in a decision.

For maps A and B of the same shape ``(*space)``, with sums over positions::

    correlation(A, B) = sum (A - mean A)(B - mean B) / (||A - mean A|| ||B - mean B||)
    cosine(A, B)      = sum A B / (||A|| ||B||)

Neither metric depends on the scales of the maps. Each answers its own question:

- Do two drawn maps look alike? The paper asks this about maps after ReLU (Eq. 8, 11, 14). Use the correlation. Maps
  without negative values have a high cosine even if they are unrelated.
- How similar is an SVM's map to the map of one component? Use the cosine of the signed maps. An SVM's map before ReLU
  is exactly ``sum_r w_r L_r`` with ``w_r = ds/dv_r``, and the cosine distinguishes regions that raise a value from
  regions that lower it.

A high similarity does not prove that a decision uses the component, because the maps ``L_r`` of one image can be
similar to each other. :func:`shares` measures how much each component contributes to the decision's map.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.types import Scalar

Heatmap = Float[Array, "*space"]

DOMINANT = 0.5
"""A component whose share exceeds this value dominates a decision: it contributes more than all others together."""


def correlation(first: Heatmap, second: Heatmap) -> Scalar:
    """Return Pearson's correlation of two maps over their positions.

    Args:
        first: a heatmap, ``(*space)``.
        second: a heatmap of the same shape.

    Returns:
        A scalar in -1..1, or NaN if one of the maps is constant.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import correlation
        >>> round(float(correlation(jnp.eye(2), 3 * jnp.eye(2) + 1)), 3)
        1.0
    """
    return jnp.sum(_unit(first, centred=True) * _unit(second, centred=True))


def cosine(first: Heatmap, second: Heatmap) -> Scalar:
    """Return the cosine of the angle between two maps.

    Args:
        first: a heatmap, ``(*space)``.
        second: a heatmap of the same shape.

    Returns:
        A scalar in -1..1, or NaN if one of the maps is zero everywhere.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import cosine
        >>> round(float(cosine(jnp.eye(2), jnp.ones((2, 2)))), 3)
        0.707
    """
    return jnp.sum(_unit(first) * _unit(second))


def contributions(weights: Float[Array, " D"], maps: Float[Array, "D *space"]) -> Float[Array, "D *space"]:
    """Return the contribution ``w_r L_r`` of every component to a decision's map; their sum is the map before ReLU.

    Args:
        weights: ``ds/dv_r``, (D,), one image's row of ``Explanation.mixture``.
        maps: the signed maps ``L_r`` of all components (Eq. 10), ``(D, *space)``.

    Returns:
        The contributions, ``(D, *space)``.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import contributions
        >>> contributions(jnp.array([2.0, -1.0]), jnp.ones((2, 1, 2))).tolist()
        [[[2.0, 2.0]], [[-1.0, -1.0]]]
    """
    return jnp.expand_dims(weights, tuple(range(1, maps.ndim))) * maps


def shares(weights: Float[Array, " D"], maps: Float[Array, "D *space"]) -> Float[Array, " D"]:
    """Return the share of every component in a decision: ``|w_r| ||L_r|| / sum_s |w_s| ||L_s||``.

    The shares compare norms, so two contributions that cancel each other both count.

    Args:
        weights: ``ds/dv_r``, (D,), one image's row of ``Explanation.mixture``.
        maps: the signed maps ``L_r`` of all components (Eq. 10), ``(D, *space)``.

    Returns:
        The shares, (D,), in 0..1 with the sum 1. All are NaN if every contribution is zero, for example after the
        gradient of an RBF SVM has underflowed.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import shares
        >>> shares(jnp.array([3.0, -1.0]), jnp.ones((2, 4, 4))).tolist()
        [0.75, 0.25]
    """
    # Weights and maps are scaled separately: the product of a tiny weight and a tiny map would underflow in float32.
    sizes = jnp.abs(_scaled(weights)) * jnp.sqrt(jnp.sum(_scaled(maps) ** 2, axis=tuple(range(1, maps.ndim))))
    return sizes / jnp.sum(sizes)


def _unit(heatmap: Heatmap, *, centred: bool = False) -> Heatmap:
    """Return the map divided by its norm, after subtracting its mean if ``centred``; NaN if the norm is zero."""
    values = _scaled(heatmap)
    if centred:
        # The rounded mean of a constant map can differ from its value, so constant maps are tested for directly.
        values = jnp.where(jnp.max(heatmap) == jnp.min(heatmap), 0, _scaled(values - jnp.mean(values)))
    return values / jnp.sqrt(jnp.sum(values * values))


def _scaled(values: Array) -> Array:
    """Return the values divided by their largest magnitude, so that no square underflows; zeros stay zero."""
    largest = jnp.max(jnp.abs(values))
    return values / jnp.where(largest > 0, largest, 1)
