"""The Jacobian of a stage by four backends: the closed form and three independent reference methods.

No stage registers its closed form as a custom derivative, so autodiff and finite differences use the plain function.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pcacam_jax.core.arrays import native, real_array
from pcacam_jax.core.checks import InputError, check_choice, check_finite, check_shape
from pcacam_jax.core.numerics import difference_step
from pcacam_jax.core.types import Stage

BLOCK = 256
"""Number of input directions evaluated at once by the forward and finite-difference backends, to bound memory."""


def jacobian(stage: Stage | Callable[[Array], Any], x: Array, *, backend: str = "closed_form") -> Any:
    """Return the Jacobian of a stage at one example.

    Args:
        stage: a stage or head. The backends other than "closed_form" also accept any function of one array.
        x: the example, of the stage's input shape.
        backend: "closed_form" (the paper's formulas), "reverse" (:func:`jax.jacrev`), "forward" (like
            :func:`jax.jacfwd`, but in batches of input directions) or "finite_difference" (central differences in the
            dtype of ``x``).

    Returns:
        The Jacobian ``(*out, *x.shape)``, one row per output. A head has several outputs and gives a dictionary with
        one Jacobian per output name.

    Raises:
        InputError: the backend is unknown, ``x`` is not an array of finite real numbers or does not have the input
            shape of the stage, or a function returns something else than floating-point arrays.
        TypeError: ``stage`` is not callable, or the backend is "closed_form" and ``stage`` is not a stage.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Dense, jacobian
        >>> layer = Dense(kernel=jnp.array([[1.0], [2.0]]), bias=jnp.array([-1.0]), activation="relu")
        >>> jacobian(layer, jnp.array([1.0, 1.0])).tolist()
        [[1.0, 2.0]]
        >>> jacobian(layer, jnp.array([1.0, 1.0]), backend="reverse").tolist()
        [[1.0, 2.0]]
    """
    check_choice("backend", backend, BACKENDS)
    x = _floating(x)
    if isinstance(stage, Stage):
        check_shape("x", x.shape, stage.in_shape)
        stage = jax.tree.map(lambda leaf: native(leaf) if isinstance(leaf, np.ndarray) else leaf, stage)
    elif backend != "closed_form":
        _check_function(stage, x)
    return BACKENDS[backend](stage, x)


def _floating(x: Any) -> Array:
    if isinstance(x, np.ndarray | jax.Array) and x.dtype == np.bool_:
        x = x.astype(int)
    x = real_array("x", x, finite=False)
    with np.errstate(over="ignore"):
        x = jnp.asarray(x)
    check_finite("x", x)  # a large float64 may be infinite in float32
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)


def _check_function(function: Any, x: Array) -> None:
    if not callable(function):
        raise TypeError(f"expected a stage, a head or a function of one array; got {type(function).__name__}.")
    for leaf in jax.tree.leaves(jax.eval_shape(function, x)):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise InputError(
                f"the function must return floating-point arrays; got {leaf.dtype}, so convert its result."
            )


def closed_form(stage: Stage, x: Array) -> Any:
    """Return the Jacobian from the closed form of the stage."""
    if not isinstance(stage, Stage):
        raise TypeError(
            f"the closed form needs a stage, with methods forward, pull_back and jacobian; got {type(stage).__name__}; "
            f"use backend='reverse' for a plain function."
        )
    return stage.jacobian(stage.forward(x)[1])


def reverse(function: Callable, x: Array) -> Any:
    """Return the Jacobian by reverse-mode autodiff."""
    return jax.jacrev(function)(x)


def forward(function: Callable, x: Array) -> Any:
    """Return the Jacobian by forward-mode autodiff, in batches of input directions."""
    _, tangent_map = jax.linearize(function, x)
    return _columns(tangent_map, x)


def finite_difference(function: Callable, x: Array) -> Any:
    """Return the Jacobian by central differences ``(f(x + h e) - f(x - h e)) / 2h``.

    The step is ``h = eps^(1/3) max(1, max |x|)``, with eps of the dtype of ``x``.
    """
    step = difference_step(x)

    def difference(direction: Array) -> Any:
        above, below = x + step * direction, x - step * direction
        # Divide by the step after rounding, not by 2h.
        width = jnp.sum(above - below)
        return jax.tree.map(lambda a, b: (a - b) / width, function(above), function(below))

    return _columns(difference, x)


def _columns(derivative: Callable[[Array], Any], x: Array) -> Any:
    """Return the Jacobian whose columns are the derivatives along each input entry."""
    size = math.prod(x.shape)
    if not size:
        out = jax.eval_shape(derivative, x)
        return jax.tree.map(lambda value: jnp.zeros((*value.shape, *x.shape), value.dtype), out)

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
"""The backends by name."""
