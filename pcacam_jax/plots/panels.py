"""Figures of several panels: the paper's grid of heatmaps (Figures 8 and 9) and the explanation of one image."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.plots.heatmaps import SIGNED_COLOURS, SMALL, colour_bar, overlay, overlay_pair, thin, unknown
from pcacam_jax.plots.heatmaps import image as draw_image
from pcacam_jax.plots.inputs import check_count, numbers

CELL = 1.35  # inches per panel
WRONG = "#bd1f01"
EFFECT_NOTE = (
    "Brighter: larger effect, computed from the gradient at this image. Zero everywhere: no region has this effect."
)
GRID_NOTE = (
    "Classifier columns: regions that raise the score of the explained class. "
    "$L_r^+$, $L_r^-$: regions that raise, lower the value of PCA component $r$.\n"
    f"{EFFECT_NOTE}\nThe maps $L_r^+$ and $L_r^-$ of one image share a colour scale. Every other map has its own scale."
)
PANEL_NOTE = (
    "raises, lowers: regions that raise, lower the value in the title above the pair of maps.\n"
    f"{EFFECT_NOTE}\nThe two maps of a pair share a colour scale. Every pair has its own scale."
)
UNDERFLOW_NOTE = "\nGradient underflowed: the gradient is too small for the floating-point format, so no map is drawn."
SCALE_FREE_NOTE = (
    "\nScale-free: maps of RBF SVMs are known up to a positive factor only. The numbers on their colour bars have no "
    "meaning."
)


def paper_grid(
    images: Sequence[ArrayLike],
    classifiers: Mapping[str, ArrayLike],
    components: ArrayLike,
    *,
    truth: Sequence[str],
    predictions: Mapping[str, Sequence[str]] | None = None,
    vanished: Mapping[str, ArrayLike] | None = None,
) -> Figure:
    """Return the grid of the paper's Figures 8 and 9, with one row per image.

    A row shows the image, one heatmap per classifier, and L+ and L- of every component. L+ and L- of one image and
    component share a colour scale (Eq. 12). Every classifier's heatmap has its own scale.

    Args:
        images: N images, (H, W, 3) uint8.
        classifiers: column title -> (N, h, w) heatmaps, values >= 0.
        components: (N, D, h, w), the signed maps ``L_r`` of Eq. 10.
        truth: the N true classes.
        predictions: column title -> the N classes that this classifier predicts. They are written below the heatmaps,
            wrong ones in red.
        vanished: column title -> (N,) booleans, true where the gradient underflowed. No heatmap is drawn there.

    Returns:
        The figure.

    Raises:
        InputError: counts or shapes disagree, or a value is not finite.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import plots
        >>> image, maps = np.zeros((32, 32, 3), np.uint8), np.ones((1, 4, 4))
        >>> figure = plots.paper_grid([image], {"Grad-CAM": maps}, maps[:, None], truth=["cat"])
        >>> [axes.get_title() for axes in figure.axes]
        ['image', 'Grad-CAM', '$L_{1}^+$', '$L_{1}^-$']
    """
    count, truth = len(images), [str(name) for name in truth]
    predictions = {title: [str(name) for name in classes] for title, classes in (predictions or {}).items()}
    if not count:
        raise InputError("images must contain at least one image; got none.")
    signed = numbers("components", components, (count, "D", "h", "w"))
    heat = {title: numbers(title, maps, (count, "h", "w"), lowest=0) for title, maps in classifiers.items()}
    check_count("truth", truth, count, "image")
    for title, classes in predictions.items():
        check_choice("predictions", title, heat)
        check_count(f"predictions[{title!r}]", classes, count, "image")
    for title in vanished or {}:
        check_choice("vanished", title, heat)
    lost = {title: _flags(f"vanished[{title!r}]", (vanished or {}).get(title), count, "image") for title in heat}
    columns = 1 + len(heat) + 2 * signed.shape[1]
    figure = Figure(figsize=(CELL * columns, CELL * count + 0.3), layout="compressed")
    panels = figure.subplots(count, columns, squeeze=False)
    for row, axes in enumerate(panels):
        _text(draw_image(axes[0], images[row]).set_ylabel, truth[row], 16, SMALL + 2)
        for place, (title, maps) in zip(axes[1:], heat.items(), strict=False):
            _classifier_map(place, images[row], maps[row], lost=lost[title][row])
            if title in predictions:
                _prediction(place, predictions[title][row], truth[row])
        for pair, component in zip(axes[1 + len(heat) :].reshape(-1, 2), signed[row], strict=True):
            overlay_pair(pair[0], pair[1], images[row], np.maximum(component, 0), np.maximum(-component, 0))
    signs = [f"$L_{{{r + 1}}}^{sign}$" for r in range(signed.shape[1]) for sign in "+-"]
    for axes, title in zip(panels[0], ["image", *heat, *signs], strict=True):
        axes.set_title(title, fontsize=SMALL + 2)
    wrong = " Red: wrong prediction." if predictions else ""
    return _with_note(figure, GRID_NOTE + wrong + (UNDERFLOW_NOTE if np.any(list(lost.values())) else ""))


def explanation_panel(
    image: ArrayLike,
    names: Sequence[str],
    positive: ArrayLike,
    negative: ArrayLike,
    values: ArrayLike,
    *,
    vanished: ArrayLike | None = None,
    scale_free: bool = False,
) -> Figure:
    """Return a figure that explains one image: the image, and L+ and L- of every target.

    Args:
        image: (H, W, 3) uint8.
        names: the names of T targets.
        positive: L+, (T, h, w), values >= 0.
        negative: L-, of the same shape.
        values: (T,), the value of each target at this image.
        vanished: (T,) booleans, true where the gradient underflowed. No map is drawn for these targets.
        scale_free: whether ``scale_free=True`` was passed to :func:`pcacam_jax.explain`. The figure then states that
            maps of RBF SVMs are known up to a factor only.

    Returns:
        The figure.

    Raises:
        InputError: counts or shapes disagree, a map has negative values, or a value is not finite.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import plots
        >>> image, maps = np.zeros((32, 32, 3), np.uint8), np.ones((1, 4, 4))
        >>> figure = plots.explanation_panel(image, ["PCA, component 1"], maps, 0 * maps, [1.5])
        >>> [axes.get_title(loc="left") for axes in figure.axes]
        ['image', 'PCA, component 1 = 1.5', '']
    """
    positive = numbers("positive", positive, ("T", "h", "w"), lowest=0)
    negative = numbers("negative", negative, positive.shape, lowest=0)
    values = numbers("values", values, (len(positive),))
    check_count("names", names, len(positive), "target")
    lost = _flags("vanished", vanished, len(positive), "target")
    across = 1 if len(names) <= 3 else 2
    down = -(-len(names) // across)
    figure = Figure(figsize=(1.7 * (1 + 2 * across) + 0.4, 2.05 * down + 0.2), layout="compressed")
    panels = figure.subplots(down, 1 + 2 * across, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    draw_image(panels[0, 0], image).set_axis_on()
    panels[0, 0].set_title("image", loc="left", fontsize=SMALL + 2)
    pairs = panels[:, 1:].reshape(-1, 2)
    for t, (pair, name) in enumerate(zip(pairs, names, strict=False)):
        if lost[t]:
            for axes in pair:
                unknown(axes, image)
        else:
            overlay_pair(pair[0], pair[1], image, positive[t], negative[t])
        _text(pair[0].set_title, f"{name} = {values[t]:.3g}", 44, SMALL + 2, loc="left")
        for axes, effect in zip(pair, ("raises", "lowers"), strict=True):
            axes.set_axis_on()
            axes.set_xlabel(effect, fontsize=SMALL)
    note = PANEL_NOTE + (UNDERFLOW_NOTE if lost.any() else "") + (SCALE_FREE_NOTE if scale_free else "")
    return _with_note(figure, note)


def _with_note(figure: Figure, note: str) -> Figure:
    figure.supxlabel(note, x=0.01, ha="left", fontsize=SMALL)
    return figure


def wrapped_note(note: str, width: float) -> str:
    """Return ``note`` broken into lines that fit a figure of ``width`` inches at the font size :data:`SMALL`."""
    return "\n".join(textwrap.fill(line, int(21 * width)) for line in note.split("\n"))


def foot_height(note: str) -> float:
    """Return the height in inches that :func:`signed_foot` needs for its colour bar and the lines of ``note``."""
    return 0.5 + 0.12 * len(note.split("\n"))


def signed_foot(foot: SubFigure, note: str, ends: tuple[str, str]) -> Colorbar:
    """Draw the colour bar that several signed maps have in common, with names for its two ends, and a note below it."""
    foot.supxlabel(note, x=0.01, ha="left", fontsize=SMALL)
    height = foot_height(note)
    place = foot.add_axes((0.3, 1 - 0.2 / height, 0.4, 0.1 / height))
    bar = foot.colorbar(ScalarMappable(Normalize(-1, 1), SIGNED_COLOURS), cax=place, orientation="horizontal")
    bar.set_ticks([-1, 0, 1], labels=[ends[0], "0", ends[1]])
    return thin(bar)


def _flags(name: str, flags: ArrayLike | None, count: int, each: str) -> np.ndarray:
    flags = np.zeros(count, bool) if flags is None else np.asarray(flags, bool)
    check_count(name, list(flags), count, each)
    return flags


def _classifier_map(axes: Axes, image: ArrayLike, heatmap: np.ndarray, *, lost: bool) -> None:
    if lost:
        unknown(axes, image)
        return
    drawn = overlay(axes, image, heatmap, maximum=float(heatmap.max()))
    if heatmap.any():
        colour_bar(axes, drawn)


def _prediction(axes: Axes, predicted: str, true: str) -> None:
    colour = "black" if predicted == true else WRONG
    _text(axes.set_xlabel, f"predicts {predicted}", 20, SMALL, color=colour, labelpad=2)


def _text(setter: Callable[..., Text], text: str, width: int, size: int, **style) -> None:
    # A user's name may contain dollar signs, which are not mathematics, and may be too long for one line.
    setter(textwrap.fill(text, width), fontsize=size, parse_math=False, **style)
