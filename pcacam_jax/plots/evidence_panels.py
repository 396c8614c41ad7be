"""The map of an SVM decision as a sum over training images.

The explained image and its map are on the left, the support vectors and their contributions on the right. The signed
maps have the colours of ``SIGNED_COLOURS`` in :mod:`pcacam_jax.plots.heatmaps`: orange regions raise the score, blue
regions lower it, and black regions have no effect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike

from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import InputError, check_items
from pcacam_jax.plots.heatmaps import image as draw_image
from pcacam_jax.plots.heatmaps import signed_overlay
from pcacam_jax.plots.inputs import as_text, check_count, numbers, positive_number
from pcacam_jax.plots.names import SMALL, readable, write
from pcacam_jax.plots.pairs import LONGEST
from pcacam_jax.plots.sheet import fitted
from pcacam_jax.plots.signed_foot import CELL, foot_height, signed_foot, wrapped_note
from pcacam_jax.plots.words import percentage

NOTE = (
    "The map of the decision (left) is the sum of the maps on the right. Each of them is the contribution of one "
    "support vector, the training image above it. All maps are drawn over the explained image: orange regions raise "
    "the score of the class, blue regions lower it.\n"
    "For, against: similarity to this training image raises, lowers the score. Distance: between the features of the "
    "two images. Influence: norm of the kernel's gradient. Share: norm of this contribution, relative to the sum of "
    "the norms of all contributions."
)
DISTANCE_NOTE = (
    "\nd*: the distance at which a training image has the largest influence. Much closer and much more distant "
    "training images have almost none. Influence: in percent of this largest one."
)


class SupportImages(NamedTuple):
    """The n support vectors with the largest contributions to a decision's map, as training images, largest first."""

    images: Sequence[ArrayLike | None] | None
    """n images, (H, W, 3) uint8, of any sizes; None for images that are not available."""
    names: Sequence[str]
    """The n class names."""
    maps: np.ndarray
    """The signed contributions ``L_i`` to the decision's map, (n, h, w)."""
    shares: np.ndarray
    """``||L_i|| / sum_j ||L_j||``, (n,)."""
    coefficients: np.ndarray
    """``c_i``, (n,): positive where similarity to the training image raises the score of the explained class."""
    distances: np.ndarray
    """``||s_i - v||``, (n,)."""
    influences: np.ndarray
    """``||dk(s_i, v)/dv||``, (n,)."""

    __repr__ = brief_repr


def decision_evidence(
    image: ArrayLike,
    signed: ArrayLike,
    support_images: SupportImages,
    rest: ArrayLike,
    *,
    title: str,
    others: int,
    critical_distance: float | None = None,
    comparison: str = "",
    interpolation: str = "nearest",
    cells: bool = False,
) -> Figure:
    """Return a figure of one decision: its map, the contributions of single training images, and their remaining sum.

    The decision's map and the sum of all other contributions share one colour scale. The single contributions share
    another one. :class:`pcacam_jax.Evidence` holds all the numbers.

    Args:
        image: the explained image, (H, W, 3) uint8.
        signed: the signed map of the decision, (h, w).
        support_images: the training images with the largest contributions.
        rest: the sum of all other contributions, (h, w).
        title: the decision in words.
        others: the number of support vectors that ``rest`` sums over.
        critical_distance: d* of an RBF kernel (Eq. 31). Distances are then written in units of d*, and influences
            relative to the influence at d*.
        comparison: how the value of the decision compares, such as its rank; written below the explained image.
        interpolation: as in :func:`overlay`, as is ``cells``.
        cells: see above.

    Returns:
        The figure.

    Raises:
        InputError: there is no training image, counts or shapes disagree, or a value is not finite.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import plots
        >>> image, one = np.zeros((32, 32, 3), np.uint8), np.ones(1)
        >>> nearest = plots.SupportImages([image], ["cat"], np.ones((1, 4, 4)), one, one, one, one)
        >>> figure = plots.decision_evidence(image, np.ones((4, 4)), nearest, np.zeros((4, 4)), title="cat", others=0)
        >>> len([axes for axes in figure.axes if axes.images])
        5
    """
    signed = numbers("signed", signed, ("h", "w"))
    rest = numbers("rest", rest, signed.shape)
    support_images = _checked(support_images, signed.shape)
    title, comparison = as_text("title", title), as_text("comparison", comparison)
    count = numbers("others", others, (), lowest=0)
    if count % 1:
        raise InputError(f"others must be a whole number; got {count:g}.")
    others = int(count)
    if critical_distance is not None:
        critical_distance = positive_number("critical_distance", critical_distance)
    count = len(support_images.names)
    width, height = CELL * (count + 2.35), 2 * CELL + 1.4
    cell_note = f" Every map has {signed.shape[0]} x {signed.shape[1]} cells."
    note = wrapped_note(NOTE + cell_note + (DISTANCE_NOTE if critical_distance is not None else ""), width)
    heights = [height, foot_height(note)]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    body, foot = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    left, right = body.subfigures(1, 2, squeeze=False, width_ratios=[1.35, count + 1], wspace=0.03)[0]
    whole = float(max(np.abs(signed).max(), np.abs(rest).max()))
    style = {"image": image, "interpolation": interpolation, "cells": cells}
    write(left.suptitle, fitted(readable(title, 120), 1.2 * CELL, SMALL + 2), SMALL + 2, fontweight="bold")
    above, below = left.subplots(2, 1)
    draw_image(above, image)
    compared = [fitted(readable(comparison, LONGEST), 1.3 * CELL, SMALL)] if comparison else []
    write(above.set_xlabel, "\n".join(["explained image", *compared]), SMALL, labelpad=2)
    _map(below, signed, whole, "map of the decision", style)
    _contributions(right, support_images, critical_distance, style)
    corner, last = right.axes[count], right.axes[-1]
    corner.set_axis_off()
    remaining = f"sum of all other\nsupport vectors\n({others:,})" if others else "no other\nsupport vectors"
    corner.text(0.5, 0.5, remaining, transform=corner.transAxes, ha="center", va="center", fontsize=SMALL + 1)
    _map(last, rest, whole, f"share {percentage(max(1 - support_images.shares.sum(), 0))}", style)
    _sign(last, "+")
    signed_foot(foot, note, ("lowers the score", "raises the score"))
    return figure


def _contributions(block: SubFigure, support_images: SupportImages, critical: float | None, style: dict) -> None:
    """Draw the contributions of single training images; the last column is left to the sum of all others."""
    columns = len(support_images.names) + 1
    heading = fitted("support vectors (training images), largest contribution first", 0.9 * CELL * columns, SMALL + 2)
    block.suptitle(heading, fontsize=SMALL + 2, fontweight="bold")
    panels = block.subplots(2, columns, squeeze=False)
    maximum = float(np.abs(support_images.maps).max())
    for n, (above, below) in enumerate(panels.T[:-1]):
        _training_image(above, support_images.images, n)
        write(above.set_title, fitted(readable(support_images.names[n], 40), CELL - 0.1, SMALL + 1), SMALL + 1)
        above.set_xlabel(_in_words(support_images, n, critical), fontsize=SMALL, labelpad=2)
        _map(below, support_images.maps[n], maximum, f"share {percentage(support_images.shares[n])}", style)
        _sign(below, "=" if n == 0 else "+")


def _training_image(axes: Axes, images: Sequence[ArrayLike | None] | None, n: int) -> None:
    stored = None if images is None else images[n]
    if stored is not None:
        draw_image(axes, stored)
        return
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.text(0.5, 0.5, "image not\navailable", transform=axes.transAxes, ha="center", va="center", fontsize=SMALL)


def _in_words(support_images: SupportImages, n: int, critical: float | None) -> str:
    side = "for" if support_images.coefficients[n] > 0 else "against"
    distance, influence = support_images.distances[n], support_images.influences[n]
    if critical is None:
        return f"{side}\ndistance {distance:.3g}\ninfluence {influence:.3g}"
    # The influence at d* is exp(-1/2) / d* (Theorem 2).
    largest = math.exp(-0.5) / critical
    return f"{side}\ndistance {distance / critical:.2f} d*\ninfluence {percentage(influence / largest)}"


def _map(axes: Axes, heatmap: np.ndarray, maximum: float, text: str, style: dict) -> None:
    signed_overlay(axes, heatmap=heatmap, maximum=maximum, **style)
    scale = f"range: ±{maximum:.2g}" if heatmap.any() else "zero or underflowed"
    axes.set_xlabel(f"{text}\n{scale}", fontsize=SMALL, labelpad=2)


def _sign(axes: Axes, sign: str) -> None:
    place = axes.annotate(sign, (0, 0.5), (-9, 0), xycoords="axes fraction", textcoords="offset points")
    place.set(ha="center", va="center", fontsize=SMALL + 4)


def _checked(support_images: SupportImages, shape: tuple[int, ...]) -> SupportImages:
    if not isinstance(support_images, SupportImages):
        raise TypeError(f"support_images must be a SupportImages; got {type(support_images).__name__}.")
    names = [str(name) for name in check_items("support_images.names", support_images.names, "a list of names")]
    images = support_images.images
    images = [None] * len(names) if images is None else check_items("support_images.images", images, "a list of images")
    count = len(images)
    if not count:
        raise InputError("support_images must contain at least one training image; got none.")
    check_count("support_images.names", names, count, "image")
    shares = numbers("support_images.shares", support_images.shares, (count,), lowest=0)
    return SupportImages(
        images,
        names,
        numbers("support_images.maps", support_images.maps, (count, *shape)),
        shares,
        numbers("support_images.coefficients", support_images.coefficients, (count,)),
        numbers("support_images.distances", support_images.distances, (count,), lowest=0),
        numbers("support_images.influences", support_images.influences, (count,), lowest=0),
    )
