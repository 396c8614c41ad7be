"""Which targets' gradients underflowed: their maps say nothing, whatever they look like.

An RBF machine far from all its support vectors has kernel values below what the dtype can hold (Theorem 1 at work), so
has a kernel PCA far from its training examples, and a probability that rounds to 0 or 1 has no slope left.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pcacam_jax.cam.selection import Selection
from pcacam_jax.checks import InputError
from pcacam_jax.head import HeadByProducts, HybridHead
from pcacam_jax.stages.expansion import has_exponential_kernel, relative_kernels
from pcacam_jax.types import Maps, Rows, Stage, Vector

SATURATING = ("proba", "log_proba")
"""Score spaces that end in a sigmoid or a softmax."""


def vanished(head: HybridHead, maps: Maps, selection: Selection) -> Bool[Array, " T"]:
    """Return for every target whether its gradient underflowed at one example.

    A gradient that is zero in truth, as at the only support vector, is told apart wherever the stage has a relative
    form (:func:`~pcacam_jax.stages.expansion.relative_kernels`), which never underflows.
    """
    _, saved = head.forward(maps)
    v, rows = head.components(maps), selection.rows(head)
    lost = {}
    for output, own in rows.items():
        if output == "cnn":
            lost[output] = jnp.zeros(len(own), bool)
        elif output == "pca":
            lost[output] = lost_in_reducer(head, saved, maps, own)
        else:
            on_components = head.mixture(saved, {output: own})[output]
            lost[output] = _lost_in_scores(head, output, on_components, v, own)
            lost[output] |= lost_in_reducer(head, saved, maps, on_components)
    return selection.in_order(head, jnp.concatenate([lost[output] for output in head.outputs if output in rows]))


def lost_in_reducer(
    head: HybridHead, saved: HeadByProducts, maps: Maps, rows: Float[Array, "T D"]
) -> Bool[Array, " T"]:
    """Return which rows on the components underflow on their way through the reducer."""
    if head.pca is None or not has_exponential_kernel(head.pca):
        return jnp.zeros(len(rows), bool)
    lost = underflowed(head.pca.pull_back(saved.pca, rows))
    return lost & _is_there(head.pca, head.trunk(maps), rows)


def underflowed(gradient: Float[Array, "T D"]) -> Bool[Array, " T"]:
    """Return which rows are so small that their terms lost digits against the largest, and soon all of it."""
    limits = jnp.finfo(gradient.dtype)
    return jnp.max(jnp.abs(gradient), axis=1) < float(np.float64(limits.tiny) / np.float64(limits.eps))


def _lost_in_scores(
    head: HybridHead, output: str, gradient: Float[Array, "T D"], v: Vector, rows: Rows
) -> Bool[Array, " T"]:
    stage = head.svms[output]
    if head.space(output) in SATURATING:
        return underflowed(gradient)
    if not has_exponential_kernel(stage):
        return jnp.zeros(len(rows), bool)
    return underflowed(gradient) & _is_there(stage, v, rows)


def _is_there(stage: Stage, x: Vector, rows: Rows) -> Bool[Array, " T"]:
    """Whether there is a gradient to lose; taken for granted of a stage without a relative form."""
    try:
        relative = relative_kernels(stage)
    except InputError:
        return jnp.ones(len(rows), bool)
    return jnp.any(relative.pull_back(relative.forward(x)[1], rows) != 0, axis=1)
