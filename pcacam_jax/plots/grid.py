"""The paper's grid of heatmaps (Figures 8 and 9): one row per image, one column per classifier and component sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError, check_flag, check_items
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.plots.colour_bars import BAR_SPACE, colour_bar
from pcacam_jax.plots.grid_columns import Column, columns_of, columns_of_arrays
from pcacam_jax.plots.heatmaps import image as draw_image
from pcacam_jax.plots.heatmaps import overlay, overlay_pair, unknown
from pcacam_jax.plots.inputs import as_text, check_count, picture, shrunk
from pcacam_jax.plots.names import SMALL, inline, readable, wrapped, write
from pcacam_jax.plots.notes import note_on
from pcacam_jax.plots.pairs import check_left_out
from pcacam_jax.plots.sheet import LINE, Sheet, fitted, height_of, width_of

CELL, HEADER, LABEL = 1.35, SMALL + 1, SMALL + 2
"""Width of a panel in inches, and the font sizes of the columns' titles and of the images' names."""
FLATTEST = 0.1
"""The smallest height of a panel relative to its width."""
MOST_COMPONENTS = 12
"""The largest number of components that are drawn."""
MOST_ROWS = 100
"""The largest number of images in one figure."""
WRONG = "#bd1f01"
"""Colour of wrong predictions."""


def paper_grid(
    images: Sequence[ArrayLike],
    explanation: Explanation | Mapping[str, ArrayLike] | None = None,
    components: ArrayLike | None = None,
    *,
    truth: Sequence[str] | None = None,
    classifiers: Mapping[str, ArrayLike] | None = None,
    predictions: Mapping[str, Sequence[str]] | None = None,
    vanished: Mapping[str, ArrayLike] | None = None,
    typical: ArrayLike | Mapping[str, float] | None = None,
    shared_scale: bool = False,
    interpolation: str = "nearest",
    cells: bool = False,
    title: str = "",
) -> Figure:
    r"""Return the grid of the paper's Figures 8 and 9, with one row per image.

    A row shows the image, one heatmap per classifier, and L+ and L- of every component. L+ and L- of one image and
    component share a colour scale (Eq. 12). Every classifier's heatmap has its own scale.

    The call is ``paper_grid(images, explanation, truth=names)``. For maps from elsewhere it is
    ``paper_grid(images, classifiers, components, truth=names)``. At most 12 components are drawn.

    Args:
        images: N images, (H, W, 3) uint8, of any sizes.
        explanation: the explanation of the N images; or column title -> (N, h, w) heatmaps, values >= 0.
        components: without an explanation, the signed maps ``L_r`` of Eq. 10, (N, D, h, w).
        truth: the N true classes; by default the names of the images, if the explanation has them.
        classifiers: column title -> heatmaps, as another way to write the second argument.
        predictions: without an explanation, column title -> the N classes that this classifier predicts. They are
            written below the heatmaps, wrong ones in red.
        vanished: without an explanation, column title -> (N,) booleans, true where the gradient underflowed. No heatmap
            is drawn there.
        typical: as in :func:`explanation_panel`; for explanations only.
        shared_scale: whether all components of one image share one colour scale.
        interpolation: as in :func:`overlay`, as is ``cells``.
        cells: see above.
        title: text above the figure.

    Returns:
        The figure.

    Raises:
        InputError: counts or shapes disagree, there are more than 100 images, or a value is not finite.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import plots
        >>> image, maps = np.zeros((32, 32, 3), np.uint8), np.ones((1, 4, 4))
        >>> figure = plots.paper_grid([image], {"Grad-CAM": maps}, maps[:, None], truth=["cat"])
        >>> [axes.get_title() for axes in figure.axes]
        ['image', 'Grad-CAM', 'component 1\nraises ($L_{1}^+$)', 'component 1\nlowers ($L_{1}^-$)']
    """
    if explanation is not None and classifiers is not None:
        raise InputError("paper_grid takes an explanation or classifiers, but both are given; leave one out.")
    given = explanation if classifiers is None else classifiers
    images = check_items("images", images, "a list of images")
    count, title, shared_scale = len(images), as_text("title", title), check_flag("shared_scale", shared_scale)
    if not 0 < count <= MOST_ROWS:
        got = f"{count}; draw them in parts" if count else "none"
        raise InputError(f"images must contain at least one image and at most {MOST_ROWS}; got {got}.")
    if isinstance(given, Explanation):
        check_left_out({"components": components, "predictions": predictions, "vanished": vanished})
        check_count("images", images, len(given.labels), "example of the explanation")
        columns, scale_free, method = columns_of(given, typical), given.scale_free, given.method
        sizes, names = given.image_sizes, given.image_names
    else:
        for name, table in (("classifiers", given), ("predictions", predictions), ("vanished", vanished)):
            if table is not None and not isinstance(table, Mapping):
                raise TypeError(f"{name} must be a dictionary by classifier; got {type(table).__name__}.")
        columns, scale_free = columns_of_arrays(count, given or {}, components, predictions or {}, vanished), False
        method = "gradcam"
        sizes = names = None
    given_labels = names or [""] * count if truth is None else check_items("truth", truth, "a list of names")
    check_count("truth", given_labels, count, "image")
    labels = [str(name) for name in given_labels]
    shown = [column for column in columns if not column.is_component]
    parts = [column for column in columns if column.is_component]
    pictures = [picture(each) for each in images]
    aspects = [size[0] / size[1] for size in sizes or [each.shape[:2] for each in pictures]]
    marks = {"shared": shared_scale, "marked": truth is not None}
    note = _note([*shown, *parts], len(parts), scale_free=scale_free, method=method, **marks)
    style = {"interpolation": interpolation, "cells": cells}
    rows = [shrunk(each, 400) for each in pictures]
    return _draw(
        rows, aspects, [*shown, *parts[:MOST_COMPONENTS]], labels, truth is not None, note, title, shared_scale, style
    )


def _note(columns: list[Column], components: int, *, scale_free: bool, method: str, shared: bool, marked: bool) -> str:
    pairs = [pair for column in columns for pair in column.pairs]
    drawn = [[pair.positive] + [pair.negative] * column.is_component for column in columns for pair in column.pairs]
    lines = ["raises, lowers: regions that raise, lower the value of the component."] if components else []
    if any(_share(column) for column in columns):
        lines[0] += " In brackets: its share of the variance."
    if len(columns) > components:
        classifiers = "Classifier columns: regions that raise the score of the explained class."
        lines = [" ".join([classifiers, *lines])]
    scales = (
        "All components of one image share a colour scale."
        if shared
        else "The two maps of one component share a colour scale."
    )
    scales = [scales] if components else []
    single = ["Every other map has its own scale."] if len(columns) > components or (components and not shared) else []
    wrong = ["Red: wrong prediction."] if marked and any(column.predicted for column in columns) else []
    lines.append(" ".join([*scales, *single, *wrong]))
    if components > MOST_COMPONENTS:
        lines.append(f"{MOST_COMPONENTS} of {components} components are drawn.")
    zeros = any(not each.any() for maps in drawn for each in maps)
    return "\n".join([*lines, *note_on(pairs, zeros, scale_free, method)])


def _draw(
    images: list[np.ndarray],
    aspects: list[float],
    columns: list[Column],
    labels: list[str],
    marked: bool,
    note: str,
    title: str,
    shared: bool,
    style: dict,
) -> Figure:
    boxes = [(min(CELL, 1.8 * CELL / aspect), min(CELL * max(aspect, FLATTEST), 1.8 * CELL)) for aspect in aspects]
    names = [wrapped(readable(name, 40), max(8, 13 * box[1])) for name, box in zip(labels, boxes, strict=True)]
    left = max(0.35, max(height_of(name, LABEL) for name in names) + 0.12)
    headers = [fitted(column.title + _share(column), CELL, HEADER) for column in columns]
    extra = [2 if column.is_component else 1 for column in columns]
    head = max(
        [height_of(each, HEADER) + LINE * HEADER * (n - 1) for each, n in zip(headers, extra, strict=True)], default=0
    )
    head = max(head, LINE * HEADER) + 0.08
    lines = [[_below(column, b, labels[b] if marked else None) for column in columns] for b in range(len(images))]
    under = [max([len(each) for each in row], default=0) * LINE * SMALL + 0.18 for row in lines]
    beyond = [max(width_of(name, LABEL) - box[1], 0) / 2 for name, box in zip(names, boxes, strict=True)]
    under = [max(below, beyond[b] + [*beyond, 0][b + 1] + 0.1) for b, below in enumerate(under)]
    heights = [box[1] + below for box, below in zip(boxes, under, strict=True)]
    widths = [n * CELL + 0.08 * (n - 1) + BAR_SPACE for n in extra]
    sheet = Sheet(left + CELL + 0.12 + sum(widths), head + sum(heights), note)
    if title:
        write(sheet.figure.suptitle, readable(title, 120), 12)
    for b, (image, box) in enumerate(zip(images, boxes, strict=True)):
        top = head + sum(heights[:b])
        axes = draw_image(sheet.axes(left, top, *box), image)
        axes.set_aspect("auto")
        write(axes.set_ylabel, names[b], LABEL)
        if b == 0:
            axes.set_title("image", fontsize=HEADER)
        largest = max((c.pairs[b].largest for c in columns if c.is_component and not c.pairs[b].vanished), default=0.0)
        x = left + CELL + 0.12
        for c, column in enumerate(columns):
            both = [sheet.axes(x + n * (CELL + 0.08), top, *box) for n in range(extra[c])]
            _maps(both, image, column, b, largest if shared else None, style)
            for line, (text, colour) in enumerate(lines[b][c]):
                sheet.text(x, top + box[1] + 0.07 + line * LINE * SMALL, text, SMALL, color=colour)
            if b == 0:
                _title(both, headers[c], column)
            x += widths[c]
    return sheet.figure


def _maps(both: list[Axes], image: np.ndarray, column: Column, b: int, largest: float | None, style: dict) -> None:
    pair = column.pairs[b]
    options = {"alpha": pair.alpha, "vanished": pair.vanished, **style}
    if column.is_component:
        overlay_pair(both[0], both[1], image, pair.positive, pair.negative, maximum=largest, **options)
    elif pair.vanished:
        unknown(both[0], image)
    else:
        drawn = overlay(both[0], image, pair.positive, maximum=float(pair.positive.max()), **options)
        if pair.positive.any():
            colour_bar(both[0], drawn)
    for axes in both:
        axes.set_aspect("auto")


def _title(both: list[Axes], header: str, column: Column) -> None:
    if not column.is_component:
        write(both[0].set_title, header, HEADER)
        return
    index = int(column.title.rpartition(" ")[2])
    for axes, effect, sign in zip(both, ("raises", "lowers"), "+-", strict=True):
        axes.set_title(f"{header}\n{effect} ($L_{{{index}}}^{sign}$)", fontsize=HEADER)


def _share(column: Column) -> str:
    """Return a component's share of the variance in brackets, if it is known."""
    share = column.pairs[0].share
    return f" ({share})" if share else ""


def _below(column: Column, b: int, true: str | None) -> list[tuple[str, str]]:
    """Return the lines below the maps of one image, with their colours."""
    lines = []
    if column.predicted:
        name = column.predicted[b]
        text = fitted(f"predicts {inline(name, 40)}", CELL + BAR_SPACE - 0.15, SMALL)
        lines += [(line, "black" if true in (name, None) else WRONG) for line in text.split("\n")]
    lines += [(column.values[b], "black")] if column.values else []
    remark = fitted(column.pairs[b].remark, CELL + BAR_SPACE - 0.15, SMALL)
    return lines + [(line, "#555555") for line in remark.split("\n") if line]
