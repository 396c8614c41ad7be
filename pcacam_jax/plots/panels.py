"""The explanation of one image as a figure: the image, and the two maps of every target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError, check_flag, check_items
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.core.text import shown
from pcacam_jax.plots.canvas import Canvas
from pcacam_jax.plots.colour_bars import BAR_SPACE, thin
from pcacam_jax.plots.heatmaps import COLOUR_MAP, overlay_pair
from pcacam_jax.plots.heatmaps import image as draw_image
from pcacam_jax.plots.inputs import index_below, one_flag, picture, shrunk
from pcacam_jax.plots.names import SMALL, readable, write
from pcacam_jax.plots.notes import note_on
from pcacam_jax.plots.pairs import Pair, check_left_out, pairs_of, pairs_of_arrays
from pcacam_jax.plots.sheet import LINE, Sheet, box_of, fitted, height_of

MOST_TARGETS = 200
"""The largest number of targets in one figure."""
MANY_TARGETS = 24
"""With more targets, the maps are drawn smaller, and one colour bar stands for all."""
HEADING = SMALL + 2
"""Font size of the headings."""
GAP, MARGIN = 0.08, 0.1
"""Inches between the maps of a pair, and around the figure."""
ABOVE = 0.07
"""Inches between a pair and the text above it, for the upper label of the colour bar."""
EFFECTS = ("raises", "lowers")
NOTE = "raises, lowers: regions that raise, lower the value in the title above the pair of maps."
TARGETS = "target: the name of the value in calls and commands, where components count from 0."
OWN_SCALES = "The two maps of a pair share a colour scale. Every pair has its own scale."
SHARED_SCALES = "All maps of one output of the model share a colour scale."


def explanation_panel(
    image: ArrayLike,
    explanation: Explanation | Sequence[str] | None = None,
    positive: ArrayLike | None = None,
    negative: ArrayLike | None = None,
    values: ArrayLike | None = None,
    *,
    names: Sequence[str] | None = None,
    example: int | None = None,
    vanished: ArrayLike | None = None,
    scale_free: bool | None = None,
    comparison: Sequence[str] | None = None,
    typical: ArrayLike | Mapping[str, float] | None = None,
    shared_scale: bool = False,
    interpolation: str = "nearest",
    cells: bool = False,
    first: int = 0,
) -> Figure:
    """Return a figure that explains one image: the image, and L+ and L- of every target.

    The call is ``explanation_panel(image, explanation, example=0)``. For maps from elsewhere it is
    ``explanation_panel(image, names, positive, negative, values)``; a map of zeros is then called "zero everywhere"
    only if ``vanished`` is given, too.

    A component's share of the variance is written beside it. Components with less than 1 % of the variance and less
    than a tenth of the largest share are drawn faintly, as are maps whose scale is tiny. A figure shows at most 200
    targets.

    Args:
        image: (H, W, 3) uint8, the original or the resized image. It is drawn with the height and width of
            ``explanation.image_sizes`` if they are known.
        explanation: the result of :func:`pcacam_jax.explain`; or the names of T targets.
        positive: without an explanation, L+, (T, h, w), values >= 0.
        negative: without an explanation, L-, of the same shape.
        values: without an explanation, the value of each target at this image, (T,).
        names: the names of T targets, as another way to write the second argument.
        example: which example of the explanation the image is; needed if there are several.
        vanished: without an explanation, (T,) booleans, true where the gradient underflowed. No map is drawn for these
            targets.
        scale_free: without an explanation, whether ``scale_free=True`` was passed to :func:`pcacam_jax.explain`. The
            figure then states that maps of RBF SVMs are known up to a factor only.
        comparison: a text for each target that says how its value compares, such as "rank 1 of 10, runner-up Coat 1.9".
        typical: the typical largest value of the maps of each target, (T,), or by target. Maps that are far smaller are
            called tiny. Without it, maps are compared with the others of the explanation.
        shared_scale: whether all maps of one output, such as all components, share one colour scale.
        interpolation: as in :func:`overlay`, as is ``cells``.
        cells: see above.
        first: the number of targets to skip, for figures of the others if there are more than 200.

    Returns:
        The figure.

    Raises:
        InputError: counts or shapes disagree, a map has negative values, a value is not finite, or ``example`` is
            missing or out of range.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import explain, hybrid_head, plots
        >>> head = hybrid_head([(np.ones((4, 2)), np.zeros(2))], maps_shape=(2, 2, 1), at=1)
        >>> explanation = explain(head, np.ones((1, 2, 2, 1)), "cnn")
        >>> figure = plots.explanation_panel(np.zeros((32, 48, 3), np.uint8), explanation)
        >>> [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
        ['image', 'CNN, logit of 0 = 4', 'CNN, logit of 1 = 4']
    """
    pixels = picture(image)
    if isinstance(explanation, Explanation):
        given = {"names": names, "positive": positive, "negative": negative, "values": values, "vanished": vanished}
        check_left_out({**given, "scale_free": scale_free})
        place = example_of(explanation, example)
        pairs, scale_free = pairs_of(explanation, place, comparison, typical), explanation.scale_free
        method = explanation.method
        name = [readable(explanation.image_names[place])] if explanation.image_names else []
        size = explanation.image_sizes[place] if explanation.image_sizes else None
    else:
        scale_free = one_flag("scale_free", scale_free)
        given = explanation if names is None else names
        given = [] if given is None else check_items("names", given, "an Explanation, or the names of targets")
        options = {"vanished": vanished, "comparison": comparison, "typical": typical}
        pairs, name, size = pairs_of_arrays(given, positive, negative, values, **options), [], None
        method = "gradcam"
    first, shared_scale = index_below("first", first, len(pairs), "targets"), check_flag("shared_scale", shared_scale)
    shown = pairs[first : first + MOST_TARGETS]
    zeros = any(not pair.positive.any() or not pair.negative.any() for pair in shown)
    notes = [" ".join([NOTE, *[TARGETS] * any(pair.target for pair in shown)])]
    lines = [*notes, SHARED_SCALES if shared_scale else OWN_SCALES, *note_on(shown, zeros, bool(scale_free), method)]
    if len(shown) < len(pairs):
        lines.append(f"Targets {first + 1} to {first + len(shown)} of {len(pairs)}; the argument first chooses others.")
    height, width = size or pixels.shape[:2]
    about = [*name, f"{width} pixels wide, {height} high"] if size else name
    layout = _Layout(shown, height / width, about)
    style = {"interpolation": interpolation, "cells": cells}
    return layout.draw(shrunk(pixels), "\n".join(lines), largest_by_output(shown) if shared_scale else {}, style)


def example_of(explanation: Explanation, example: int | None) -> int:
    """Return the example to draw; it may be left out if there is only one.

    Raises:
        InputError: there are several examples and none is chosen, or the chosen one does not exist.
    """
    count = len(explanation.labels)
    if example is None and count == 1:
        return 0
    if isinstance(example, bool) or not isinstance(example, int | np.integer) or not 0 <= example < count:
        got = "none" if example is None else shown(example)
        raise InputError(
            f"example must say which of the {count} examples of the explanation the image is, 0 to {count - 1}; "
            f"got {got}."
        )
    return int(example)


def largest_by_output(pairs: Sequence[Pair]) -> dict[str, float]:
    """Return the largest value of all maps of each output."""
    drawn = [pair for pair in pairs if not pair.vanished]
    return {each.output: max(pair.largest for pair in drawn if pair.output == each.output) for each in drawn}


def columns_for(count: int, block: tuple[float, float]) -> int:
    """Return the number of columns for ``count`` blocks, so that the figure is about as wide as high."""
    return 1 if count <= 3 else max(2, round(math.sqrt(count * block[1] / block[0])))


class _Layout:
    """The sizes and places, in inches, of the image and of the blocks of all pairs."""

    def __init__(self, pairs: Sequence[Pair], aspect: float, about: Sequence[str]) -> None:
        self.pairs = pairs
        self.many = len(pairs) > MANY_TARGETS
        self.cell = box_of((1.1 if self.many else 1.55) ** 2, aspect)
        self.block = max(2 * self.cell[0] + GAP + (2 * MARGIN if self.many else BAR_SPACE), 2.4 if self.many else 2.7)
        self.across = columns_for(len(pairs), (self.block, self.cell[1] + 0.7))
        self.headings = [fitted(pair.heading, self.block - 0.15, HEADING) for pair in pairs]
        self.details = [fitted(pair.details, self.block - 0.15, SMALL) for pair in pairs]
        rows = [range(start, min(start + self.across, len(pairs))) for start in range(0, len(pairs), self.across)]
        above = [
            max(height_of(self.headings[t], HEADING) + height_of(self.details[t], SMALL) for t in row) + ABOVE
            for row in rows
        ]
        starts = np.cumsum([0.0, *(text + self.cell[1] + 0.45 for text in above)])
        self.tops = [start + text + 0.12 for start, text in zip(starts, above, strict=False)]
        column = max(self.cell[0], 1.1)
        self.left = column + 3 * MARGIN
        self.about = "\n".join(fitted(line, column, SMALL) for line in about)
        beside = self.tops[0] + self.cell[1] + 0.15 + height_of(self.about, SMALL) + 0.5 * self.many
        self.height = max(starts[-1], beside)

    def draw(self, image: np.ndarray, note: str, largest: Mapping[str, float], style: Mapping) -> Figure:
        """Return the figure."""
        sheet = Sheet(self.left + self.across * self.block, self.height, note)
        axes = draw_image(sheet.axes(MARGIN, self.tops[0], *self.cell), image)
        axes.set_aspect("auto")
        axes.set_title("image", loc="left", fontsize=HEADING, pad=4)
        sheet.text(MARGIN, self.tops[0] + self.cell[1] + 0.06, self.about, SMALL)
        canvas = Canvas(sheet, image, **style) if self.many else None
        for t, pair in enumerate(self.pairs):
            row, column = divmod(t, self.across)
            x, y = self.left + column * self.block, self.tops[row]
            places = [(x, y), (x + self.cell[0] + GAP, y)]
            top = largest.get(pair.output, pair.largest)
            sheet.text(x, y - height_of(self.details[t], SMALL) - ABOVE, self.details[t], SMALL, color="#555555")
            if canvas:
                self._draw_small(sheet, canvas, t, places, top)
            else:
                self._draw_pair(sheet, image, t, places, {"maximum": top, **style})
        if canvas:
            top = self.tops[0] + self.cell[1] + 0.15 + height_of(self.about, SMALL)
            place = sheet.axes(MARGIN, top, self.left - 3 * MARGIN, 0.1)
            bar = sheet.figure.colorbar(
                ScalarMappable(Normalize(0, 1), COLOUR_MAP), cax=place, orientation="horizontal"
            )
            thin(bar).set_ticks([0, 1], labels=["0", "maximum"])
            place.get_xticklabels()[-1].set_horizontalalignment("right")
        return sheet.figure

    def _draw_pair(
        self, sheet: Sheet, image: np.ndarray, t: int, places: list[tuple[float, float]], style: dict
    ) -> None:
        pair, below = self.pairs[t], height_of(self.details[t], SMALL)
        both = [sheet.axes(*place, *self.cell) for place in places]
        style |= {"alpha": pair.alpha, "vanished": pair.vanished}
        overlay_pair(both[0], both[1], image, pair.positive, pair.negative, **style)
        write(both[0].set_title, self.headings[t], HEADING, loc="left", pad=72 * (below + ABOVE) + 4)
        for axes, effect in zip(both, EFFECTS, strict=True):
            axes.set_aspect("auto")
            axes.set_xlabel(effect, fontsize=SMALL, labelpad=2)

    def _draw_small(self, sheet: Sheet, canvas: Canvas, t: int, places: list[tuple[float, float]], top: float) -> None:
        pair, above = self.pairs[t], height_of(self.details[t], SMALL) + height_of(self.headings[t], HEADING)
        canvas.draw(pair, places, self.cell, top)
        sheet.text(places[0][0], places[0][1] - above - ABOVE - 0.03, self.headings[t], HEADING)
        for (x, y), effect in zip(places, EFFECTS, strict=True):
            sheet.text(x, y + self.cell[1] + 0.02, effect, SMALL)
        if not pair.vanished:
            sheet.text(places[0][0], places[0][1] + self.cell[1] + 0.02 + LINE * SMALL, f"maximum {top:.2g}", SMALL)
