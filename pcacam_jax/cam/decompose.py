"""Which components an SVM's map is made of: L = sum_r w_r L_r with w_r = ds/dv_r, exactly (Eq. 10, 14, 15)."""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.cam.gradcam import weighted_sum
from pcacam_jax.cam.vanished import vanished
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Maps, Rows
from pcacam_jax.head.batches import batched, check_explained, checked_batch_size, checked_maps
from pcacam_jax.head.hybrid import HeadByProducts, HybridHead
from pcacam_jax.head.targets import Selection, Target, columns_of, parse_targets
from pcacam_jax.metrics.agreement import contributions, shares

MOST_EXAMPLES = 256
BLOCK_FLOATS = 2**20
"""Of the unit rows that are pulled back at once, for one example."""
BATCH_FLOATS = 2**24
"""Of what a batch needs beside its maps; it says how many examples are taken at a time."""


@dataclasses.dataclass(frozen=True)
class Decomposition:
    """The signed maps of one SVM target on B examples, each as a sum over D components."""

    target: str
    components: tuple[str, ...]
    """Names of the D components; without a PCA, the entries of x_m."""
    maps: Float[Array, "B D h w"]
    """w_r L_r: they add up to the target's signed map."""
    weights: Float[Array, "B D"]
    """w_r = ds/dv_r."""
    shares: Float[Array, "B D"]
    """||w_r L_r|| / sum_s ||w_s L_s||; NaN where every part is zero."""
    values: Float[Array, " B"]
    """The target's value s."""
    columns: Int[Array, " B"]
    """The class that the target meant at each example."""
    labels: np.ndarray
    """The names of those classes, (B,) strings."""
    vanished: Bool[Array, " B"]
    """Whether the gradient underflowed, so that the parts say nothing."""

    @property
    def signed(self) -> Float[Array, "B h w"]:
        """L = sum_r w_r L_r."""
        return jnp.sum(self.maps, axis=1)


def decompose(
    head: HybridHead, maps: Float[Array, "B h w K"] | np.ndarray, target: str, *, batch_size: int | None = None
) -> Decomposition:
    """Return the map of an SVM's decision as a sum over components.

    Args:
        head: from :func:`pcacam_jax.hybrid_head` or a loaded run.
        maps: (B, h, w, K) feature maps at the tap, as :func:`pcacam_jax.explain` takes them.
        target: one class of one SVM: ``"svm_rbf:predicted"`` or ``"svm_rbf:<class name>"``.
        batch_size: examples taken at a time, which bounds memory; by default as many as go into 64 MiB in float32.

    Raises:
        InputError: a target that is not one class of an SVM, or maps that :func:`pcacam_jax.explain` would refuse.
    """
    wanted, maps = svm_target(head, target), checked_maps(head, maps)
    names = components_of(head)
    largest = max((math.prod(leaf.shape) for leaf in jax.tree.leaves(head.svms[wanted.output])), default=0)
    size = checked_batch_size(batch_size, len(maps), default_batch(head, len(names), largest))
    found = batched(functools.partial(_decompose_batch, head, target=wanted), maps, size, head.dtype)
    check_explained([target], found["values"][:, None], found["maps"][:, None])
    labels = np.array(head.outputs[wanted.output])[np.asarray(found["columns"])]
    return Decomposition(target=target, components=names, labels=labels, **found)


def svm_target(head: HybridHead, target: str) -> Target:
    """Return the one class of one SVM that a target means.

    Raises:
        InputError: it means anything else.
    """
    if not isinstance(head, HybridHead):
        raise TypeError(f"head must be a HybridHead, from pcacam_jax.hybrid_head; got {type(head).__name__}.")
    if not isinstance(target, str):
        raise TypeError(f"target must be a string such as 'svm_rbf:predicted'; got {type(target).__name__}.")
    first, *others = parse_targets(head, target)
    if first.output not in head.svms:
        known = ", ".join(head.svm_names) or "none"
        raise InputError(f"target must be a class of an SVM, of which this head has {known}; got {target!r}.")
    if others:
        known = ", ".join(own.name for own in (first, *others))
        raise InputError(f"target must be one class, {target}:predicted or one of {known}; got {target!r}.")
    return first


def components_of(head: HybridHead) -> tuple[str, ...]:
    """Return the names of what the SVMs read: of the components, or without a PCA of the entries of x_m."""
    if head.pca is not None:
        return head.outputs["pca"]
    size = jax.eval_shape(head.components, jax.ShapeDtypeStruct(head.in_shape, head.dtype)).shape[0]
    return tuple(map(str, range(size)))


def without_svms(head: HybridHead) -> HybridHead:
    """Return the head up to what the SVMs read, so that nothing of theirs is computed."""
    names = tuple((output, entries) for output, entries in head.names if output not in head.svms)
    return dataclasses.replace(head, svms={}, names=names)


def maps_of_rows(head: HybridHead, saved: HeadByProducts, rows: Rows, maps: Maps) -> Float[Array, "T h w"]:
    """Return the signed map of every row on what the SVMs read; it is linear in the rows (Eq. 10)."""
    on_trunk = rows if head.pca is None else head.pca.pull_back(saved.pca, rows)
    return weighted_sum(head.pull_trunk_back_pooled(saved, on_trunk), maps)


def maps_of_each(
    head: HybridHead, saved: HeadByProducts, size: int, pull: Callable[[Rows], Rows], maps: Maps
) -> Float[Array, "size h w"]:
    """Return the signed maps of ``size`` numbers whose unit rows ``pull`` brings onto what the SVMs read.

    The unit rows are made a block at a time, since there may be one for every entry of the flattened maps.
    """

    def one(index: Array) -> Float[Array, "h w"]:
        row = jax.nn.one_hot(index, size, dtype=head.dtype)
        return maps_of_rows(head, saved, pull(row[None]), maps)[0]

    return jax.lax.map(one, jnp.arange(size), batch_size=max(1, min(size, BLOCK_FLOATS // size)))


def default_batch(head: HybridHead, size: int, other: int = 0) -> int:
    """Return how many examples go into :data:`BATCH_FLOATS`, with ``size`` rows pulled through the head for each."""
    height, width, channels = head.in_shape
    widest = max((leaf.shape[-1] for leaf in jax.tree.leaves(head.dense)), default=0)
    each = max(size * (height * width + channels + widest), other)
    return min(max(BATCH_FLOATS // each, 1), MOST_EXAMPLES)


@functools.partial(jax.jit, static_argnames="target")
def _decompose_batch(head: HybridHead, maps: Float[Array, "B h w K"], target: Target) -> dict[str, Array]:
    return jax.vmap(functools.partial(decompose_example, head, target=target))(maps)


def decompose_example(head: HybridHead, maps: Maps, *, target: Target) -> dict[str, Array]:
    """Return the fields of :class:`Decomposition` for one example, for use under the caller's own jit and vmap."""
    below, svm = without_svms(head), head.svms[target.output]
    saved, v = below.forward(maps)[1], below.components(maps)
    scores, scored = svm.forward(v)
    column = columns_of(head, maps, (target,))[0]
    row = jax.nn.one_hot(column, len(scores), dtype=head.dtype)
    weights = svm.pull_back(scored, row[None])[0]
    own = maps_of_each(below, saved, len(v), lambda rows: rows, maps)
    return {
        "maps": contributions(weights, own),
        "weights": weights,
        "shares": shares(weights, own),
        "values": scores[column],
        "columns": column,
        "vanished": vanished(head, maps, Selection(column[None], (target.output,)))[0],
    }
