"""Matrix products at full precision on every device, and tolerances for comparing Jacobians."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# A GPU may compute float32 products in TF32, whose 10-bit mantissa is too short to compare Jacobians.
matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)

TOLERANCES = {"float64": 1e-12, "float32": 1e-5}
"""Largest relative error, in the Frobenius norm, allowed between a closed form and autodiff, by dtype."""

DIFFERENCE_TOLERANCES = {"float64": 1e-6, "float32": 2e-5}
"""Largest relative error allowed against central differences in float64, by dtype of the closed form."""


def relative_error(
    value: Array | np.ndarray, reference: Array | np.ndarray, *, smallest: float = np.finfo(np.float64).tiny
) -> float:
    """Return ``||value - reference|| / ||reference||`` in the Frobenius norm, computed in float64.

    The result is 0 if both are zero, infinite if their shapes differ, and NaN if either is not finite.

    Args:
        value: the array to judge.
        reference: the reference.
        smallest: the norm to divide by if that of the reference is smaller.
    """
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    if value.shape != reference.shape:
        return float("inf")
    if not (np.isfinite(value).all() and np.isfinite(reference).all()):
        return float("nan")
    difference = frobenius_norm(value - reference)
    return difference / max(frobenius_norm(reference), smallest)


def frobenius_norm(array: Array | np.ndarray) -> float:
    """Return ``||array||``, computed in float64, also where the squares of the entries underflow or overflow.

    It is NaN if an entry is not finite.
    """
    array = np.asarray(array, np.float64)
    largest = float(np.max(np.abs(array), initial=0))
    if not np.isfinite(largest):
        return float("nan")
    return largest * float(np.linalg.norm(array / largest)) if largest else 0.0


def difference_step(x: Array) -> Array:
    """Return the step of central differences, ``eps^(1/3) max(1, max |x|)``, which balances truncation and rounding."""
    return jnp.finfo(x.dtype).eps ** (1 / 3) * jnp.maximum(1, jnp.max(jnp.abs(x), initial=0))


def resolved(difference: Array, size: Array) -> Array:
    """Return a difference of two values of this size, or 0 where it is no larger than their rounding errors.

    A map of rounding errors would be drawn as if it meant something.
    """
    return jnp.where(jnp.abs(difference) <= 8 * jnp.finfo(difference.dtype).eps * jnp.abs(size), 0, difference)
