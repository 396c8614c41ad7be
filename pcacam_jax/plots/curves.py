"""Curves and bar charts: learning curve (Figure 5), contribution ratios (6), influence (4), component weights."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.text import shown
from pcacam_jax.plots.inputs import as_text, check_axes, numbers, positive_number
from pcacam_jax.plots.names import readable, write

BLUE, ORANGE, GREY = "#3f90da", "#e76300", "#717581"
MOST_LABELLED = 10  # the numbers above more bars than this would overlap


def learning_curve(
    axes: Axes,
    validation_accuracy: ArrayLike,
    train_accuracy: ArrayLike | None = None,
    best_epoch: int | None = None,
) -> Axes:
    """Draw accuracy against epoch and mark the best epoch (Figure 5).

    Args:
        axes: where to draw.
        validation_accuracy: (E,), after epochs 1 to E, in 0..1.
        train_accuracy: (E,), in 0..1.
        best_epoch: the epoch to mark, counted from 1; the first with the highest validation accuracy by default.

    Returns:
        ``axes``.

    Raises:
        InputError: accuracies lie outside 0..1 or differ in length, or ``best_epoch`` is not one of the E epochs.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> axes = plots.learning_curve(Figure().add_subplot(), [0.5, 0.9, 0.8])
        >>> axes.get_legend().get_texts()[-1].get_text()
        'best epoch: 2 (accuracy 0.900)'
    """
    check_axes(axes)
    validation = _shares("validation_accuracy", validation_accuracy, ("E",))
    epochs = np.arange(1, len(validation) + 1)
    marker = "o" if len(epochs) < 10 else ""
    if train_accuracy is not None:
        train = _shares("train_accuracy", train_accuracy, validation.shape)
        axes.plot(epochs, train, color=GREY, linestyle="--", linewidth=1, marker=marker, markersize=3, label="training")
    axes.plot(epochs, validation, color=BLUE, marker=marker, markersize=3, label="validation")
    best = int(validation.argmax()) + 1 if best_epoch is None else best_epoch
    if isinstance(best, bool) or not isinstance(best, int | np.integer) or not 1 <= best <= len(epochs):
        raise InputError(f"best_epoch must lie between 1 and {len(epochs)}, the epochs run; got {shown(best)}.")
    label = f"best epoch: {best} (accuracy {validation[best - 1]:.3f})"
    axes.scatter(best, validation[best - 1], s=80, facecolors="none", edgecolors=ORANGE, zorder=3, label=label)
    axes.set(xlabel="epoch", ylabel="accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return axes


def contribution_ratios(axes: Axes, ratios: ArrayLike) -> Axes:
    """Draw the share of variance that each component explains, and the cumulative sum (Figure 6).

    Args:
        axes: where to draw.
        ratios: (D,), scikit-learn's ``explained_variance_ratio_``.

    Returns:
        ``axes``.

    Raises:
        InputError: a ratio is negative, or the sum exceeds 1.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> axes = plots.contribution_ratios(Figure().add_subplot(), [0.6, 0.3])
        >>> [round(float(bar.get_height()), 2) for bar in axes.patches]
        [0.6, 0.3]
    """
    check_axes(axes)
    ratios = numbers("ratios", ratios, ("D",), lowest=0)
    total = np.cumsum(ratios)
    if total[-1] > 1 + 1e-6:
        raise InputError(f"ratios must sum to at most 1; they sum to {total[-1]:g}: divide by the total variance.")
    places = np.arange(1, len(ratios) + 1)
    bars = axes.bar(places, ratios, color=BLUE, width=0.6, label="each component")
    axes.plot(places, total, color=ORANGE, marker="o", markersize=4, label="cumulative sum")
    if len(ratios) <= MOST_LABELLED:
        axes.bar_label(bars, [""] + [f"{ratio:.2f}" for ratio in ratios[1:]], padding=2, fontsize=8)
        for place, value in zip(places, total, strict=True):
            axes.annotate(f"{value:.2f}", (place, value), (-2, 5), textcoords="offset points", ha="right", fontsize=8)
    _component_axis(axes, len(ratios))
    axes.set(ylabel="share of variance", ylim=(0, 1.12), yticks=np.linspace(0, 1, 6))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    return axes


def influence_curve(axes: Axes, gamma: float, distances: ArrayLike | None = None) -> Axes:
    """Draw the influence of a support vector in an RBF kernel against its distance d, with the maximum (Figure 4).

    The influence is ``||dk/dv|| = 2 gamma d exp(-gamma d^2)``, Eq. 28-32.

    Args:
        axes: where to draw. With ``distances``, a second y axis is added on the right.
        gamma: parameter of the kernel ``k(s, v) = exp(-gamma ||s - v||^2)``.
        distances: (S,), distances between points and support vectors, drawn as a histogram behind the curve.

    Returns:
        ``axes``.

    Raises:
        InputError: ``gamma`` is not above 0, or a distance is negative.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> axes = plots.influence_curve(Figure().add_subplot(), gamma=0.5)
        >>> float(axes.lines[-1].get_xdata()[0])
        1.0
    """
    check_axes(axes)
    gamma = positive_number("gamma", gamma)
    peak = 1 / np.sqrt(2 * gamma)
    height = np.sqrt(2 * gamma) * np.exp(-0.5)
    furthest = 4 * peak
    if distances is not None:
        distances = numbers("distances", distances, ("S",), lowest=0)
        furthest = max(furthest, 1.05 * distances.max())
        _histogram_behind(axes, distances, furthest)
    # Including the peak lets the drawn curve reach the height written in the legend.
    d = np.union1d(np.linspace(0, furthest, 500), peak)
    axes.plot(d, 2 * gamma * d * np.exp(-gamma * d**2), color=BLUE, linewidth=2, label="influence")
    label = rf"maximum {height:.3g} at $d^* = 1/\sqrt{{2\gamma}}$ = {peak:.3g}"
    axes.vlines(peak, 0, height, color=ORANGE, linestyle="--", linewidth=1)
    axes.plot(peak, height, "o", color=ORANGE, label=label)
    axes.set(xlabel="distance $d$ to a support vector", ylabel=r"influence $\|\partial k / \partial v\|$")
    axes.set(title=rf"RBF kernel, $\gamma$ = {gamma:.3g}", xlim=(0, furthest), ylim=(0, 1.3 * height))
    axes.legend(loc="upper right", fontsize=8)
    return axes


def component_weights(axes: Axes, mixture: ArrayLike, title: str = "") -> Axes:
    """Draw ``dg/dv_r`` for every component: the weights of the component maps in an SVM's map of one image.

    Args:
        axes: where to draw.
        mixture: (D,), one image's row of ``Explanation.mixture``.
        title: text above the bars, such as the name of the SVM and the class.

    Returns:
        ``axes``.

    Raises:
        InputError: ``mixture`` is not a vector of finite numbers.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> axes = plots.component_weights(Figure().add_subplot(), [0.5, -2.0], "RBF-SVM: cat")
        >>> [float(bar.get_height()) for bar in axes.patches]
        [0.5, -2.0]
    """
    check_axes(axes)
    mixture, title = numbers("mixture", mixture, ("D",)), as_text("title", title)
    places = np.arange(1, len(mixture) + 1)
    bars = axes.bar(places, mixture, width=0.6, color=np.where(mixture < 0, ORANGE, BLUE))
    axes.axhline(0, color="black", linewidth=0.8)
    if len(mixture) <= MOST_LABELLED:
        axes.bar_label(bars, [f"{weight:.2g}" for weight in mixture], padding=2, fontsize=8)
    _component_axis(axes, len(mixture))
    axes.margins(y=0.15)
    if not mixture.any():
        axes.set_ylim(-1, 1)
    axes.set_ylabel(r"weight $\partial g / \partial v_r$")
    write(axes.set_title, readable(title, 120) if title else "", 12)
    return axes


def _shares(name: str, values: ArrayLike, shape: tuple[int | str, ...]) -> np.ndarray:
    array = numbers(name, values, shape, lowest=0)
    if array.max() > 1:
        raise InputError(f"{name} must lie between 0 and 1; the highest is {array.max():g}: divide percentages by 100.")
    return array


def _component_axis(axes: Axes, count: int) -> None:
    axes.set(xlabel="component", xlim=(0.4, count + 0.6))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _histogram_behind(axes: Axes, distances: np.ndarray, furthest: float) -> None:
    twin = axes.twinx()
    twin.hist(distances, bins=40, range=(0, furthest), color=GREY, alpha=0.35)
    twin.set_ylabel("number of distances (grey)", color=GREY)
    twin.tick_params(axis="y", colors=GREY)
    twin.set_ylim(top=1.3 * twin.get_ylim()[1])  # space for the legend
    twin.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_zorder(twin.get_zorder() + 1)
    axes.patch.set_visible(False)
