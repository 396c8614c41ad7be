"""The result type of an explanation; it lies in ``core`` because drawings, reports and runs read it, too."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.core.brief import brief_repr


def component_names(count: int) -> tuple[str, ...]:
    """Return the names of ``count`` components in texts and figures: "component 1" is the target "pca:0"."""
    return tuple(f"component {r + 1}" for r in range(count))


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Heatmaps of T targets on each of B examples, neither normalised nor resized.

    The positions ``(*space)`` of the maps are ``(h, w)`` for images; signals have one axis, and volumes three.
    """

    targets: tuple[str, ...]
    """Names of the T targets."""
    positive: Float[Array, "B T *space"]
    """``(B, T, h, w)``, ``L+ = ReLU(L) >= 0``: the regions that raise the value (Eq. 11; for logits and SVMs also Eq. 8
    and 14). With "hirescam" and "gradcam" it is in the unit of ``values``."""
    negative: Float[Array, "B T *space"]
    """``(B, T, h, w)``, ``L- >= 0``: the regions that lower the value. It is ``ReLU(-L)`` (Eq. 11), or for a method of
    two passes, such as "layercam", the ``L+`` of ``-y``."""
    values: Float[Array, "B T"]
    """``(B, T)``, the numbers that are explained; ``spaces`` names what they are."""
    columns: Int[Array, "B T"]
    """``(B, T)``, the index of the component or class that each target means; predicted classes vary by example."""
    labels: np.ndarray
    """``(B, T)`` strings, the names of these classes, and "component 1", "component 2", ... for components."""
    mixture: dict[str, Float[Array, "B D"]]
    """For each SVM target, ``ds/dv_r``, ``(B, D)``, in the unit of ``values`` per unit of component r.

    The signed map of the target is the sum over r of ``ds/dv_r`` times the signed map of component r. The dictionary
    holds the targets for which this is exact: all SVMs for methods that are linear in the gradient (Grad-CAM,
    XGrad-CAM, HiResCAM), SVMs that are affine in v for methods that are linear in y, and none for others or without a
    PCA. With ``scale_free`` the weights are known up to one positive factor for each map.
    """
    spaces: tuple[str, ...]
    """For each of the T targets, what its values are: "logit", "component", "margin", "decision", "log_proba", ..."""
    vanished: Bool[np.ndarray, "B T"]
    """``(B, T)``, True where the gradient underflowed, so that the map has no meaning.

    This happens far from all support vectors (``scale_free=True`` recovers these maps), for probabilities that round to
    0 or 1, in saturated sigmoid or tanh units, and with the backend "finite_difference" where the gradient is smaller
    than its rounding error. Inactive ReLU units have a true gradient of zero and are not flagged. A map of a method
    without gradients, such as "ablationcam", is flagged where the gradient underflowed and the map is zero, because the
    values of the target do not differ in floating point.
    """
    method: str
    """Name of the CAM method."""
    backend: str
    """Name of the backend of the derivatives."""
    scale_free: bool
    """Whether maps and ``mixture`` that depend on an RBF kernel are known up to one positive factor each; False if no
    target depends on one."""
    shares: tuple[float, ...] = ()
    """The share of the variance that each of the D components explains, ``(D,)``; empty if it is not known."""
    image_names: tuple[str, ...] | None = None
    """Names of the B images, such as their file names; None if the maps were given without images."""
    image_sizes: tuple[tuple[int, int], ...] | None = None
    """``(height, width)`` in pixels of each of the B original images, upright; None if they are not known."""
    outputs: dict[str, Float[Array, "B C"]] | None = None
    """The values of every output of the head, ``(B, C)`` or ``(B, D)``; None if they were not kept."""
    weights: Float[Array, "B T K"] | None = None
    """``(B, T, K)``, the weights ``a_k`` of ``L = sum_k a_k F_k``; None for methods without such weights."""
    opposite_weights: Float[Array, "B T K"] | None = None
    """``(B, T, K)``, the weights of the second pass, for ``-y``; None for methods of one pass."""
    standard_errors: Float[Array, "B T *players"] | None = None
    """The standard errors of what a sampling method estimates: the values of positions or maps for "shapcam", the map
    itself for ``smooth(...)``; None for exact methods."""
    position_values: Float[Array, "B T *space"] | None = None
    """``(B, T, h, w)``, the Shapley values of the positions, in the unit of ``values``; only for "shapcam"."""
    permutations: Int[Array, "B T"] | None = None
    """``(B, T)``, the number of permutations of "shapcam" at which its stopping rule held, or the largest number."""
    fallback: Float[Array, "B T"] | None = None
    """``(B, T)``, the share of cells at which "gradcam++exact" is undefined and follows its rule."""
    options: tuple[tuple[str, Any], ...] = ()
    """Names and values of the options of the method, such as ``("samples", 64)``; see
    :func:`pcacam_jax.cam.methods.cam_method`."""
    rule: str = ""
    """What the method does where its formula leaves a choice or is undefined."""

    __repr__ = brief_repr

    @property
    def signed(self) -> Float[Array, "B T *space"]:
        """``L+ - L-``, ``(B, T, h, w)``; it is L itself for methods of one pass."""
        return self.positive - self.negative
