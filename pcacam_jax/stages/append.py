"""Values that are fixed for one example, appended to a vector."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_shape
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Stage, Vector
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.classifier import Classifier
from pcacam_jax.stages.linear import PiecewiseLinear
from pcacam_jax.stages.svm import SVMClassifier


@pytree
class Append(PiecewiseLinear):
    """A vector with c further values behind it, ``x -> (x, values)``, ``(d,) -> (d + c,)``; the values are constant.

    Args:
        values: the further values, ``(c,)``.
        size: d.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Append
        >>> Append(jnp.array([5.0]), size=2)(jnp.array([1.0, 2.0])).tolist()
        [1.0, 2.0, 5.0]
    """

    values: Float[Array, " c"]
    size: int = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(d,)``."""
        return (self.size,)

    def __call__(self, x: Vector) -> Float[Array, " d_plus_c"]:
        """Return x with the values behind it."""
        check_shape("x", x.shape, self.in_shape)
        return jnp.concatenate([x, self.values])

    def forward(self, x: Vector) -> tuple[Float[Array, " d_plus_c"], None]:
        """Return the value; the derivative needs no residuals."""
        return self(x), None

    def pull_back(self, saved: None, rows: Rows) -> Rows:
        """Drop the entries of the further values: ``(T, d + c) -> (T, d)``."""
        return rows[:, : self.size]

    def jacobian(self, saved: None) -> Float[Array, "d_plus_c d"]:
        """Return the identity matrix with c rows of zeros below it."""
        return jnp.eye(self.size + len(self.values), self.size, dtype=self.values.dtype)

    def before(self, stage: Stage) -> Any:
        """Return ``x -> stage((x, values))``; a classifier stays a classifier."""
        if isinstance(stage, SVMClassifier):
            return dataclasses.replace(stage, pairs=self.before(stage.pairs))
        if isinstance(stage, Classifier):
            voter = None if stage.voter is None else self.before(stage.voter)
            return dataclasses.replace(stage, scores=self.before(stage.scores), voter=voter)
        return Chain((self, *(stage.stages if isinstance(stage, Chain) else (stage,))))
