"""How far an example lies from the subspace of a PCA."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.types import Vector
from pcacam_jax.stages.affine import Affine


def reconstruction_error(pca: Any, x_m: Vector) -> Float[Array, ""] | None:
    """Return ``||x_m - mu - P P^T (x_m - mu)||``, the distance of ``x_m`` from the subspace of the components.

    Args:
        pca: the reducer of a head.
        x_m: its input.

    Returns:
        The distance, in the unit of ``x_m``; None for another reducer than a PCA, and for as many components as
        inputs, where it is zero but for rounding.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Affine
        >>> from pcacam_jax.cam.distance import reconstruction_error
        >>> pca = Affine(matrix=jnp.array([[1.0, 0.0]]), center=jnp.zeros(2), offset=jnp.zeros(1))
        >>> float(reconstruction_error(pca, jnp.array([3.0, -4.0])))
        4.0
    """
    if not isinstance(pca, Affine) or pca.matrix.shape[0] >= pca.matrix.shape[1]:
        return None
    # The rows are orthogonal; whitening gives them other lengths than 1.
    rows = pca.matrix / jnp.linalg.norm(pca.matrix, axis=1, keepdims=True)
    centred = x_m - pca.center
    residual = centred - matmul(matmul(rows, centred), rows)
    return jnp.sqrt(jnp.sum(residual * residual))
