"""Labels and lines over heatmaps."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.transforms import Transform

from pcacam_jax.plots.names import SMALL

UNDERFLOWED = "gradient\nunderflowed"
ZERO = "zero\neverywhere"
ZERO_OR_UNDERFLOWED = "zero or\nunderflowed"


def label_at(axes: Axes, x: float, y: float, text: str, transform: Transform) -> None:
    """Write white text on a dark box."""
    box = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "boxstyle": "round,pad=0.3"}
    axes.text(x, y, text, color="white", fontsize=SMALL, bbox=box, transform=transform, ha="center", va="center")


def cell_borders(axes: Axes, extent: tuple[float, float, float, float], shape: tuple[int, ...]) -> None:
    """Draw light lines between the cells of a map of ``shape`` that fills ``extent``."""
    left, right, bottom, top = extent
    x, y = np.linspace(left, right, shape[1] + 1)[1:-1], np.linspace(top, bottom, shape[0] + 1)[1:-1]
    lines = [*([(each, bottom), (each, top)] for each in x), *([(left, each), (right, each)] for each in y)]
    axes.add_collection(LineCollection(lines, colors="white", linewidths=0.4, alpha=0.45), autolim=False)


def label_of(heat: np.ndarray, vanished: bool | None) -> str:
    """Return the text that is written over a map; empty for maps that are drawn as they are."""
    if vanished:
        return UNDERFLOWED
    return "" if heat.any() else ZERO_OR_UNDERFLOWED if vanished is None else ZERO
