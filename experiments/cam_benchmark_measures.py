"""Measures of `cam_benchmark.py` that need only the head: which cells of the feature maps matter to a target."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pcacam_jax.core.types import Maps, Scalar
from pcacam_jax.head.entry import split_entry
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.masked import masked_head
from pcacam_jax.metrics import (
    area,
    centred_gaussian,
    correlation,
    deletion_curve,
    drop,
    infidelity,
    insertion_curve,
    random_map,
    random_masks,
    sparseness,
)

MEASURES = (
    "positive",
    "negative",
    "net positive",
    "net negative",
    "deletion",
    "insertion",
    "between",
    "infidelity",
    "sparseness",
)
"""What :func:`scores` measures of every map.

- positive, negative: drop of the target after removing the cells with the most evidence for it, or against it.
- net positive, net negative: the same for the difference of both; another order for methods of two passes only.
- deletion, insertion, between: areas of the curves of the difference, and the area between both curves.
- infidelity: that of the best multiple of the difference, divided by that of a map of zeros; 0 is best.
- sparseness: the Gini index of the difference.
"""
MASKS = 100
"""Number of random masks of the infidelity."""


def scores(
    head: HybridHead,
    maps: Maps,
    positive: Float[Array, "M T h w"],
    negative: Float[Array, "M T h w"],
    *,
    targets: tuple[tuple[str, Int[Array, ""]], ...],
    spreads: Float[Array, " T"],
    key: Array,
) -> tuple[dict[str, Float[Array, "M T"]], Float[Array, "T M M"]]:
    """Return the measures of M maps of each of T targets at one example, and the correlations between these maps.

    Args:
        head: the head.
        maps: the feature maps.
        positive: evidence for the targets, at least 0.
        negative: evidence against the targets, at least 0.
        targets: the output and the column of each target.
        spreads: what the value of each target is divided by.
        key: the key of the random masks.
    """
    masked = masked_head(split_entry(head), maps)
    masks = random_masks(key, maps.shape[:-1], samples=MASKS)
    measured, agreement = [], []
    for t, (output, column) in enumerate(targets):

        def value(mask: Array, output: str = output, column: Any = column, t: int = t) -> Scalar:
            return masked(mask)[output][column] / spreads[t]

        def measures(gain: Array, loss: Array, value: Any = value) -> tuple[Scalar, ...]:
            signed = gain - loss
            deleted, inserted = deletion_curve(value, signed), insertion_curve(value, signed)
            error = infidelity(value, signed, masks, scaled=True)
            nothing = infidelity(value, jnp.zeros_like(signed), masks)
            return (
                drop(value, gain),
                drop(value, loss),
                drop(value, signed),
                drop(value, -signed),
                area(deleted),
                area(inserted),
                area_between(deleted, inserted),
                error / jnp.where(nothing > 0, nothing, 1),
                sparseness(signed),
            )

        measured.append(jax.vmap(measures)(positive[:, t], negative[:, t]))
        signed = positive[:, t] - negative[:, t]
        agreement.append(jax.vmap(lambda a, b=signed: jax.vmap(lambda c: correlation(a, c))(b))(signed))
    columns = (jnp.stack(values, axis=1) for values in zip(*measured, strict=True))
    return dict(zip(MEASURES, columns, strict=True)), jnp.stack(agreement)


def area_between(deleted: Float[Array, " n"], inserted: Float[Array, " n"]) -> Scalar:
    """Return the mean height of the insertion curve above the deletion curve, by the trapezoidal rule.

    It is near 0 for a random map, whatever the target, because both curves then rise or fall alike.
    """
    gap = inserted - deleted
    return jnp.mean((gap[1:] + gap[:-1]) / 2)


def one_cell_out(
    head: HybridHead, maps: Maps, targets: tuple[tuple[str, Int[Array, ""]], ...]
) -> Float[Array, "T h w"]:
    """Return the map of ``y(all cells) - y(without this cell)``, a reference that looks at the measure itself."""
    masked, space = masked_head(split_entry(head), maps), maps.shape[:-1]
    cells = jnp.arange(maps[..., 0].size)
    masks = (jnp.arange(-1, len(cells))[:, None] != cells).astype(maps.dtype).reshape(-1, *space)
    values = jnp.stack([jax.vmap(lambda m, o=o, c=c: masked(m)[o][c])(masks) for o, c in targets])
    return (values[:, :1] - values[:, 1:]).reshape(-1, *space)


def reference_maps(key: Array, targets: int, space: tuple[int, ...]) -> dict[str, Float[Array, "T h w"]]:
    """Return maps that know nothing of the target: random values, and a Gaussian at the centre."""
    keys = jax.random.split(key, targets)
    random = jnp.stack([random_map(each, space) for each in keys])
    return {"random": random, "centre": jnp.broadcast_to(centred_gaussian(space), random.shape)}


def bootstrap_means(
    values: list[Float[np.ndarray, "n c"]], *, resamples: int = 2000, seed: int = 0
) -> Float[np.ndarray, "r c"]:
    """Return resampled means over datasets: the images of each dataset are drawn with replacement.

    Args:
        values: for each dataset, c values of each of its images. The same images are drawn for all c columns, so that
            differences of columns are paired.
        resamples: the number of resamples.
        seed: the seed.

    Returns:
        For each resample, the mean over the datasets of the mean over the drawn images.
    """
    random = np.random.default_rng(seed)
    means = []
    for each in values:
        counts = random.multinomial(len(each), np.full(len(each), 1 / len(each)), size=resamples)
        means.append(counts @ each / len(each))
    return np.mean(means, axis=0)


def interval(samples: Float[np.ndarray, "r ..."], level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the percentile interval of resampled values."""
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
