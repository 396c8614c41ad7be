"""Which targets' gradients underflowed: their maps say nothing, whatever they look like.

An RBF machine far from all its support vectors has kernel values below what the dtype can hold (Theorem 1 at work), so
has a kernel PCA far from its training examples; a probability that rounds to 0 or 1 has no slope left, nor have sigmoid
units that are saturated.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.numerics import difference_step
from pcacam_jax.core.types import Maps, Rows, Stage
from pcacam_jax.head.hybrid import HeadByProducts, HybridHead
from pcacam_jax.head.targets import Selection
from pcacam_jax.stages import Classifier, Dense, Elementwise, Softmax, has_exponential_kernel, relative_kernels
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.parallel import Parallel
from pcacam_jax.stages.softmax import Probabilities

RISING = ("sigmoid", "tanh", "softplus", "exp", "log_sigmoid")
"""Activations whose slope is above zero everywhere, but not in floating point."""


def vanished(head: HybridHead, maps: Maps, selection: Selection) -> Bool[Array, " T"]:
    """Return for every target whether its gradient underflowed at one example.

    A gradient that is zero in truth, as at the only support vector or behind ReLU units that are off, is told apart
    wherever the stage has a form that does not underflow (:func:`_is_there`).
    """
    _, saved = head.forward(maps)
    rows = selection.rows(head)
    lost = [_lost(head, saved, maps, output, rows[output]) for output in head.outputs if output in rows]
    return selection.in_order(head, jnp.concatenate(lost))


def _lost(head: HybridHead, saved: HeadByProducts, maps: Maps, output: str, rows: Rows) -> Bool[Array, " T"]:
    if output == "pca":
        return lost_below(head, saved, maps, rows)
    if output in head.svms:
        rows, lost = through(head.svms[output], saved.svms[output], head.components(maps), rows)
        return lost | lost_below(head, saved, maps, rows)
    assert head.cnn is not None
    rows, lost = through(head.cnn, saved.cnn, head.trunk(maps), rows)
    return lost | _lost_in_trunk(head, saved, maps, rows)


def lost_below(head: HybridHead, saved: HeadByProducts, maps: Maps, rows: Rows) -> Bool[Array, " T"]:
    """Return which rows on what the SVMs read underflow on their way through the reducer and the dense layers."""
    if head.pca is None:
        return _lost_in_trunk(head, saved, maps, rows)
    rows, lost = through(head.pca, saved.pca, head.trunk(maps), rows)
    return lost | _lost_in_trunk(head, saved, maps, rows)


def _lost_in_trunk(head: HybridHead, saved: HeadByProducts, maps: Maps, rows: Rows) -> Bool[Array, " T"]:
    """Which rows on x_m underflow on their way to u_1: the first kernel, the largest by far, has no slopes."""
    if not _can_saturate(head.dense):
        return jnp.zeros(len(rows), bool)
    first, *later = head.dense.stages
    assert isinstance(first, Dense)
    units = Chain((Elementwise(first.activation, len(first.bias)), *later))
    slopes = saved.trunk[len(head.spatial.stages) :]
    return through(units, slopes, first.preactivation(head.spatial(maps)), rows)[1]


def through(stage: Stage, saved: Any, x: Array, rows: Rows) -> tuple[Rows, Bool[Array, " T"]]:
    """Return rows pulled back through a stage, and which of them underflow on their way."""
    pulled = stage.pull_back(saved, rows)
    if not (_can_saturate(stage) or has_exponential_kernel(stage)):
        return pulled, jnp.zeros(len(rows), bool)
    return pulled, underflowed(pulled) & _is_there(stage, x, rows)


def underflowed(gradient: Float[Array, "T D"]) -> Bool[Array, " T"]:
    """Return which rows are so small that their terms lost digits against the largest, and soon all of it."""
    limits = jnp.finfo(gradient.dtype)
    return jnp.max(jnp.abs(gradient), axis=1) < float(np.float64(limits.tiny) / np.float64(limits.eps))


def unresolved(head: HybridHead, maps: Maps, selection: Selection) -> Bool[Array, " T"]:
    """Return which Grad-CAM weights, not all zero, are less than a central difference's rounding, eps |f| / h."""
    values, saved = head.forward(maps)
    weights = selection.in_order(head, head.pull_back_pooled(saved, selection.rows(head)))
    largest = jnp.max(jnp.abs(weights), axis=1)
    noise = jnp.finfo(maps.dtype).eps * jnp.abs(selection.values(values)) / difference_step(maps)
    return (largest > 0) & (largest < noise)


def _is_there(stage: Stage, x: Array, rows: Rows) -> Bool[Array, " T"]:
    """Whether there is a gradient to lose; taken for granted of a stage whose kernels have no relative form."""
    try:
        relative = relative_kernels(stage)
    except InputError:
        return jnp.ones(len(rows), bool)
    saved = _unsaturated(relative, relative.forward(x)[1])
    return jnp.any(relative.pull_back(saved, rows) != 0, axis=1)


def _unsaturated(stage: Any, saved: Any) -> Any:
    """Return by-products as of units that are not saturated, and of probabilities that are neither 0 nor 1."""
    if isinstance(stage, Classifier):
        return _unsaturated(stage.scores, saved)
    if isinstance(stage, Chain):
        return tuple(map(_unsaturated, stage.stages, saved))
    if isinstance(stage, Parallel):
        both = zip(stage.stages, saved, strict=True)
        return tuple((value, _unsaturated(own, by_products)) for own, (value, by_products) in both)
    if isinstance(stage, Softmax):
        # All different: with equal ones, a class whose scores are the mean of all would seem to have no gradient.
        p = jnp.arange(1, stage.size + 1, dtype=saved.p.dtype)
        p = p / jnp.sum(p)
        return Probabilities(p, jnp.arange(stage.size) == stage.size - 1, 1 - p)
    return jnp.ones_like(saved) if _is_saturating(stage) else saved


def _can_saturate(stage: Any) -> bool:
    return any(map(_is_saturating, jax.tree.leaves(stage, is_leaf=_is_saturating)))


def _is_saturating(part: Any) -> bool:
    name = {Dense: "activation", Elementwise: "name"}.get(type(part))
    return isinstance(part, Softmax) or (name is not None and getattr(part, name) in RISING)
