"""Score-CAM: what the value gains where the image is kept only in the region of each map (Wang et al. 2020)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pcacam_jax.cam.example import Example
from pcacam_jax.cam.gradcam import weighted
from pcacam_jax.cam.method import Result
from pcacam_jax.core.types import Maps


def score_cam(example: Example, sign: int, gains: Float[Array, "T K"], *, top: int | None = None) -> Result:
    """Return ``L = sum_k a_k A_k`` with ``a_k = y(X * mask_k) - y(baseline)``.

    Args:
        example: the example.
        sign: 1 for y, -1 for -y.
        gains: ``a_k`` of every target, 0 for maps whose images were not evaluated.
        top: the number of maps whose images were evaluated, those of largest range; all by default.
    """
    return weighted(sign * gains, example.maps)


def masks(maps: Maps, channels: Int[Array, " n"], size: tuple[int, ...]) -> Float[Array, "n *size"]:
    """Return maps scaled to 0..1 and resized to the image by linear interpolation; a constant map gives zeros."""
    chosen = jnp.moveaxis(maps[..., channels], -1, 0)
    axes = tuple(range(1, chosen.ndim))
    lowest = jnp.min(chosen, axis=axes, keepdims=True)
    span = jnp.max(chosen, axis=axes, keepdims=True) - lowest
    scaled = jnp.where(span > 0, (chosen - lowest) / jnp.where(span > 0, span, 1), 0)
    return jax.image.resize(scaled, (len(channels), *size), method="bilinear")


def strongest(maps: Maps, count: int | None) -> Int[Array, " n"]:
    """Return the indices of the ``count`` maps of largest range over the positions; of all maps if it is None."""
    if count is None or count >= maps.shape[-1]:
        return jnp.arange(maps.shape[-1])
    return jax.lax.top_k(jnp.ptp(maps, axis=tuple(range(maps.ndim - 1))), count)[1]
