"""Complexity of a heatmap: on how few cells it concentrates."""

import jax.numpy as jnp

from pcacam_jax.core.types import Scalar
from pcacam_jax.metrics.masks import Heatmap, heatmap_array


def sparseness(heatmap: Heatmap) -> Scalar:
    """Return the Gini index of the magnitudes of a heatmap (Chalasani et al. 2020).

    With the magnitudes ``|L|`` of the n cells in ascending order::

        G = sum_i (2 i - n - 1) |L|_(i) / (n sum_i |L|_(i)),   i = 1, ..., n

    Args:
        heatmap: the heatmap, ``(*space)``.

    Returns:
        The index, (): 0 if all magnitudes are equal, also if all are zero, and ``1 - 1 / n`` if one cell holds all.

    Raises:
        InputError: the heatmap is not valid.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import sparseness
        >>> float(sparseness(jnp.array([0.0, -4.0, 0.0, 0.0]))), float(sparseness(jnp.ones(4)))
        (0.75, 0.0)
    """
    magnitudes = jnp.sort(jnp.abs(heatmap_array(heatmap)).reshape(-1))
    largest, size = magnitudes[-1], magnitudes.size
    magnitudes = magnitudes / jnp.where(largest > 0, largest, 1)  # so that the sum does not overflow
    total = jnp.sum(magnitudes)
    weights = 2 * jnp.arange(1, size + 1) - size - 1
    return jnp.sum(weights * magnitudes) / (size * jnp.where(total > 0, total, 1))
