"""The figures of a fitted run, as the paper draws them (Figures 4 to 9)."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pcacam_jax import plots
from pcacam_jax.explain import Explanation, explain
from pcacam_jax.fit import Fitted
from pcacam_jax.run import FIGURES

GRID_ROWS = 6
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
    }
    for name, figure in figures.items():
        plots.save(figure, folder / FIGURES / f"{name}.png")
    return [f"{FIGURES}/{name}.png" for name in figures]


def grid(fitted: Fitted) -> Figure:
    """Return the paper's Figures 8 and 9: test images of all classes in turn with the maps of every output."""
    rows = one_of_each(fitted.dataset.test.labels, GRID_ROWS)
    classifiers = ["cnn", *fitted.svms]
    targets = [*(f"{name}:predicted" for name in classifiers), "pca"]
    explanation = explain(fitted.head, np.array(fitted.maps["test"][rows]), targets)
    titles = [TITLES[name] for name in classifiers]
    return plots.paper_grid(
        fitted.dataset.test.images(rows, fitted.config.size),
        {title: explanation.positive[:, t] for t, title in enumerate(titles)},
        explanation.signed[:, len(classifiers) :],
        truth=[fitted.dataset.class_names[label] for label in fitted.dataset.test.labels[rows]],
        predictions={title: list(explanation.labels[:, t]) for t, title in enumerate(titles)},
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
    v = fitted.components["train"][:, :3]
    axes = figure.add_subplot(projection="3d" if v.shape[1] == 3 else None)
    labels, support = fitted.dataset.train.labels, fitted.svms["svm_rbf"].support_
    plots.feature_space(axes, v, labels, fitted.dataset.class_names, support_vectors=support)
    return figure


def influence(fitted: Fitted) -> Figure:
    """Return the paper's Figure 4 at the run's gamma, with the distances from test images to support vectors."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    v, support = fitted.components["test"], fitted.svms["svm_rbf"].support_vectors_
    distances = np.sqrt(np.sum((v[:200, None] - support[None, :500]) ** 2, axis=-1)).ravel()
    plots.influence_curve(figure.add_subplot(), fitted.config.gamma, distances)
    return figure


def explanation(image: np.ndarray, explained: Explanation, index: int) -> Figure:
    """Return the panel of one explained image; a predicted target is titled with the class it turned out to be."""
    names = [
        f"{name} = {label}: value" if name.endswith(":predicted") else name
        for name, label in zip(explained.targets, explained.labels[index], strict=True)
    ]
    return plots.explanation_panel(
        image, names, explained.positive[index], explained.negative[index], explained.values[index]
    )
