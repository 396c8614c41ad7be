"""Statistics of the maps of a fitted run: the paper's remarks on Figures 8 and 9, measured over test images.

The paper looks at a few images. It says that SVM maps are often similar to the CNN's Grad-CAM map, that some are very
similar to L+ or L- of one component, and that the SVM then probably classifies by this component. Here every remark
becomes a mean or a share of images, with these terms:

- alike: the correlation of two maps after ReLU, as they are drawn, is at least :data:`ALIKE`.
- read: the side of component r that a decision reads, which is ``L_r+`` if the weight ``w_r = ds/dv_r`` is positive and
  ``L_r-`` otherwise. The decision's map contains ``|w_r|`` times this side.
- share: the share of component r in a decision, ``|w_r| ||L_r|| / sum_s |w_s| ||L_s||``. A component with a share above
  one half dominates the decision.
- opposed: the cosine of two maps before ReLU is negative, so regions that raise one value lower the other.
- chance: the same number with the map of another random test image of any class. It is a baseline: centred objects make
  all maps somewhat similar, and maps of few values are often alike or different by chance.

Undefined values are left out of means and shares, and the mean of no values is None. A map that is zero everywhere has
no correlation, so it is neither alike nor different. A vanished gradient has no shares; its map and its weights are set
to zero. Every summary records how many images it covers. ``zero_maps`` and ``zero_weights`` count the images that the
shares of an SVM leave out.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from pcacam_jax.cam.explain import explain
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.fitting.fit import Fitted
from pcacam_jax.metrics import DOMINANT, contributions, correlation, cosine, shares

ALIKE = 0.8
"""Two maps count as alike if their correlation is at least this value."""

_correlations = jax.jit(jax.vmap(correlation))
_cosines = jax.jit(jax.vmap(cosine))
_shares = jax.jit(jax.vmap(shares))
_contributions = jax.jit(jax.vmap(contributions))


class Components(NamedTuple):
    """The maps of all components on N images."""

    signed: np.ndarray
    """``L_r``, (N, D, h, w)."""
    sides: np.ndarray
    """``L_r+`` and ``L_r-``, (N, D, 2, h, w)."""
    values: np.ndarray
    """``v_r``, (N, D)."""


class Decisions(NamedTuple):
    """The maps of one classifier's predicted classes on N images."""

    signed: np.ndarray
    """Maps before ReLU, (N, h, w)."""
    positive: np.ndarray
    """Maps after ReLU, (N, h, w)."""
    labels: np.ndarray
    """The predicted classes, (N,)."""
    weights: np.ndarray
    """``ds/dv_r``, (N, D); (N, 0) for the CNN."""


def map_statements(fitted: Fitted, *, count: int = 200) -> dict[str, Any]:
    """Measure how the maps of SVMs, of the CNN and of components are related on test images of a fitted run.

    The maps are those of Grad-CAM, as in the paper.

    Args:
        fitted: a fitted run.
        count: the largest number of images to measure. Every class gets the same number if it has enough images.

    Returns:
        A dictionary that can be written as JSON:

        - ``data``, ``images``, ``map_shape``, ``explained_variance_ratio``, ``alike`` (the threshold);
        - ``classifiers``: for each SVM, the similarity of its maps to those of the CNN (``cnn``) and of every component
          (``components``), with the component's weights and shares;
        - ``components``: how often the value of a component and the sum of its map differ in sign;
        - ``pairs``: how often the maps of two components differ, on the same image and by chance;
        - ``classes``: the mean value of every component on each class, and the share of its map that is positive.
    """
    test = fitted.dataset.test
    rows = even_rows(test.labels, count)
    targets = ["pca", "cnn:predicted", *(f"{name}:predicted" for name in fitted.svms)]
    explained = explain(fitted.head, fitted.tap_maps["test"][rows], targets, method="gradcam")
    depth = len(fitted.head.outputs["pca"])
    components = _components(explained, depth)
    cnn, *svms = (_decisions(explained, t) for t in range(depth, len(explained.targets)))
    return {
        "data": fitted.dataset.name,
        "images": len(rows),
        "map_shape": list(components.signed.shape[2:]),
        "alike": ALIKE,
        "explained_variance_ratio": [float(ratio) for ratio in fitted.pca.explained_variance_ratio_],
        "classifiers": {name: _classifier(svm, cnn, components) for name, svm in zip(fitted.svms, svms, strict=True)},
        "components": [_sign(components, r) for r in range(depth)],
        "pairs": [_pair(components, r, s) for s in range(depth) for r in range(s)],
        "classes": [
            _class(components, name, test.labels[rows] == label)
            for label, name in enumerate(fitted.dataset.class_names)
        ],
    }


def even_rows(labels: np.ndarray, count: int) -> np.ndarray:
    """Return up to ``count`` row indices, balanced over the classes and evenly spaced within each class.

    Args:
        labels: (N,), the class of every row.
        count: the number of rows to choose; all rows if N is smaller.

    Returns:
        The indices in increasing order.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.reports.map_statistics import even_rows
        >>> even_rows(np.array([0, 0, 0, 0, 1, 1]), 4).tolist()
        [1, 3, 4, 5]
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    quotas = np.zeros(len(members), int)
    for _ in range(min(count, len(labels))):
        open_classes = [c for c, rows in enumerate(members) if quotas[c] < len(rows)]
        quotas[min(open_classes, key=lambda c: quotas[c])] += 1
    places = [(np.arange(quota) + 0.5) / max(quota, 1) * len(rows) for quota, rows in zip(quotas, members, strict=True)]
    return np.sort(np.concatenate([rows[place.astype(int)] for rows, place in zip(members, places, strict=True)]))


def _components(explained: Explanation, depth: int) -> Components:
    signed = np.asarray(explained.signed)[:, :depth]
    sides = np.stack([np.maximum(signed, 0), np.maximum(-signed, 0)], axis=2)
    return Components(signed, sides, np.asarray(explained.values)[:, :depth])


def _decisions(explained: Explanation, t: int) -> Decisions:
    weights = explained.mixture.get(explained.targets[t], np.empty((len(explained.labels), 0)))
    defined = ~explained.vanished[:, t]
    signed, positive = (
        np.asarray(maps)[:, t] * defined[:, None, None] for maps in (explained.signed, explained.positive)
    )
    return Decisions(signed, positive, explained.labels[:, t], np.asarray(weights) * defined[:, None])


def _classifier(svm: Decisions, cnn: Decisions, components: Components) -> dict[str, Any]:
    parts = np.asarray(_contributions(svm.weights, components.signed))
    share = np.asarray(_shares(svm.weights, components.signed))
    read = _read_sides(svm.weights, components)
    similarity = np.stack([np.asarray(_correlations(svm.positive, side)) for side in np.moveaxis(read, 1, 0)], axis=1)
    alike, compared = similarity >= ALIKE, ~np.isnan(similarity)
    with_shares = ~np.isnan(share).any(axis=1)
    same = svm.labels == cnn.labels
    with_cnn = np.asarray(_correlations(svm.positive, cnn.positive))
    cosines = np.asarray(_cosines(svm.signed, cnn.signed))
    largest = np.abs(svm.signed).max()
    return {
        "cnn": {
            "correlation": summary(with_cnn),
            "chance": summary(_correlations(svm.positive, _of_other_images(cnn.positive))),
            "cosine": summary(cosines),
            "opposed": _mean(cosines[~np.isnan(cosines)] < 0),
            "same_class": _mean(same),
            "correlation_same_class": summary(with_cnn[same]),
        },
        "components": [
            {
                "component": r + 1,
                **_similarity(svm, components, r),
                "read": summary(similarity[:, r]),
                "chance": summary(_correlations(svm.positive, _of_other_images(read[:, r]))),
                "weight": _mean(svm.weights[:, r]),
                "weight_magnitude": _mean(np.abs(svm.weights[:, r])),
                "weight_positive": _mean(svm.weights[:, r] > 0),
                "share": _mean(share[:, r]),
                "dominates": _mean(share[with_shares, r] > DOMINANT),
                "dominates_where_alike": _mean(share[alike[:, r] & with_shares, r] > DOMINANT),
                "alike_where_dominating": _mean(alike[(share[:, r] > DOMINANT) & compared[:, r], r]),
            }
            for r in range(share.shape[1])
        ],
        "dominated": _mean((share[with_shares] > DOMINANT).any(axis=1)),
        "alike_a_component": _mean(alike[compared.any(axis=1)].any(axis=1)),
        "alike_several": _mean(alike[compared.any(axis=1)].sum(axis=1) > 1),
        "dominant_is_most_alike": _largest_is_most_alike(share, similarity),
        "zero_weights": int((svm.weights == 0).all(axis=1).sum()),
        "zero_maps": int((svm.positive == 0).all(axis=(1, 2)).sum()),
        "mixture_error": float(np.abs(parts.sum(axis=1) - svm.signed).max() / largest) if largest else None,
    }


def _read_sides(weights: np.ndarray, components: Components) -> np.ndarray:
    """Return the sides that the decisions read, (N, D, h, w): L_r+ if the weight is positive, L_r- otherwise."""
    positive = (weights > 0)[..., None, None]
    return np.where(positive, components.sides[:, :, 0], components.sides[:, :, 1])


def _similarity(svm: Decisions, components: Components, r: int) -> dict[str, Any]:
    positive, negative = (summary(_correlations(svm.positive, components.sides[:, r, side])) for side in (0, 1))
    return {
        "positive": positive,
        "negative": negative,
        "cosine": summary(_cosines(svm.signed, components.signed[:, r])),
    }


def _sign(components: Components, r: int) -> dict[str, Any]:
    """Return how often the value of component r and the sum of its map have different signs."""
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
    """Return how similar the maps of two components are; they differ if no side of one is alike a side of the other."""
    first, second = components.sides[:, r], components.sides[:, s]
    return {
        "components": [r + 1, s + 1],
        "correlation": summary(_correlations(components.signed[:, r], components.signed[:, s])),
        "cosine": summary(_cosines(components.signed[:, r], components.signed[:, s])),
        "differ": _differ(first, second),
        "chance": _differ(first, _of_other_images(second)),
    }


def _differ(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return the share of N images on which no side of ``first``, (N, 2, h, w), is alike a side of ``second``."""
    pairs = [_correlations(first[:, a], second[:, b]) for a in (0, 1) for b in (0, 1)]
    similarity = np.stack(pairs, axis=1)
    compared = ~np.isnan(similarity).all(axis=1)
    return _mean(~(similarity[compared] >= ALIKE).any(axis=1))


def _class(components: Components, name: str, members: np.ndarray) -> dict[str, Any]:
    """Return each component's mean value over a class, and the mean share of L_r+ in ``sum(L_r+) + sum(L_r-)``."""
    sums = components.sides[members].sum(axis=(3, 4))
    totals = sums.sum(axis=2)
    return {
        "name": name,
        "images": int(members.sum()),
        "mean": [_mean(values) for values in components.values[members].T],
        "positive_share": [
            _mean(positive[total > 0] / total[total > 0])
            for positive, total in zip(sums[:, :, 0].T, totals.T, strict=True)
        ],
    }


def _of_other_images(maps: np.ndarray) -> np.ndarray:
    """Return for each image the maps of another one, chosen by a fixed permutation; NaN if there is only one image."""
    order = np.random.default_rng(0).permutation(len(maps))
    others = np.full_like(maps, np.nan)
    if len(maps) > 1:
        others[order] = maps[np.roll(order, 1)]
    return others


def _largest_is_most_alike(share: np.ndarray, similarity: np.ndarray) -> float | None:
    """Return how often the component with the largest share has the most similar map, where both are defined."""
    defined = ~np.isnan(share).any(axis=1) & ~np.isnan(similarity).all(axis=1)
    most_alike = np.nan_to_num(similarity[defined], nan=-np.inf).argmax(axis=1)
    return _mean(share[defined].argmax(axis=1) == most_alike)


def summary(values: Any) -> dict[str, Any]:
    """Return the count, mean and quartiles of the values without NaN, and the share of at least :data:`ALIKE`.

    Example:
        >>> from pcacam_jax.reports.map_statistics import summary
        >>> result = summary([0.5, 1.0, float("nan")])
        >>> result["images"], result["mean"], result["alike"]
        (2, 0.75, 0.5)
    """
    defined = np.asarray(values, np.float64)
    defined = defined[~np.isnan(defined)]
    quartiles = np.quantile(defined, [0.25, 0.5, 0.75]).tolist() if len(defined) else [None] * 3
    named = dict(zip(("lower_quartile", "median", "upper_quartile"), quartiles, strict=True))
    return {"images": len(defined), "mean": _mean(defined), **named, "alike": _mean(defined >= ALIKE)}


def _mean(values: Any) -> float | None:
    """Return the mean of the values without NaN, or None if no value is left."""
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None
