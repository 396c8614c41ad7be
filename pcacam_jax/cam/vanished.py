"""Detection of gradients that underflowed; the maps of these targets have no meaning.

- Far from all its support vectors, the kernel values of an RBF SVM underflow (Theorem 1). So do those of an RBF kernel
  PCA far from its training examples.
- A probability that rounds to 0 or 1 has the slope 0.
- Saturated units, for instance of a sigmoid, have the slope 0 in floating point.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.numerics import difference_step
from pcacam_jax.core.types import Maps, Rows, Stage
from pcacam_jax.head.hybrid import HeadResiduals, HybridHead
from pcacam_jax.head.targets import Selection
from pcacam_jax.stages import Classifier, Dense, Elementwise, Softmax, has_exponential_kernel, relative_kernels
from pcacam_jax.stages.activation import activation_named
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.parallel import Parallel
from pcacam_jax.stages.softmax import Probabilities


def vanished(head: HybridHead, maps: Maps, selection: Selection) -> Bool[Array, " T"]:
    """Return for each target whether its gradient underflowed at one example, ``(T,)``.

    A true zero (at the only support vector, or behind inactive ReLU units) is not flagged, provided that the stage has
    a form that does not underflow (:func:`_has_gradient`).
    """
    _, saved = head.forward(maps)
    rows = selection.rows(head)
    flags = [_vanished(head, saved, maps, output, rows[output]) for output in head.outputs if output in rows]
    return selection.in_order(head, jnp.concatenate(flags))


def _vanished(head: HybridHead, saved: HeadResiduals, maps: Maps, output: str, rows: Rows) -> Bool[Array, " T"]:
    if output == "pca":
        return vanished_below_svms(head, saved, maps, rows)
    if output in head.svms:
        rows, lost = pull_back_checked(head.svms[output], saved.svms[output], head.components(maps), rows)
        return lost | vanished_below_svms(head, saved, maps, rows)
    assert head.cnn is not None
    rows, lost = pull_back_checked(head.cnn, saved.cnn, head.trunk(maps), rows)
    return lost | _vanished_in_trunk(head, saved, maps, rows)


def vanished_below_svms(head: HybridHead, saved: HeadResiduals, maps: Maps, rows: Rows) -> Bool[Array, " T"]:
    """Return which rows at the SVMs' input underflow when pulled back through the PCA and the dense layers."""
    if head.pca is None:
        return _vanished_in_trunk(head, saved, maps, rows)
    rows, lost = pull_back_checked(head.pca, saved.pca, head.trunk(maps), rows)
    return lost | _vanished_in_trunk(head, saved, maps, rows)


def _vanished_in_trunk(head: HybridHead, saved: HeadResiduals, maps: Maps, rows: Rows) -> Bool[Array, " T"]:
    """Return which rows at ``x_m`` underflow when pulled back to ``u_1``.

    The product with the first kernel is left out, because it is by far the largest and has no slopes that underflow.
    """
    if not _can_saturate(head.dense):
        return jnp.zeros(len(rows), bool)
    first, *later = head.dense.stages
    assert isinstance(first, Dense)
    units = Chain((Elementwise(first.activation, len(first.bias)), *later))
    slopes = saved.trunk[len(head.spatial.stages) :]
    return pull_back_checked(units, slopes, first.preactivation(head.spatial(maps)), rows)[1]


def pull_back_checked(stage: Stage, saved: Any, x: Array, rows: Rows) -> tuple[Rows, Bool[Array, " T"]]:
    """Return (rows pulled back through a stage at its input ``x``, whether each of them underflowed in it)."""
    pulled = stage.pull_back(saved, rows)
    if not (_can_saturate(stage) or has_exponential_kernel(stage)):
        return pulled, jnp.zeros(len(rows), bool)
    return pulled, underflowed(pulled) & _has_gradient(stage, x, rows)


def underflowed(gradient: Float[Array, "T D"]) -> Bool[Array, " T"]:
    """Return which rows are below ``tiny / eps``, so that their smaller terms have lost digits or are zero."""
    limits = jnp.finfo(gradient.dtype)
    return jnp.max(jnp.abs(gradient), axis=1) < float(np.float64(limits.tiny) / np.float64(limits.eps))


def unresolved(head: HybridHead, maps: Maps, selection: Selection) -> Bool[Array, " T"]:
    """Return which targets have nonzero weights a_k below the rounding error ``eps |f| / h`` of central differences."""
    values, saved = head.forward(maps)
    weights = selection.in_order(head, head.pull_back_pooled(saved, selection.rows(head)))
    largest = jnp.max(jnp.abs(weights), axis=1)
    noise = jnp.finfo(maps.dtype).eps * jnp.abs(selection.values(values)) / difference_step(maps)
    return (largest > 0) & (largest < noise)


def _has_gradient(stage: Stage, x: Array, rows: Rows) -> Bool[Array, " T"]:
    """Return which rows have a nonzero exact gradient; assumed for all rows if the stage has no scale-free form."""
    try:
        relative = relative_kernels(stage)
    except InputError:
        return jnp.ones(len(rows), bool)
    saved = _unsaturated(relative, relative.forward(x)[1])
    return jnp.any(relative.pull_back(saved, rows) != 0, axis=1)


def _unsaturated(stage: Any, saved: Any) -> Any:
    """Return the residuals as if no unit were saturated and no probability were 0 or 1."""
    if isinstance(stage, Classifier):
        return _unsaturated(stage.scores, saved)
    if isinstance(stage, Chain):
        return tuple(map(_unsaturated, stage.stages, saved))
    if isinstance(stage, Parallel):
        both = zip(stage.stages, saved, strict=True)
        return tuple((value, _unsaturated(branch, residuals)) for branch, (value, residuals) in both)
    if isinstance(stage, Softmax):
        # With equal probabilities, a class whose scores are the mean of all scores would seem to have no gradient.
        p = jnp.arange(1, stage.size + 1, dtype=saved.p.dtype)
        p = p / jnp.sum(p)
        return Probabilities(p, jnp.arange(stage.size) == stage.size - 1, 1 - p)
    return jnp.ones_like(saved) if _is_saturating(stage) else saved


def _can_saturate(stage: Any) -> bool:
    return any(map(_is_saturating, jax.tree.leaves(stage, is_leaf=_is_saturating)))


def _is_saturating(stage: Any) -> bool:
    field = {Dense: "activation", Elementwise: "name"}.get(type(stage))
    return isinstance(stage, Softmax) or (field is not None and activation_named(getattr(stage, field)).saturates)
