"""Colour bars with few, short labels."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.image import AxesImage

from pcacam_jax.plots.names import SMALL


def colour_bar(axes: Axes, mappable: AxesImage) -> Colorbar:
    """Attach a thin colour bar to the right of ``axes``, as high as the image, with ticks at 0, half and the maximum.

    If the maximum lies outside 0.1..1000, the ticks are written with a common power of ten beside the bar. The bar
    shows the colours without transparency.

    Args:
        axes: the axes that hold the heatmap.
        mappable: the result of :func:`overlay`.

    Returns:
        The colour bar.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> axes = Figure().add_subplot()
        >>> mappable = plots.overlay(axes, np.zeros((8, 8, 3), np.uint8), np.eye(2), maximum=1)
        >>> [label.get_text() for label in plots.colour_bar(axes, mappable).ax.get_yticklabels()]
        ['0', '0.5', '1']
    """
    maximum = float(mappable.get_clim()[1] or 1)
    exponent = 0 if 0.1 <= maximum < 1000 else math.floor(math.log10(maximum))
    opaque = ScalarMappable(mappable.norm, mappable.cmap)
    bar = axes.figure.colorbar(opaque, cax=axes.inset_axes((1.04, 0, 0.06, 1)))
    ticks = [0, maximum / 2, maximum]
    bar.set_ticks(ticks, labels=[f"{tick / 10.0**exponent:.3g}" for tick in ticks], minor=False)
    thin(bar)
    if exponent:
        bar.set_label(rf"$\times\,10^{{{exponent}}}$", fontsize=SMALL, labelpad=3)
    return bar


def thin(bar: Colorbar) -> Colorbar:
    """Give a colour bar small labels and a thin outline."""
    bar.ax.tick_params(labelsize=SMALL, length=2, pad=1)
    bar.outline.set_linewidth(0.4)
    return bar
