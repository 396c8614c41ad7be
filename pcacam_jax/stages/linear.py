"""Stages whose second derivative is zero, products of a Jacobian with a direction, and the check for curvature."""

from collections.abc import Iterator
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import CurvedStage, Rows, Stage

INNER = ("stages", "scores", "pairs")
"""The fields of composed stages that hold the stages which they differentiate."""


def push_forward(stage: Stage, saved: Any, tangent: Array) -> Array:
    """Return the Jacobian of a stage times a direction, ``(*in) -> (*out)``.

    It is the transpose of the stage's linear map ``pull_back``, so it uses the closed form and no derivative of values.

    Args:
        stage: the stage.
        saved: the residuals of its ``forward``.
        tangent: the direction, of the shape of the stage's input.

    Returns:
        The derivative along the direction, of the shape of the stage's output.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Dense
        >>> from pcacam_jax.stages import push_forward
        >>> layer = Dense(kernel=jnp.array([[1.0], [2.0]]), bias=jnp.array([-1.0]), activation="relu")
        >>> _, saved = layer.forward(jnp.array([1.0, 1.0]))
        >>> push_forward(layer, saved, jnp.array([1.0, -1.0])).tolist()
        [-1.0]
    """
    value = jax.eval_shape(stage, jax.ShapeDtypeStruct(stage.in_shape, tangent.dtype))
    row = jax.ShapeDtypeStruct(value.shape, tangent.dtype)
    return jax.linear_transpose(lambda row: stage.pull_back(saved, row[None])[0], row)(tangent)[0]


class PiecewiseLinear:
    """The part that affine, piecewise linear and pooling stages share: their second and third derivatives are zero."""

    def curvature(self, x: Array, tangent: Array, rows: Rows) -> Rows:
        """Return zeros: ``(T, *out) -> (T, *in)``."""
        return jnp.zeros((len(rows), *x.shape), rows.dtype)

    def taylor(self, x: Array, series: Float[Array, "3 ..."]) -> Float[Array, "3 ..."]:
        """Return the Jacobian times each derivative of the path: ``(3, *in) -> (3, *out)``."""
        stage = cast(Stage, self)
        _, saved = stage.forward(x)
        return jax.vmap(lambda tangent: push_forward(stage, saved, tangent))(series)


def curved(stage: Stage) -> CurvedStage:
    """Return ``stage`` if it and the stages inside it have the methods ``curvature`` and ``taylor``.

    Raises:
        InputError: a stage lacks them; the message names its class.

    Example:
        >>> from pcacam_jax import Chain, Elementwise
        >>> from pcacam_jax.stages import curved
        >>> curved(Chain((Elementwise("tanh", 2), Elementwise("relu", 2)))).in_shape
        (2,)
    """
    for part in _parts(stage):
        if not isinstance(part, CurvedStage):
            raise InputError(
                f"second derivatives in closed form need the methods curvature and taylor, which {type(part).__name__} "
                "lacks; add the methods curvature and taylor, or use backend='reverse'."
            )
    return cast(CurvedStage, stage)


def _parts(stage: Any) -> Iterator[Any]:
    yield stage
    for name in INNER:
        inner = getattr(stage, name, ())
        for part in inner if isinstance(inner, tuple) else (inner,):
            if isinstance(part, Stage):
                yield from _parts(part)
