"""Localisation: whether the positive evidence of a heatmap lies where the object is known to be.

Both metrics read the positive values of a map only. A map without positive values points nowhere and gets 0.
"""

from typing import Any

import jax.numpy as jnp

from pcacam_jax.core.types import Scalar
from pcacam_jax.metrics.masks import Heatmap, Mask, check_same_shape, heatmap_array, mask_array


def pointing_game(heatmap: Heatmap, mask: Mask | Any) -> Scalar:
    """Return whether the maximum of a heatmap lies inside a mask (Zhang et al. 2018).

    If several cells have the maximal value, the result is the share of them that lies inside. A constant positive map
    therefore gets the share of the cells that the mask covers.

    Args:
        heatmap: the heatmap, ``(*space)``; ``-L`` or the negative part for negative evidence.
        mask: where the object is, ``(*space)``, booleans or numbers in 0..1.

    Returns:
        A number in 0..1, (); 0 for a map without positive values.

    Raises:
        InputError: the heatmap is not valid, or the mask has another shape or values outside 0..1.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.metrics import pointing_game
        >>> float(pointing_game(np.array([[0.0, 3.0], [1.0, -5.0]]), np.array([[False, True], [False, False]])))
        1.0
    """
    heatmap, mask = _checked(heatmap, mask)
    largest = jnp.max(heatmap)
    highest = (heatmap == largest).astype(heatmap.dtype)
    return jnp.where(largest > 0, jnp.sum(highest * mask) / jnp.sum(highest), 0)


def mass_inside(heatmap: Heatmap, mask: Mask | Any) -> Scalar:
    """Return the share of the positive values of a heatmap inside a mask: ``sum(mask ReLU(L)) / sum(ReLU(L))``.

    Args:
        heatmap: the heatmap, ``(*space)``; ``-L`` or the negative part for negative evidence.
        mask: where the object is, ``(*space)``, booleans or numbers in 0..1.

    Returns:
        A number in 0..1, (); 0 for a map without positive values. A constant positive map gets the share of the cells
        that the mask covers.

    Raises:
        InputError: the heatmap is not valid, or the mask has another shape or values outside 0..1.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.metrics import mass_inside
        >>> float(mass_inside(np.array([[0.0, 3.0], [1.0, -5.0]]), np.array([[0, 1], [0, 1]])))
        0.75
    """
    heatmap, mask = _checked(heatmap, mask)
    largest = jnp.max(heatmap)
    evidence = jnp.maximum(heatmap, 0) / jnp.where(largest > 0, largest, 1)  # so that the sum does not overflow
    total = jnp.sum(evidence)
    return jnp.sum(evidence * mask) / jnp.where(total > 0, total, 1)


def _checked(heatmap: Any, mask: Any) -> tuple[Heatmap, Mask]:
    heatmap = heatmap_array(heatmap)
    mask = mask_array(mask, heatmap.dtype)
    check_same_shape("mask", mask.shape, "heatmap", heatmap.shape)
    return heatmap, mask
