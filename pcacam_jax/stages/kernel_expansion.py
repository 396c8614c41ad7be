"""Kernel expansions, v -> sum_i c_i k(s_i, v) + b (Eq. 6, 24), and their derivative where the kernel underflows.

Far from every s_i, an exponential kernel k = exp(e) and its gradient are zero in floating point (Theorem 1 at work),
though the gradient still has a direction. Divided by the largest of the exponentials it keeps that direction.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError, check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Vector
from pcacam_jax.stages.classifier import Classifier
from pcacam_jax.stages.kernel import exponent_named, kernel_named
from pcacam_jax.stages.parallel import Parallel


@pytree
class KernelExpansion:
    """v -> sum_i c_pi k(s_i, v) + b_p: (D,) -> (P,), P machines over one set of support vectors (Eq. 6)."""

    support: Float[Array, "n D"]
    """s_i."""
    coefficients: Float[Array, "P n"]
    """alpha_i t_i, zero where machine p does not use support vector i."""
    intercept: Float[Array, " P"]
    """b."""
    parameters: dict[str, Float[Array, ""]]
    """Parameters of the kernel by name, such as gamma."""
    kernel: str = static()
    """A name in :data:`~pcacam_jax.stages.kernel.KERNELS`."""
    relative: bool = static(default=False)
    """Whether ``forward``, ``pull_back`` and ``jacobian`` give a positive multiple of every derivative that does not
    underflow: its terms are weighted by exp(e_i - max_i e_i), the maximum over the terms that are not zero. The value
    stays as it is, and autodiff, which differentiates the value, gives the plain derivative."""

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(D,)."""
        return (self.support.shape[1],)

    def __call__(self, v: Vector) -> Float[Array, " P"]:
        """Return g(v)."""
        check_shape("v", v.shape, self.in_shape)
        return matmul(self.coefficients, self._each(kernel_named(self.kernel).value, v)) + self.intercept

    def forward(self, v: Vector) -> tuple[Float[Array, " P"], Any]:
        """Return g(v) and the gradients dk(s_i, v)/dv, (n, D); if relative, e_i (n,) and de_i/dv (n, D)."""
        if not self.relative:
            return self(v), self._each(kernel_named(self.kernel).gradient, v)
        exponent = exponent_named(self.kernel)
        return self(v), (self._each(exponent.value, v), self._each(exponent.gradient, v))

    def pull_back(self, saved: Any, rows: Rows) -> Rows:
        """Return rows dg/dv: (T, P) -> (T, D)."""
        weights = matmul(rows, self.coefficients)
        if not self.relative:
            return matmul(weights, saved)
        return matmul(weights * self._scaled(saved, weights), saved[1])

    def at_one_scale(self, saved: Any, rows: Float[Array, "1 P"]) -> Float[Array, "n D"]:
        """Return the gradients that the plain expansion pulls any rows back by, at the relative one's scale of a row.

        The rows then add up to that row's relative derivative if they add up to the row.
        """
        weights = matmul(rows, self.coefficients)
        # Rows that add up to nothing are scaled too, each term as if it counted.
        return self._scaled(saved, jnp.where(jnp.any(weights != 0), weights, 1))[0, :, None] * saved[1]

    def _scaled(self, saved: Any, weights: Float[Array, "T n"]) -> Float[Array, "T n"]:
        """Return exp(e_i - max_i e_i), the maximum over the terms of every row that are not zero."""
        exponents, gradients = saved
        counts = (weights != 0) & jnp.any(gradients != 0, axis=1)[None]
        lowest = jnp.finfo(exponents.dtype).min
        exponents = jnp.broadcast_to(exponents, counts.shape)
        differences = exponents - jnp.max(exponents, axis=1, keepdims=True, where=counts, initial=lowest)
        return jnp.exp(jnp.minimum(differences, 0))

    def jacobian(self, saved: Any) -> Float[Array, "P D"]:
        """Return dg/dv = sum_i alpha_i t_i dk(s_i, v)/dv, Eq. 24."""
        if not self.relative:
            return matmul(self.coefficients, saved)
        return self.pull_back(saved, jnp.eye(len(self.intercept), dtype=self.coefficients.dtype))

    def _each(self, function: Any, v: Vector) -> Array:
        return jax.vmap(lambda s: function(s, v, **self.parameters))(self.support)


def has_exponential_kernel(stage: Any) -> bool:
    """Return whether ``stage`` or a part of it is an expansion in an exponential kernel, whose gradient underflows."""
    return any(map(_is_exponential, _parts(stage)))


def is_relative(stage: Any) -> bool:
    """Return whether :func:`relative_kernels` found something to set in ``stage``."""
    return any(part.relative for part in _parts(stage) if isinstance(part, KernelExpansion))


def relative_kernels(stage: Any) -> Any:
    """Return ``stage`` with :attr:`KernelExpansion.relative` set in its expansion in an exponential kernel.

    Every derivative of the result is a positive multiple of the stage's own, one multiple for every row.

    Raises:
        InputError: several such expansions, or one beside another stage, whose derivatives would be added up although
            their multiples differ.
    """
    found = sum(map(_is_exponential, _parts(stage)))
    if found > 1:
        raise InputError(
            f"a derivative free of scale needs a single expansion in an exponential kernel, but there are {found}, "
            f"whose scales differ; take the plain derivative."
        )
    branching = filter(_branches, jax.tree.leaves(stage, is_leaf=_branches))
    if any(map(has_exponential_kernel, branching)):
        raise InputError(
            "a derivative free of scale needs an exponential kernel that stands alone, but here it stands beside "
            "other stages, whose scales differ; take the plain derivative."
        )
    return _relative(stage)


def _relative(stage: Any) -> Any:
    return jax.tree.map(_relative_part, stage, is_leaf=_is_part)


def _relative_part(part: Any) -> Any:
    if isinstance(part, Classifier):
        return dataclasses.replace(part, scores=_relative(part.scores))
    return dataclasses.replace(part, relative=True) if _is_exponential(part) else part


def _parts(stage: Any) -> Iterator[Any]:
    for part in jax.tree.leaves(stage, is_leaf=_is_part):
        # What a classifier predicts by has no derivative.
        yield from _parts(part.scores) if isinstance(part, Classifier) else (part,)


def _is_part(part: Any) -> bool:
    return isinstance(part, KernelExpansion | Classifier)


def _is_exponential(part: Any) -> bool:
    return isinstance(part, KernelExpansion) and kernel_named(part.kernel).exponent is not None


def _branches(part: Any) -> bool:
    return isinstance(part, Parallel)
