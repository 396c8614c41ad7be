"""The confusion matrix of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError
from pcacam_jax.plots.colour_bars import thin
from pcacam_jax.plots.inputs import check_axes, check_count, list_of, numbers
from pcacam_jax.plots.names import SMALL, as_plain_text, readable

MOST_COUNTED = 20
"""The largest number of classes whose counts are written into the cells."""
MOST_NAMED = 30
"""The largest number of classes that are all named at the axes."""
NAME_LENGTH = 18


def confusion_matrix(axes: Axes, matrix: ArrayLike, class_names: Sequence[str]) -> Axes:
    """Draw a confusion matrix: rows are true classes, columns predicted ones, colours shares of the true class.

    Counts above 0 are written into the cells for up to 20 classes. With more classes, a colour bar is drawn in their
    place, and with more than 30 classes only evenly spaced ones are named.

    Args:
        axes: where to draw.
        matrix: (C, C) counts; entry (i, j) counts the images of class i that are predicted to be of class j.
        class_names: the names of the C classes.

    Returns:
        ``axes``.

    Raises:
        InputError: the matrix is not square, has entries that are no counts, or the number of names differs.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> axes = plots.confusion_matrix(Figure().add_subplot(), [[9, 1], [0, 5]], ["cat", "dog"])
        >>> [text.get_text() for text in axes.texts]
        ['9', '1', '5']
    """
    check_axes(axes)
    counts = numbers("matrix", matrix, ("C", "C"), lowest=0)
    classes = len(counts)
    if counts.shape != (classes, classes) or (counts != np.floor(counts)).any():
        raise InputError(f"matrix must be square and hold counts, whole numbers; got shape {counts.shape}.")
    class_names = list_of("class_names", class_names)
    check_count("class_names", class_names, classes, "class")
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(totals > 0, totals, 1)
    options: dict[str, Any] = {"origin": "upper", "interpolation": "nearest", "aspect": "equal"}
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, **options)
    size = float(np.clip(90 / classes, 4, SMALL + 2))
    if classes <= MOST_COUNTED:
        for (row, column), count in np.ndenumerate(counts):
            if not count:
                continue
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:.0f}", ha="center", va="center", fontsize=size, color=colour)
    else:
        bar = axes.figure.colorbar(drawn, cax=axes.inset_axes((1.03, 0, 0.04, 1)))
        thin(bar).set_label("share of the true class", fontsize=SMALL)
    _name_classes(axes, class_names, min(size + 1, SMALL + 1))
    axes.set_xlabel("predicted class", fontsize=SMALL + 2)
    axes.set_ylabel("true class", fontsize=SMALL + 2)
    axes.grid(visible=False)
    return axes


def _name_classes(axes: Axes, class_names: Sequence[str], size: float) -> None:
    step = -(-len(class_names) // MOST_NAMED)
    places = range(0, len(class_names), step)
    names = [readable(class_names[place], NAME_LENGTH) for place in places]
    axes.set_yticks(places, names, fontsize=size)
    axes.set_xticks(places, names, fontsize=size, rotation=90 if len(names) > 4 or max(map(len, names)) > 9 else 0)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        as_plain_text(label)
    axes.tick_params(length=2, pad=2)
