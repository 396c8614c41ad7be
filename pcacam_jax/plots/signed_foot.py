"""The foot of figures with signed maps: the colour bar that the maps have in common, and a note below it."""

from __future__ import annotations

from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import SubFigure

from pcacam_jax.plots.colour_bars import thin
from pcacam_jax.plots.heatmaps import SIGNED_COLOURS
from pcacam_jax.plots.names import SMALL
from pcacam_jax.plots.sheet import fitted, height_of

CELL = 1.35
"""Width of a panel in inches."""


def wrapped_note(note: str, width: float) -> str:
    """Return ``note`` broken into lines that fit a figure of ``width`` inches at the font size ``SMALL``."""
    return fitted(note, width - 0.2, SMALL)


def foot_height(note: str) -> float:
    """Return the height in inches that :func:`signed_foot` needs for its colour bar and the lines of ``note``."""
    return 0.5 + height_of(note, SMALL)


def signed_foot(foot: SubFigure, note: str, ends: tuple[str, str]) -> Colorbar:
    """Draw the colour bar that several signed maps have in common, with names for its two ends, and a note below it."""
    foot.supxlabel(note, x=0.01, ha="left", fontsize=SMALL)
    height = foot_height(note)
    place = foot.add_axes((0.3, 1 - 0.2 / height, 0.4, 0.1 / height))
    bar = foot.colorbar(ScalarMappable(Normalize(-1, 1), SIGNED_COLOURS), cax=place, orientation="horizontal")
    bar.set_ticks([-1, 0, 1], labels=[ends[0], "0", ends[1]])
    return thin(bar)
