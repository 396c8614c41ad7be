"""The result type of an explanation; it lies in ``core`` because drawings, reports and runs read it, too."""

import dataclasses

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.core.brief import brief_repr


def component_names(count: int) -> tuple[str, ...]:
    """Return the names of ``count`` components in texts and figures: "component 1" is the target "pca:0"."""
    return tuple(f"component {r + 1}" for r in range(count))


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Heatmaps of T targets on each of B examples, neither normalised nor resized."""

    targets: tuple[str, ...]
    """Names of the T targets."""
    positive: Float[Array, "B T h w"]
    """``(B, T, h, w)``, ``L+ = ReLU(L) >= 0`` in the unit of ``values``: the regions that raise the value (Eq. 11; for
    logits and SVMs also Eq. 8 and 14)."""
    negative: Float[Array, "B T h w"]
    """``(B, T, h, w)``, ``L- = ReLU(-L) >= 0`` in the unit of ``values``: the regions that lower the value (Eq. 11)."""
    values: Float[Array, "B T"]
    """``(B, T)``, the numbers that are explained; ``spaces`` names what they are."""
    columns: Int[Array, "B T"]
    """``(B, T)``, the index of the component or class that each target means; predicted classes vary by example."""
    labels: np.ndarray
    """``(B, T)`` strings, the names of these classes, and "component 1", "component 2", ... for components."""
    mixture: dict[str, Float[Array, "B D"]]
    """For each SVM target, ``ds/dv_r``, ``(B, D)``, in the unit of ``values`` per unit of component r.

    The signed map of the target is the sum over r of ``ds/dv_r`` times the signed map of component r. The dictionary is
    empty without a PCA. With ``scale_free`` the weights are known up to one positive factor for each map.
    """
    spaces: tuple[str, ...]
    """For each of the T targets, what its values are: "logit", "component", "margin", "decision", "log_proba", ..."""
    vanished: Bool[np.ndarray, "B T"]
    """``(B, T)``, True where the gradient underflowed, so that the map has no meaning.

    This happens far from all support vectors (``scale_free=True`` recovers these maps), for probabilities that round to
    0 or 1, in saturated sigmoid or tanh units, and with the backend "finite_difference" where the gradient is smaller
    than its rounding error. Inactive ReLU units have a true gradient of zero and are not flagged.
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

    __repr__ = brief_repr

    @property
    def signed(self) -> Float[Array, "B T h w"]:
        """``L = L+ - L-``, ``(B, T, h, w)``."""
        return self.positive - self.negative
