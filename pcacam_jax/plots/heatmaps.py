"""Images and heatmaps, drawn on single axes.

The paper draws heatmaps with the colour map 'jet'. The brightness of 'jet' is not monotonic, so it shows edges that the
data do not have. Here the colour map is 'inferno': its brightness grows evenly with the value, also in print and for
colour-blind readers. Zero is black, so a region without evidence looks like the dimmed image. The image itself is drawn
in grey, so every colour belongs to the heatmap.

A heatmap is stretched over the whole image. Each of its cells has one colour, because smooth colours between the
centres of 3 x 3 or 6 x 6 cells would show places and shapes that the map does not contain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError, check_choice, check_flag
from pcacam_jax.plots.colour_bars import colour_bar
from pcacam_jax.plots.inputs import as_text, check_axes, numbers, one_flag, opacity, picture
from pcacam_jax.plots.marks import UNDERFLOWED, cell_borders, label_at, label_of
from pcacam_jax.plots.names import SMALL, readable, wrapped, write

COLOUR_MAP = "inferno"
SIGNED_COLOURS = LinearSegmentedColormap.from_list(
    "signed", ["#c4e6ff", "#3f9be0", "#0f4677", "#000000", "#7d3200", "#e8761a", "#ffe3b8"]
)
"""Blue below zero, black at zero, orange above it: brightness shows the magnitude, also to colour-blind readers."""
LUMINANCE = np.array([0.299, 0.587, 0.114])
INTERPOLATIONS = ("nearest", "bilinear")


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
    check_axes(axes)
    axes.imshow(picture(image), origin="upper", interpolation="antialiased", aspect="equal")
    return _without_ticks(axes, title)


def overlay(
    axes: Axes,
    image: ArrayLike,
    heatmap: ArrayLike,
    *,
    maximum: float,
    alpha: float = 0.65,
    title: str = "",
    vanished: bool | None = None,
    interpolation: str = "nearest",
    cells: bool = False,
) -> AxesImage:
    """Draw a heatmap over an image of any size and shape.

    The heatmap is stretched over the whole image, which is right for images that were resized without cropping.

    Args:
        axes: where to draw.
        image: (H, W, 3) uint8, drawn in grey.
        heatmap: (h, w), values >= 0.
        maximum: the value of the brightest colour. It may be 0 for a heatmap of zeros only. Heatmaps that are compared
            need the same maximum (Eq. 12).
        alpha: opacity of the heatmap, 0 to 1.
        title: text above the image.
        vanished: the flag of ``Explanation.vanished``. A heatmap of zeros is labelled "zero everywhere" if it is False,
            and "zero or underflowed" without it. With True, no map is visible.
        interpolation: ``"nearest"`` gives every cell of the heatmap one colour, ``"bilinear"`` blends neighbours.
        cells: whether to draw the borders of the cells.

    Returns:
        The drawn heatmap, which :func:`colour_bar` takes.

    Raises:
        InputError: a shape is wrong, a value is negative or not finite, ``maximum`` is below the largest value of the
            heatmap, ``alpha`` is outside 0..1, or the interpolation is unknown.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> mappable = plots.overlay(Figure().add_subplot(), np.zeros((8, 8, 3), np.uint8), np.eye(2), maximum=1)
        >>> [float(limit) for limit in mappable.get_clim()]
        [0.0, 1.0]
    """
    check_axes(axes)
    heat = numbers("heatmap", heatmap, ("h", "w"), lowest=0)
    top = _checked_maximum(heat, maximum)
    alpha, vanished = opacity(alpha), one_flag("vanished", vanished)
    colours: dict[str, Any] = {"cmap": COLOUR_MAP, "vmin": 0, "vmax": top or 1, "alpha": 0 if vanished else alpha}
    drawn = _draw_map(axes, image, heat, interpolation, cells, **colours)
    if label := label_of(heat, vanished):
        label_at(axes, 0.5, 0.5, label, axes.transAxes)
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
    check_axes(axes)
    _draw_grey(axes, image)
    label_at(axes, 0.5, 0.5, UNDERFLOWED, axes.transAxes)
    return _without_ticks(axes, title)


def overlay_pair(
    positive_axes: Axes,
    negative_axes: Axes,
    image: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    maximum: float | None = None,
    alpha: float = 0.65,
    vanished: bool | None = None,
    interpolation: str = "nearest",
    cells: bool = False,
) -> Colorbar | None:
    """Draw L+ and L- over one image on one colour scale with the maximum ``max(max L+, max L-)``, Eq. 12.

    Args:
        positive_axes: where to draw L+.
        negative_axes: where to draw L-. The colour bar is drawn to the right of these axes.
        image: (H, W, 3) uint8.
        positive: L+, (h, w), values >= 0.
        negative: L-, of the same shape.
        maximum: the value of the brightest colour, if other maps share the scale; that of this pair by default.
        alpha: as in :func:`overlay`, as are ``vanished``, ``interpolation`` and ``cells``.
        vanished: with True, no map is drawn.
        interpolation: see above.
        cells: see above.

    Returns:
        The colour bar, or None if both maps are zero or the gradient underflowed.

    Raises:
        InputError: the shapes differ, or a value is negative, not finite or above ``maximum``.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> left, right = Figure().subplots(1, 2)
        >>> bar = plots.overlay_pair(left, right, np.zeros((8, 8, 3), np.uint8), np.eye(2), 2 * np.eye(2))
        >>> [label.get_text() for label in bar.ax.get_yticklabels()]
        ['0', '1', '2']
    """
    check_axes(positive_axes)
    check_axes(negative_axes)
    positive = numbers("positive", positive, ("h", "w"), lowest=0)
    negative = numbers("negative", negative, positive.shape, lowest=0)
    vanished = one_flag("vanished", vanished)
    if vanished:
        for axes in (positive_axes, negative_axes):
            unknown(axes, image)
        return None
    largest = float(max(positive.max(), negative.max()))
    options: dict[str, Any] = {"alpha": alpha, "vanished": vanished, "interpolation": interpolation, "cells": cells}
    top = largest if maximum is None else maximum
    overlay(positive_axes, image, positive, maximum=top, **options)
    drawn = overlay(negative_axes, image, negative, maximum=top, **options)
    return colour_bar(negative_axes, drawn) if largest else None


def signed_overlay(
    axes: Axes,
    image: ArrayLike,
    heatmap: ArrayLike,
    *,
    maximum: float,
    alpha: float = 0.7,
    interpolation: str = "nearest",
    cells: bool = False,
) -> AxesImage:
    """Draw a signed map over a grey image: orange above zero, blue below zero, black at zero.

    Args:
        axes: where to draw.
        image: (H, W, 3) uint8.
        heatmap: (h, w), stretched over the whole image.
        maximum: the magnitude of the brightest colours. Maps that are compared need the same maximum.
        alpha: opacity of the map, 0 to 1.
        interpolation: as in :func:`overlay`, as is ``cells``.
        cells: see above.

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
    check_axes(axes)
    heat = numbers("heatmap", heatmap, ("h", "w"))
    maximum = float(numbers("maximum", maximum, ()))
    if np.abs(heat).max() > maximum * (1 + 1e-6):
        raise InputError(
            f"maximum must be at least the largest magnitude of the heatmap, {np.abs(heat).max():g}; got {maximum:g}."
        )
    top = maximum or 1
    colours: dict[str, Any] = {"cmap": SIGNED_COLOURS, "vmin": -top, "vmax": top, "alpha": opacity(alpha)}
    _without_ticks(axes, "")
    return _draw_map(axes, image, heat, interpolation, cells, **colours)


def _draw_grey(axes: Axes, image: ArrayLike) -> tuple[float, float, float, float]:
    """Draw an image in grey and return its extent; the settings of ``rcParams`` do not matter."""
    grey = (picture(image) @ LUMINANCE).round().astype(np.uint8)
    options: dict[str, Any] = {"origin": "upper", "interpolation": "antialiased", "aspect": "equal"}
    return axes.imshow(grey, cmap="gray", vmin=0, vmax=255, **options).get_extent()


def _draw_map(axes: Axes, image: ArrayLike, heat: np.ndarray, interpolation: str, cells: bool, **style) -> AxesImage:
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    cells = check_flag("cells", cells)
    extent = _draw_grey(axes, image)
    options: dict[str, Any] = {"extent": extent, "origin": "upper", "interpolation": interpolation, "aspect": "equal"}
    drawn = axes.imshow(heat, **options, **style)
    if cells:
        cell_borders(axes, extent, heat.shape)
    return drawn


def _checked_maximum(heat: np.ndarray, maximum: float) -> float:
    top = float(numbers("maximum", maximum, (), lowest=0))
    if heat.max() > top * (1 + 1e-6):
        raise InputError(
            f"maximum must be at least the largest value of the heatmap, {heat.max():g}, or the colours would clip; "
            f"got {top:g}."
        )
    return top


def _without_ticks(axes: Axes, title: str) -> Axes:
    title = as_text("title", title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_linewidth(0.4)
    if title:
        write(axes.set_title, wrapped(readable(title), 40), SMALL + 2)
    return axes
