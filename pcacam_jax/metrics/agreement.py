"""How alike two heatmaps are, and which components a decision is read from.

For maps A and B of the same (h, w), sums running over positions:

    correlation(A, B) = sum (A - mean A)(B - mean B) / (||A - mean A|| ||B - mean B||)
    cosine(A, B)      = sum A B / (||A|| ||B||)

Neither depends on the scale of a map, which a picture does not show. Two questions want two measures:

- Do two pictures look alike, as the paper asks of maps after ReLU (Eq. 8, 11, 14)? The correlation. Maps without
  negative values point much the same way whatever they show, so their cosine is high even for unrelated ones.
- How far is a decision's map that of one component? The cosine of the signed maps. An SVM's map before ReLU is exactly
  sum_r w_r L_r with w_r = ds/dv_r, and the cosine keeps the zero that separates what raises from what lowers.

A high value does not say that the decision is read from that component: the maps L_r of one image may themselves be
alike. What each component gives to the sum does say so, and is measured by :func:`shares`.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.types import Scalar

Heatmap = Float[Array, "h w"]

DOMINANT = 0.5
"""A component dominates a decision where its share is above this: it gives more than all others together."""


def correlation(first: Heatmap, second: Heatmap) -> Scalar:
    """Return Pearson's correlation of two maps over their positions, in -1..1; NaN where either map is constant."""
    return jnp.sum(_unit(first, centred=True) * _unit(second, centred=True))


def cosine(first: Heatmap, second: Heatmap) -> Scalar:
    """Return the cosine of the angle between two maps, in -1..1; NaN where either map is zero everywhere."""
    return jnp.sum(_unit(first) * _unit(second))


def contributions(weights: Float[Array, " D"], maps: Float[Array, "D h w"]) -> Float[Array, "D h w"]:
    """Return w_r L_r, the part of each component in a decision's map: they add up to it, before any ReLU."""
    return weights[:, None, None] * maps


def shares(weights: Float[Array, " D"], maps: Float[Array, "D h w"]) -> Float[Array, " D"]:
    """Return the share of every component in a decision: |w_r| ||L_r|| / sum_s |w_s| ||L_s||.

    The shares lie in 0..1 and add up to 1. Norms are compared, so parts that cancel each other both count. All NaN
    where every part is zero, as for an RBF SVM whose gradient has underflowed.

    Args:
        weights: ds/dv_r, as in ``Explanation.mixture``.
        maps: the signed maps L_r of all components.
    """
    # Scaled apart from each other, because the product of a tiny weight and a tiny map underflows in float32.
    sizes = jnp.abs(_scaled(weights)) * jnp.sqrt(jnp.sum(_scaled(maps) ** 2, axis=(1, 2)))
    return sizes / jnp.sum(sizes)


def _unit(heatmap: Heatmap, *, centred: bool = False) -> Heatmap:
    """Return the map, its mean taken off if ``centred``, at length one; NaN where there is nothing left."""
    left = _scaled(heatmap)
    if centred:
        # A constant is told by its values: their rounded mean may differ from every one of them.
        left = jnp.where(jnp.max(heatmap) == jnp.min(heatmap), 0, _scaled(left - jnp.mean(left)))
    return left / jnp.sqrt(jnp.sum(left * left))


def _scaled(values: Array) -> Array:
    """Return the values divided by their largest magnitude, so that no square underflows; zeros stay zeros."""
    largest = jnp.max(jnp.abs(values))
    return values / jnp.where(largest > 0, largest, 1)
