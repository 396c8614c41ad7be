"""Images and heatmaps, drawn on single axes.

The paper draws heatmaps with the colour map 'jet'. The brightness of 'jet' is not monotonic, so it shows edges that the
data do not have. Here the colour map is 'inferno': its brightness grows evenly with the value, also in print and for
colour-blind readers. Zero is black, so a region without evidence looks like the dimmed image. The image itself is drawn
in grey, so every colour belongs to the heatmap.
"""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError
from pcacam_jax.plots.inputs import numbers, picture

COLOUR_MAP = "inferno"
SIGNED_COLOURS = LinearSegmentedColormap.from_list(
    "signed", ["#c4e6ff", "#3f9be0", "#0f4677", "#000000", "#7d3200", "#e8761a", "#ffe3b8"]
)
"""Blue below zero, black at zero, orange above it: brightness shows the magnitude, also to colour-blind readers."""
LUMINANCE = np.array([0.299, 0.587, 0.114])
SMALL = 7
"""Font size of labels and notes, in points."""


def image(axes: Axes, image: ArrayLike, title: str = "") -> Axes:
    """Draw an image without ticks.

    Args:
        axes: where to draw.
        image: (H, W, 3) uint8.
        title: text above the image.

    Returns:
        ``axes``.

    Raises:
        InputError: the image has another shape or dtype.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> axes = plots.image(Figure().add_subplot(), np.zeros((8, 8, 3), np.uint8), "cat")
        >>> axes.get_title()
        'cat'
    """
    axes.imshow(picture(image))
    return _without_ticks(axes, title)


def overlay(
    axes: Axes, image: ArrayLike, heatmap: ArrayLike, *, maximum: float, alpha: float = 0.65, title: str = ""
) -> AxesImage:
    """Draw a heatmap over an image.

    The heatmap is interpolated bilinearly to the size of the image. A heatmap of zeros is labelled "zero everywhere".

    Args:
        axes: where to draw.
        image: (H, W, 3) uint8, drawn in grey.
        heatmap: (h, w), values >= 0.
        maximum: the value of the brightest colour. It may be 0 for a heatmap of zeros only. Heatmaps that are compared
            need the same maximum (Eq. 12).
        alpha: opacity of the heatmap, 0 to 1.
        title: text above the image.

    Returns:
        The drawn heatmap, which :func:`colour_bar` takes.

    Raises:
        InputError: a shape is wrong, a value is negative or not finite, ``maximum`` is below the largest value of the
            heatmap, or ``alpha`` is outside 0..1.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> mappable = plots.overlay(Figure().add_subplot(), np.zeros((8, 8, 3), np.uint8), np.eye(2), maximum=1)
        >>> [float(limit) for limit in mappable.get_clim()]
        [0.0, 1.0]
    """
    pixels = picture(image)
    heat = numbers("heatmap", heatmap, ("h", "w"), lowest=0)
    top = _checked_maximum(heat, maximum)
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha must lie between 0 and 1; got {alpha:g}.")
    height, width = pixels.shape[:2]
    axes.imshow(pixels @ LUMINANCE, cmap="gray", vmin=0, vmax=255)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    drawn = axes.imshow(
        heat, cmap=COLOUR_MAP, vmin=0, vmax=top or 1, alpha=alpha, extent=extent, interpolation="bilinear"
    )
    if not heat.any():
        _label_centre(axes, "zero\neverywhere")
    _without_ticks(axes, title)
    return drawn


def unknown(axes: Axes, image: ArrayLike, title: str = "") -> Axes:
    """Draw an image in grey with the label "gradient underflowed", in place of a heatmap that is unknown.

    Args:
        axes: where to draw.
        image: (H, W, 3) uint8.
        title: text above the image.

    Returns:
        ``axes``.

    Raises:
        InputError: the image has another shape or dtype.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> axes = plots.unknown(Figure().add_subplot(), np.zeros((8, 8, 3), np.uint8))
        >>> axes.texts[0].get_text().split()
        ['gradient', 'underflowed']
    """
    axes.imshow(picture(image) @ LUMINANCE, cmap="gray", vmin=0, vmax=255)
    _label_centre(axes, "gradient\nunderflowed")
    return _without_ticks(axes, title)


def _label_centre(axes: Axes, text: str) -> None:
    box = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "boxstyle": "round,pad=0.3"}
    place = {"transform": axes.transAxes, "ha": "center", "va": "center"}
    axes.text(0.5, 0.5, text, color="white", fontsize=SMALL, bbox=box, **place)


def overlay_pair(
    positive_axes: Axes, negative_axes: Axes, image: ArrayLike, positive: ArrayLike, negative: ArrayLike
) -> Colorbar | None:
    """Draw L+ and L- over one image on one colour scale with the maximum ``max(max L+, max L-)``, Eq. 12.

    Args:
        positive_axes: where to draw L+.
        negative_axes: where to draw L-. The colour bar is drawn to the right of these axes.
        image: (H, W, 3) uint8.
        positive: L+, (h, w), values >= 0.
        negative: L-, of the same shape.

    Returns:
        The colour bar, or None if both maps are zero.

    Raises:
        InputError: the shapes differ, or a value is negative or not finite.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> left, right = Figure().subplots(1, 2)
        >>> bar = plots.overlay_pair(left, right, np.zeros((8, 8, 3), np.uint8), np.eye(2), 2 * np.eye(2))
        >>> [label.get_text() for label in bar.ax.get_yticklabels()]
        ['0', '1', '2']
    """
    positive = numbers("positive", positive, ("h", "w"), lowest=0)
    negative = numbers("negative", negative, positive.shape, lowest=0)
    maximum = float(max(positive.max(), negative.max()))
    overlay(positive_axes, image, positive, maximum=maximum)
    drawn = overlay(negative_axes, image, negative, maximum=maximum)
    return colour_bar(negative_axes, drawn) if maximum else None


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


def signed_overlay(
    axes: Axes, image: ArrayLike, heatmap: ArrayLike, *, maximum: float, alpha: float = 0.7
) -> AxesImage:
    """Draw a signed map over a grey image: orange above zero, blue below zero, black at zero.

    Args:
        axes: where to draw.
        image: (H, W, 3) uint8.
        heatmap: (h, w), interpolated bilinearly to the size of the image.
        maximum: the magnitude of the brightest colours. Maps that are compared need the same maximum.
        alpha: opacity of the map, 0 to 1.

    Returns:
        The drawn map.

    Raises:
        InputError: a shape is wrong, a value is not finite, or ``maximum`` is below the largest magnitude of the map.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> mappable = plots.signed_overlay(Figure().add_subplot(), np.zeros((8, 8, 3), np.uint8), np.eye(2), maximum=2)
        >>> [float(limit) for limit in mappable.get_clim()]
        [-2.0, 2.0]
    """
    pixels, heat = picture(image), numbers("heatmap", heatmap, ("h", "w"))
    if np.abs(heat).max() > maximum * (1 + 1e-6):
        raise InputError(
            f"maximum must be at least the largest magnitude of the heatmap, {np.abs(heat).max():g}; got {maximum:g}."
        )
    height, width = pixels.shape[:2]
    grey = (pixels @ LUMINANCE).round().astype(np.uint8)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255)
    _without_ticks(axes, "")
    top, extent = maximum or 1, (-0.5, width - 0.5, height - 0.5, -0.5)
    return axes.imshow(
        heat, cmap=SIGNED_COLOURS, vmin=-top, vmax=top, alpha=alpha, extent=extent, interpolation="bilinear"
    )


def thin(bar: Colorbar) -> Colorbar:
    """Give a colour bar small labels and a thin outline."""
    bar.ax.tick_params(labelsize=SMALL, length=2, pad=1)
    bar.outline.set_linewidth(0.4)
    return bar


def _checked_maximum(heat: np.ndarray, maximum: float) -> float:
    top = float(numbers("maximum", maximum, (), lowest=0))
    if heat.max() > top * (1 + 1e-6):
        raise InputError(
            f"maximum must be at least the largest value of the heatmap, {heat.max():g}, or the colours would clip; "
            f"got {top:g}."
        )
    return top


def _without_ticks(axes: Axes, title: str) -> Axes:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_linewidth(0.4)
    if title:
        axes.set_title(title, fontsize=SMALL + 2)
    return axes
