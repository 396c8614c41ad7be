"""Figures whose axes are placed by hand, in inches: the time for a layout grows with the number of panels."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pcacam_jax.plots.names import SMALL, mean_width, wrapped, write

LINE = 1.25 / 72
"""Height of a line of text in inches per point of its font size."""
SPARE = 0.94
"""Lines are made narrower by this factor, because letters differ in width."""


def height_of(text: str, size: float) -> float:
    """Return the height in inches of a text with line breaks; 0 for an empty text."""
    return LINE * size * len(text.split("\n")) if text else 0.0


def fitted(text: str, width: float, size: float) -> str:
    """Return ``text`` broken into lines that fit ``width`` inches."""
    lines = text.split("\n") if text else []
    return "\n".join(wrapped(line, SPARE * width / (mean_width(line) * size)) for line in lines)


def width_of(text: str, size: float) -> float:
    """Return the width in inches of a text with line breaks."""
    return max(len(line) * mean_width(line) * size for line in text.split("\n"))


def box_of(area: float, aspect: float) -> tuple[float, float]:
    """Return (width, height) in inches of a panel of ``area`` square inches for pictures of H / W = ``aspect``."""
    aspect = float(np.clip(aspect, 0.2, 5))
    return float(np.sqrt(area / aspect)), float(np.sqrt(area * aspect))


class Sheet:
    """A figure with a body of ``width`` x ``height`` inches, space for a title above it, and a note below it."""

    def __init__(self, width: float, height: float, note: str) -> None:
        self.note = "\n".join(fitted(line, width - 0.1, SMALL) for line in note.split("\n"))
        foot = height_of(self.note, SMALL) + 0.1
        # ``Figure.suptitle`` writes at 98 % of the height; saved files are cut to what is drawn.
        self.width, self.height = width, (height + foot + 0.3) / 0.98
        self.top = self.height - height - foot
        self.figure = Figure(figsize=(self.width, self.height))
        self.figure.set_layout_engine("none")
        self.text(0.05, height + 0.08, self.note, SMALL)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes; ``left`` and ``top`` are inches from the upper left corner of the body."""
        bottom = self.height - self.top - top - height
        return self.figure.add_axes((left / self.width, bottom / self.height, width / self.width, height / self.height))

    def text(self, left: float, top: float, text: str, size: float, **style: Any) -> None:
        """Write a text whose upper left corner is given as in :meth:`axes`."""
        place = left / self.width, 1 - (self.top + top) / self.height
        write(lambda *_, **options: self.figure.text(*place, text, va="top", **options), text, size, **style)
