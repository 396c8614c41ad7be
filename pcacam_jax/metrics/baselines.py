"""Maps that know nothing of the target, and scores beside those of such maps.

A score of a heatmap means something only in comparison. A random map shows what chance gives. A Gaussian in the centre
shows what the habit of photographers gives: the object is often in the middle.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.text import shown
from pcacam_jax.metrics.masks import Heatmap, check_count, check_positive, check_space, heatmap_array


class BesideBaselines(NamedTuple):
    """A score of a heatmap and the same score of maps that know nothing of the target; each is ``()`` or a pytree."""

    score: Any
    """Score of the heatmap."""
    random: Any
    """Score of random maps, the mean over the seeds."""
    centre: Any
    """Score of a centred Gaussian."""


def random_map(key: Array, space: tuple[int, ...]) -> Heatmap:
    """Return a map of independent standard normal values.

    Args:
        key: a key of ``jax.random``.
        space: the shape of the map, one to three sizes.

    Returns:
        The map, ``(*space)``.

    Raises:
        InputError: the shape is not valid.

    Example:
        >>> import jax
        >>> from pcacam_jax.metrics import random_map
        >>> random_map(jax.random.key(0), (14, 14)).shape
        (14, 14)
    """
    return jax.random.normal(key, check_space(space))


def centred_gaussian(space: tuple[int, ...], *, width: float = 0.25) -> Heatmap:
    """Return a Gaussian in the centre of the map: ``exp(-1/2 sum_d ((i_d - c_d) / (width n_d))^2)``.

    Args:
        space: the shape ``(n_1, ...)`` of the map, one to three sizes; the centre is ``c_d = (n_d - 1) / 2``.
        width: the standard deviation as a fraction of each size, above 0.

    Returns:
        The map, ``(*space)``, with values in 0..1.

    Raises:
        InputError: the shape or the width is not valid.

    Example:
        >>> from pcacam_jax.metrics import centred_gaussian
        >>> [round(value, 3) for value in centred_gaussian((3,), width=1 / 3).tolist()]
        [0.607, 1.0, 0.607]
    """
    space, width = check_space(space), check_positive("width", width)
    result = jnp.ones(space)
    for axis, size in enumerate(space):
        steps = (jnp.arange(size) - (size - 1) / 2) / (width * size)
        result = result * jnp.expand_dims(jnp.exp(-steps * steps / 2), [d for d in range(len(space)) if d != axis])
    return result


def beside_baselines(
    score: Callable[[Heatmap], Any], heatmap: Heatmap, key: Array, *, seeds: int = 5, width: float = 0.25
) -> BesideBaselines:
    """Return a score of a heatmap beside its values for random maps and for a centred Gaussian on the same example.

    Args:
        score: a metric as a function of the heatmap, ``(*space)`` -> scalar, or a pytree of scalars.
        heatmap: the heatmap, ``(*space)``.
        key: a key of ``jax.random`` for the random maps.
        seeds: the number of random maps; the same key gives the same maps.
        width: the width of the Gaussian, as for :func:`centred_gaussian`.

    Returns:
        The scores. That of the random maps is the mean over the seeds.

    Raises:
        InputError: the heatmap, the number of seeds or the width is not valid, or ``score`` is no function.

    Example:
        >>> import jax, numpy as np
        >>> from pcacam_jax.metrics import beside_baselines, mass_inside
        >>> corner = np.zeros((8, 8))
        >>> corner[0, 0] = 1
        >>> mass = lambda heatmap: mass_inside(heatmap, corner)
        >>> scores = jax.jit(lambda heatmap: beside_baselines(mass, heatmap, jax.random.key(0)))(corner)
        >>> float(scores.score), bool(scores.random < 0.1), bool(scores.centre < 0.1)
        (1.0, True, True)
    """
    heatmap = heatmap_array(heatmap)
    if not callable(score):
        raise InputError(f"score must be a function of a heatmap; got {shown(score)}.")
    keys = jax.random.split(key, check_count("seeds", seeds))

    def score_of_seed(key):
        return score(random_map(key, heatmap.shape).astype(heatmap.dtype))

    random = jax.tree.map(lambda values: jnp.mean(values, axis=0), jax.lax.map(score_of_seed, keys))
    centre = centred_gaussian(heatmap.shape, width=width).astype(heatmap.dtype)
    return BesideBaselines(score(heatmap), random, score(centre))
