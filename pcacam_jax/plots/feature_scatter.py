"""Scatter plot of PCA features by class, with circles around the support vectors (Figure 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError
from pcacam_jax.plots.inputs import check_axes, list_of, numbers
from pcacam_jax.plots.names import as_plain_text, name_legend, readable

# Ten colours that colour-blind readers can distinguish (Petroff 2021, arXiv 2107.02270). With eleven markers, a pair of
# colour and marker repeats only after 110 classes.
COLOURS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"]
MARKERS = "o^sDvPX*<>p"
NAMES_PER_COLUMN = 24
"""Names in one column of the legend."""
MOST_NAMED = 2 * NAMES_PER_COLUMN - 2
"""The largest number of classes in the legend."""


def feature_space(
    axes: Axes,
    features: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    support_vectors: ArrayLike | None = None,
) -> Axes:
    """Draw a scatter plot of one to three features, with a colour and a marker per class and a legend outside.

    With one component, every class has a row of its own, and the points are shifted a little at random vertically so
    that they overlap less.

    Args:
        axes: axes with ``projection="3d"`` for three components, plain axes otherwise.
        features: (N, D), D at most 3.
        labels: (N,) integers, indices into ``class_names``.
        class_names: one name per class.
        support_vectors: the rows of ``features`` to circle: indices, such as ``SVC.support_``, or a mask (N,).

    Returns:
        ``axes``.

    Raises:
        InputError: there are more than three components, the axes do not match their number, a label has no class name,
            or a row is out of range.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> axes = plots.feature_space(Figure().add_subplot(), np.eye(2), [0, 1], ["cat", "dog"], support_vectors=[0])
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['cat', 'dog', 'support vector']
    """
    check_axes(axes)
    class_names = list_of("class_names", class_names)
    points = _checked_points(features, axes)
    count, components = points.shape
    kinds = _checked_labels(labels, count, len(class_names))
    circled = None if support_vectors is None else _checked_rows(support_vectors, count)
    if components == 1:
        points = np.column_stack([points[:, 0], kinds + np.random.default_rng(0).uniform(-0.3, 0.3, count)])
    # Shading by depth would change the colours of the classes.
    flat: dict[str, Any] = {"depthshade": False} if components == 3 else {}
    size = float(np.clip(12000 / count, 5, 30))
    for kind in np.unique(kinds):
        style = {"color": COLOURS[kind % len(COLOURS)], "marker": MARKERS[kind % len(MARKERS)], **flat}
        axes.scatter(*points[kinds == kind].T, s=size, alpha=0.7, linewidths=0, label=f"class {kind}", **style)
    if circled is not None:
        circle = {"facecolors": "none", "edgecolors": "black", "linewidths": 0.6, **flat}
        axes.scatter(*points[circled].T, s=2.5 * size, label="support vector", **circle)
    _name_axes(axes, components, class_names)
    _legend_outside(axes, components, (40 / size) ** 0.5, [class_names[kind] for kind in np.unique(kinds)])
    return axes


def _legend_outside(axes: Axes, components: int, enlarged: float, names: Sequence[Any]) -> None:
    handles, _ = axes.get_legend_handles_labels()
    shown = list(names[:MOST_NAMED])
    labels = shown + ["support vector"] * (len(handles) > len(names))
    handles = handles[: len(shown)] + handles[len(names) :]
    if len(names) > MOST_NAMED:
        labels.append(f"... {len(names) - MOST_NAMED} more")
        handles.append(Line2D([], [], linestyle=""))
    columns = -(-len(labels) // NAMES_PER_COLUMN)
    place = (1.1 if components == 3 else 1.02, 1)  # in 3d, the label of the third axis needs space
    options: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": place, "markerscale": enlarged}
    legend = axes.legend(handles, ["-"] * len(handles), ncols=columns, fontsize=8 if columns == 1 else 6, **options)
    name_legend(legend, labels, most=30 if columns == 1 else 18)


def _name_axes(axes: Axes, components: int, class_names: Sequence[str]) -> None:
    for letter, r in zip("xyz", range(components), strict=False):
        axes.set(**{f"{letter}label": f"component {r + 1}"})
    if components == 1:
        axes.set_yticks(range(len(class_names)), [readable(name, 20) for name in class_names])
        for label in axes.get_yticklabels():
            as_plain_text(label)
    axes.grid(alpha=0.3)


def _checked_points(features: ArrayLike, axes: Axes) -> np.ndarray:
    points = numbers("features", features, ("N", "D"))
    components = points.shape[1]
    if components > 3:
        raise InputError(
            f"features must have at most 3 components to be drawn, got {components}; pass features[:, :3]."
        )
    expected, kind = ("3d" if components == 3 else "plain"), ("3d" if axes.name == "3d" else "plain")
    if expected != kind:
        raise InputError(f"features with D = {components} are drawn on {expected} axes; got {kind} axes.")
    return points


def _checked_labels(labels: ArrayLike, count: int, classes: int) -> np.ndarray:
    kinds = numbers("labels", labels, (count,))
    if (kinds != np.floor(kinds)).any() or kinds.min() < 0 or kinds.max() >= classes:
        raise InputError(
            f"labels must be integers from 0 to {classes - 1}, indices into class_names; "
            f"they run from {kinds.min():g} to {kinds.max():g}."
        )
    return kinds.astype(int)


def _checked_rows(rows: ArrayLike, count: int) -> np.ndarray:
    try:
        rows = np.asarray(rows)
        return np.arange(count)[rows if rows.size else []]
    except Exception as error:  # the conversion of the user's object may raise anything
        raise InputError(
            f"support_vectors must be indices or a mask of the rows of the {count} features; {error}."
        ) from error
