"""One example and one batch of an explanation, as compiled functions."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.cam.example import Example
from pcacam_jax.cam.heatmap import split_signs
from pcacam_jax.cam.method import Method
from pcacam_jax.cam.vanished import unresolved, vanished
from pcacam_jax.core.types import Maps
from pcacam_jax.head.batches import Batch, all_finite, in_dtype
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import Selection, Target, columns_of
from pcacam_jax.stages.jacobian import jacobian
from pcacam_jax.stages.linearity import is_affine


class Explained(NamedTuple):
    """Array fields of :class:`Explanation`, for one example or for a batch."""

    positive: Float[Array, "..."]
    negative: Float[Array, "..."]
    values: Float[Array, "*B T"]
    columns: Int[Array, "*B T"]
    mixture: dict[str, Float[Array, "*B D"]]
    vanished: Bool[Array, "*B T"]
    weights: Float[Array, "*B T K"] | None = None
    opposite_weights: Float[Array, "*B T K"] | None = None
    standard_errors: Float[Array, "..."] | None = None
    position_values: Float[Array, "..."] | None = None
    permutations: Int[Array, "*B T"] | None = None
    fallback: Float[Array, "*B T"] | None = None


class Flags(NamedTuple):
    """Numbers that the host reads for each batch."""

    finite: Bool[Array, "B T"]
    columns: Int[Array, "B T"]
    vanished: Bool[Array, "B T"]
    shares: Float[Array, "B D"] | None
    """The shares of the components' variances, the same for each example; None if the head does not hold them."""


class Settings(NamedTuple):
    """What an explanation computes; it is static under ``jit``."""

    targets: tuple[Target, ...]
    method: Method
    backend: str


@functools.partial(jax.jit, static_argnames="settings")
def explain_batch(head: HybridHead, maps: Array, seed: Any, statistics: Any = None, *, settings: Settings) -> Batch:
    """Explain a batch in the dtype of ``maps``, which is wider than that of the head for central differences.

    Args:
        head: the head.
        maps: ``(B, *space, K)``.
        seed: the seed of a sampling method.
        statistics: the means over noisy images, or None.
        settings: what is computed.
    """
    computing = jax.tree.map(in_dtype(maps.dtype), head)
    one = functools.partial(explained_example, computing, settings=settings, dtype=head.dtype)
    explained = jax.vmap(lambda m, s: one(m, jax.random.key(seed), s))(maps, statistics)
    result = jax.tree.map(in_dtype(head.dtype), explained)
    finite = functools.reduce(jnp.logical_and, (all_finite(array, 2) for array in result[:3]))
    large = result._asdict()
    shares = None if head.shares is None else jnp.broadcast_to(head.shares[None], (len(maps), len(head.shares)))
    return Batch(all_finite(maps), Flags(finite, result.columns, large.pop("vanished"), shares), large)


def explained_example(
    head: HybridHead, maps: Maps, key: Array, statistics: Any, *, settings: Settings, dtype: Any
) -> Explained:
    """Return the array fields of :class:`Explanation` for one example.

    ``dtype`` is the dtype in which gradients may underflow, if the head itself computes in a wider one.
    """
    targets, method, backend = settings
    selection = Selection(columns_of(head, maps, targets), tuple(target.output for target in targets))
    example = Example(head, maps, selection, backend)
    further = () if statistics is None else (statistics,)
    first = method.result(example, 1, key, *further)
    positive, negative = split_signs(first.heatmap)
    opposite = None
    if method.passes == 2:
        second = method.result(example, -1, key, *further)
        negative, opposite = jax.nn.relu(second.heatmap), second.weights
    mixture = _mixture(example, targets, method)
    return Explained(
        positive=positive,
        negative=negative,
        values=example.values,
        columns=selection.columns,
        mixture=mixture,
        vanished=_vanished(example, first.heatmap, method, in_dtype(dtype)),
        weights=first.weights,
        opposite_weights=opposite,
        standard_errors=first.standard_errors,
        position_values=first.position_values,
        permutations=first.permutations,
        fallback=first.fallback,
    )


def signed_map(example: Example, method: Method, key: Array) -> Float[Array, "T *space"]:
    """Return ``L+ - L-`` of every target for a method that does not change images."""
    first = method.result(example, 1, key).heatmap
    if method.passes == 1:
        return first
    return jax.nn.relu(first) - jax.nn.relu(method.result(example, -1, key).heatmap)


def _vanished(example: Example, heatmap: Array, method: Method, narrow: Any) -> Bool[Array, " T"]:
    """Return which maps have no meaning: the gradient underflowed, or differences of values did."""
    if method.needs == "maps":
        return jnp.zeros(len(heatmap), bool)
    head, maps, selection = example.head, example.maps, example.selection
    lost = vanished(jax.tree.map(narrow, head), narrow(maps), selection)
    if not method.differentiates:
        return lost & ~jnp.any(heatmap != 0, axis=example.axes)
    return lost | unresolved(head, maps, selection) if example.backend == "finite_difference" else lost


def _mixture(example: Example, targets: tuple[Target, ...], method: Method) -> dict[str, Float[Array, " D"]]:
    """Return ``ds/dv`` of the targets that are entries of SVMs, where their map is exactly a mixture."""
    head, maps = example.head, example.maps

    def is_exact(output: str) -> bool:
        svm = head.svms.get(output)
        return svm is not None and (method.linear == "gradient" or (method.linear == "target" and is_affine(svm)))

    chosen = [t for t, target in enumerate(targets) if is_exact(target.output)]
    if head.pca is None or not chosen:
        return {}
    selection = Selection(example.selection.columns[np.array(chosen)], tuple(targets[t].output for t in chosen))
    if example.backend == "closed_form":
        stacked = head.mixture(example.saved, selection.rows(head))
        weights = selection.in_order(head, jnp.concatenate(list(stacked.values())))
    else:
        scores = lambda v: selection.values({name: head.svms[name](v) for name in head.svm_names})  # noqa: E731
        weights = jacobian(scores, head.components(maps), backend=example.backend)
    return {targets[t].name: weights[i] for i, t in enumerate(chosen)}
