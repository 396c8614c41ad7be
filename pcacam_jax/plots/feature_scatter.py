"""PCA features as points by class, with the support vectors ringed (Figure 7)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError
from pcacam_jax.plots.inputs import numbers

# Ten colours that stay apart for colour-blind readers (Petroff 2021, arXiv 2107.02270). Eleven markers, one more than
# colours, so that a pair returns only after 110 classes.
COLOURS = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"]
MARKERS = "o^sDvPX*<>p"


def feature_space(
    axes: Axes,
    features: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    support_vectors: ArrayLike | None = None,
) -> Axes:
    """Draw features in one, two or three dimensions, a colour and a marker per class, with the legend outside.

    With one component the classes stand one above the other, their points spread a little to be told apart.

    Args:
        axes: made with ``projection="3d"`` for three components, plain otherwise.
        features: (N, D), D at most 3.
        labels: (N,) whole numbers, positions in ``class_names``.
        class_names: one name per class.
        support_vectors: rows of ``features`` to ring: indices, as an SVC's ``support_``, or a mask (N,).

    Raises:
        InputError: more than three components, axes that do not fit them, labels without a name, rows out of range.
    """
    points = _checked_points(features, axes)
    count, components = points.shape
    kinds = _checked_labels(labels, count, len(class_names))
    ringed = None if support_vectors is None else _checked_rows(support_vectors, count)
    if components == 1:
        points = np.column_stack([points[:, 0], kinds + np.random.default_rng(0).uniform(-0.3, 0.3, count)])
    # Shading by depth would make the colours of the classes run into each other.
    flat: dict[str, Any] = {"depthshade": False} if components == 3 else {}
    size = float(np.clip(12000 / count, 5, 30))
    for kind in np.unique(kinds):
        style = {"color": COLOURS[kind % len(COLOURS)], "marker": MARKERS[kind % len(MARKERS)], **flat}
        axes.scatter(*points[kinds == kind].T, s=size, alpha=0.7, linewidths=0, label=class_names[kind], **style)
    if ringed is not None:
        ring = {"facecolors": "none", "edgecolors": "black", "linewidths": 0.6, **flat}
        axes.scatter(*points[ringed].T, s=2.5 * size, label="support vector", **ring)
    _name_axes(axes, components, class_names)
    _legend_outside(axes, components, (40 / size) ** 0.5)
    return axes


def _legend_outside(axes: Axes, components: int, enlarged: float) -> None:
    place = (1.1 if components == 3 else 1.02, 1)  # in 3d the name of the third axis stands between
    legend = axes.legend(loc="upper left", bbox_to_anchor=place, markerscale=enlarged, fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _name_axes(axes: Axes, components: int, class_names: Sequence[str]) -> None:
    for letter, r in zip("xyz", range(components), strict=False):
        axes.set(**{f"{letter}label": f"$v_{r + 1}$"})
    if components == 1:
        axes.set_yticks(range(len(class_names)), class_names, parse_math=False)
    axes.grid(alpha=0.3)


def _checked_points(features: ArrayLike, axes: Axes) -> np.ndarray:
    points = numbers("features", features, ("N", "D"))
    components = points.shape[1]
    if components > 3:
        raise InputError(
            f"features must have at most 3 components to be drawn, got {components}; pass features[:, :3]."
        )
    wanted, given = ("3d" if components == 3 else "plain"), ("3d" if axes.name == "3d" else "plain")
    if wanted != given:
        raise InputError(f"features with D = {components} are drawn on {wanted} axes; got {given} axes.")
    return points


def _checked_labels(labels: ArrayLike, count: int, classes: int) -> np.ndarray:
    kinds = numbers("labels", labels, (count,))
    if (kinds != np.floor(kinds)).any() or kinds.min() < 0 or kinds.max() >= classes:
        raise InputError(
            f"labels must be whole numbers from 0 to {classes - 1}, positions in class_names; "
            f"they run from {kinds.min():g} to {kinds.max():g}."
        )
    return kinds.astype(int)


def _checked_rows(rows: ArrayLike, count: int) -> np.ndarray:
    rows = np.asarray(rows)
    try:
        return np.arange(count)[rows if rows.size else []]
    except IndexError as error:
        raise InputError(
            f"support_vectors must be rows of the {count} features, as indices or as a mask; {error}."
        ) from error
