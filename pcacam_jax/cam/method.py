"""What a CAM method is: its function for one example, and what the rest of the library needs to know about it."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int

NEEDS = ("maps", "gradient", "curvature", "head", "images")
"""What a method computes with: the maps alone, first derivatives, second derivatives, values of the head at changed
maps, or features of changed images."""


class Result(NamedTuple):
    """What a method returns for T targets at one example, before any ReLU."""

    heatmap: Float[Array, "T *space"]
    """``L``; its positive part is the evidence for the value, or for its negative in the second pass."""
    weights: Float[Array, "T K"] | None = None
    """``a_k``, if ``L = sum_k a_k A_k``."""
    standard_errors: Float[Array, "T *players"] | None = None
    """The standard errors of what a sampling method estimates."""
    position_values: Float[Array, "T *space"] | None = None
    """The Shapley values of the positions."""
    permutations: Int[Array, " T"] | None = None
    """The number of permutations that a sampling method has used for each target."""
    fallback: Float[Array, " T"] | None = None
    """The share of cells at which a method is undefined and follows its rule for them."""


@dataclasses.dataclass(frozen=True)
class Method:
    """One CAM method; :data:`pcacam_jax.cam.methods.METHODS` lists all of them.

    Example:
        >>> from pcacam_jax.cam.methods import METHODS
        >>> METHODS["hirescam"].formula, METHODS["hirescam"].passes
        ('L = sum_k g_k * A_k', 1)
    """

    name: str
    """The name for ``explain(method=...)``."""
    paper: str
    """Authors and year."""
    formula: str
    """With g = dy/dA and S_k = sum_ij A_ijk."""
    function: Callable[..., Result]
    """``(example, sign, **options) -> Result``; the result for the target ``sign * y``."""
    needs: str
    """The most expensive one of :data:`NEEDS`."""
    answers: str
    """What the map shows, in plain words; it is written under maps in a gallery of methods."""
    passes: int = 1
    """1 if the evidence against is the negative part of the same map, 2 if it is the map of ``-y``."""
    linear: str = ""
    """"gradient" if the map is linear in g, so that the map of an SVM is exactly a mixture of the components' maps;
    "target" if it is linear in y, so that this holds where the decision is affine in v; empty for other methods."""
    pooled: bool = False
    """Whether the map needs only the mean of g over positions, which the closed form has without forming g."""
    homogeneous: bool = False
    """Whether a positive factor of g is a factor of the map, so that ``scale_free`` applies."""
    evidence: bool = True
    """Whether the signs of the map mean that a region raises or lowers the value."""
    rule: str = ""
    """What the method does where its formula is undefined, or which of several published rules it follows."""
    check: Callable[..., None] | None = None
    """``(head, targets)``; raises for targets of which the method has no map."""
    statistics: Callable[..., Any] | None = None
    """For averages over noisy images: ``(example, **options)``, the statistics whose means ``function`` gets."""
    options: tuple[tuple[str, Any], ...] = ()
    """Names and values of the options of ``function``."""

    @property
    def differentiates(self) -> bool:
        """Whether the map depends on the gradient."""
        return self.needs in ("gradient", "curvature") or self.statistics is not None

    @property
    def named_options(self) -> tuple[tuple[str, Any], ...]:
        """The options with which :func:`pcacam_jax.cam.methods.cam_method` gives this method by its name."""
        inner = dict(self.options).get("method")
        return self.options if inner is None else inner.named_options

    def result(self, example: Any, sign: int, key: Array, *statistics: Any) -> Result:
        """Return the result for ``sign * y`` with the options; ``key`` is used by methods that draw random numbers."""
        options = dict(self.options) | ({"key": key} if self.samples else {})
        return self.function(example, sign, *statistics, **options)

    @property
    def samples(self) -> bool:
        """Whether ``function`` draws random numbers and needs a ``key``."""
        return "samples" in dict(self.options)
