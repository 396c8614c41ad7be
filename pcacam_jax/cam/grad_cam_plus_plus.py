"""Grad-CAM++ in three forms: a_k = sum_ij alpha_ijk ReLU(g_ijk) (Chattopadhay et al. 2018).

The paper derives alpha = y2 / (2 y2 + S_k y3) from the second and third derivative y2, y3 of the score in each cell,
and then assumes that the score is exp(y) with a piecewise linear y. This gives alpha = 1 / (2 + S_k g), the usual form.
The exact form has the derivatives of y itself.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.cam.example import Example
from pcacam_jax.cam.gradcam import map_sums, weighted
from pcacam_jax.cam.method import Result
from pcacam_jax.cam.smooth import Means
from pcacam_jax.core.types import Maps

SMALLEST = 1e-6
"""Denominators are zero below this, in the exact form relative to the sizes of their terms."""

Cells = Float[Array, "T *space K"]


def grad_cam_plus_plus(example: Example, sign: int, *, target_scale: float = 1.0) -> Result:
    """Return the usual form, with ``alpha = g^2 / (2 g^2 + S_k g^3)``.

    Args:
        example: the example.
        sign: 1 for y, -1 for -y.
        target_scale: the form depends on the unit of y; it is applied to ``y / target_scale``, and the map is
            multiplied by ``target_scale``.
    """
    g = sign * example.gradient / target_scale
    return weighted(target_scale * _usual_weights(g, g, example), example.maps)


def moments(example: Example, key: Array) -> tuple[Cells, Cells, Cells]:
    """Return ``g, g^2, g^3``, whose means over noisy images Smooth Grad-CAM++ uses."""
    g = example.gradient
    return g, g * g, g * g * g


def smooth_grad_cam_plus_plus(example: Example, sign: int, means: Means) -> Result:
    """Return the usual form with the means of ``g, g^2, g^3`` over noisy images (Omeiza et al. 2019).

    The maps and their sums are those of the image without noise.
    """
    first, second, third = means.mean
    ratio = jnp.where(second == 0, 0, third / jnp.where(second == 0, 1, second))
    return weighted(_usual_weights(sign * first, sign * ratio, example), example.maps)


def _usual_weights(first: Cells, ratio: Cells, example: Example) -> Float[Array, "T K"]:
    """Return ``sum_ij alpha ReLU(g)`` with ``alpha = 1 / (2 + S_k g^3 / g^2)``, 0 where it is undefined.

    Args:
        first: g.
        ratio: ``g^3 / g^2``, which is g itself without noise; the powers of a small or large g leave the range of
            float32.
        example: the example.
    """
    denominator = 2 + map_sums(example.maps) * ratio
    undefined = jnp.abs(denominator) <= SMALLEST
    alpha = jnp.where(undefined, 0, 1 / jnp.where(undefined, 1, denominator))
    return jnp.sum(alpha * jax.nn.relu(first), axis=example.axes)


def authors_grad_cam_plus_plus(example: Example, sign: int) -> Result:
    """Return the form of the authors' program: alpha is divided by its sum over the cells with ``g > 0`` of its map.

    The common factor ``exp(y)`` of the program's derivatives is left out. It overflows for large y, and is the same
    for all cells.
    """
    g = sign * example.gradient
    # g^2 / (2 g^2 + S g^3), whose powers may leave the range of float32; the program divides by 1 instead of 0.
    denominator = 2 + map_sums(example.maps) * g
    alpha = jnp.where(denominator == 0, g * g, 1 / jnp.where(denominator == 0, 1, denominator))
    total = jnp.sum(jnp.where(g > 0, alpha, 0), axis=example.axes, keepdims=True)
    alpha = alpha / jnp.where(total == 0, 1, total)
    return weighted(jnp.sum(alpha * jax.nn.relu(g), axis=example.axes), example.maps)


def exact_grad_cam_plus_plus(example: Example, sign: int) -> Result:
    """Return the form with the true derivatives of y: ``alpha = y2 / (2 y2 + S_k y3)``.

    Where the denominator vanishes, alpha is ``1 / (h w)``, so that a piecewise linear target gives
    ``a_k = mean_ij ReLU(g)``. The share of these cells is reported. Alpha is the same for y and -y.
    """
    alpha, undefined = _exact_alpha(*example.cell_derivatives, example.maps)
    weights = jnp.sum(alpha * jax.nn.relu(sign * example.gradient), axis=example.axes)
    share = jnp.mean(undefined.astype(alpha.dtype), axis=(*example.axes, example.maps.ndim))
    return weighted(weights, example.maps)._replace(fallback=share)


def _exact_alpha(second: Cells, third: Cells, maps: Maps) -> tuple[Cells, Array]:
    curved, skewed = 2 * second, map_sums(maps) * third
    undefined = jnp.abs(curved + skewed) <= SMALLEST * (jnp.abs(curved) + jnp.abs(skewed))
    alpha = second / jnp.where(undefined, 1, curved + skewed)
    return jnp.where(undefined, 1 / maps[..., 0].size, alpha), undefined
