"""What the maps of a fitted run say, as numbers: the paper's remarks on Figures 8 and 9, measured over test images.

The paper looks at a few images and says that SVM maps are often similar to the conventional Grad-CAM, that some are
very similar to one side of one component, and that this component is then probably the one the SVM classifies by. Here
each remark is a share of images or a mean:

- Alike means a correlation of at least :data:`ALIKE` between two maps after ReLU, as they are drawn.
- The side of component r that a decision reads is L_r+ where its weight w_r = ds/dv_r is positive, else L_r-: the
  decision's map holds |w_r| times that side.
- The share of component r in a decision is |w_r| ||L_r|| / sum_s |w_s| ||L_s||; it dominates above one half.
- Opposed are two maps whose cosine before ReLU is negative: what raises the one value lowers the other.
- Chance is the same number with a map of another test image, drawn without regard to its class: objects in the middle
  make all maps a little alike, and maps of few values are often alike, or different, whatever they show.

What has no value is left out of means and shares alike, and a mean of none is None: a map that is zero everywhere
correlates with nothing, so it is neither alike nor different, and a vanished gradient has no shares: its map and
weights count as zero. Every summary says of how many images it is; ``zero_maps`` and ``zero_weights`` count what an
SVM's shares leave out.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from pcacam_jax.cam.explain import Explanation, explain
from pcacam_jax.fitting.fit import Fitted
from pcacam_jax.metrics import DOMINANT, contributions, correlation, cosine, shares

ALIKE = 0.8
"""The correlation from which two maps count as alike."""

_correlations = jax.jit(jax.vmap(correlation))
_cosines = jax.jit(jax.vmap(cosine))
_shares = jax.jit(jax.vmap(shares))
_contributions = jax.jit(jax.vmap(contributions))


class Components(NamedTuple):
    """The maps of all components on N images."""

    signed: np.ndarray
    """L_r, (N, D, h, w)."""
    sides: np.ndarray
    """L_r+ and L_r-, (N, D, 2, h, w)."""
    values: np.ndarray
    """v_r, (N, D)."""


class Decisions(NamedTuple):
    """One classifier's decisions on N images, its predicted class explained."""

    signed: np.ndarray
    """Maps before ReLU, (N, h, w)."""
    positive: np.ndarray
    """Maps after ReLU, (N, h, w)."""
    labels: np.ndarray
    """The predicted classes, (N,)."""
    weights: np.ndarray
    """ds/dv_r, (N, D); empty for the CNN."""


def map_statements(fitted: Fitted, *, count: int = 200) -> dict[str, Any]:
    """Measure what the maps of ``count`` test images say, as data that JSON can hold.

    Args:
        fitted: a fitted run.
        count: most images to measure, the same number of every class as far as there are.

    Returns:
        ``data``, ``images``, ``map_shape``, ``alike`` (the threshold), ``explained_variance_ratio``; ``classifiers``:
        for each SVM its likeness to ``cnn`` and to each of ``components`` with weights and shares; ``components``: how
        far the sign of a map follows that of its value; ``pairs`` of components: how often they differ, and by chance;
        ``classes``: mean values and the balance of the maps of each.
    """
    test = fitted.dataset.test
    rows = even_rows(test.labels, count)
    targets = ["pca", "cnn:predicted", *(f"{name}:predicted" for name in fitted.svms)]
    explained = explain(fitted.head, np.array(fitted.maps["test"][rows], np.float32), targets)
    depth = len(fitted.head.outputs["pca"])
    components = _components(explained, depth)
    cnn, *svms = (_decisions(explained, t) for t in range(depth, len(explained.targets)))
    return {
        "data": fitted.dataset.name,
        "images": len(rows),
        "map_shape": list(components.signed.shape[2:]),
        "alike": ALIKE,
        "explained_variance_ratio": [float(ratio) for ratio in fitted.pca.explained_variance_ratio_],
        "classifiers": {name: _classifier(own, cnn, components) for name, own in zip(fitted.svms, svms, strict=True)},
        "components": [_sign(components, r) for r in range(depth)],
        "pairs": [_pair(components, r, s) for s in range(depth) for r in range(s)],
        "classes": [
            _class(components, name, test.labels[rows] == label)
            for label, name in enumerate(fitted.dataset.class_names)
        ],
    }


def even_rows(labels: np.ndarray, count: int) -> np.ndarray:
    """Return ``count`` rows in rising order, or all: as many of every class as there are, evenly spread within it."""
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    wanted = np.zeros(len(members), int)
    for _ in range(min(count, len(labels))):
        free = [own for own, rows in enumerate(members) if wanted[own] < len(rows)]
        wanted[min(free, key=lambda own: wanted[own])] += 1
    middles = [(np.arange(most) + 0.5) / max(most, 1) * len(rows) for most, rows in zip(wanted, members, strict=True)]
    return np.sort(np.concatenate([rows[own.astype(int)] for rows, own in zip(members, middles, strict=True)]))


def _components(explained: Explanation, depth: int) -> Components:
    signed = np.asarray(explained.signed)[:, :depth]
    sides = np.stack([np.maximum(signed, 0), np.maximum(-signed, 0)], axis=2)
    return Components(signed, sides, np.asarray(explained.values)[:, :depth])


def _decisions(explained: Explanation, t: int) -> Decisions:
    weights = explained.mixture.get(explained.targets[t], np.empty((len(explained.labels), 0)))
    there = ~explained.vanished[:, t]
    signed, positive = (
        np.asarray(maps)[:, t] * there[:, None, None] for maps in (explained.signed, explained.positive)
    )
    return Decisions(signed, positive, explained.labels[:, t], np.asarray(weights) * there[:, None])


def _classifier(own: Decisions, cnn: Decisions, components: Components) -> dict[str, Any]:
    parts = np.asarray(_contributions(own.weights, components.signed))
    share = np.asarray(_shares(own.weights, components.signed))
    read = _read_sides(own.weights, components)
    likeness = np.stack([np.asarray(_correlations(own.positive, side)) for side in np.moveaxis(read, 1, 0)], axis=1)
    alike, compared = likeness >= ALIKE, ~np.isnan(likeness)
    shared = ~np.isnan(share).any(axis=1)
    same = own.labels == cnn.labels
    with_cnn = np.asarray(_correlations(own.positive, cnn.positive))
    cosines = np.asarray(_cosines(own.signed, cnn.signed))
    largest = np.abs(own.signed).max()
    return {
        "cnn": {
            "correlation": summary(with_cnn),
            "chance": summary(_correlations(own.positive, _elsewhere(cnn.positive))),
            "cosine": summary(cosines),
            "opposed": _mean(cosines[~np.isnan(cosines)] < 0),
            "same_class": _mean(same),
            "correlation_same_class": summary(with_cnn[same]),
        },
        "components": [
            {
                "component": r + 1,
                **_likeness(own, components, r),
                "read": summary(likeness[:, r]),
                "chance": summary(_correlations(own.positive, _elsewhere(read[:, r]))),
                "weight": _mean(own.weights[:, r]),
                "weight_magnitude": _mean(np.abs(own.weights[:, r])),
                "weight_positive": _mean(own.weights[:, r] > 0),
                "share": _mean(share[:, r]),
                "dominates": _mean(share[shared, r] > DOMINANT),
                "dominates_where_alike": _mean(share[alike[:, r] & shared, r] > DOMINANT),
                "alike_where_dominating": _mean(alike[(share[:, r] > DOMINANT) & compared[:, r], r]),
            }
            for r in range(share.shape[1])
        ],
        "dominated": _mean((share[shared] > DOMINANT).any(axis=1)),
        "alike_a_component": _mean(alike[compared.any(axis=1)].any(axis=1)),
        "alike_several": _mean(alike[compared.any(axis=1)].sum(axis=1) > 1),
        "dominant_is_most_alike": _largest_is_most_alike(share, likeness),
        "zero_weights": int((own.weights == 0).all(axis=1).sum()),
        "zero_maps": int((own.positive == 0).all(axis=(1, 2)).sum()),
        "mixture_error": float(np.abs(parts.sum(axis=1) - own.signed).max() / largest) if largest else None,
    }


def _read_sides(weights: np.ndarray, components: Components) -> np.ndarray:
    """Return (N, D, h, w): L_r+ where the weight is positive, else L_r-."""
    positive = (weights > 0)[..., None, None]
    return np.where(positive, components.sides[:, :, 0], components.sides[:, :, 1])


def _likeness(own: Decisions, components: Components, r: int) -> dict[str, Any]:
    positive, negative = (summary(_correlations(own.positive, components.sides[:, r, side])) for side in (0, 1))
    return {
        "positive": positive,
        "negative": negative,
        "cosine": summary(_cosines(own.signed, components.signed[:, r])),
    }


def _sign(components: Components, r: int) -> dict[str, Any]:
    """Return how often a map that pushes up on the whole comes with a value below zero, and the reverse."""
    total, value = components.signed[:, r].sum(axis=(1, 2)), components.values[:, r]
    return {
        "component": r + 1,
        "disagree": _mean((np.sign(total) != np.sign(value))[total != 0]),
        "raised": int((total > 0).sum()),
        "not_positive_where_raised": _mean(value[total > 0] <= 0),
        "lowered": int((total < 0).sum()),
        "not_negative_where_lowered": _mean(value[total < 0] >= 0),
    }


def _pair(components: Components, r: int, s: int) -> dict[str, Any]:
    """Return how alike the maps of two components are; they differ where no side of one is alike any of the other."""
    first, second = components.sides[:, r], components.sides[:, s]
    return {
        "components": [r + 1, s + 1],
        "correlation": summary(_correlations(components.signed[:, r], components.signed[:, s])),
        "cosine": summary(_cosines(components.signed[:, r], components.signed[:, s])),
        "differ": _differ(first, second),
        "chance": _differ(first, _elsewhere(second)),
    }


def _differ(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return on which share of N images no side of (N, 2, h, w) ``first`` is alike any side of ``second``."""
    pairs = [_correlations(first[:, a], second[:, b]) for a in (0, 1) for b in (0, 1)]
    likeness = np.stack(pairs, axis=1)
    compared = ~np.isnan(likeness).all(axis=1)
    return _mean(~(likeness[compared] >= ALIKE).any(axis=1))


def _class(components: Components, name: str, members: np.ndarray) -> dict[str, Any]:
    """Return each component's mean value over a class, and the part of all evidence in its maps that raises it."""
    evidence = components.sides[members].sum(axis=(3, 4))
    total = evidence.sum(axis=2)
    return {
        "name": name,
        "images": int(members.sum()),
        "mean": [_mean(own) for own in components.values[members].T],
        "positive_share": [
            _mean(up[own > 0] / own[own > 0]) for up, own in zip(evidence[:, :, 0].T, total.T, strict=True)
        ],
    }


def _elsewhere(maps: np.ndarray) -> np.ndarray:
    """Return for each image the maps of another, the next in an order drawn once and for all; NaN of a single image."""
    order = np.random.default_rng(0).permutation(len(maps))
    others = np.full_like(maps, np.nan)
    if len(maps) > 1:
        others[order] = maps[np.roll(order, 1)]
    return others


def _largest_is_most_alike(share: np.ndarray, likeness: np.ndarray) -> float | None:
    """Return how often the component of largest share has the most similar map, where both have an answer."""
    defined = ~np.isnan(share).any(axis=1) & ~np.isnan(likeness).all(axis=1)
    most_alike = np.nan_to_num(likeness[defined], nan=-np.inf).argmax(axis=1)
    return _mean(share[defined].argmax(axis=1) == most_alike)


def summary(values: Any) -> dict[str, Any]:
    """Return mean, quartiles, share of at least :data:`ALIKE` and count of the values that are numbers."""
    defined = np.asarray(values, np.float64)
    defined = defined[~np.isnan(defined)]
    quartiles = np.quantile(defined, [0.25, 0.5, 0.75]).tolist() if len(defined) else [None] * 3
    named = dict(zip(("lower_quartile", "median", "upper_quartile"), quartiles, strict=True))
    return {"images": len(defined), "mean": _mean(defined), **named, "alike": _mean(defined >= ALIKE)}


def _mean(values: Any) -> float | None:
    """Return the mean of the values that are numbers, None if there are none."""
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None
