"""Eigen-CAM and EigenGrad-CAM: the maps projected on their first right singular vector (Muhammad and Yeasin 2020)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.cam.example import Example
from pcacam_jax.cam.method import Result
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.types import Maps


def eigen_cam(example: Example, sign: int) -> Result:
    """Return the projection of the maps ``A``, (h w, K), on their first right singular vector.

    It has no target: the map is the same for all of them, and its sign is no evidence. The sign is such that the inner
    product with ``sum_k A_k`` is not negative.
    """
    heatmap = first_projection(example.maps, jnp.sum(example.maps, axis=-1))
    return Result(jnp.broadcast_to(heatmap, (len(example.selection.outputs), *heatmap.shape)))


def eigen_grad_cam(example: Example, sign: int) -> Result:
    """Return the projection of ``g * A``, (h w, K), on its first right singular vector, for each target.

    The sign is such that the inner product with ``sum_k g_k * A_k`` is not negative, so that y and -y swap evidence.
    """
    products = sign * example.gradient * example.maps[None]
    return Result(jax.vmap(first_projection)(products, jnp.sum(products, axis=-1)))


def first_projection(maps: Maps, reference: Float[Array, "*space"]) -> Float[Array, "*space"]:
    """Return ``A v_1 = sigma_1 u_1`` of the maps as a matrix, with the sign of its inner product with a reference."""
    # The matrix is scaled, because its squares may underflow or overflow in float32.
    largest = jnp.max(jnp.abs(maps))
    matrix: Array = (maps / jnp.where(largest > 0, largest, 1)).reshape(-1, maps.shape[-1])
    short = matrix.shape[0] <= matrix.shape[1]
    gram = matmul(matrix, matrix.T) if short else matmul(matrix.T, matrix)
    values, vectors = jnp.linalg.eigh(gram)
    vector = vectors[:, -1]
    projected = jnp.sqrt(jnp.maximum(values[-1], 0)) * vector if short else matmul(matrix, vector)
    signed = jnp.where(jnp.sum(projected * reference.reshape(-1)) < 0, -projected, projected)
    return (largest * signed).reshape(reference.shape)
