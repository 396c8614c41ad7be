"""The confusion matrices of all classifiers of a fitted run on its test images."""

import numpy as np
from matplotlib.figure import Figure

from pcacam_jax import plots
from pcacam_jax.fitting.fit import Fitted
from pcacam_jax.reports.class_table import CLASSIFIERS

MOST_NAMED = 20
"""With more classes than this, the figure does not grow any more."""


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
        plots.confusion_matrix(axes, np.array(parts["test"]["confusion"]), names)
        axes.set_title(
            f"{CLASSIFIERS.get(name, name)}, macro F1 {fitted.metrics['metrics'][name]['test_f1']:.3f}", fontsize=9
        )
        if axes is not panels[0]:
            axes.set_ylabel("")
    return figure
