"""How far an example lies from the training examples: from the subspace of a PCA, and in its features."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.types import Maps, Vector
from pcacam_jax.head.hybrid import HybridHead
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


FLOOR = 0.1
"""Added to every variance, as a multiple of their mean, so that nearly constant features count less."""


class FeatureStatistics(NamedTuple):
    """The features of the training examples, see :func:`mean_features`."""

    mean: Float[np.ndarray, " K"]
    """Their mean."""
    scale: Float[np.ndarray, " K"]
    """Their standard deviations, with :data:`FLOOR`."""
    distance: Float[np.ndarray, " N"]
    """The distance of every training example."""

    def of(self, features: Float[np.ndarray, "B K"]) -> Float[np.ndarray, " B"]:
        """Return the root mean square of the standardised features."""
        return np.sqrt((((np.asarray(features, np.float64) - self.mean) / self.scale) ** 2).mean(axis=1))


def mean_features(head: HybridHead, maps: Maps) -> Float[Array, " K"]:
    """Return the mean of each map over its positions, behind a max-pool of the head."""
    for pool in head.spatial.stages[:-1]:
        maps = pool(maps)
    return jnp.mean(maps, axis=tuple(range(maps.ndim - 1)))


def feature_statistics(features: Float[np.ndarray, "N K"]) -> FeatureStatistics:
    """Return the statistics of the training examples' features.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.cam.distance import feature_statistics
        >>> statistics = feature_statistics(np.array([[0.0, 5.0], [2.0, 5.0]]))
        >>> [round(float(d), 2) for d in statistics.of(np.array([[1.0, 5.0], [9.0, 5.0]]))]
        [0.0, 5.52]
    """
    features = np.asarray(features, np.float64)
    variance = features.var(axis=0)
    scale = np.sqrt(variance + FLOOR * (variance.mean() or 1))
    statistics = FeatureStatistics(features.mean(axis=0), scale, np.zeros(0))
    return statistics._replace(distance=statistics.of(features))
