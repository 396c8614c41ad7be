"""The maps of several CAM methods on one image.

The maps have the colours of ``SIGNED_COLOURS`` in :mod:`pcacam_jax.plots.heatmaps`: orange regions raise the explained
value, blue regions lower it, and black regions have no effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError, check_items
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.core.text import shown
from pcacam_jax.plots.colour_bars import thin
from pcacam_jax.plots.heatmaps import SIGNED_COLOURS, signed_overlay, unknown
from pcacam_jax.plots.heatmaps import image as draw_image
from pcacam_jax.plots.inputs import as_text, numbers, picture, shrunk
from pcacam_jax.plots.marks import ZERO, label_at
from pcacam_jax.plots.names import SMALL, readable, write
from pcacam_jax.plots.notes import UNDERFLOWED
from pcacam_jax.plots.panels import GAP, HEADING, MARGIN, example_of
from pcacam_jax.plots.sheet import Sheet, box_of, fitted, height_of
from pcacam_jax.plots.words import TITLES, words

WIDTH = 9.2
"""Width of the figure in inches, if a block fits."""
BETWEEN = 0.25
"""Inches between the blocks of two methods."""
AREA = 1.2
"""Area of a map in square inches."""
MOST_MAPS = 200
"""The largest number of maps in one figure."""
NOTE = (
    "Orange: raises y. Blue: lowers y. Black: no effect. Every map has its own scale, with the range below "
    "it. The units differ between methods, so ranges of two methods cannot be compared. Every map has {} x {} cells."
)
EXPLAINED = "Which regions raise or lower a value y?"
TWO_PASSES = "* Evidence for and evidence against are computed apart. The map is evidence for minus evidence against."
NO_EVIDENCE = "The map of eigencam does not depend on y, and its signs are no evidence for or against."


class _Block(NamedTuple):
    """One method: its maps (T, h, w), and what is written above and below them."""

    title: str
    maps: np.ndarray
    vanished: Sequence[bool]
    answer: str


def method_gallery(
    image: ArrayLike,
    explanations: Sequence[Explanation],
    *,
    example: int | None = None,
    answers: Mapping[str, str] | None = None,
    two_passes: Sequence[str] = (),
    title: str = "",
    interpolation: str = "nearest",
    cells: bool = False,
) -> Figure:
    """Return a figure of the signed maps of several CAM methods on one image, one block of T maps per method.

    Args:
        image: (H, W, 3) uint8, the original or the resized image.
        explanations: one explanation per method, of the same examples and the same T targets.
        example: which example of the explanations the image is; needed if there are several.
        answers: for each method, by name, what its map shows; written below its maps.
        two_passes: the names of the methods that compute evidence for and evidence against apart. They are marked.
        title: text above the figure.
        interpolation: as in :func:`overlay`, as is ``cells``.
        cells: see above.

    Returns:
        The figure.

    Raises:
        InputError: there is no explanation, the explanations differ in their examples or targets, or a map has no two
            axes.
        TypeError: one of the explanations is something else, or ``answers`` is no dictionary.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import explain, hybrid_head, plots
        >>> head = hybrid_head([(np.ones((4, 2)), np.zeros(2))], maps_shape=(2, 2, 1), at=1)
        >>> maps = np.ones((1, 2, 2, 1))
        >>> both = [explain(head, maps, "cnn:0", method=name) for name in ("gradcam", "hirescam")]
        >>> figure = plots.method_gallery(np.zeros((32, 48, 3), np.uint8), both)
        >>> [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
        ['image', 'gradcam', 'hirescam']
    """
    pixels, explanations = picture(image), _checked(explanations)
    first, place = explanations[0], example_of(explanations[0], example)
    texts = _texts(answers)
    marked = [str(name) for name in check_items("two_passes", two_passes, "a list of names of methods")]
    blocks = [_block(each, place, texts, marked) for each in explanations]
    if any(block.maps.shape != blocks[0].maps.shape for block in blocks):
        raise InputError("explanations must have maps of one size; explain the same maps with every method.")
    names = [_name(first, place, t) for t in range(len(first.targets))]
    values = "\n".join([EXPLAINED, *(_value(first, place, t) for t in range(len(first.targets)))])
    lines = [NOTE.format(*blocks[0].maps.shape[1:])]
    lines += [TWO_PASSES] * any(block.title.endswith("*") for block in blocks)
    lines += [NO_EVIDENCE] * any(each.method == "eigencam" for each in explanations)
    lines += [UNDERFLOWED] * any(any(block.vanished) for block in blocks)
    height, width = first.image_sizes[place] if first.image_sizes else pixels.shape[:2]
    layout = _Layout(blocks, names, values, height / width)
    style = {"interpolation": interpolation, "cells": cells}
    return layout.draw(shrunk(pixels, 300), as_text("title", title), "\n".join(lines), style)


def _checked(explanations: Sequence[Explanation]) -> list[Explanation]:
    explanations = check_items("explanations", explanations, "a list of Explanations, one per method")
    for each in explanations:
        if not isinstance(each, Explanation):
            raise TypeError(f"explanations must hold Explanations; got {type(each).__name__} {shown(each)}.")
    if not explanations:
        raise InputError("explanations must contain at least one explanation; got none.")
    first = explanations[0]
    for each in explanations:
        if each.targets != first.targets or not np.array_equal(each.labels, first.labels):
            raise InputError(
                f"explanations must be of the same examples and targets; that of {each.method} differs from that of "
                f"{first.method}."
            )
    count = len(explanations) * len(first.targets)
    if count > MOST_MAPS:
        raise InputError(f"explanations must have at most {MOST_MAPS} maps per example; got {count}.")
    return explanations


def _texts(answers: Mapping[str, str] | None) -> dict[str, str]:
    if answers is None:
        return {}
    if not isinstance(answers, Mapping):
        raise TypeError(f"answers must be a dictionary by method; got {type(answers).__name__}.")
    return {str(name): as_text(f"answers[{shown(name)}]", text) for name, text in answers.items()}


def _block(explanation: Explanation, place: int, answers: Mapping[str, str], marked: Sequence[str]) -> _Block:
    name, count = explanation.method, len(explanation.targets)
    maps = numbers(f"the maps of {name}", np.asarray(explanation.signed)[place], (count, "h", "w"))
    title = readable(name, 40) + "*" * (name in marked)
    text = answers.get(name, "")
    return _Block(title, maps, np.asarray(explanation.vanished)[place].tolist(), readable(text, 150) if text else "")


def _name(explanation: Explanation, place: int, t: int) -> str:
    """Return the target in a few words; it is written below every map."""
    output, label = explanation.targets[t].partition(":")[0], str(explanation.labels[place, t])
    if explanation.spaces[t] == "component":
        return label
    return f"{TITLES.get(output, output)}: {label}"


def _value(explanation: Explanation, place: int, t: int) -> str:
    name = words(explanation.targets[t], str(explanation.labels[place, t]), explanation.spaces[t])
    return f"{name} = {float(np.asarray(explanation.values)[place, t]):.3g}"


class _Layout:
    """The sizes and places, in inches, of the image and of the blocks of all methods."""

    def __init__(self, blocks: Sequence[_Block], names: Sequence[str], values: str, aspect: float) -> None:
        self.blocks, self.cell = blocks, box_of(AREA, aspect)
        self.block = max(len(names) * (self.cell[0] + GAP) - GAP, 1.8)
        self.across = max(1, min(int((WIDTH - MARGIN) / (self.block + BETWEEN)), len(blocks) + 1))
        self.titles = ["image", *(fitted(block.title, self.block, HEADING) for block in blocks)]
        self.names = [fitted(readable(name, 40), self.cell[0], SMALL) for name in names]
        self.values = "\n".join(fitted(line, self.block, SMALL) for line in values.split("\n"))
        self.answers = ["", *(fitted(block.answer, self.block, SMALL) for block in blocks)]
        self.range = max(height_of(name, SMALL) for name in self.names) + height_of("range", SMALL)
        self.tops, self.height = [], 0.0
        for start in range(0, len(self.titles), self.across):
            row = slice(start, start + self.across)
            self.tops.append(self.height + max(height_of(text, HEADING) for text in self.titles[row]) + 0.08)
            below = max(height_of(text, SMALL) for text in self.answers[row]) + self.range
            below = max(below, height_of(self.values, SMALL) if start == 0 else 0)
            self.height = self.tops[-1] + self.cell[1] + 0.1 + below + 0.16

    def place(self, number: int) -> tuple[float, float]:
        """Return the upper left corner of the maps of a block; the image is block 0."""
        row, column = divmod(number, self.across)
        return MARGIN + column * (self.block + BETWEEN), self.tops[row]

    def draw(self, image: np.ndarray, title: str, note: str, style: dict) -> Figure:
        """Return the figure."""
        width = MARGIN + self.across * (self.block + BETWEEN)
        sheet = Sheet(width, self.height + 0.3, note)
        if title:
            write(sheet.figure.suptitle, fitted(readable(title, 120), width, 12), 12)
        x, y = self.place(0)
        axes = draw_image(sheet.axes(x, y, *self.cell), image)
        self._finish(axes, 0)
        sheet.text(x, y + self.cell[1] + 0.08, self.values, SMALL)
        for n, block in enumerate(self.blocks, start=1):
            self._draw_block(sheet, image, n, block, style)
        bar = sheet.figure.colorbar(
            ScalarMappable(Normalize(-1, 1), SIGNED_COLOURS),
            cax=sheet.axes(0.3 * width, self.height, 0.4 * width, 0.1),
            orientation="horizontal",
        )
        thin(bar).set_ticks([-1, 0, 1], labels=["lowers y", "0", "raises y"])
        return sheet.figure

    def _draw_block(self, sheet: Sheet, image: np.ndarray, n: int, block: _Block, style: dict) -> None:
        x, y = self.place(n)
        for t, (name, heatmap, lost) in enumerate(zip(self.names, block.maps, block.vanished, strict=True)):
            left = x + t * (self.cell[0] + GAP)
            axes, maximum = sheet.axes(left, y, *self.cell), float(np.abs(heatmap).max())
            if lost:
                unknown(axes, image)
            else:
                signed_overlay(axes, image, heatmap, maximum=maximum, **style)
            if not lost and not maximum:
                label_at(axes, 0.5, 0.5, ZERO, axes.transAxes)
            self._finish(axes, n if t == 0 else None)
            range_text = f"\n±{float(f'{maximum:.2g}'):g}" if maximum and not lost else ""
            sheet.text(left, y + self.cell[1] + 0.05, name + range_text, SMALL, color="#555555")
        sheet.text(x, y + self.cell[1] + 0.1 + self.range, self.answers[n], SMALL)

    def _finish(self, axes: Axes, titled: int | None) -> None:
        axes.set_aspect("auto")
        if titled is not None:
            write(axes.set_title, self.titles[titled], HEADING, loc="left", pad=4, fontweight="bold")
