"""The methods that weight the maps by the gradient: Grad-CAM, CAM, XGrad-CAM, HiResCAM and LayerCAM (Eq. 8-11, 14)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.cam.example import Example
from pcacam_jax.cam.method import Result
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Maps
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import Target
from pcacam_jax.stages.flatten import GlobalAverage
from pcacam_jax.stages.linearity import is_affine

SMALLEST_SUM = 1e-6
"""A sum over positions counts as zero if it is smaller than this times the sum of magnitudes."""


def grad_cam(example: Example, sign: int) -> Result:
    """Return ``L = sum_k a_k A_k`` with ``a_k = mean_ij g`` (Eq. 8-11, 14; Selvaraju et al. 2017)."""
    return weighted(sign * example.pooled_gradient, example.maps)


def class_activation_map(example: Example, sign: int) -> Result:
    """Return ``L = sum_k a_k A_k``, where ``a_k`` is the weight of the mean of map k in y (Zhou et al. 2016).

    It is ``h w`` times the map of Grad-CAM.
    """
    return weighted(sign * example.positions * example.pooled_gradient, example.maps)


def check_averaged(head: HybridHead, targets: tuple[Target, ...]) -> None:
    """Check that the targets are affine functions of the means of the maps.

    Raises:
        InputError: there is no global average, or a target is not affine in it.
    """
    if not isinstance(head.spatial.stages[-1], GlobalAverage):
        raise InputError(
            "method 'cam' needs a head that begins with a global average (pool='average'); this one flattens the maps, "
            "so use 'gradcam'."
        )
    for target in targets:
        if not is_affine(head.dense) or not is_affine(head.path(target.output)):
            raise InputError(
                f"method 'cam' needs a target that is an affine function of the means of the maps; {target.name} is "
                f"not, so use 'gradcam'."
            )


def xgrad_cam(example: Example, sign: int) -> Result:
    """Return ``L = sum_k a_k A_k`` with ``a_k = sum_ij g A / S_k``, or 0 where ``S_k`` is about 0 (Fu et al. 2020)."""
    products = jnp.sum(example.gradient * example.maps[None], axis=example.axes)
    return weighted(sign * per_map(products, example.maps), example.maps)


def hires_cam(example: Example, sign: int) -> Result:
    """Return ``L = sum_k g_k * A_k`` (Draelos and Carin 2020)."""
    return Result(sign * jnp.sum(example.gradient * example.maps[None], axis=-1))


def layer_cam(example: Example, sign: int) -> Result:
    """Return ``L = sum_k ReLU(g_k) * A_k`` (Jiang et al. 2021)."""
    return Result(jnp.sum(jax.nn.relu(sign * example.gradient) * example.maps[None], axis=-1))


def weighted(weights: Float[Array, "T K"], maps: Maps) -> Result:
    """Return ``L = sum_k a_k A_k`` with its weights."""
    return Result(weighted_sum(weights, maps), weights)


def weighted_sum(weights: Float[Array, "T K"], maps: Maps) -> Float[Array, "T *space"]:
    """Return ``sum_k a_k A_k``: ``(T, K)`` weights and ``(*space, K)`` maps -> ``(T, *space)``."""
    return jnp.einsum("tk,...k->t...", weights, maps, precision=jax.lax.Precision.HIGHEST)


def map_sums(maps: Maps) -> Float[Array, " K"]:
    """Return ``S_k = sum_ij A_ijk``."""
    return jnp.sum(maps, axis=tuple(range(maps.ndim - 1)))


def per_map(values: Float[Array, "T K"], maps: Maps) -> Float[Array, "T K"]:
    """Return ``values / S_k``, or 0 where ``S_k`` is about 0."""
    sums = map_sums(maps)
    vanishes = jnp.abs(sums) <= SMALLEST_SUM * map_sums(jnp.abs(maps))
    return jnp.where(vanishes, 0, values / jnp.where(vanishes, 1, sums))
