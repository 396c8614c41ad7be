"""One card per principal component: the images with its largest and smallest values, and their signed maps.

The signed maps have the colours of ``SIGNED_COLOURS`` in :mod:`pcacam_jax.plots.heatmaps`: orange regions raise the
component, blue regions lower it, and black regions have no effect.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike

from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import InputError
from pcacam_jax.plots.heatmaps import SMALL, signed_overlay
from pcacam_jax.plots.heatmaps import image as draw_image
from pcacam_jax.plots.inputs import check_count, numbers
from pcacam_jax.plots.panels import CELL, foot_height, signed_foot, wrapped_note

NOTE = (
    "$v_r$: value of component $r$ for the image. Map below the image: orange regions raise $v_r$, blue regions lower "
    "it, black regions have no effect.\nEach map has its own colour scale, with the range written below it. The "
    "effects are local: an image with a large $v_r$ can contain regions that lower it."
)


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

    __repr__ = brief_repr


def component_cards(cards: Sequence[tuple[Side, Side]], ratios: ArrayLike) -> Figure:
    """Return a figure with one card per component: the largest values on the left, the smallest on the right.

    Args:
        cards: D pairs (largest values, smallest values), with n images in every :class:`Side`.
        ratios: (D,), the share of variance that each component explains.

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
    check_count("cards", cards, len(ratios), "component")
    count = len(cards[0][0].images)
    if not count:
        raise InputError("every side of a card must contain at least one image; got none.")
    checked = [tuple(_checked(f"cards[{r}]", side, count) for side in card) for r, card in enumerate(cards)]
    width = CELL * (2 * count + 0.3)
    note = wrapped_note(NOTE, width)
    heights = [2 * CELL + 0.95] * len(cards) + [foot_height(note)]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    *blocks, foot = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for r, (block, card, ratio) in enumerate(zip(blocks, checked, ratios, strict=True)):
        block.suptitle(f"Component {r + 1} ({100 * ratio:.1f} % of variance)", fontsize=SMALL + 4, fontweight="bold")
        for half, side, end in zip(block.subfigures(1, 2, wspace=0.04), card, ("largest", "smallest"), strict=True):
            half.suptitle(f"{end} values $v_{{{r + 1}}}$", fontsize=SMALL + 2)
            _side(half, side, r + 1)
    signed_foot(foot, note, ("lowers $v_r$", "raises $v_r$"))
    return figure


def _side(half: SubFigure, side: Side, component: int) -> None:
    panels = half.subplots(2, len(side.images), squeeze=False)
    for n, (above, below) in enumerate(panels.T):
        draw_image(above, side.images[n])
        # A class name may contain dollar signs, which are not mathematics.
        above.set_title(textwrap.fill(side.names[n], 18), fontsize=SMALL, parse_math=False)
        above.set_xlabel(f"$v_{{{component}}}$ = {side.values[n]:.3g}", fontsize=SMALL, labelpad=2)
        maximum = float(np.abs(side.maps[n]).max())
        signed_overlay(below, side.images[n], side.maps[n], maximum=maximum)
        scale = rf"range: $\pm${maximum:.2g}" if maximum else "zero everywhere"
        below.set_xlabel(scale, fontsize=SMALL, labelpad=2)


def _checked(name: str, side: Side, count: int) -> Side:
    check_count(f"{name}.images", side.images, count, "image")
    check_count(f"{name}.names", side.names, count, "image")
    values = numbers(f"{name}.values", side.values, (count,))
    maps = numbers(f"{name}.maps", side.maps, (count, "h", "w"))
    return Side(side.images, [str(class_name) for class_name in side.names], values, maps)
