"""Figures that show several datasets on one sheet, in the layout of the paper's figures."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pcacam_jax import plots
from pcacam_jax.plots.curves import BLUE, GREY, ORANGE
from pcacam_jax.reports.figures import MOST_CARDS, TITLES
from pcacam_jax.reproduce.outcome import Outcome

PANELS_PER_ROW = 3
TITLE_AND_LEGEND_HEIGHT = 1.2
"""Inches added to a sheet for its title and legend, which would otherwise shrink the panels."""


def sheet(
    outcomes: Mapping[str, Outcome], panel: tuple[float, float], *, projection: str | None = None
) -> tuple[Figure, Iterator[tuple[Axes, Outcome]]]:
    """Return a figure with one panel per outcome, three per row, and an iterator over the panels and outcomes.

    Args:
        outcomes: the outcomes to draw, in order.
        panel: width and height of a panel in inches.
        projection: a Matplotlib projection such as "3d".
    """
    across = min(PANELS_PER_ROW, len(outcomes))
    down = -(-len(outcomes) // across)
    figure = Figure(figsize=(panel[0] * across, panel[1] * down + TITLE_AND_LEGEND_HEIGHT), layout="constrained")
    figure.set_layout_engine("constrained", h_pad=0.12, w_pad=0.08)
    panels = (figure.add_subplot(down, across, place + 1, projection=projection) for place in range(len(outcomes)))
    return figure, zip(panels, outcomes.values(), strict=True)


def validation_curves(axes: Axes, outcome: Outcome) -> Axes:
    """Draw accuracy against epochs: mean and range over seeds, and the selected epoch of each seed."""
    validation = np.array(outcome.record["curves"]["validation_accuracy"])
    train = np.array(outcome.record["curves"]["train_accuracy"])
    epochs = np.arange(1, validation.shape[1] + 1)
    axes.plot(epochs, train.mean(axis=0), color=GREY, linestyle="--", linewidth=1, label="training")
    if len(validation) > 1:
        axes.fill_between(epochs, validation.min(axis=0), validation.max(axis=0), color=BLUE, alpha=0.25, linewidth=0)
    axes.plot(epochs, validation.mean(axis=0), color=BLUE, label="validation")
    best = np.array(outcome.record["best_epochs"])
    best_accuracy = validation[np.arange(len(best)), best - 1]
    axes.scatter(best, best_accuracy, s=30, facecolors="none", edgecolors=ORANGE, zorder=3, label="selected epoch")
    axes.set(xlabel="epoch", ylabel="accuracy", title=outcome.title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    return axes


def shared_legend(figure: Figure, axes: Axes, *, names: Sequence[str] = ()) -> None:
    """Put one legend below the whole sheet, with the entries of ``axes``; ``names`` replace the labels if given."""
    handles, labels = axes.get_legend_handles_labels()
    for panel in figure.axes:
        if legend := panel.get_legend():
            legend.remove()
    across = len({panel.get_position().x0 for panel in figure.axes})
    columns = len(handles) if across > 1 else 1
    figure.legend(handles, list(names) or labels, loc="outside lower center", ncols=columns, frameon=False)


def component_grid(outcome: Outcome, group: str) -> Figure:
    """Return a figure with one row per image that shows L+ and L- of every component, like the paper's Figure 2."""
    arrays = outcome.group(group)
    images, signed = arrays["images"], arrays["components"]
    columns = 1 + 2 * signed.shape[1]
    figure = Figure(figsize=(1.35 * columns + 0.4, 1.4 * len(images) + 0.5), layout="compressed")
    panels = figure.subplots(len(images), columns, squeeze=False)
    for row, axes in enumerate(panels):
        plots.image(axes[0], images[row])
        axes[0].set_ylabel(f"({chr(ord('a') + row)}) {outcome.class_names[arrays['labels'][row]]}", fontsize=9)
        for pair, component in zip(axes[1:].reshape(-1, 2), signed[row], strict=True):
            plots.overlay_pair(pair[0], pair[1], images[row], np.maximum(component, 0), np.maximum(-component, 0))
    effects = (("+", "raises"), ("-", "lowers"))
    numbers = range(1, signed.shape[1] + 1)
    signs = [f"component {r}\n{effect} ($L_{{{r}}}^{sign}$)" for r in numbers for sign, effect in effects]
    for axes, title in zip(panels[0], ["image", *signs], strict=True):
        axes.set_title(title, fontsize=9)
    note = (
        "raises, lowers: regions that raise, lower the component if they are strengthened a little. Both maps of a "
        f"pair share one scale. Every map has {signed.shape[2]} x {signed.shape[3]} cells. Seed {outcome.seeds[0]}."
    )
    figure.supxlabel(note, x=0.01, ha="left", fontsize=7)
    return figure


def map_grid(outcome: Outcome, components: int) -> Figure:
    """Return a figure like the paper's Figures 8 and 9: test images, every classifier's map, and L+ and L-."""
    arrays = outcome.group("grid")
    titles = list({**TITLES, "cnn": "Grad-CAM"}.values())
    return plots.paper_grid(
        list(arrays["images"]),
        {title: arrays["classifiers"][:, t] for t, title in enumerate(titles)},
        arrays["components"][:, :components],
        truth=[outcome.class_names[label] for label in arrays["labels"]],
        predictions={
            title: [outcome.class_names[label] for label in arrays["predicted"][:, t]] for t, title in enumerate(titles)
        },
        vanished={title: arrays["vanished"][:, t] for t, title in enumerate(titles)},
        title=f"{outcome.title}, test images, seed {outcome.seeds[0]}",
    )


def cards(outcome: Outcome) -> Figure:
    """Return a figure with one card per component: the training images at both of its ends, with their maps."""
    arrays = outcome.group("cards")
    names = np.array(outcome.class_names)[arrays["labels"]]

    def side(rows: np.ndarray, r: int) -> plots.Side:
        return plots.Side(
            list(arrays["images"][rows]), list(names[rows]), arrays["values"][rows, r], arrays["maps"][rows, r]
        )

    ends = enumerate(arrays["places"][:MOST_CARDS])
    sides = [(side(high, r), side(low, r)) for r, (high, low) in ends]
    figure = plots.component_cards(sides, outcome.record["explained_variance_ratio"][0][: len(sides)])
    figure.suptitle(f"{outcome.title}, training images, seed {outcome.seeds[0]}", fontsize=12)
    return figure
