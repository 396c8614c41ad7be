"""The figures of a fitted run, as the paper draws them (Figures 4 to 9)."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pcacam_jax import plots
from pcacam_jax.cam.explain import Explanation, explain
from pcacam_jax.core.checks import InputError
from pcacam_jax.fitting.fit import Fitted
from pcacam_jax.head.targets import PREDICTED

FIGURES = "figures"
"""The folder of a run's figures."""
GRID_ROWS = (6, 10)
"""Fewest and most rows of the grid, which has one for each class where that lies between."""
MOST_POINTS = 2000
MOST_CARDS = 5
QUANTITIES = {
    "decision": "decision value",
    "log_proba": "log-probability",
    "pairs": "decision value",
    "predict": "predicted value",
    "proba": "probability",
    "transform": "value",
}
"""Score spaces in words, where they are not their own."""
TITLES = {"cnn": "Grad-CAM", "svm_linear": "Lin-SVM", "svm_rbf": "RBF-SVM"}


def draw_figures(fitted: Fitted, folder: Path) -> list[str]:
    """Draw every figure of a run into ``folder``/figures and return the paths relative to ``folder``."""
    (folder / FIGURES).mkdir()
    figures = {
        "grid": grid(fitted),
        "learning_curve": learning_curve(fitted),
        "contribution_ratios": contribution_ratios(fitted),
        "feature_space": feature_space(fitted),
        "influence": influence(fitted),
        "component_cards": component_cards(fitted),
    }
    for name, figure in figures.items():
        plots.save(figure, folder / FIGURES / f"{name}.png")
    return [f"{FIGURES}/{name}.png" for name in figures]


def grid(fitted: Fitted) -> Figure:
    """Return the paper's Figures 8 and 9: test images of all classes in turn with the maps of every output."""
    rows = one_of_each(fitted.dataset.test.labels, int(np.clip(len(fitted.dataset.class_names), *GRID_ROWS)))
    classifiers = ["cnn", *fitted.svms]
    targets = [*(f"{name}:predicted" for name in classifiers), "pca"]
    explanation = explain(fitted.head, np.array(fitted.maps["test"][rows]), targets)
    titles = [TITLES[name] for name in classifiers]
    return plots.paper_grid(
        list(fitted.dataset.test.images(rows, fitted.config.size)),
        {title: explanation.positive[:, t] for t, title in enumerate(titles)},
        explanation.signed[:, len(classifiers) :],
        truth=[fitted.dataset.class_names[label] for label in fitted.dataset.test.labels[rows]],
        predictions={title: list(explanation.labels[:, t]) for t, title in enumerate(titles)},
        vanished={title: explanation.vanished[:, t] for t, title in enumerate(titles)},
    )


def one_of_each(labels: np.ndarray, count: int) -> np.ndarray:
    """Return up to ``count`` indices: the first of every class in turn, then the second of every class, and so on."""
    turn = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = np.arange(len(members))
    chosen = np.lexsort((labels, turn))[:count]
    return chosen[np.argsort(labels[chosen], kind="stable")]


def learning_curve(fitted: Fitted) -> Figure:
    """Return the paper's Figure 5: epochs against accuracy."""
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
    """Return the paper's Figure 6: the share of variance of each component."""
    figure = Figure(figsize=(4.5, 3.6), layout="constrained")
    plots.contribution_ratios(figure.add_subplot(), fitted.pca.explained_variance_ratio_)
    return figure


def feature_space(fitted: Fitted) -> Figure:
    """Return the paper's Figure 7: the training images' first components by class, the RBF-SVM's support ringed."""
    figure = Figure(figsize=(6.5, 5), layout="constrained")
    v, labels = fitted.components["train"][:, :3], fitted.dataset.train.labels
    axes = figure.add_subplot(projection="3d" if v.shape[1] == 3 else None)
    rows = spread(len(v), MOST_POINTS)
    support = np.isin(rows, fitted.svms["svm_rbf"].support_)
    plots.feature_space(axes, v[rows], labels[rows], fitted.dataset.class_names, support_vectors=support)
    drawn = f"{len(v):,}" if len(rows) == len(v) else f"{len(rows):,} of {len(v):,}"
    axes.set_title(f"PCA features of {drawn} training images; support vectors of the RBF-SVM ringed", fontsize=9)
    return figure


def influence(fitted: Fitted) -> Figure:
    """Return the paper's Figure 4 at the run's gamma, with the distances from test images to support vectors."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    v, support = fitted.components["test"], fitted.svms["svm_rbf"].support_vectors_
    v, support = v[spread(len(v), 200)], support[spread(len(support), 500)]
    distances = np.sqrt(np.sum((v[:, None] - support[None]) ** 2, axis=-1)).ravel()
    axes = plots.influence_curve(figure.add_subplot(), fitted.config.gamma, distances)
    axes.set_title(
        rf"RBF kernel, $\gamma$ = {fitted.config.gamma:.3g}; grey: distances of {len(v)} test images to "
        f"{len(support)} support vectors",
        fontsize=9,
    )
    return figure


def spread(count: int, most: int) -> np.ndarray:
    """Return all of ``count`` rows, or ``most`` of them evenly spread, since rows often come sorted by class."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(int)


def component_cards(fitted: Fitted, count: int = 4) -> Figure:
    """Return a card for each component: the training images of the largest and of the smallest v_r, with their maps.

    Args:
        fitted: a fitted run; of more than five components the first five are drawn.
        count: images on either side, at least 1; no image comes on both.
    """
    v = fitted.components["train"][:, :MOST_CARDS]
    if count < 1:
        raise InputError(f"count must be at least 1 image on either side; got {count}.")
    rows, places = furthest(v, count)
    maps = np.array(fitted.maps["train"][rows], np.float32)
    signed = np.asarray(explain(fitted.head, maps, [f"pca:{r}" for r in range(v.shape[1])]).signed)
    images = fitted.dataset.train.images(rows, fitted.config.size)
    names = np.array(fitted.dataset.class_names)[fitted.dataset.train.labels[rows]]

    def side(chosen: np.ndarray, r: int) -> plots.Side:
        return plots.Side(list(images[chosen]), list(names[chosen]), v[rows[chosen], r], signed[chosen, r])

    cards = [(side(high, r), side(low, r)) for r, (high, low) in enumerate(places)]
    return plots.component_cards(cards, fitted.pca.explained_variance_ratio_[: v.shape[1]])


def furthest(v: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of (N, D) features that lie furthest on either side of any component, each row once.

    Returns:
        The rows, and ``places`` (D, 2, n) among them: of the n largest values, then of the n smallest, the furthest
        first; n is ``count``, or half of N where that is less, so that no row lies on both sides of one component.
    """
    order = np.argsort(-v, axis=0, kind="stable")
    ends = np.stack([order[: min(count, len(v) // 2)], order[::-1][: min(count, len(v) // 2)]])
    rows, places = np.unique(ends, return_inverse=True)
    return rows, np.moveaxis(places.reshape(ends.shape), 2, 0)


def explanation(image: np.ndarray, explained: Explanation, index: int) -> Figure:
    """Return the panel of one explained image, its targets named in words."""
    named = zip(explained.targets, explained.labels[index], explained.spaces, strict=True)
    return plots.explanation_panel(
        image,
        [words(*own) for own in named],
        explained.positive[index],
        explained.negative[index],
        explained.values[index],
        vanished=explained.vanished[index],
        scale_free=explained.scale_free,
    )


def words(target: str, label: str, space: str) -> str:
    """Return what the value of a target is, in words: "RBF-SVM predicts Shirt, margin".

    Args:
        target: its name, such as "svm_rbf:predicted".
        label: the component or class that it turned out to be.
        space: what its values are, as in :attr:`~pcacam_jax.Explanation.spaces`.
    """
    output, _, entry = target.partition(":")
    quantity = QUANTITIES.get(space, space)
    if space == "component":
        return f"PCA, component {int(label) + 1}"
    name = "CNN" if output == "cnn" else TITLES.get(output, output)
    if space in ("predict", "transform"):
        return f"{name}, {quantity} (output {label})"
    return f"{name} predicts {label}, {quantity}" if entry == PREDICTED else f"{name}, {quantity} of {label}"
