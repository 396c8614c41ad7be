"""Parallel stages: several stages read one input, and their outputs are concatenated."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.pytree import pytree
from pcacam_jax.core.types import Rows, Stage
from pcacam_jax.stages.linear import curved


@pytree
class Parallel:
    """One or more stages on the same input, with concatenated outputs, ``x -> (s_1(x), ..., s_n(x))``.

    The Jacobian concatenates the Jacobians of the stages, and a pulled-back row is the sum over the stages.

    Args:
        stages: stages with one common input shape and with vectors as outputs.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Elementwise, Parallel
        >>> stage = Parallel((Elementwise("identity", 2), Elementwise("relu", 2)))
        >>> stage(jnp.array([-1.0, 2.0])).tolist()
        [-1.0, 2.0, 0.0, 2.0]
    """

    stages: tuple[Stage, ...]

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The common input shape."""
        return self.stages[0].in_shape

    def __call__(self, x: Array) -> Float[Array, " out"]:
        """Return ``(s_1(x), ..., s_n(x))``."""
        return jnp.concatenate([stage(x) for stage in self.stages])

    def forward(self, x: Array) -> tuple[Float[Array, " out"], tuple[tuple[Array, Any], ...]]:
        """Return the value and, for each stage, its value and residuals."""
        saved = tuple(stage.forward(x) for stage in self.stages)
        return jnp.concatenate([value for value, _ in saved]), saved

    def pull_back(self, saved: tuple[tuple[Array, Any], ...], rows: Rows) -> Rows:
        """Split the rows among the stages, multiply by each Jacobian and add up: ``(T, out) -> (T, *in)``."""
        total, start = jnp.zeros((len(rows), *self.in_shape), rows.dtype), 0
        for stage, (value, residuals) in zip(self.stages, saved, strict=True):
            total = total + stage.pull_back(residuals, rows[:, start : start + len(value)])
            start += len(value)
        return total

    def jacobian(self, saved: tuple[tuple[Array, Any], ...]) -> Float[Array, "out ..."]:
        """Return the concatenated Jacobians of the stages."""
        parts = zip(self.stages, saved, strict=True)
        return jnp.concatenate([stage.jacobian(residuals) for stage, (_, residuals) in parts])

    def curvature(self, x: Array, tangent: Array, rows: Rows) -> Rows:
        """Split the rows among the stages and add up their products: ``(T, out) -> (T, *in)``."""
        total, start = jnp.zeros((len(rows), *self.in_shape), rows.dtype), 0
        for stage in map(curved, self.stages):
            size = len(stage(x))
            total = total + stage.curvature(x, tangent, rows[:, start : start + size])
            start += size
        return total

    def taylor(self, x: Array, series: Float[Array, "3 ..."]) -> Float[Array, "3 out"]:
        """Return the concatenated derivatives of the stages: ``(3, *in) -> (3, out)``."""
        return jnp.concatenate([curved(stage).taylor(x, series) for stage in self.stages], axis=1)
