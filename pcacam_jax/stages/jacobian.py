"""Four ways to one Jacobian behind one signature: the closed form and three independent witnesses.

The closed form is never installed as a custom derivative, so autodiff and differences see the plain map only.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pcacam_jax.core.checks import check_choice, check_shape
from pcacam_jax.core.numerics import difference_step
from pcacam_jax.core.types import Stage

BLOCK = 256
"""Directions taken at a time by the backends that work input by input, so that memory stays flat for one example."""


def jacobian(stage: Stage | Callable[[Array], Any], x: Array, *, backend: str = "closed_form") -> Any:
    """Return the Jacobian of ``stage`` at one example ``x``, rows = outputs.

    Args:
        stage: a stage; for the three other backends any function of an array will do.
        x: the point, of the stage's input shape.
        backend: ``"closed_form"`` (the paper's formulas), ``"reverse"`` (:func:`jax.jacrev`), ``"forward"``
            (:func:`jax.linearize`, as :func:`jax.jacfwd` but a block of inputs at a time) or
            ``"finite_difference"`` (central differences in the dtype of ``x``).

    Returns:
        (out, *x.shape); for a head, which has several outputs, a dictionary of them.

    Raises:
        InputError: unknown backend, or ``x`` has another shape than the stage takes.
        TypeError: the closed form of something that is not a stage.
    """
    check_choice("backend", backend, BACKENDS)
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        x = x.astype(float)
    if isinstance(stage, Stage):
        check_shape("x", x.shape, stage.in_shape)
    return BACKENDS[backend](stage, x)


def closed_form(stage: Stage, x: Array) -> Any:
    """Return the Jacobian from the stage's own formulas."""
    if not isinstance(stage, Stage):
        raise TypeError(
            f"the closed form needs a stage, which has forward, pull_back and jacobian; got {type(stage).__name__}. "
            f"Take backend='reverse' for a plain function."
        )
    return stage.jacobian(stage.forward(x)[1])


def reverse(function: Callable, x: Array) -> Any:
    """Return the Jacobian by reverse-mode autodiff."""
    return jax.jacrev(function)(x)


def forward(function: Callable, x: Array) -> Any:
    """Return the Jacobian by forward-mode autodiff, a block of directions at a time."""
    _, tangent_map = jax.linearize(function, x)
    return _columns(tangent_map, x)


def finite_difference(function: Callable, x: Array) -> Any:
    """Return the Jacobian by central differences (f(x + h e) - f(x - h e)) / 2h.

    The step is h = eps^(1/3) max(1, max |x|), with eps of the dtype of ``x``.
    """
    step = difference_step(x)

    def difference(direction: Array) -> Any:
        above, below = x + step * direction, x - step * direction
        # The step that was really taken, after rounding.
        width = jnp.sum(above - below)
        return jax.tree.map(lambda a, b: (a - b) / width, function(above), function(below))

    return _columns(difference, x)


def _columns(derivative: Callable[[Array], Any], x: Array) -> Any:
    """Lay out the derivatives along every input entry as a Jacobian."""
    size = math.prod(x.shape)

    def column(index: Array) -> Any:
        return derivative(jnp.zeros(size, x.dtype).at[index].set(1).reshape(x.shape))

    columns = jax.lax.map(column, jnp.arange(size), batch_size=min(BLOCK, size))
    return jax.tree.map(lambda c: jnp.moveaxis(c, 0, -1).reshape(*c.shape[1:], *x.shape), columns)


BACKENDS: dict[str, Callable[[Any, Array], Any]] = {
    "closed_form": closed_form,
    "reverse": reverse,
    "forward": forward,
    "finite_difference": finite_difference,
}
"""Every backend by name."""
