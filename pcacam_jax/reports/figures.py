"""The figures of a fitted run: the paper's Figures 4 to 9 and the component cards."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pcacam_jax import plots
from pcacam_jax.cam.explain import explain
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.fitting.estimators import gamma_of
from pcacam_jax.fitting.fit import Fitted
from pcacam_jax.plots.words import TITLES as TITLES
from pcacam_jax.plots.words import words as words
from pcacam_jax.reports.confusion_figure import confusion_figure

FIGURES = "figures"
"""The name of the figure folder inside a run folder."""
GRID_ROWS = (6, 10)
"""The smallest and the largest number of rows of the grid; between them, the grid has one row per class."""
MOST_POINTS = 2000
"""The largest number of points in the plot of the feature space."""
MOST_CARDS = 5
"""The largest number of components that get a card."""


def draw_figures(fitted: Fitted, folder: Path, *, method: str = "hirescam") -> list[str]:
    """Save every figure of a run in ``folder``/figures and return the paths relative to ``folder``.

    ``method`` is the CAM method of the maps.
    """
    (folder / FIGURES).mkdir()
    figures = {
        "grid": grid(fitted, method=method),
        "learning_curve": learning_curve(fitted),
        "contribution_ratios": contribution_ratios(fitted),
        "feature_space": feature_space(fitted),
        "influence": influence(fitted),
        "component_cards": component_cards(fitted, method=method),
        "confusion": confusion_figure(fitted),
    }
    for name, figure in figures.items():
        plots.save(figure, folder / FIGURES / f"{name}.png")
    return [f"{FIGURES}/{name}.png" for name in figures]


def grid(fitted: Fitted, *, method: str = "hirescam") -> Figure:
    """Return a figure like the paper's Figures 8 and 9: test images with the maps of classifiers and components.

    The paper's maps are those of ``method="gradcam"``.
    """
    rows = one_of_each(fitted.dataset.test.labels, int(np.clip(len(fitted.dataset.class_names), *GRID_ROWS)))
    classifiers = ["cnn", *fitted.svms]
    targets = [*(f"{name}:predicted" for name in classifiers), "pca"]
    explanation = explain(fitted.head, fitted.tap_maps["test"][rows], targets, method=method)
    spreads = {name: np.std(values, axis=0) for name, values in fitted.outputs.values.items()}
    return plots.paper_grid(
        list(fitted.dataset.test.images(rows, fitted.config.size)),
        explanation,
        truth=[fitted.dataset.class_names[label] for label in fitted.dataset.test.labels[rows]],
        typical=typical_scales(explanation, slice(None), spreads),
    )


def one_of_each(labels: np.ndarray, count: int) -> np.ndarray:
    """Return up to ``count`` indices, sorted by class: the first of every class, then the second, until it is reached.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.reports.figures import one_of_each
        >>> one_of_each(np.array([0, 0, 0, 1, 1, 2]), 4).tolist()
        [0, 1, 3, 5]
    """
    rank = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    chosen = np.lexsort((labels, rank))[:count]
    return chosen[np.argsort(labels[chosen], kind="stable")]


def learning_curve(fitted: Fitted) -> Figure:
    """Return the paper's Figure 5: accuracy against epoch."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    training = fitted.training
    plots.learning_curve(
        figure.add_subplot(),
        training.validation_accuracy,
        train_accuracy=training.train_accuracy,
        best_epoch=training.best_epoch,
    )
    return figure


def contribution_ratios(fitted: Fitted) -> Figure:
    """Return the paper's Figure 6: the share of variance that each component explains."""
    figure = Figure(figsize=(4.5, 3.6), layout="constrained")
    plots.contribution_ratios(figure.add_subplot(), fitted.pca.explained_variance_ratio_)
    return figure


def feature_space(fitted: Fitted) -> Figure:
    """Return the paper's Figure 7: PCA features of training images by class, with the RBF-SVM's support vectors."""
    figure = Figure(figsize=(6.5, 5), layout="constrained")
    v, labels = fitted.components["train"][:, :3], fitted.dataset.train.labels
    axes = figure.add_subplot(projection="3d" if v.shape[1] == 3 else None)
    rows = spread(len(v), MOST_POINTS)
    support = np.isin(rows, fitted.svms["svm_rbf"].support_)
    plots.feature_space(axes, v[rows], labels[rows], fitted.dataset.class_names, support_vectors=support)
    drawn = f"{len(v):,}" if len(rows) == len(v) else f"{len(rows):,} of {len(v):,}"
    axes.set_title(f"PCA features of {drawn} training images; support vectors of the RBF-SVM circled", fontsize=9)
    return figure


def influence(fitted: Fitted) -> Figure:
    """Return the paper's Figure 4 for the run's gamma, with the distances between test images and support vectors."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    v, support = fitted.components["test"], fitted.svms["svm_rbf"].support_vectors_
    v, support = v[spread(len(v), 200)], support[spread(len(support), 500)]
    distances = np.sqrt(np.sum((v[:, None] - support[None]) ** 2, axis=-1)).ravel()
    gamma = gamma_of(fitted.svms["svm_rbf"])
    axes = plots.influence_curve(figure.add_subplot(), gamma, distances)
    axes.set_title(
        rf"RBF kernel, $\gamma$ = {gamma:.3g}; grey: distances between {len(v)} test images "
        f"and {len(support)} support vectors",
        fontsize=9,
    )
    return figure


def spread(count: int, most: int) -> np.ndarray:
    """Return the indices of ``count`` rows, or ``most`` evenly spaced ones, because rows are often sorted by class.

    Example:
        >>> from pcacam_jax.reports.figures import spread
        >>> spread(10, 4).tolist()
        [0, 3, 6, 9]
    """
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(int)


def component_cards(fitted: Fitted, count: int = 4, *, method: str = "hirescam") -> Figure:
    """Return one card per component: the training images with the largest and the smallest values, with their maps.

    Args:
        fitted: a fitted run. Only the first five components are drawn.
        count: the number of images on each side of a card, at least 1. No image is on both sides.
        method: the CAM method of the maps.

    Returns:
        The figure of :func:`pcacam_jax.plots.component_cards`.

    Raises:
        InputError: ``count`` is below 1, or the method is unknown.
    """
    v = fitted.components["train"][:, :MOST_CARDS]
    if count < 1:
        raise InputError(f"count must be at least 1 image on each side; got {count}.")
    rows, places = furthest(v, count)
    targets = [f"pca:{r}" for r in range(v.shape[1])]
    signed = np.asarray(explain(fitted.head, fitted.tap_maps["train"][rows], targets, method=method).signed)
    images = fitted.dataset.train.images(rows, fitted.config.size)
    names = np.array(fitted.dataset.class_names)[fitted.dataset.train.labels[rows]]

    def side(chosen: np.ndarray, r: int) -> plots.Side:
        return plots.Side(list(images[chosen]), list(names[chosen]), v[rows[chosen], r], signed[chosen, r])

    cards = [(side(high, r), side(low, r)) for r, (high, low) in enumerate(places)]
    return plots.component_cards(cards, fitted.pca.explained_variance_ratio_[: v.shape[1]])


def furthest(v: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows with the largest and the smallest values of every component, each row once.

    Args:
        v: features, (N, D).
        count: the number of rows on each side of a component.

    Returns:
        A tuple ``(rows, places)``. ``rows`` are sorted row indices without repetition. ``places`` has shape (D, 2, n)
        and indexes ``rows``: the n largest values, then the n smallest, the most extreme first. n is ``count``, but at
        most ``N // 2``, so that no row is on both sides of one component.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.reports.figures import furthest
        >>> rows, places = furthest(np.array([[0.0], [9.0], [-3.0], [4.0]]), 1)
        >>> rows.tolist(), places.tolist()
        ([1, 2], [[[0], [1]]])
    """
    order = np.argsort(-v, axis=0, kind="stable")
    ends = np.stack([order[: min(count, len(v) // 2)], order[::-1][: min(count, len(v) // 2)]])
    rows, places = np.unique(ends, return_inverse=True)
    return rows, np.moveaxis(places.reshape(ends.shape), 2, 0)


def explanation(
    image: np.ndarray,
    explained: Explanation,
    index: int,
    comparison: Sequence[str] | None = None,
    spreads: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """Return the panel that explains ``image``, example ``index`` of ``explained``, with the targets named in words.

    Args:
        image: (H, W, 3) uint8, the original or the resized image.
        explained: the explanation.
        index: which of its examples the image is.
        comparison: how the value of each target compares with the training images; None if this is not known.
        spreads: the standard deviations of the values of each output among the training images.
    """
    typical = typical_scales(explained, index, spreads or {})
    return plots.explanation_panel(image, explained, example=index, comparison=comparison, typical=typical)


def typical_scales(explained: Explanation, rows: int | slice, spreads: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return for each target the scale of maps that would change its value by about a standard deviation.

    The sum of a map's cells is, to first order, the part of the value that comes from the image. So the scale is the
    standard deviation among the training images, divided by the number of cells. Constant values have none.

    Args:
        explained: the explanation.
        rows: one of its examples, or several, over whose classes the mean is taken.
        spreads: the standard deviations of the values of each output, ``(C,)`` or ``(D,)``.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import explain, hybrid_head
        >>> from pcacam_jax.reports.figures import typical_scales
        >>> head = hybrid_head([(np.ones((4, 2)), np.zeros(2))], maps_shape=(2, 2, 1), at=1)
        >>> explained = explain(head, np.ones((1, 2, 2, 1)), "cnn:1")
        >>> typical_scales(explained, 0, {"cnn": np.array([8.0, 2.0])})
        {'cnn:1': 0.5}
    """
    cells = math.prod(explained.positive.shape[2:])
    columns = np.atleast_2d(np.asarray(explained.columns)[rows])
    known = [(target, spreads.get(target.partition(":")[0])) for target in explained.targets]
    scales = {
        target: float(np.mean(spread[columns[:, t]])) / cells
        for t, (target, spread) in enumerate(known)
        if spread is not None
    }
    return {target: scale for target, scale in scales.items() if scale > 0}
