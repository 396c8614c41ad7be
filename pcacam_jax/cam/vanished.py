"""Which targets' gradients underflowed: their maps say nothing, whatever they look like.

An RBF machine far from all its support vectors has kernel values below what the dtype can hold (Theorem 1 at work), and
a probability that rounds to 0 or 1 has no slope left.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pcacam_jax.cam.selection import Selection
from pcacam_jax.checks import InputError
from pcacam_jax.head import HybridHead
from pcacam_jax.stages.expansion import has_exponential_kernel, relative_kernels
from pcacam_jax.types import Maps, Rows, Stage, Vector

SATURATING = ("proba", "log_proba")
"""Score spaces that end in a sigmoid or a softmax."""


def vanished(head: HybridHead, maps: Maps, selection: Selection) -> Bool[Array, " T"]:
    """Return for every target whether its gradient underflowed at one example.

    An RBF machine's gradient that is zero in truth, as at the only support vector, is told apart wherever the machine
    has a relative form (:func:`~pcacam_jax.stages.expansion.relative_kernels`), which never underflows.
    """
    _, saved = head.forward(maps)
    v, rows = head.components(maps), selection.rows(head)
    lost = {}
    for output, own in rows.items():
        lost[output] = jnp.zeros(len(own), bool)
        stage, saturates = head.svms.get(output), head.space(output) in SATURATING
        if stage is not None and (saturates or has_exponential_kernel(stage)):
            lost[output] = _lost(head.mixture(saved, {output: own})[output]) & (saturates | _is_there(stage, v, own))
    return selection.in_order(head, jnp.concatenate([lost[output] for output in head.outputs if output in rows]))


def _lost(gradient: Float[Array, "T D"]) -> Bool[Array, " T"]:
    """Below this the terms of the sum lose digits against its largest, and soon all of it."""
    limits = jnp.finfo(gradient.dtype)
    return jnp.max(jnp.abs(gradient), axis=1) < float(np.float64(limits.tiny) / np.float64(limits.eps))


def _is_there(stage: Stage, v: Vector, rows: Rows) -> Bool[Array, " T"]:
    """Whether there is a gradient to lose; taken for granted of a machine without a relative form."""
    try:
        relative = relative_kernels(stage)
    except InputError:
        return jnp.ones(len(rows), bool)
    return jnp.any(relative.pull_back(relative.forward(v)[1], rows) != 0, axis=1)
