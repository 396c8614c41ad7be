"""Pictures and heatmaps on one pair of axes.

The paper draws heatmaps in 'jet', whose brightness goes up and down and so paints edges that the data do not have.
Here the colour map is 'inferno': brightness grows evenly with the value, in print and for colour-blind readers too,
and zero is black, so that no evidence looks like the dimmed picture and nothing else does. The picture below is drawn
in grey, so that every colour seen is evidence.
"""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import SubFigure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError
from pcacam_jax.plots.inputs import numbers, picture

COLOUR_MAP = "inferno"
SIGNED_COLOURS = LinearSegmentedColormap.from_list(
    "signed", ["#c4e6ff", "#3f9be0", "#0f4677", "#000000", "#7d3200", "#e8761a", "#ffe3b8"]
)
"""Zero is black, so that brightness is evidence; orange and blue are told apart by colour-blind readers."""
LUMINANCE = np.array([0.299, 0.587, 0.114])
SMALL = 7


def image(axes: Axes, image: ArrayLike, title: str = "") -> Axes:
    """Draw the picture ``image``, (H, W, 3) uint8, without ticks.

    Raises:
        InputError: the image has another shape or dtype.
    """
    axes.imshow(picture(image))
    return _framed(axes, title)


def overlay(
    axes: Axes, image: ArrayLike, heatmap: ArrayLike, *, maximum: float, alpha: float = 0.65, title: str = ""
) -> AxesImage:
    """Draw a heatmap over a picture and return the mappable that a colour bar needs.

    Args:
        axes: where to draw.
        image: (H, W, 3) uint8, drawn in grey.
        heatmap: (h, w), values >= 0, spread bilinearly over the extent of the picture; a map of zeros says so in words.
        maximum: the value of the brightest colour; 0 only for a map of zeros. Maps to be compared share it (Eq. 12).
        alpha: weight of the heatmap against the picture, 0 to 1.
        title: text above.

    Raises:
        InputError: wrong shapes, negative or non-finite values, ``maximum`` below the map's own, or ``alpha``
            outside 0..1.
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
        _written_over(axes, "zero\neverywhere")
    _framed(axes, title)
    return drawn


def unknown(axes: Axes, image: ArrayLike, title: str = "") -> Axes:
    """Draw a picture in grey and say that its map is unknown, because the gradient underflowed.

    Raises:
        InputError: the image has another shape or dtype.
    """
    axes.imshow(picture(image) @ LUMINANCE, cmap="gray", vmin=0, vmax=255)
    _written_over(axes, "gradient\nunderflowed")
    return _framed(axes, title)


def _written_over(axes: Axes, text: str) -> None:
    box = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "boxstyle": "round,pad=0.3"}
    place = {"transform": axes.transAxes, "ha": "center", "va": "center"}
    axes.text(0.5, 0.5, text, color="white", fontsize=SMALL, bbox=box, **place)


def overlay_pair(
    positive_axes: Axes, negative_axes: Axes, image: ArrayLike, positive: ArrayLike, negative: ArrayLike
) -> Colorbar | None:
    """Draw L+ and L- over one picture on one scale whose maximum is max(max L+, max L-), Eq. 12.

    The colour bar stands right of ``negative_axes``; both maps being zero, there is none.

    Args:
        positive_axes: where L+ goes.
        negative_axes: where L- goes.
        image: (H, W, 3) uint8.
        positive: L+, (h, w), values >= 0.
        negative: L-, of the same shape.

    Returns:
        The colour bar, or None.

    Raises:
        InputError: shapes differ, or values are negative or not finite.
    """
    positive = numbers("positive", positive, ("h", "w"), lowest=0)
    negative = numbers("negative", negative, positive.shape, lowest=0)
    maximum = float(max(positive.max(), negative.max()))
    overlay(positive_axes, image, positive, maximum=maximum)
    drawn = overlay(negative_axes, image, negative, maximum=maximum)
    return colour_bar(negative_axes, drawn) if maximum else None


def colour_bar(axes: Axes, mappable: AxesImage) -> Colorbar:
    """Attach a thin colour bar to the right of ``axes``, as high as the picture, with 0, half and the maximum.

    Maxima outside 0.1..1000 are written with a common power of ten beside the bar. The colours are the opaque ones.
    """
    maximum = float(mappable.get_clim()[1] or 1)
    exponent = 0 if 0.1 <= maximum < 1000 else math.floor(math.log10(maximum))
    opaque = ScalarMappable(mappable.norm, mappable.cmap)
    bar = axes.figure.colorbar(opaque, cax=axes.inset_axes((1.04, 0, 0.06, 1)))
    ticks = [0, maximum / 2, maximum]
    bar.set_ticks(ticks, labels=[f"{tick / 10.0**exponent:.3g}" for tick in ticks], minor=False)
    _thin(bar)
    if exponent:
        bar.set_label(rf"$\times\,10^{{{exponent}}}$", fontsize=SMALL, labelpad=3)
    return bar


def signed_overlay(
    axes: Axes, image: ArrayLike, heatmap: ArrayLike, *, maximum: float, alpha: float = 0.7
) -> AxesImage:
    """Draw a signed map over a grey picture, orange above zero and blue below, and return the mappable.

    Args:
        axes: where to draw.
        image: (H, W, 3) uint8.
        heatmap: (h, w), spread bilinearly over the extent of the picture.
        maximum: the magnitude of the brightest colours; maps to be compared share it.
        alpha: weight of the map against the picture, 0 to 1.

    Raises:
        InputError: wrong shapes, values that are not finite, or ``maximum`` below the map's own.
    """
    pixels, heat = picture(image), numbers("heatmap", heatmap, ("h", "w"))
    if np.abs(heat).max() > maximum * (1 + 1e-6):
        raise InputError(
            f"maximum must be at least the largest magnitude of the heatmap, {np.abs(heat).max():g}; got {maximum:g}."
        )
    height, width = pixels.shape[:2]
    grey = (pixels @ LUMINANCE).round().astype(np.uint8)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255)
    _framed(axes, "")
    top, extent = maximum or 1, (-0.5, width - 0.5, height - 0.5, -0.5)
    return axes.imshow(
        heat, cmap=SIGNED_COLOURS, vmin=-top, vmax=top, alpha=alpha, extent=extent, interpolation="bilinear"
    )


def signed_scale(foot: SubFigure, place: tuple[float, float, float, float], ends: tuple[str, str]) -> Colorbar:
    """Draw one horizontal colour bar for signed maps that each have a scale of their own, and name its two ends."""
    bar = foot.colorbar(
        ScalarMappable(Normalize(-1, 1), SIGNED_COLOURS), cax=foot.add_axes(place), orientation="horizontal"
    )
    bar.set_ticks([-1, 0, 1], labels=[ends[0], "0", ends[1]])
    return _thin(bar)


def _thin(bar: Colorbar) -> Colorbar:
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


def _framed(axes: Axes, title: str) -> Axes:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_linewidth(0.4)
    if title:
        axes.set_title(title, fontsize=SMALL + 2)
    return axes
