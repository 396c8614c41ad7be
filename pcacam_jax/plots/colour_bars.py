"""Colour bars with few, short labels."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.image import AxesImage
from matplotlib.transforms import BboxTransformTo, ScaledTranslation, blended_transform_factory

from pcacam_jax.core.text import shown
from pcacam_jax.plots.inputs import check_axes
from pcacam_jax.plots.names import SMALL

GAP, WIDTH = 0.055, 0.08
"""Inches between the axes and the bar, and the width of the bar."""
BAR_SPACE = 0.72
"""Inches beside the axes that the bar and its labels need."""
LOW = 0.45
"""A bar of fewer inches has no label at half of the maximum."""


def colour_bar(axes: Axes, mappable: AxesImage) -> Colorbar:
    """Attach a thin colour bar to the right of ``axes``, as high as the image, with ticks at 0, half and the maximum.

    A low bar has no tick at half. If the maximum lies outside 0.001..1000, every tick is written with its power of ten,
    such as 3e-7. The bar shows the colours without transparency.

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
    check_axes(axes)
    if not callable(getattr(type(mappable), "get_clim", None)):
        raise TypeError(f"mappable must be the result of overlay; got {type(mappable).__name__} {shown(mappable)}.")
    maximum = float(mappable.get_clim()[1] or 1)
    beside = axes.figure.dpi_scale_trans + ScaledTranslation(1, 0, BboxTransformTo(axes.bbox))
    place = axes.inset_axes((GAP, 0, WIDTH, 1), transform=blended_transform_factory(beside, axes.transAxes))
    bar = axes.figure.colorbar(ScalarMappable(Normalize(0, 1), mappable.cmap), cax=place)
    low = axes.get_window_extent().height < LOW * axes.figure.dpi
    shares = [0, 1] if low else [0, 0.5, 1]
    labels = [_short(share * maximum, plain=0.001 <= maximum < 1000) for share in shares]
    bar.set_ticks(shares, labels=labels, minor=False)
    return thin(bar)


def _short(tick: float, *, plain: bool) -> str:
    """Return a number with three digits; with its power of ten unless ``plain``."""
    if plain or not tick:
        return f"{tick:.3g}"
    digits, power = f"{tick:.2e}".split("e")
    return f"{float(digits):g}e{int(power)}"


def thin(bar: Colorbar) -> Colorbar:
    """Give a colour bar small labels and a thin outline."""
    bar.ax.tick_params(labelsize=SMALL, length=2, pad=1)
    bar.outline.set_linewidth(0.4)
    return bar
