"""Matrix products at full precision on every device, and tolerances for comparing Jacobians."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# A GPU may compute float32 products in TF32, whose 10-bit mantissa is too short to compare Jacobians.
matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)

TOLERANCES = {"float64": 1e-12, "float32": 1e-5}
"""Largest relative error, in the Frobenius norm, allowed between a closed form and autodiff, by dtype."""

DIFFERENCE_TOLERANCES = {"float64": 1e-6, "float32": 2e-5}
"""Tolerance against central differences, by dtype of the closed form.

Central differences are always computed in float64, so their error is ``eps64^(2/3)`` plus eps of the compared dtype.
"""


def relative_error(value: Array | np.ndarray, reference: Array | np.ndarray) -> float:
    """Return ``||value - reference|| / ||reference||`` in the Frobenius norm, computed in float64.

    The result is 0 if both are zero, infinite if their shapes differ, and NaN if either is not finite.
    """
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    if value.shape != reference.shape:
        return float("inf")
    if not (np.isfinite(value).all() and np.isfinite(reference).all()):
        return float("nan")
    difference = np.linalg.norm(value - reference)
    return 0.0 if difference == 0 else float(difference / (np.linalg.norm(reference) or np.finfo(np.float64).tiny))


def difference_step(x: Array) -> Array:
    """Return the step of central differences, ``eps^(1/3) max(1, max |x|)``, which balances truncation and rounding."""
    return jnp.finfo(x.dtype).eps ** (1 / 3) * jnp.maximum(1, jnp.max(jnp.abs(x), initial=0))


def difference_noise(value: Array, x: Array) -> float:
    """Return the norm of the rounding error in central differences of ``f`` at ``x``, ``eps ||f(x)|| / h`` per input.

    Rounding dominates where the Jacobian is tiny compared with the value, such as for an RBF SVM far from its support
    vectors.

    Args:
        value: ``f(x)``.
        x: the point.
    """
    eps = float(jnp.finfo(x.dtype).eps)
    return eps * float(jnp.linalg.norm(value)) * math.sqrt(x.size) / float(difference_step(x))
