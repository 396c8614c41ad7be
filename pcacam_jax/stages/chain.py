"""Stages in a row: x -> s_n(... s_1(x)), with the derivatives multiplied from the output side (Eq. 13, 15).

The left factor then has one row per target, so a target costs products of a vector with a matrix, never of two
large matrices.
"""

import jax.numpy as jnp
from jaxtyping import Array

from pcacam_jax.core.pytree import pytree
from pcacam_jax.core.types import Rows, Stage


@pytree
class Chain:
    """A stage made of one or more stages, first to last; stages in a row are one stage again."""

    stages: tuple[Stage, ...]

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The first stage's."""
        return self.stages[0].in_shape

    def __call__(self, x: Array) -> Array:
        """Return s_n(... s_1(x))."""
        for stage in self.stages:
            x = stage(x)
        return x

    def forward(self, x: Array) -> tuple[Array, tuple]:
        """Return the value and every stage's by-products."""
        saved = []
        for stage in self.stages:
            x, by_products = stage.forward(x)
            saved.append(by_products)
        return x, tuple(saved)

    def pull_back(self, saved: tuple, rows: Rows) -> Rows:
        """Return rows times the last Jacobian, times the one before it, down to the first."""
        for stage, by_products in zip(reversed(self.stages), reversed(saved), strict=True):
            rows = stage.pull_back(by_products, rows)
        return rows

    def jacobian(self, saved: tuple) -> Array:
        """Return the product of all Jacobians, formed from the last one."""
        last = self.stages[-1].jacobian(saved[-1])
        out_shape = last.shape[: last.ndim - len(self.stages[-1].in_shape)]
        rows = last.reshape(-1, *self.stages[-1].in_shape)
        rows = Chain(self.stages[:-1]).pull_back(saved[:-1], rows)
        return jnp.reshape(rows, (*out_shape, *self.in_shape))
