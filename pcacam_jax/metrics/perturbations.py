"""Infidelity of a heatmap under random masks, and its sensitivity to noise (Yeh et al. 2019)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError, check_flag
from pcacam_jax.core.text import shown
from pcacam_jax.core.types import Scalar
from pcacam_jax.metrics.faithfulness import BATCH_SIZE
from pcacam_jax.metrics.masks import (
    Heatmap,
    Value,
    check_count,
    check_fraction,
    check_space,
    float_array,
    heatmap_array,
    in_batches,
    mask_array,
    values_of,
)


def random_masks(
    key: Array, space: tuple[int, ...], *, samples: int = 100, share: float = 0.2
) -> Float[Array, "n *space"]:
    """Return masks that remove every cell independently with the same probability.

    Args:
        key: a key of ``jax.random``.
        space: the shape of the map, one to three sizes.
        samples: the number of masks.
        share: the probability that a cell is removed, in 0..1.

    Returns:
        The masks, ``(samples, *space)``: 1 for kept cells, 0 for removed ones.

    Raises:
        InputError: an argument is not valid.

    Example:
        >>> import jax
        >>> from pcacam_jax.metrics import random_masks
        >>> random_masks(jax.random.key(0), (14, 14)).shape
        (100, 14, 14)
    """
    shape = (check_count("samples", samples), *check_space(space))
    return jax.random.bernoulli(key, 1 - check_fraction("share", share), shape).astype(float)


def infidelity(
    value: Value,
    heatmap: Heatmap,
    masks: Float[Array, "n *space"],
    *,
    scaled: bool = False,
    batch_size: int = BATCH_SIZE,
) -> Scalar:
    """Return the mean squared error of the change of the target that a heatmap predicts for random masks.

    The perturbation is the removed part of every cell, ``I = 1 - mask``::

        infidelity = mean over masks of  (beta sum_ij I_ij L_ij - (y(1) - y(mask)))^2

    ``beta`` is 1, so the map must have the scale of contributions: ``L_ij`` is the change of y if cell ij is removed,
    as for HiResCAM with a baseline of zero. With ``scaled=True``, ``beta`` is the factor that minimises the error,
    ``sum(P D) / sum(P^2)`` for predictions P and changes D, and the scale of the map does not matter. It may be
    negative, so the scaled infidelity is the same for L and ``-L``.

    Args:
        value: the target as a function of a mask, ``(*space)`` -> ().
        heatmap: the signed heatmap, ``(*space)``.
        masks: the masks, ``(n, *space)``, such as those of :func:`random_masks`. Use the same for maps to be compared.
        scaled: whether the map is multiplied by the best factor.
        batch_size: the number of masks that are evaluated together.

    Returns:
        The infidelity, (), in the squared unit of the target; 0 is best. For a map of zeros it is the mean of
        ``(y(1) - y(mask))^2``.

    Raises:
        InputError: the heatmap is not valid, the masks have another shape, or ``value`` returns no scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import infidelity
        >>> effects, masks = jnp.array([1.0, -2.0, 4.0]), jnp.array([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
        >>> float(infidelity(lambda mask: mask @ effects, effects, masks))
        0.0
        >>> float(infidelity(lambda mask: mask @ effects, 0 * effects, masks))
        1.0
    """
    heatmap = heatmap_array(heatmap)
    masks = mask_array(masks, heatmap.dtype)
    if masks.shape[1:] != heatmap.shape or not len(masks):
        raise InputError(
            f"masks must have the shape (n, {', '.join(map(str, heatmap.shape))}), with the size of the heatmap; got "
            f"{masks.shape}; use random_masks."
        )
    values = values_of(value, len(masks) + 1, lambda i: jnp.where(i == 0, 1, masks[i - 1]), batch_size)
    changes = values[0] - values[1:]
    predicted = jnp.sum((1 - masks) * heatmap, axis=tuple(range(1, masks.ndim)))
    if check_flag("scaled", scaled):
        largest = jnp.max(jnp.abs(predicted))
        predicted = predicted / jnp.where(largest > 0, largest, 1)  # so that no square underflows
        squares = jnp.sum(predicted**2)
        predicted = predicted * jnp.sum(predicted * changes) / jnp.where(squares > 0, squares, 1)
    return jnp.mean((predicted - changes) ** 2)


def max_sensitivity(
    heatmap_of: Callable[[Array], Heatmap], noise: Float[Array, "n ..."], *, batch_size: int = BATCH_SIZE
) -> Scalar:
    """Return the largest relative change of a map under noise: ``max_i ||L(noise_i) - L(0)|| / ||L(0)||``.

    The definition of Yeh et al. takes noise of at most a radius r in each input value, for example
    ``jax.random.uniform(key, (n, *image.shape), minval=-r, maxval=r)``.

    Args:
        heatmap_of: the heatmap as a function of the noise that is added to the input, for example
            ``lambda noise: signed_map(image + noise)``.
        noise: the samples of the noise, (n, ...).
        batch_size: the number of samples that are evaluated together.

    Returns:
        The sensitivity, (), in the Frobenius norm; 0 if the map never changes, and infinite if a map of zeros changes.

    Raises:
        InputError: there is no noise, or ``heatmap_of`` returns no map.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import max_sensitivity
        >>> round(float(max_sensitivity(lambda noise: jnp.array([3.0, 4.0]) + noise, jnp.array([[0.0, 1.0]]))), 3)
        0.2
    """
    noise = float_array("noise", noise)
    if noise.ndim < 1 or not len(noise):
        raise InputError(f"noise must hold at least one sample, (n, ...); got the shape {noise.shape}.")
    if not callable(heatmap_of):
        raise InputError(f"heatmap_of must be a function that returns a map for noise; got {shown(heatmap_of)}.")
    samples = jnp.concatenate([jnp.zeros_like(noise[:1]), noise])
    maps = in_batches(lambda sample: heatmap_array(heatmap_of(sample)), samples, batch_size)
    maps = maps.reshape(len(maps), -1)
    largest = jnp.max(jnp.abs(maps[0]))
    maps = maps / jnp.where(largest > 0, largest, 1)  # so that no square underflows
    changes = jnp.linalg.norm(maps[1:] - maps[0], axis=1)
    size = jnp.linalg.norm(maps[0])
    return jnp.max(jnp.where(changes > 0, changes / size, 0))
