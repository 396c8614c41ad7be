"""Curves and bars: learning (Figure 5), contribution ratios (Figure 6), influence (Figure 4), component weights."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError
from pcacam_jax.plots.inputs import numbers, positive_number

BLUE, ORANGE, GREY = "#3f90da", "#e76300", "#717581"
MOST_LABELLED = 10  # with more bars than this, numbers over them collide


def learning_curve(
    axes: Axes,
    validation_accuracy: ArrayLike,
    train_accuracy: ArrayLike | None = None,
    best_epoch: int | None = None,
) -> Axes:
    """Draw accuracy against epoch and mark the epoch that was kept (Figure 5).

    Args:
        axes: where to draw.
        validation_accuracy: (E,), in 0..1, the first entry after epoch 1.
        train_accuracy: (E,), likewise.
        best_epoch: counted from 1; by default the first with the highest validation accuracy.

    Raises:
        InputError: accuracies outside 0..1 or of different lengths, or an epoch that was not run.
    """
    validation = _shares("validation_accuracy", validation_accuracy, ("E",))
    epochs = np.arange(1, len(validation) + 1)
    marker = "o" if len(epochs) < 10 else ""
    if train_accuracy is not None:
        train = _shares("train_accuracy", train_accuracy, validation.shape)
        axes.plot(epochs, train, color=GREY, linestyle="--", linewidth=1, marker=marker, markersize=3, label="training")
    axes.plot(epochs, validation, color=BLUE, marker=marker, markersize=3, label="validation")
    best = int(validation.argmax()) + 1 if best_epoch is None else best_epoch
    if best not in epochs:
        raise InputError(f"best_epoch must lie between 1 and {len(epochs)}, the epochs run; got {best}.")
    label = f"epoch {best} kept: {validation[best - 1]:.3f}"
    axes.scatter(best, validation[best - 1], s=80, facecolors="none", edgecolors=ORANGE, zorder=3, label=label)
    axes.set(xlabel="epoch", ylabel="accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return axes


def contribution_ratios(axes: Axes, ratios: ArrayLike) -> Axes:
    """Draw the share of variance that each component explains, and the running sum (Figure 6).

    Args:
        axes: where to draw.
        ratios: (D,), scikit-learn's ``explained_variance_ratio_``.

    Raises:
        InputError: negative ratios, or a sum above 1.
    """
    ratios = numbers("ratios", ratios, ("D",), lowest=0)
    total = np.cumsum(ratios)
    if total[-1] > 1 + 1e-6:
        raise InputError(f"ratios must sum to at most 1; they sum to {total[-1]:g}: divide by the total variance.")
    places = np.arange(1, len(ratios) + 1)
    bars = axes.bar(places, ratios, color=BLUE, width=0.6, label="one component")
    axes.plot(places, total, color=ORANGE, marker="o", markersize=4, label="sum so far")
    if len(ratios) <= MOST_LABELLED:
        axes.bar_label(bars, [""] + [f"{ratio:.2f}" for ratio in ratios[1:]], padding=2, fontsize=8)
        for place, value in zip(places, total, strict=True):
            axes.annotate(f"{value:.2f}", (place, value), (-2, 5), textcoords="offset points", ha="right", fontsize=8)
    _component_axis(axes, len(ratios))
    axes.set(ylabel="share of variance", ylim=(0, 1.12), yticks=np.linspace(0, 1, 6))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    return axes


def influence_curve(axes: Axes, gamma: float, distances: ArrayLike | None = None) -> Axes:
    """Draw ||dk/dv|| = 2 gamma d exp(-gamma d^2) of the RBF kernel against d, with its maximum (Eq. 28-32, Figure 4).

    Args:
        axes: where to draw; its right-hand side gets a second scale if ``distances`` are given.
        gamma: of ``k(s, v) = exp(-gamma ||s - v||^2)``.
        distances: (S,), from the explained point to its support vectors, drawn as a histogram behind the curve.

    Raises:
        InputError: gamma not above 0, or negative distances.
    """
    gamma = positive_number("gamma", gamma)
    peak = 1 / np.sqrt(2 * gamma)
    height = np.sqrt(2 * gamma) * np.exp(-0.5)
    furthest = 4 * peak
    if distances is not None:
        distances = numbers("distances", distances, ("S",), lowest=0)
        furthest = max(furthest, 1.05 * distances.max())
        _histogram_behind(axes, distances, furthest)
    # The peak is one of the points, so the drawn curve reaches the height that the mark states.
    d = np.union1d(np.linspace(0, furthest, 500), peak)
    axes.plot(d, 2 * gamma * d * np.exp(-gamma * d**2), color=BLUE, linewidth=2, label="influence")
    label = rf"$d^* = 1/\sqrt{{2\gamma}}$ = {peak:.3g}, height {height:.3g}"
    axes.vlines(peak, 0, height, color=ORANGE, linestyle="--", linewidth=1)
    axes.plot(peak, height, "o", color=ORANGE, label=label)
    axes.set(xlabel="distance $d$ to a support vector", ylabel=r"influence $\|\partial k / \partial v\|$")
    axes.set(title=rf"RBF kernel, $\gamma$ = {gamma:.3g}", xlim=(0, furthest), ylim=(0, 1.3 * height))
    axes.legend(loc="upper right", fontsize=8)
    return axes


def component_weights(axes: Axes, mixture: ArrayLike, title: str = "") -> Axes:
    """Draw dg/dv_r per component: from which components an SVM decision is read at this image.

    Args:
        axes: where to draw.
        mixture: (D,), the weights with which the component maps add up to the decision's map.
        title: text above, such as the name of the SVM and its class.
    """
    mixture = numbers("mixture", mixture, ("D",))
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
    axes.set_title(title, parse_math=False)
    return axes


def _shares(name: str, values: ArrayLike, shape: tuple[int | str, ...]) -> np.ndarray:
    array = numbers(name, values, shape, lowest=0)
    if array.max() > 1:
        raise InputError(f"{name} must lie between 0 and 1; the highest is {array.max():g}: divide percentages by 100.")
    return array


def _component_axis(axes: Axes, count: int) -> None:
    axes.set(xlabel="principal component $r$", xlim=(0.4, count + 0.6))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _histogram_behind(axes: Axes, distances: np.ndarray, furthest: float) -> None:
    behind = axes.twinx()
    behind.hist(distances, bins=40, range=(0, furthest), color=GREY, alpha=0.35)
    behind.set_ylabel("distances per bin (grey)", color=GREY)
    behind.tick_params(axis="y", colors=GREY)
    behind.set_ylim(top=1.3 * behind.get_ylim()[1])  # room for the legend
    behind.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)
