"""The confusion matrices of all classifiers of a fitted run on its test images."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pcacam_jax.fitting.fit import Fitted
from pcacam_jax.reports.class_table import CLASSIFIERS

MOST_NAMED = 20
"""With more classes than this, neither names nor counts are written, because they would overlap."""


def confusion_figure(fitted: Fitted) -> Figure:
    """Return one confusion matrix for each classifier, on the test images.

    A row holds the images of one class, and a column those predicted as one class. The shade of a cell is its share of
    the images of its row.
    """
    scores = fitted.metrics["class_scores"]
    names = fitted.dataset.class_names
    side = 1.4 + 0.35 * min(len(names), MOST_NAMED)
    figure = Figure(figsize=(side * len(scores) + 0.8, side + 0.6), layout="constrained")
    panels = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    for axes, (name, parts) in zip(panels, scores.items(), strict=True):
        _matrix(axes, np.array(parts["test"]["confusion"]), names)
        axes.set_title(
            f"{CLASSIFIERS.get(name, name)}, macro F1 {fitted.metrics['metrics'][name]['test_f1']:.3f}", fontsize=9
        )
        axes.set_xlabel("predicted class")
    panels[0].set_ylabel("class of the test image")
    return figure


def _matrix(axes: Axes, confusion: np.ndarray, names: tuple[str, ...]) -> None:
    images = confusion.sum(axis=1, keepdims=True)
    shares = confusion / np.maximum(images, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(names) > MOST_NAMED:
        return
    places = np.arange(len(names))
    axes.set_xticks(places, names, rotation=90, fontsize=7, parse_math=False)
    axes.set_yticks(places, names, fontsize=7, parse_math=False)
    for (row, column), count in np.ndenumerate(confusion):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count}", ha="center", va="center", fontsize=6, color=colour)
