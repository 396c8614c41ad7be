"""One card per principal component: the images with its largest and smallest values, and their signed maps.

The signed maps have the colours of ``SIGNED_COLOURS`` in :mod:`pcacam_jax.plots.heatmaps`: orange regions raise the
component, blue regions lower it, and black regions have no effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike

from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import InputError, check_flag, check_items
from pcacam_jax.core.explanation import component_names
from pcacam_jax.core.text import shown
from pcacam_jax.plots.heatmaps import image as draw_image
from pcacam_jax.plots.heatmaps import signed_overlay, unknown
from pcacam_jax.plots.inputs import check_count, numbers
from pcacam_jax.plots.names import SMALL, readable, write
from pcacam_jax.plots.pairs import flags_of, negligible
from pcacam_jax.plots.sheet import fitted
from pcacam_jax.plots.signed_foot import CELL, foot_height, signed_foot, wrapped_note
from pcacam_jax.plots.words import percentage

NOTE = (
    "Below each image: the value of the component for this image, and its map. Orange regions raise the value, blue "
    "regions lower it, black regions have no effect.\nThe range of the colours is written below each map. The effects "
    "are local: an image with a large value can contain regions that lower it."
)
FAINT_NOTE = "\nFaint maps: the component has a negligible share of the variance."
BOLD, FAINT = 0.7, 0.25
"""Opacity of the maps, and of those of components with a negligible share of the variance."""


class Side(NamedTuple):
    """The n images at one end of a component, the most extreme value first."""

    images: Sequence[ArrayLike]
    """n images, (H, W, 3) uint8."""
    names: Sequence[str]
    """The n class names."""
    values: np.ndarray
    """The values ``v_r``, (n,)."""
    maps: np.ndarray
    """The signed maps ``L_r`` (Eq. 10), (n, h, w)."""
    vanished: ArrayLike | None = None
    """``Explanation.vanished`` of these maps, (n,); None if the flags are not known."""

    __repr__ = brief_repr


def component_cards(
    cards: Sequence[tuple[Side, Side]],
    ratios: ArrayLike,
    *,
    shared_scale: bool = False,
    interpolation: str = "nearest",
    cells: bool = False,
) -> Figure:
    """Return a figure with one card per component: the largest values on the left, the smallest on the right.

    Args:
        cards: D pairs (largest values, smallest values), with n images in every :class:`Side`.
        ratios: (D,), the share of variance that each component explains. Components with less than 1 % and less
            than a tenth of the largest share are drawn faintly.
        shared_scale: whether all maps of the figure share one colour scale.
        interpolation: as in :func:`overlay`, as is ``cells``.
        cells: see above.

    Returns:
        The figure.

    Raises:
        InputError: there is no card, the sides are empty or of different lengths, or shapes disagree.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import plots
        >>> image = np.zeros((32, 32, 3), np.uint8)
        >>> high = plots.Side([image], ["cat"], np.array([2.5]), np.ones((1, 4, 4)))
        >>> low = plots.Side([image], ["dog"], np.array([-1.5]), -np.ones((1, 4, 4)))
        >>> figure = plots.component_cards([(high, low)], [0.6])
        >>> len([axes for axes in figure.axes if axes.images])
        4
    """
    ratios = numbers("ratios", ratios, ("D",), lowest=0)
    checked = _checked_cards(cards, len(ratios))
    shared_scale, count = check_flag("shared_scale", shared_scale), len(checked[0][0].images)
    width = CELL * (2 * count + 0.3)
    small = [negligible(ratio, ratios.tolist()) for ratio in ratios]
    height, across = checked[0][0].maps.shape[1:]
    note = wrapped_note(f"{NOTE} Every map has {height} x {across} cells.{FAINT_NOTE * any(small)}", width)
    heights = [2 * CELL + 0.95] * len(cards) + [foot_height(note)]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    *blocks, foot = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    largest = max(float(np.abs(side.maps).max()) for card in checked for side in card) if shared_scale else None
    style = {"interpolation": interpolation, "cells": cells}
    for name, block, card, ratio, faint in zip(
        component_names(len(ratios)), blocks, checked, ratios, small, strict=True
    ):
        heading = fitted(f"{name} ({percentage(ratio)} of the variance)", 0.85 * width, SMALL + 4)
        block.suptitle(heading, fontsize=SMALL + 4, fontweight="bold")
        for half, side, end in zip(block.subfigures(1, 2, wspace=0.04), card, ("largest", "smallest"), strict=True):
            half.suptitle(fitted(f"{end} values of {name}", CELL * count, SMALL + 2), fontsize=SMALL + 2)
            _side(half, side, largest, {"alpha": FAINT if faint else BOLD, **style})
    signed_foot(foot, note, ("lowers the value", "raises the value"))
    return figure


def _side(half: SubFigure, side: Side, largest: float | None, style: dict[str, Any]) -> None:
    panels = half.subplots(2, len(side.images), squeeze=False)
    lost = flags_of("vanished", side.vanished, len(side.images), "image")
    for n, (above, below) in enumerate(panels.T):
        draw_image(above, side.images[n])
        write(above.set_title, fitted(readable(side.names[n], 40), CELL - 0.1, SMALL), SMALL)
        above.set_xlabel(f"value {side.values[n]:.3g}", fontsize=SMALL, labelpad=2)
        if lost[n]:
            unknown(below, side.images[n])
            continue
        maximum = float(np.abs(side.maps[n]).max())
        signed_overlay(below, side.images[n], side.maps[n], maximum=maximum if largest is None else largest, **style)
        zero = "zero or underflowed" if lost[n] is None else "zero everywhere"
        range_text = f"range: ±{maximum if largest is None else largest:.2g}"
        below.set_xlabel(range_text if maximum else zero, fontsize=SMALL, labelpad=2)


def _checked_cards(cards: Sequence[tuple[Side, Side]], components: int) -> list[list[Side]]:
    cards = check_items("cards", cards, "a list of pairs of Sides")
    check_count("cards", cards, components, "component")
    for r, card in enumerate(cards):
        if not isinstance(card, tuple | list) or len(card) != 2 or not all(isinstance(side, Side) for side in card):
            raise TypeError(
                f"cards[{r}] must be a pair of Sides, (largest values, smallest values); got {shown(card)}."
            )
    count = len(check_items("cards[0].images", cards[0][0].images, "a list of images"))
    if not count:
        raise InputError("every side of a card must contain at least one image; got none.")
    return [[_checked(f"cards[{r}]", side, count) for side in card] for r, card in enumerate(cards)]


def _checked(name: str, side: Side, count: int) -> Side:
    images = check_items(f"{name}.images", side.images, "a list of images")
    names = check_items(f"{name}.names", side.names, "a list of names")
    check_count(f"{name}.images", images, count, "image")
    check_count(f"{name}.names", names, count, "image")
    values = numbers(f"{name}.values", side.values, (count,))
    maps = numbers(f"{name}.maps", side.maps, (count, "h", "w"))
    flags = None if side.vanished is None else np.array(flags_of(f"{name}.vanished", side.vanished, count, "image"))
    return Side(images, [str(class_name) for class_name in names], values, maps, flags)
