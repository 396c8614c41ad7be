"""Ablation-CAM: what the value loses without each map, exactly, from the first affine map of the head."""

import jax
from jaxtyping import Array, Float

from pcacam_jax.cam.example import Example
from pcacam_jax.cam.gradcam import weighted
from pcacam_jax.cam.method import Result
from pcacam_jax.core.numerics import resolved

BLOCK = 64
"""Number of maps that are left out at once, to bound memory."""


def ablation_cam(example: Example, sign: int) -> Result:
    """Return ``L = sum_k a_k A_k`` with ``a_k = y - y(without map k)`` (Desai and Ramaswamy 2020).

    The difference is not divided by y, which would flip signs where y is negative and explode near 0.
    """
    return weighted(sign * channel_drops(example), example.maps)


def channel_drops(example: Example) -> Float[Array, "T K"]:
    """Return ``y - y(without map k)`` of every target and map.

    The first pre-activation without map k is ``u - u_k``, where the parts ``u_k`` of all maps are one product.
    """
    u, parts = example.entry(example.maps), example.entry.channel_parts(example.maps)

    def drop(part: Array) -> Array:
        without = example.selection.values(example.entry.rest(u - part))
        return resolved(example.values - without, example.values)

    return jax.lax.map(drop, parts, batch_size=min(BLOCK, len(parts))).T
