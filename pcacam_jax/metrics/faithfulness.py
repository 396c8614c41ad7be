"""Faithfulness of a heatmap: how a target changes if the cells that the map marks are removed or kept.

All functions take one example and one heatmap ``L`` ``(*space)`` of one to three axes. The target ``y`` is a real
number, for example a logit, a component or the decision value of an SVM, and may be negative. It is given as a function
``y(mask)``. The mask ``(*space)`` says how much of each cell is kept, from 1 (kept) to 0 (replaced by a baseline). The
cells may be positions of feature maps, with the head as the function, or pixels, with the backbone and the head.

Positive evidence raises the target, and negative evidence lowers it. Both are scored by the same functions:

- Positive evidence: use the signed map or its positive part. Removing the cells with the highest values must lower y.
- Negative evidence: use ``-L`` or the negative part. Removing the cells with the highest values must raise y. Use the
  functions with ``-y`` to obtain scores of the same sign as for positive evidence.

Cells of equal value are ordered by their index, so all results are deterministic. NaN in a traced map is ordered last.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Scalar
from pcacam_jax.metrics.masks import (
    Heatmap,
    Mask,
    Value,
    cell_counts,
    cell_ranks,
    check_count,
    check_positive,
    float_array,
    heatmap_array,
    values_of,
)

Curve = Float[Array, " n"]

FRACTIONS = (0.05, 0.1, 0.2)
"""The fractions of the cells that :func:`drop` removes."""
STEPS = 20
"""The number of steps of a curve, if the map has as many cells."""
BATCH_SIZE = 16
"""The number of masks that are evaluated together."""


class SignedDrop(NamedTuple):
    """The drops of a target for both signs of a heatmap."""

    positive: Scalar
    """Drop after removing the most positive cells; above 0 for a faithful map."""
    negative: Scalar
    """Drop after removing the most negative cells; below 0 for a faithful map."""


def deletion_curve(value: Value, heatmap: Heatmap, *, steps: int | None = None, batch_size: int = BATCH_SIZE) -> Curve:
    """Return the target after removing the first 0, 1/steps, ..., 1 of the cells in descending order of the heatmap.

    The number of removed cells is rounded to the nearest integer. For a constant map, a map of zeros among them, the
    order is that of the indices.

    Args:
        value: the target as a function of a mask, ``(*space)`` -> ().
        heatmap: the heatmap, ``(*space)``.
        steps: the number of steps, at most the number of cells; by default 20, or the number of cells if that is less.
        batch_size: the number of masks that are evaluated together.

    Returns:
        The values, (steps + 1,), from the target with all cells to the target of the baseline.

    Raises:
        InputError: the heatmap or the number of steps is not valid, or ``value`` returns no scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import deletion_curve
        >>> deletion_curve(lambda mask: mask @ jnp.array([1.0, -2.0, 4.0]), jnp.array([1.0, -2.0, 4.0])).tolist()
        [3.0, -1.0, -2.0, 0.0]
    """
    heatmap, counts = _checked_steps(heatmap, steps)
    ranks = cell_ranks(heatmap)
    return values_of(value, len(counts), lambda i: (ranks >= counts[i]).astype(heatmap.dtype), batch_size)


def insertion_curve(value: Value, heatmap: Heatmap, *, steps: int | None = None, batch_size: int = BATCH_SIZE) -> Curve:
    """Return the target if only the first 0, 1/steps, ..., 1 of the cells in descending order of the heatmap are kept.

    Args:
        value: the target as a function of a mask, ``(*space)`` -> ().
        heatmap: the heatmap, ``(*space)``.
        steps: the number of steps, as for :func:`deletion_curve`.
        batch_size: the number of masks that are evaluated together.

    Returns:
        The values, (steps + 1,), from the target of the baseline to the target with all cells.

    Raises:
        InputError: the heatmap or the number of steps is not valid, or ``value`` returns no scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import insertion_curve
        >>> insertion_curve(lambda mask: mask @ jnp.array([1.0, -2.0, 4.0]), jnp.array([1.0, -2.0, 4.0])).tolist()
        [0.0, 4.0, 5.0, 3.0]
    """
    heatmap, counts = _checked_steps(heatmap, steps)
    ranks = cell_ranks(heatmap)
    return values_of(value, len(counts), lambda i: (ranks < counts[i]).astype(heatmap.dtype), batch_size)


def area(curve: Curve) -> Scalar:
    """Return the area between a curve and its first value, by the trapezoidal rule: the integral of ``c(t) - c(0)``.

    The fraction ``t`` of the cells goes from 0 to 1 in equal steps. The area has the unit of the target. Its sign has a
    meaning for targets of any sign: deleting positive evidence first makes it negative, inserting it first makes it
    positive.

    Args:
        curve: the values of :func:`deletion_curve` or :func:`insertion_curve`, (steps + 1,).

    Returns:
        The area, ().

    Raises:
        InputError: the curve does not have one axis with at least two values.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import area
        >>> float(area(jnp.array([3.0, -1.0, -1.0])))
        -3.0
    """
    curve = float_array("curve", curve)
    if curve.ndim != 1 or len(curve) < 2:
        raise InputError(f"curve must be one curve of at least two values; got the shape {curve.shape}; use jax.vmap.")
    heights = curve - curve[0]
    return jnp.mean((heights[1:] + heights[:-1]) / 2)


def drop(value: Value, heatmap: Heatmap, *, fractions: Any = FRACTIONS, batch_size: int = BATCH_SIZE) -> Scalar:
    """Return the drop of the target after removing the most positive cells, the mean over several fractions.

    ::

        drop = mean over fractions p of  y(all cells) - y(without the p n most positive of the n cells)

    Only cells whose value in the map is above 0 are removed, even if they are fewer than ``p n``: the other cells are
    no positive evidence. The drop is therefore 0 for a map of zeros and for a map without positive values. The number
    ``p n`` is rounded to the nearest integer, but is at least 1 for ``p > 0``.

    Args:
        value: the target as a function of a mask, ``(*space)`` -> ().
        heatmap: the heatmap, ``(*space)``; ``-L`` or the negative part to remove the most negative cells.
        fractions: the fractions p of all cells, each in 0..1.
        batch_size: the number of masks that are evaluated together.

    Returns:
        The drop, (), in the unit of the target. It is above 0 if the map's positive evidence raises the target, and
        below 0 for faithful negative evidence.

    Raises:
        InputError: the heatmap or a fraction is not valid, or ``value`` returns no scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import drop
        >>> effects = jnp.array([1.0, -2.0, 4.0])
        >>> float(drop(lambda mask: mask @ effects, effects)), float(drop(lambda mask: mask @ effects, -effects))
        (4.0, -2.0)
    """
    heatmap = heatmap_array(heatmap)
    counts = jnp.asarray([0, *cell_counts(fractions, heatmap.size)])
    ranks = cell_ranks(heatmap)

    def kept(i):
        return ((ranks >= counts[i]) | (heatmap <= 0)).astype(heatmap.dtype)

    values = values_of(value, len(counts), kept, batch_size)
    return jnp.mean(values[0] - values[1:])


def signed_drop(
    value: Value, heatmap: Heatmap, *, fractions: Any = FRACTIONS, batch_size: int = BATCH_SIZE
) -> SignedDrop:
    """Return the drop after removing the most positive cells, and that after removing the most negative cells.

    Args:
        value: the target as a function of a mask, ``(*space)`` -> ().
        heatmap: the signed heatmap, ``(*space)``.
        fractions: the fractions of all cells, each in 0..1.
        batch_size: the number of masks that are evaluated together.

    Returns:
        ``drop(value, heatmap)`` and ``drop(value, -heatmap)``.

    Raises:
        InputError: the heatmap or a fraction is not valid, or ``value`` returns no scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import signed_drop
        >>> effects = jnp.array([1.0, -2.0, 4.0])
        >>> [float(each) for each in signed_drop(lambda mask: mask @ effects, effects)]
        [4.0, -2.0]
    """
    heatmap = heatmap_array(heatmap)
    options = {"fractions": fractions, "batch_size": batch_size}
    return SignedDrop(drop(value, heatmap, **options), drop(value, -heatmap, **options))


def average_drop(value: Value, heatmap: Heatmap, *, spread: float | Scalar = 1.0) -> Scalar:
    """Return how much the target falls if only the map's evidence is kept: ``max(0, y(1) - y(m)) / spread``.

    The mask is the normalised map, ``m = ReLU(L) / max ReLU(L)``, and ``m = 0`` for a map without positive values. For
    probabilities the fall is usually divided by ``y(1)``. A signed target may be negative or near 0, so it is divided
    by a given spread here, for example the standard deviation of the target among the training images. The average
    over images is the mean of the results.

    Args:
        value: the target as a function of a mask, ``(*space)`` -> ().
        heatmap: the heatmap, ``(*space)``; for negative evidence use the negative part and ``-y``.
        spread: what the fall is divided by, in the unit of the target, above 0.

    Returns:
        The drop, (), at least 0; low for a faithful map.

    Raises:
        InputError: the heatmap or the spread is not valid, or ``value`` returns no scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import average_drop
        >>> float(average_drop(lambda mask: mask @ jnp.array([4.0, 2.0]), jnp.array([3.0, 0.0]), spread=4.0))
        0.5
    """
    complete, evidence = _with_evidence(value, heatmap)
    return jnp.maximum(complete - evidence, 0) / check_positive("spread", spread)


def average_increase(value: Value, heatmap: Heatmap) -> Scalar:
    """Return 1 if keeping only the map's evidence raises the target, ``y(m) > y(1)``, and 0 otherwise.

    The mask ``m`` is that of :func:`average_drop`. The average over images is the mean of the results.

    Args:
        value: the target as a function of a mask, ``(*space)`` -> ().
        heatmap: the heatmap, ``(*space)``; for negative evidence use the negative part and ``-y``.

    Returns:
        0 or 1, ().

    Raises:
        InputError: the heatmap is not valid, or ``value`` returns no scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax.metrics import average_increase
        >>> float(average_increase(lambda mask: mask @ jnp.array([4.0, -2.0]), jnp.array([3.0, 0.0])))
        1.0
    """
    complete, evidence = _with_evidence(value, heatmap)
    return (evidence > complete).astype(complete.dtype)


def _checked_steps(heatmap: Any, steps: int | None) -> tuple[Heatmap, Array]:
    """Return the checked heatmap and the number of cells after each step."""
    heatmap = heatmap_array(heatmap)
    steps = min(STEPS, heatmap.size) if steps is None else check_count("steps", steps, heatmap.size)
    return heatmap, jnp.asarray([(2 * i * heatmap.size + steps) // (2 * steps) for i in range(steps + 1)])


def _with_evidence(value: Value, heatmap: Any) -> tuple[Scalar, Scalar]:
    """Return the target with all cells, and with the cells weighted by the normalised positive part of the map."""
    heatmap = jnp.maximum(heatmap_array(heatmap), 0)
    largest = jnp.max(heatmap)
    evidence: Mask = heatmap / jnp.where(largest > 0, largest, 1)
    values = values_of(value, 2, lambda i: jnp.where(i == 0, 1, evidence), 2)
    return values[0], values[1]
