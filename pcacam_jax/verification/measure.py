"""Everything that the certificate of one stage at one point needs, computed in one compiled function."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pcacam_jax.core.checks import InputError
from pcacam_jax.stages.jacobian import jacobian
from pcacam_jax.verification.directions import BLOCK
from pcacam_jax.verification.rounding import sensitivities

ByOutput = dict[str, Any]

ENTRIES = 2**22
"""Number of input entries for which differences are evaluated at once, to bound memory."""


FAST_COMPILATION = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""Most of the time of a verification is compilation, which is five times as fast with these options of XLA."""


class Derivatives(NamedTuple):
    """The derivatives of all outputs in one dtype; each array is by output."""

    closed: ByOutput
    """The Jacobians of the closed form."""
    closed_along: ByOutput
    """The same Jacobians times the directions, ``(k, out)``."""
    reverse: ByOutput | None
    """The Jacobians by reverse mode."""
    forward: ByOutput | None
    """The derivatives along the directions by forward mode, ``(k, out)``."""


class Measured(NamedTuple):
    """The derivatives of a stage at a point, and its values beside the point in float64."""

    derivatives: dict[str, Derivatives]
    """By dtype."""
    center: ByOutput
    """The values at the point, ``(out,)``."""
    beside: ByOutput | None
    """The values at x, at ``x + h v`` and at ``x - h v`` for all steps h, ``(k, 1 + 2 steps, out)``."""
    sensitivity: ByOutput
    """See :func:`pcacam_jax.verification.rounding.sensitivities`."""


def measuring(dtypes: tuple[str, ...], methods: tuple[str, ...]) -> Callable[..., Measured]:
    """Return a compiled function ``(stage, x, vectors, probes, steps) -> Measured``.

    It is traced for each certificate, so that formulas that were replaced since are the ones that are verified.

    Args:
        dtypes: the dtypes of the derivatives.
        methods: the reference methods that are needed.

    Returns:
        The function. Its arguments are a stage or head and a point in float64, the directions ``(k, n)`` int8, those
        for the sensitivity to rounding ``(m, n)`` int8, and the steps of the differences.
    """
    return jax.jit(functools.partial(_measure, dtypes, methods), compiler_options=compiler_options())


@functools.cache
def compiler_options() -> dict[str, Any]:
    """Return :data:`FAST_COMPILATION` for :func:`jax.jit`, or nothing if this version of XLA lacks one of them."""
    try:
        jax.jit(lambda x: x, compiler_options=FAST_COMPILATION).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return FAST_COMPILATION


def _measure(
    dtypes: tuple[str, ...],
    methods: tuple[str, ...],
    stage: Any,
    x: Array,
    vectors: Array,
    probes: Array,
    steps: Array,
) -> Measured:
    cast: dict[str, tuple[Any, Array]] = {
        dtype: jax.tree.map(lambda leaf, d=dtype: jnp.asarray(leaf, d), (stage, x)) for dtype in dtypes
    }
    center = _values(stage, x)
    if not all(value.size for value in center.values()):
        raise InputError("each output of the stage must have at least one entry; an empty one needs no verification.")
    return Measured(
        derivatives={dtype: _derivatives(*arguments, vectors, methods) for dtype, arguments in cast.items()},
        center=center,
        beside=_beside(stage, x, vectors, steps) if "finite_difference" in methods else None,
        sensitivity=sensitivities(stage, x, probes),
    )


def _derivatives(stage: Any, x: Array, vectors: Array, methods: tuple[str, ...]) -> Derivatives:
    closed = by_output(jacobian(stage, x))
    for rows in closed.values():
        if not isinstance(rows, jax.Array | np.ndarray):
            raise TypeError(f"the method jacobian of a stage must return an array; got {type(rows).__name__}.")
    reverse = by_output(jacobian(stage, x, backend="reverse")) if "reverse" in methods else None
    tangent_map = jax.linearize(lambda x: _values(stage, x), x)[1] if "forward" in methods else None

    def along(vector: Array) -> tuple[ByOutput, ByOutput | None]:
        direction = vector.astype(x.dtype).reshape(x.shape)
        products = {output: _product(rows, direction) for output, rows in closed.items()}
        return products, tangent_map(direction) if tangent_map else None

    products, forward = jax.lax.map(along, vectors, batch_size=min(BLOCK, len(vectors)))
    return Derivatives(closed, products, reverse, forward)


def _product(rows: Array, direction: Array) -> Array:
    """Return a Jacobian times a direction, ``(out,)``; a single NaN if their shapes do not fit."""
    if not rows.size or rows.shape[rows.ndim - direction.ndim :] != direction.shape:
        return jnp.full(1, jnp.nan, direction.dtype)
    return jnp.tensordot(rows, direction, direction.ndim, precision="highest").reshape(-1)


def _beside(stage: Any, x: Array, vectors: Array, steps: Array) -> ByOutput:
    signed = jnp.concatenate([jnp.zeros(1, steps.dtype), steps, -steps])

    def along(vector: Array) -> ByOutput:
        direction = vector.astype(x.dtype).reshape(x.shape)
        return jax.vmap(lambda step: _values(stage, x + step * direction))(signed)

    block = max(1, min(BLOCK, ENTRIES // (x.size * len(signed))))
    return jax.lax.map(along, vectors, batch_size=min(block, len(vectors)))


def _values(stage: Any, x: Array) -> ByOutput:
    return {output: value.reshape(-1) for output, value in by_output(stage(x)).items()}


def by_output(value: Any) -> ByOutput:
    """Return a dictionary of values by output; the single output of a stage has the empty name."""
    return value if isinstance(value, dict) else {"": value}
