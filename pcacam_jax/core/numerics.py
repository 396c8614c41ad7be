"""Precision: products at full precision on every device, and tolerances that follow from the dtype."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# On a GPU a float32 product may run as TF32, which keeps 10 bits: too few for a comparison of Jacobians.
matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)

TOLERANCES = {"float64": 1e-12, "float32": 1e-5}
"""Largest norm-wise relative difference allowed between a closed form and autodiff."""

DIFFERENCE_TOLERANCES = {"float64": 1e-6, "float32": 2e-5}
"""The same against central differences, which are taken in float64: so eps^(2/3) of float64 plus eps of the dtype."""


def relative_error(value: Array | np.ndarray, reference: Array | np.ndarray) -> float:
    """Return ||value - reference|| / ||reference|| in the Frobenius norm, computed in float64.

    It is 0 if both are zero, infinite if their shapes differ, and NaN if either is not finite.
    """
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    if value.shape != reference.shape:
        return float("inf")
    if not (np.isfinite(value).all() and np.isfinite(reference).all()):
        return float("nan")
    difference = np.linalg.norm(value - reference)
    return 0.0 if difference == 0 else float(difference / (np.linalg.norm(reference) or np.finfo(np.float64).tiny))


def difference_step(x: Array) -> Array:
    """Return the step of a central difference, eps^(1/3) max(1, max |x|), where truncation and rounding balance."""
    return jnp.finfo(x.dtype).eps ** (1 / 3) * jnp.maximum(1, jnp.max(jnp.abs(x), initial=0))


def difference_noise(value: Array, x: Array) -> float:
    """Return what rounding alone does to central differences of ``value`` at ``x``: eps |f| / h for every entry.

    It matters where a Jacobian nearly vanishes beside its function, as that of an RBF machine far from its support.
    """
    eps = float(jnp.finfo(x.dtype).eps)
    return eps * float(jnp.linalg.norm(value)) * math.sqrt(x.size) / float(difference_step(x))
