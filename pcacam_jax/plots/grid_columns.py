"""The columns of the paper's grid: the maps of a classifier or of a component on all images, with their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import check_choice
from pcacam_jax.core.explanation import Explanation, component_names
from pcacam_jax.plots.inputs import check_count, list_of, numbers
from pcacam_jax.plots.names import inline, readable
from pcacam_jax.plots.pairs import Pair, flags_of, pairs_of
from pcacam_jax.plots.words import TITLES, quantity


class Column(NamedTuple):
    """The maps of one classifier, or the two maps of one component, on N images."""

    title: str
    pairs: list[Pair]
    """One pair per image; of a classifier only the positive map is drawn."""
    predicted: list[str]
    """The N classes that a classifier predicts, or nothing."""
    values: list[str]
    """N texts about the values, or nothing."""
    is_component: bool


def columns_of_arrays(
    count: int,
    classifiers: Mapping[str, ArrayLike],
    components: ArrayLike | None,
    predictions: Mapping[str, Sequence[str]],
    vanished: Mapping[str, ArrayLike] | None,
) -> list[Column]:
    """Return the columns of maps that are given as arrays."""
    signed = numbers("components", () if components is None else components, (count, "D", "h", "w"))
    heat = {title: numbers(title, maps, (count, "h", "w"), lowest=0) for title, maps in classifiers.items()}
    predictions = {title: list_of(f"predictions[{title!r}]", names) for title, names in predictions.items()}
    for title, names in predictions.items():
        check_choice("predictions", title, heat)
        check_count(f"predictions[{title!r}]", names, count, "image")
    for title in vanished or {}:
        check_choice("vanished", title, heat)
    columns = []
    for title, maps in heat.items():
        lost = flags_of(f"vanished[{title!r}]", (vanished or {}).get(title), count, "image")
        pairs = [Pair(title, each, 0 * each, flag) for each, flag in zip(maps, lost, strict=True)]
        columns.append(
            Column(readable(title, 40), pairs, [str(name) for name in predictions.get(title, ())], [], False)
        )
    for name, maps in zip(component_names(signed.shape[1]), np.moveaxis(signed, 1, 0), strict=True):
        pairs = [Pair(name, np.maximum(each, 0), np.maximum(-each, 0), None) for each in maps]
        columns.append(Column(name, pairs, [], [], True))
    return columns


def columns_of(explanation: Explanation, typical: ArrayLike | Mapping | None) -> list[Column]:
    """Return the columns of an explanation."""
    rows = [pairs_of(explanation, b, None, typical) for b in range(len(explanation.labels))]
    values = np.asarray(explanation.values)
    columns = []
    for t, (target, space) in enumerate(zip(explanation.targets, explanation.spaces, strict=True)):
        pairs, (output, _, entry) = [row[t] for row in rows], target.partition(":")
        is_component, predicted = space == "component", entry == "predicted"
        title = TITLES.get(output, readable(output, 30))
        if is_component:
            title = str(explanation.labels[0, t])
        elif not predicted:
            title = f"{title}, {inline(explanation.labels[0, t], 30)}"
        texts = [f"{'value' if is_component else quantity(space)} {value:.3g}" for value in values[:, t]]
        names = [str(name) for name in explanation.labels[:, t]] if predicted else []
        columns.append(Column(title, pairs, names, texts, is_component))
    return columns
