"""The numbers that :func:`pcacam_jax.cam.trust.trust` gathers, computed for a batch in one compiled function."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pcacam_jax.cam.compute import signed_map
from pcacam_jax.cam.distance import mean_features, reconstruction_error
from pcacam_jax.cam.example import Example
from pcacam_jax.cam.method import Method
from pcacam_jax.cam.methods import METHODS
from pcacam_jax.core.types import Maps
from pcacam_jax.head.batches import Batch, all_finite
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.masked import masked_head
from pcacam_jax.head.targets import Selection
from pcacam_jax.metrics import centred_gaussian, correlation, drop, random_map

COMPARED = ("gradcam", "xgradcam", "hirescam")
"""The methods with which a map is compared; all of them are linear in the gradient."""
NOISY_MAPS, NOISE = 8, 0.1
"""Number of noisy copies of the maps, and the standard deviation of the relative noise in every cell."""
RANDOM_MAPS = 20


class Numbers(NamedTuple):
    """What is computed for each example and target; see :class:`pcacam_jax.cam.trust.Trust`."""

    values: Any
    gained: Any
    """``y(F) - y(0)``."""
    stability: Any
    agreement: Any
    drop: Any
    drop_random: Any
    drop_centre: Any
    above_random: Any
    rise: Any
    components: Any
    features: Any
    reconstruction: Any
    """The error of the PCA's reconstruction; None for other reducers."""


@functools.partial(jax.jit, static_argnames=("outputs", "method", "backend"))
def trust_batch(
    head: HybridHead,
    maps: Array,
    *,
    columns: Int[Array, "B T"],
    signed: Float[Array, "B T *space"],
    outputs: tuple[str, ...],
    method: Method,
    backend: str,
) -> Batch:
    """Return the numbers of a batch.

    Args:
        head: the head.
        maps: ``(B, *space, K)``.
        columns: the index of the class or component of each target.
        signed: the maps that are judged.
        outputs: the output of each target.
        method: the method of the maps.
        backend: the backend of the derivatives.
    """

    def one(m: Maps, c: Array, s: Array) -> Numbers:
        return _numbers(head, m, Selection(c, outputs), s, method, backend)

    return Batch(all_finite(maps), jax.vmap(one)(maps, columns, signed))


def _numbers(
    head: HybridHead, maps: Maps, selection: Selection, signed: Array, method: Method, backend: str
) -> Numbers:
    example = Example(head, maps, selection, backend)
    masked, count = masked_head(example.entry, maps), len(selection.outputs)
    value = lambda mask: selection.values(masked(mask))  # noqa: E731
    key = jax.random.key(0)
    space = maps.shape[:-1]
    random = jnp.stack([random_map(k, space) for k in jax.random.split(key, RANDOM_MAPS)]).astype(maps.dtype)
    centre = centred_gaussian(space).astype(maps.dtype)

    def drops(t: Array, heatmap: Array) -> Float[Array, " n"]:
        judged = jnp.concatenate([jnp.stack([heatmap, -heatmap, centre]), random])
        return jax.lax.map(lambda m: drop(lambda mask: value(mask)[t], m), judged)

    fall, rise, at_centre, *at_random = jnp.unstack(jax.vmap(drops)(jnp.arange(count), signed), axis=1)
    at_random = jnp.stack(at_random, axis=1)
    return Numbers(
        values=example.values,
        gained=example.values - value(jnp.zeros(space, maps.dtype)),
        stability=_stability(example, signed, method, key),
        agreement=_agreement(example, signed, method),
        drop=fall,
        drop_random=jnp.mean(at_random, axis=1),
        drop_centre=at_centre,
        above_random=jnp.mean(at_random < fall[:, None], axis=1, dtype=fall.dtype),
        rise=-rise,
        components=head.components(maps),
        features=mean_features(head, maps),
        reconstruction=reconstruction_error(head.pca, head.trunk(maps)),
    )


def _stability(example: Example, signed: Array, method: Method, key: Array) -> Float[Array, " T"]:
    if method.needs == "images":
        return jnp.full(len(signed), jnp.nan, signed.dtype)

    def noisy(k: Array) -> Array:
        maps = example.maps * (1 + NOISE * jax.random.normal(k, example.maps.shape, example.maps.dtype))
        changed = signed_map(Example(example.head, maps, example.selection, example.backend), method, key)
        return jax.vmap(correlation)(changed, signed)

    return jnp.mean(jax.lax.map(noisy, jax.random.split(key, NOISY_MAPS)), axis=0)


def _agreement(example: Example, signed: Array, method: Method) -> Float[Array, " T"]:
    others = [METHODS[name].function(example, 1) for name in COMPARED if name != method.name]
    return jnp.mean(jnp.stack([jax.vmap(correlation)(other.heatmap, signed) for other in others]), axis=0)
