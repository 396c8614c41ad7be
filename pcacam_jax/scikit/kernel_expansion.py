"""Construction of kernel expansions from fitted arrays."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from pcacam_jax.core.checks import InputError
from pcacam_jax.stages import KERNELS, KernelExpansion


def expansion(
    support: Any,
    coefficients: Any,
    intercept: Any,
    kernel: str,
    values: dict[str, Any],
    *,
    collapse: bool = True,
) -> KernelExpansion:
    """Return the stage v -> sum_i c_pi k(s_i, v) + b_p, (D,) -> (P,), with arrays in NumPy's float64.

    Args:
        support: s, (n, D). Without support vectors (n = 0) the stage is the constant b.
        coefficients: c, (P, n).
        intercept: b, (P,).
        kernel: a name in :data:`pcacam_jax.stages.KERNELS`.
        values: parameters by name; those that the kernel does not have are ignored.
        collapse: whether to replace the support vectors of a linear kernel by w_p = sum_i c_pi s_i, one vector for
            each of the P outputs.
    """
    if not len(support):
        support, coefficients = np.zeros((1, support.shape[1])), np.zeros((len(coefficients), 1))
    if kernel == "linear" and collapse:
        # Most digits of this sum cancel, so it is computed once, here, in float64 (Eq. 25).
        support, coefficients = coefficients @ support, None
    return KernelExpansion(
        support=support,
        coefficients=coefficients,
        intercept=intercept,
        parameters=kernel_parameters(kernel, values),
        kernel=kernel,
    )


def kernel_parameters(kernel: str, values: dict[str, Any]) -> Any:
    """Return the parameters of a kernel in float64, from a dictionary that may hold others, too."""
    return {name: np.float64(values[name]) for name in KERNELS[kernel].parameters}


def check_kernel(estimator: Any, supported: Iterable[str]) -> str:
    """Return the name of an estimator's kernel.

    Raises:
        InputError: if the kernel is not one of ``supported``, such as a callable or a precomputed kernel.
    """
    kernel = estimator.kernel
    if isinstance(kernel, str) and kernel in supported:
        return kernel
    if callable(kernel):
        reason = "a Python function whose derivative is not known"
    elif kernel == "precomputed":
        reason = "whose Gram matrix does not show how it depends on the features"
    else:
        reason = "whose derivative is not implemented"
    raise InputError(
        f"the kernel of {type(estimator).__name__} must be one of {', '.join(supported)}; got {kernel!r}, {reason}, "
        f"so fit with one of these kernels or write the stage by hand."
    )
