"""DeepLIFT contributions of every cell of the maps to each target, on which LIFT-CAM rests.

Papers: Shrikumar et al. 2017 (DeepLIFT, rescale rule); Jung and Oh 2021 (LIFT-CAM), whose weight of a map is the sum of
the contributions of its cells.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.cam.backward import through_head
from pcacam_jax.cam.secants import secant_pull_back
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.types import Maps
from pcacam_jax.head.entry import split_entry
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import Selection


def lift_multipliers(head: HybridHead, maps: Maps, selection: Selection) -> Float[Array, "T *space K"]:
    """Return DeepLIFT's multipliers of every cell, the secants of each target from maps of zeros to the maps.

    Args:
        head: the head.
        maps: the maps of one example, ``(*space, K)``.
        selection: the T targets.

    Returns:
        The multipliers, ``(T, *space, K)``, in the unit of the target over the unit of the maps.

    Raises:
        InputError: a stage between a target and the maps has no rule, see :mod:`pcacam_jax.cam.secants`.
    """
    zeros = jnp.zeros(maps.shape, maps.dtype)
    return selection.in_order(head, through_head(secant_pull_back, head, maps, zeros, selection.rows(head)))


def lift_contributions(head: HybridHead, maps: Maps, selection: Selection) -> Float[Array, "T *space K"]:
    """Return the DeepLIFT contribution of every cell ``A_ijk`` to each target, with maps of zeros as the reference.

    The contributions are the multipliers times the maps. They add up to ``y(F) - y(0)`` for each target y. With an
    affine head they are ``g * A``, where g is the gradient.

    Args:
        head: the head.
        maps: the maps of one example, ``(*space, K)``.
        selection: the T targets.

    Returns:
        The contributions, ``(T, *space, K)``, in the unit of the target.

    Raises:
        InputError: a stage between a target and the maps has no rule, see :mod:`pcacam_jax.cam.secants`.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import hybrid_head
        >>> from pcacam_jax.cam.lift import lift_contributions
        >>> from pcacam_jax.head.targets import Selection
        >>> dense = [(jnp.array([[2.0], [-1.0]]), jnp.array([-1.0])), (jnp.array([[3.0, 0.0]]), jnp.zeros(2))]
        >>> head = hybrid_head(dense, maps_shape=(1, 2, 1), at=1)
        >>> maps = jnp.array([[[2.0], [1.0]]])  # u = 2 and x = 2; the reference is u = -1 and x = 0
        >>> lift_contributions(head, maps, Selection(jnp.array([0]), ("cnn",)))[0, 0, :, 0].tolist()
        [8.0, -2.0]
    """
    return lift_multipliers(head, maps, selection) * maps[None]


def lift_weights(head: HybridHead, maps: Maps, selection: Selection) -> Float[Array, "T K"]:
    """Return LIFT-CAM's weight of each map: the sum of the contributions of its cells (Jung and Oh 2021).

    The sums are formed at the first affine map of the head, without the contribution of every cell. The weights add up
    to ``y(F) - y(0)`` for each target y.

    Args:
        head: the head.
        maps: the maps of one example, ``(*space, K)``.
        selection: the T targets.

    Returns:
        The weights, ``(T, K)``, in the unit of the target.

    Raises:
        InputError: a stage between a target and the maps has no rule, see :mod:`pcacam_jax.cam.secants`.
    """
    entry = split_entry(head)
    u, u_ref = entry(maps), entry(jnp.zeros(maps.shape, maps.dtype))
    rows = through_head(secant_pull_back, entry.rest, u, u_ref, selection.rows(head))
    return selection.in_order(head, matmul(rows, entry.channel_parts(maps).T))
