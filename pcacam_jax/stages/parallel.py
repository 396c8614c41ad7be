"""Stages side by side on one input: x -> (s_1(x), ..., s_n(x)) in one vector, derivatives added."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.pytree import pytree
from pcacam_jax.core.types import Rows, Stage


@pytree
class Parallel:
    """One or more stages of one input shape and vector outputs, whose outputs are joined in their order.

    The Jacobian is that of the stages, one below the other.
    """

    stages: tuple[Stage, ...]

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The stages' input shape."""
        return self.stages[0].in_shape

    def __call__(self, x: Array) -> Float[Array, " out"]:
        """Return (s_1(x), ..., s_n(x))."""
        return jnp.concatenate([stage(x) for stage in self.stages])

    def forward(self, x: Array) -> tuple[Float[Array, " out"], tuple[tuple[Array, Any], ...]]:
        """Return the value and, for every stage, its value and by-products."""
        both = tuple(stage.forward(x) for stage in self.stages)
        return jnp.concatenate([value for value, _ in both]), both

    def pull_back(self, saved: tuple[tuple[Array, Any], ...], rows: Rows) -> Rows:
        """Return the sum of every stage's part of the rows times its Jacobian: (T, out) -> (T, *in)."""
        total, start = jnp.zeros((len(rows), *self.in_shape), rows.dtype), 0
        for stage, (value, by_products) in zip(self.stages, saved, strict=True):
            total = total + stage.pull_back(by_products, rows[:, start : start + len(value)])
            start += len(value)
        return total

    def jacobian(self, saved: tuple[tuple[Array, Any], ...]) -> Float[Array, "out ..."]:
        """Return the stages' Jacobians, one below the other."""
        return jnp.concatenate([stage.jacobian(own) for stage, (_, own) in zip(self.stages, saved, strict=True)])
