"""Figures of many panels: the paper's grid of heatmaps (Figures 8 and 9) and the panel that explains one image."""

import textwrap
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.plots.heatmaps import SMALL, colour_bar, overlay, overlay_pair, unknown
from pcacam_jax.plots.heatmaps import image as draw_image
from pcacam_jax.plots.inputs import check_count, numbers

CELL = 1.35  # inches per panel
WRONG = "#bd1f01"
SCALE_NOTE = (
    "The two maps of a pair share one colour scale; no other maps share one. "
    "Zero everywhere: no region pushes the value that way."
)
GRID_NOTE = (
    "Columns of classifiers: where the score of the explained class is locally pushed up. "
    f"$L_r^+$, $L_r^-$: where component $r$ is pushed up, down.\n{SCALE_NOTE}"
)
GONE_NOTE = "\nGradient underflowed: it is too small to be computed, so no map is drawn."
FREE_NOTE = (
    "\nScale-free: the maps of an RBF machine are exact up to a positive factor, so their colour bars say nothing."
)
PANEL_NOTE = f"raises, lowers: where the target's value is locally pushed up, down.\n{SCALE_NOTE}"


def paper_grid(
    images: Sequence[ArrayLike],
    classifiers: Mapping[str, ArrayLike],
    components: ArrayLike,
    *,
    truth: Sequence[str],
    predictions: Mapping[str, Sequence[str]] | None = None,
    vanished: Mapping[str, ArrayLike] | None = None,
) -> Figure:
    """Return the paper's Figures 8 and 9: a row per image, its heatmap per classifier, L+ and L- per component.

    The L+ and L- of one image and component share a colour scale (Eq. 12); each classifier's map has its own.

    Args:
        images: N pictures, (H, W, 3) uint8.
        classifiers: column title -> (N, h, w) heatmaps, values >= 0.
        components: (N, D, h, w), the signed maps L_r of Eq. 10.
        truth: the true class of each image.
        predictions: column title -> the class that this classifier predicts for each image, written below its map;
            in red where it is not the true one.
        vanished: column title -> N booleans, true where the gradient underflowed; no map is drawn there.

    Raises:
        InputError: counts or shapes disagree, or values are not finite.
    """
    count, truth = len(images), [str(name) for name in truth]
    predictions = {title: [str(name) for name in classes] for title, classes in (predictions or {}).items()}
    if not count:
        raise InputError("images must hold at least one picture; got none.")
    signed = numbers("components", components, (count, "D", "h", "w"))
    heat = {title: numbers(title, maps, (count, "h", "w"), lowest=0) for title, maps in classifiers.items()}
    check_count("truth", truth, count, "image")
    for title, classes in predictions.items():
        check_choice("predictions", title, heat)
        check_count(f"predictions[{title!r}]", classes, count, "image")
    for title in vanished or {}:
        check_choice("vanished", title, heat)
    gone = {title: _flags(f"vanished[{title!r}]", (vanished or {}).get(title), count, "image") for title in heat}
    columns = 1 + len(heat) + 2 * signed.shape[1]
    figure = Figure(figsize=(CELL * columns, CELL * count + 0.3), layout="compressed")
    panels = figure.subplots(count, columns, squeeze=False)
    for row, axes in enumerate(panels):
        _text(draw_image(axes[0], images[row]).set_ylabel, truth[row], 16, SMALL + 2)
        for place, (title, maps) in zip(axes[1:], heat.items(), strict=False):
            _own_scale(place, images[row], maps[row], gone=gone[title][row])
            if title in predictions:
                _prediction(place, predictions[title][row], truth[row])
        for pair, component in zip(axes[1 + len(heat) :].reshape(-1, 2), signed[row], strict=True):
            overlay_pair(pair[0], pair[1], images[row], np.maximum(component, 0), np.maximum(-component, 0))
    signs = [f"$L_{{{r + 1}}}^{sign}$" for r in range(signed.shape[1]) for sign in "+-"]
    for axes, title in zip(panels[0], ["image", *heat, *signs], strict=True):
        axes.set_title(title, fontsize=SMALL + 2)
    wrong = "\nRed: not the true class." if predictions else ""
    return _noted(figure, GRID_NOTE + wrong + (GONE_NOTE if np.any(list(gone.values())) else ""))


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
    """Return a figure that explains one image: the image, then the maps that raise and lower each target.

    Args:
        image: (H, W, 3) uint8.
        names: T names of targets.
        positive: L+ of each target, (T, h, w), values >= 0.
        negative: L- of each target, of the same shape.
        values: (T,), what each target is at this image.
        vanished: (T,) booleans, true where a target's gradient underflowed; its maps are not drawn.
        scale_free: whether maps of RBF machines are known up to a factor only, which the figure then says.

    Raises:
        InputError: counts or shapes disagree, or values are negative or not finite.
    """
    positive = numbers("positive", positive, ("T", "h", "w"), lowest=0)
    negative = numbers("negative", negative, positive.shape, lowest=0)
    values = numbers("values", values, (len(positive),))
    check_count("names", names, len(positive), "target")
    gone = _flags("vanished", vanished, len(positive), "target")
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
        if gone[t]:
            for axes in pair:
                unknown(axes, image)
        else:
            overlay_pair(pair[0], pair[1], image, positive[t], negative[t])
        _text(pair[0].set_title, f"{name} = {values[t]:.3g}", 44, SMALL + 2, loc="left")
        for axes, effect in zip(pair, ("raises", "lowers"), strict=True):
            axes.set_axis_on()
            axes.set_xlabel(effect, fontsize=SMALL)
    return _noted(figure, PANEL_NOTE + (GONE_NOTE if gone.any() else "") + (FREE_NOTE if scale_free else ""))


def _noted(figure: Figure, note: str) -> Figure:
    figure.supxlabel(note, x=0.01, ha="left", fontsize=SMALL)
    return figure


def _flags(name: str, flags: ArrayLike | None, count: int, each: str) -> np.ndarray:
    flags = np.zeros(count, bool) if flags is None else np.asarray(flags, bool)
    check_count(name, list(flags), count, each)
    return flags


def _own_scale(axes: Axes, image: ArrayLike, heatmap: np.ndarray, *, gone: bool) -> None:
    if gone:
        unknown(axes, image)
        return
    drawn = overlay(axes, image, heatmap, maximum=float(heatmap.max()))
    if heatmap.any():
        colour_bar(axes, drawn)


def _prediction(axes: Axes, predicted: str, true: str) -> None:
    colour = "black" if predicted == true else WRONG
    _text(axes.set_xlabel, f"predicts {predicted}", 20, SMALL, color=colour, labelpad=2)


def _text(setter: Callable[..., Text], text: str, width: int, size: int, **style) -> None:
    # Names come from users: a dollar sign in them is a dollar sign, and a long name must not run into its neighbour.
    setter(textwrap.fill(text, width), fontsize=size, parse_math=False, **style)
