"""Kernel expansions from fitted arrays: which kernels are taken, and how their parameters are read."""

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
    """Return v -> sum_i c_pi k(s_i, v) + b_p, taking from ``values`` the parameters that the kernel has.

    Args:
        support: s, (n, D); none at all is a constant.
        coefficients: c, (P, n).
        intercept: b, (P,).
        kernel: a name in :data:`pcacam_jax.stages.KERNELS`.
        values: numbers by the name of the parameter.
        collapse: whether a linear kernel keeps one vector a machine, w_p = sum_i c_pi s_i, instead of every s_i.
    """
    if not len(support):
        support, coefficients = np.zeros((1, support.shape[1])), np.zeros((len(coefficients), 1))
    if kernel == "linear" and collapse:
        # The sum cancels most of its digits: it is taken once, here, in float64 (Eq. 25).
        support, coefficients = coefficients @ support, np.eye(len(coefficients))
    parameters: Any = {name: np.float64(values[name]) for name in KERNELS[kernel].parameters}
    return KernelExpansion(
        support=support,
        coefficients=coefficients,
        intercept=intercept,
        parameters=parameters,
        kernel=kernel,
    )


def check_kernel(estimator: Any, known: Iterable[str]) -> str:
    """Return the name of the kernel that an estimator was fitted with, if it is one of those ``known``.

    Raises:
        InputError: a callable, a precomputed or another kernel.
    """
    kernel = estimator.kernel
    if isinstance(kernel, str) and kernel in known:
        return kernel
    if callable(kernel):
        reason = "a Python function has no closed-form derivative here"
    elif kernel == "precomputed":
        reason = "a Gram matrix does not say how it depends on the features"
    else:
        reason = "it has no closed-form derivative here"
    raise InputError(
        f"the kernel of {type(estimator).__name__} must be one of {', '.join(known)}; got {kernel!r}: {reason}, "
        f"so fit with one of those, or write the stage by hand."
    )
