"""Grad-CAM of logits, principal components and SVM decisions: L = sum_k a_k F_k (Eq. 8-11, 14)."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from pcacam_jax.cam.heatmap import split_signs
from pcacam_jax.core.types import Maps
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import Selection
from pcacam_jax.stages.jacobian import jacobian


def channel_weights(head: HybridHead, maps: Maps, selection: Selection, backend: str) -> Float[jax.Array, "T K"]:
    """Return ``a_k = mean_ij d target / d F_k[i, j]`` of each target, ``(T, K)`` (Eq. 9-10).

    The closed form averages the first dense kernel and never forms the Jacobian. The other backends form the Jacobian
    and average it.
    """
    if backend == "closed_form":
        _, saved = head.forward(maps)
        return selection.in_order(head, head.pull_back_pooled(saved, selection.rows(head)))
    derivative = jacobian(lambda m: selection.values(head(m)), maps, backend=backend)
    return jnp.mean(derivative, axis=(1, 2))


def grad_cam(
    head: HybridHead, maps: Maps, selection: Selection, backend: str
) -> tuple[Float[jax.Array, "T h w"], Float[jax.Array, "T h w"]]:
    """Return ``L+ = ReLU(L)`` and ``L- = ReLU(-L)`` of ``L = sum_k a_k F_k``, ``(T, h, w)`` each (Eq. 8-11, 14)."""
    weights = channel_weights(head, maps, selection, backend)
    return split_signs(weighted_sum(weights, maps))


def weighted_sum(weights: Float[jax.Array, "T K"], maps: Maps) -> Float[jax.Array, "T h w"]:
    """Return ``sum_k a_k F_k``: ``(T, K)`` weights and ``(h, w, K)`` maps -> ``(T, h, w)``."""
    return jnp.einsum("tk,hwk->thw", weights, maps, precision=jax.lax.Precision.HIGHEST)
