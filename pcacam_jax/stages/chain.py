"""Composition of stages, with the Jacobians multiplied from the output side (Eq. 13, 15).

The left factor then has one row per target, so each target costs vector-matrix products, never the product of two
large matrices.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.pytree import pytree
from pcacam_jax.core.types import Rows, Stage
from pcacam_jax.stages.linear import curved, push_forward


@pytree
class Chain:
    """The composition of one or more stages, ``x -> s_n(... s_1(x))``, which is a stage itself (Eq. 13, 15).

    Args:
        stages: the stages, in the order in which they are applied.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Chain, Elementwise, Scaling
        >>> chain = Chain((Scaling(jnp.array([2.0, 2.0]), jnp.zeros(2)), Elementwise("relu", 2)))
        >>> chain(jnp.array([-1.0, 3.0])).tolist()
        [0.0, 6.0]
    """

    stages: tuple[Stage, ...]

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The input shape of the first stage."""
        return self.stages[0].in_shape

    def __call__(self, x: Array) -> Array:
        """Return ``s_n(... s_1(x))``."""
        for stage in self.stages:
            x = stage(x)
        return x

    def forward(self, x: Array) -> tuple[Array, tuple]:
        """Return the value and the residuals of every stage."""
        saved = []
        for stage in self.stages:
            x, residuals = stage.forward(x)
            saved.append(residuals)
        return x, tuple(saved)

    def pull_back(self, saved: tuple, rows: Rows) -> Rows:
        """Multiply ``rows`` by the Jacobians from the last stage to the first."""
        for stage, residuals in zip(reversed(self.stages), reversed(saved), strict=True):
            rows = stage.pull_back(residuals, rows)
        return rows

    def jacobian(self, saved: tuple) -> Array:
        """Return the product of all Jacobians, multiplied from the last stage on."""
        last = self.stages[-1].jacobian(saved[-1])
        out_shape = last.shape[: last.ndim - len(self.stages[-1].in_shape)]
        rows = last.reshape(-1, *self.stages[-1].in_shape)
        rows = Chain(self.stages[:-1]).pull_back(saved[:-1], rows)
        return jnp.reshape(rows, (*out_shape, *self.in_shape))

    def curvature(self, x: Array, tangent: Array, rows: Rows) -> Rows:
        """Push the direction forward, and pull rows and products back from the last stage to the first.

        The product of each stage's second derivative is added to what is pulled back from the later stages.
        """
        points = []
        for stage in map(curved, self.stages):
            value, saved = stage.forward(x)
            points.append((stage, x, saved, tangent))
            x, tangent = value, push_forward(stage, saved, tangent)
        total = jnp.zeros_like(rows)
        for stage, x, saved, tangent in reversed(points):
            total = stage.pull_back(saved, total) + stage.curvature(x, tangent, rows)
            rows = stage.pull_back(saved, rows)
        return total

    def taylor(self, x: Array, series: Float[Array, "3 ..."]) -> Float[Array, "3 ..."]:
        """Return the derivatives of ``s_n(... s_1(x(t)))``, stage after stage: ``(3, *in) -> (3, *out)``."""
        for stage in map(curved, self.stages):
            x, series = stage(x), stage.taylor(x, series)
        return series
