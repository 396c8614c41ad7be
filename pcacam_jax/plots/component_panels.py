"""Cards of components: the images that lie furthest on either side of each, with their signed maps.

A signed map needs colours that go both ways from zero. As in :mod:`pcacam_jax.plots.heatmaps` zero is black, so that
brightness is evidence: orange raises the component, blue lowers it, and both are told apart by colour-blind readers.
"""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError
from pcacam_jax.plots.heatmaps import SMALL, signed_overlay, signed_scale
from pcacam_jax.plots.heatmaps import image as draw_image
from pcacam_jax.plots.inputs import check_count, numbers
from pcacam_jax.plots.panels import CELL

NOTE = (
    "Below each image its map $L_r$: orange where the component is locally raised, blue where it is lowered, black "
    "where neither.\nEach map has its own scale, whose end stands below it. The sign is local: an image with a large "
    "$v_r$ may hold regions that lower it."
)


class Side(NamedTuple):
    """One end of one component: n images, the furthest first."""

    images: Sequence[ArrayLike]
    """Pictures, (H, W, 3) uint8."""
    names: Sequence[str]
    """The class of each."""
    values: np.ndarray
    """v_r of each, (n,)."""
    maps: np.ndarray
    """The signed map L_r of each, (n, h, w)."""


def component_cards(cards: Sequence[tuple[Side, Side]], ratios: ArrayLike) -> Figure:
    """Return a figure with a card for each component: its high side on the left, its low side on the right.

    Args:
        cards: for each of D components the images of the largest and of the smallest values, n of either.
        ratios: (D,), the share of variance of each component.

    Raises:
        InputError: no card, sides of different lengths or none, or shapes that disagree.
    """
    ratios = numbers("ratios", ratios, ("D",), lowest=0)
    check_count("cards", cards, len(ratios), "component")
    count = len(cards[0][0].images)
    if not count:
        raise InputError("every side of a card must hold at least one image; got none.")
    checked = [tuple(_checked(f"cards[{r}]", side, count) for side in card) for r, card in enumerate(cards)]
    heights = [2 * CELL + 0.95] * len(cards) + [0.75]
    figure = Figure(figsize=(CELL * (2 * count + 0.3), sum(heights)), layout="constrained")
    *blocks, foot = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for r, (block, card, ratio) in enumerate(zip(blocks, checked, ratios, strict=True)):
        block.suptitle(f"Component {r + 1} ({100 * ratio:.1f} % of variance)", fontsize=SMALL + 4, fontweight="bold")
        for half, side, end in zip(block.subfigures(1, 2, wspace=0.04), card, ("largest", "smallest"), strict=True):
            half.suptitle(f"{end} $v_{{{r + 1}}}$", fontsize=SMALL + 2)
            _side(half, side, r + 1)
    _foot(foot)
    return figure


def _side(half: SubFigure, side: Side, component: int) -> None:
    panels = half.subplots(2, len(side.images), squeeze=False)
    for n, (above, below) in enumerate(panels.T):
        draw_image(above, side.images[n])
        # Names come from users: a dollar sign in them is a dollar sign.
        above.set_title(textwrap.fill(side.names[n], 18), fontsize=SMALL, parse_math=False)
        above.set_xlabel(f"$v_{{{component}}}$ = {side.values[n]:.3g}", fontsize=SMALL, labelpad=2)
        maximum = float(np.abs(side.maps[n]).max())
        signed_overlay(below, side.images[n], side.maps[n], maximum=maximum)
        scale = rf"full colour: $\pm${maximum:.2g}" if maximum else "zero everywhere"
        below.set_xlabel(scale, fontsize=SMALL, labelpad=2)


def _foot(foot: SubFigure) -> None:
    """Draw the one colour bar, in shares of each map's own scale, and the note."""
    foot.supxlabel(NOTE, x=0.01, ha="left", fontsize=SMALL)
    signed_scale(foot, (0.3, 0.72, 0.4, 0.14), ("lowers $v_r$", "raises $v_r$"))


def _checked(name: str, side: Side, count: int) -> Side:
    check_count(f"{name}.images", side.images, count, "image")
    check_count(f"{name}.names", side.names, count, "image")
    values, maps = (
        numbers(f"{name}.values", side.values, (count,)),
        numbers(f"{name}.maps", side.maps, (count, "h", "w")),
    )
    return Side(side.images, [str(own) for own in side.names], values, maps)
