"""Who is behind a decision: an image and its map on the left, the training images that answer for it on the right.

The signed maps have the colours of :mod:`pcacam_jax.plots.component_panels`: zero is black, orange raises, blue lowers.
"""

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError
from pcacam_jax.plots.heatmaps import SMALL, signed_overlay, signed_scale
from pcacam_jax.plots.heatmaps import image as draw_image
from pcacam_jax.plots.inputs import check_count, numbers, positive_number
from pcacam_jax.plots.panels import CELL

NOTE = (
    "The map of the decision is the sum of the maps right of it, one for each training image that became a support "
    "vector. They all lie over the explained image on the left: each is the part of its map that the training image "
    "above it answers for. Share: the size of that part among the sizes of all parts. For, against: likeness to that "
    "training image raises, lowers the score."
)
DISTANCE_NOTE = (
    " Distances are in units of d*, at which a training image has the greatest influence: one much nearer or much "
    "further hardly moves the score."
)


class Witnesses(NamedTuple):
    """The n training images of the largest parts, the largest first."""

    images: Sequence[ArrayLike]
    """Pictures, (H, W, 3) uint8."""
    names: Sequence[str]
    """The class of each."""
    maps: np.ndarray
    """The signed part of each in the decision's map, (n, h, w)."""
    shares: np.ndarray
    """||L_i|| / sum_j ||L_j||, (n,)."""
    coefficients: np.ndarray
    """c_i, (n,): above zero where it speaks for the class explained."""
    distances: np.ndarray
    """||s_i - v||, (n,)."""
    influences: np.ndarray
    """||dk(s_i, v)/dv||, (n,)."""


def decision_evidence(
    image: ArrayLike,
    signed: ArrayLike,
    witnesses: Witnesses,
    rest: ArrayLike,
    *,
    title: str,
    others: int,
    critical_distance: float | None = None,
) -> Figure:
    """Return a figure of one decision: its image and map, the largest parts of the map, and the rest of it.

    The map and the rest share one colour scale, the parts another.

    Args:
        image: the explained image, (H, W, 3) uint8.
        signed: its signed map, (h, w).
        witnesses: the training images of the largest parts.
        rest: the sum of all other parts, (h, w).
        title: what was decided.
        others: how many support vectors the rest is of.
        critical_distance: d* of an RBF kernel (Eq. 31); distances and influences are then given against it.

    Raises:
        InputError: no training image, counts or shapes that disagree, values that are not finite.
    """
    signed = numbers("signed", signed, ("h", "w"))
    rest = numbers("rest", rest, signed.shape)
    witnesses = _checked(witnesses, signed.shape)
    if critical_distance is not None:
        critical_distance = positive_number("critical_distance", critical_distance)
    count = len(witnesses.images)
    height = 2 * CELL + 1.4
    figure = Figure(figsize=(CELL * (count + 2.35), height + 0.9), layout="constrained")
    body, foot = figure.subfigures(2, 1, squeeze=False, height_ratios=[height, 0.9])[:, 0]
    left, right = body.subfigures(1, 2, squeeze=False, width_ratios=[1.35, count + 1], wspace=0.03)[0]
    whole = float(max(np.abs(signed).max(), np.abs(rest).max()))
    _query(left, image, signed, whole, title)
    _parts(right, image, witnesses, rest, whole, others, critical_distance)
    _foot(foot, critical_distance is not None)
    return figure


def _query(block: SubFigure, image: ArrayLike, signed: np.ndarray, maximum: float, title: str) -> None:
    block.suptitle(textwrap.fill(title, 22), fontsize=SMALL + 2, fontweight="bold", parse_math=False)
    above, below = block.subplots(2, 1)
    draw_image(above, image)
    above.set_xlabel("explained image", fontsize=SMALL, labelpad=2)
    _map(below, image, signed, maximum, "its map")


def _parts(
    block: SubFigure,
    image: ArrayLike,
    witnesses: Witnesses,
    rest: np.ndarray,
    whole: float,
    others: int,
    critical: float | None,
) -> None:
    block.suptitle("the training images behind it, the largest part first", fontsize=SMALL + 2, fontweight="bold")
    panels = block.subplots(2, len(witnesses.images) + 1, squeeze=False)
    maximum = float(np.abs(witnesses.maps).max())
    for n, (above, below) in enumerate(panels.T[:-1]):
        draw_image(above, witnesses.images[n])
        # Names come from users: a dollar sign in them is a dollar sign.
        above.set_title(textwrap.fill(witnesses.names[n], 18), fontsize=SMALL + 1, parse_math=False)
        above.set_xlabel(_in_words(witnesses, n, critical), fontsize=SMALL, labelpad=2)
        _map(below, image, witnesses.maps[n], maximum, f"share {_percent(witnesses.shares[n])}")
        _sign(below, "=" if n == 0 else "+")
    corner, last = panels.T[-1]
    corner.set_axis_off()
    left_over = f"all other {others:,}\ntogether" if others else "no other is left"
    corner.text(0.5, 0.5, left_over, transform=corner.transAxes, ha="center", va="center", fontsize=SMALL + 1)
    _map(last, image, rest, whole, f"share {_percent(max(1 - witnesses.shares.sum(), 0))}")
    _sign(last, "+")


def _in_words(witnesses: Witnesses, n: int, critical: float | None) -> str:
    side = "for" if witnesses.coefficients[n] > 0 else "against"
    distance, influence = witnesses.distances[n], witnesses.influences[n]
    if critical is None:
        return f"{side}\ndistance {distance:.3g}\ninfluence {influence:.3g}"
    # The influence at d* is exp(-1/2) / d* (Theorem 2).
    most = math.exp(-0.5) / critical
    return f"{side}\ndistance {distance / critical:.2f} d*\ninfluence {_percent(influence / most)} of most"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.2g} %"


def _map(axes: Axes, image: ArrayLike, heatmap: np.ndarray, maximum: float, text: str) -> None:
    signed_overlay(axes, image, heatmap, maximum=maximum)
    scale = rf"full colour: $\pm${maximum:.2g}" if heatmap.any() else "zero everywhere"
    axes.set_xlabel(f"{text}\n{scale}", fontsize=SMALL, labelpad=2)


def _sign(axes: Axes, sign: str) -> None:
    axes.text(-0.1, 0.5, sign, transform=axes.transAxes, ha="center", va="center", fontsize=SMALL + 4)


def _foot(foot: SubFigure, with_distance: bool) -> None:
    """Draw the one colour bar, in shares of each scale, and the note."""
    note = NOTE + (DISTANCE_NOTE if with_distance else "")
    inches = foot.get_figure(root=True).get_size_inches()[0]
    foot.supxlabel(textwrap.fill(note, int(21 * inches)), x=0.01, ha="left", fontsize=SMALL)
    signed_scale(foot, (0.3, 0.85, 0.4, 0.09), ("lowers the score", "raises the score"))


def _checked(witnesses: Witnesses, shape: tuple[int, ...]) -> Witnesses:
    count, names = len(witnesses.images), [str(name) for name in witnesses.names]
    if not count:
        raise InputError("witnesses must hold at least one training image; got none.")
    check_count("witnesses.names", names, count, "image")
    shares = numbers("witnesses.shares", witnesses.shares, (count,), lowest=0)
    return Witnesses(
        list(witnesses.images),
        names,
        numbers("witnesses.maps", witnesses.maps, (count, *shape)),
        shares,
        numbers("witnesses.coefficients", witnesses.coefficients, (count,)),
        numbers("witnesses.distances", witnesses.distances, (count,), lowest=0),
        numbers("witnesses.influences", witnesses.influences, (count,), lowest=0),
    )
