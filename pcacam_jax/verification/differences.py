"""Central differences in float64 with a step for every direction and an estimate of their error.

The function is evaluated at ``x + h v`` and ``x - h v`` for the steps of :func:`steps`. For each step h and the next
smaller one h / r, three numbers bound the error of the difference at h / r:

- the change of the difference between the two steps, which contains its curvature error,
- the difference of the one-sided slopes, extrapolated to a step of zero. It vanishes for a differentiable function and
  is the jump of the slope if a kink lies between ``x - h v`` and ``x + h v``,
- the rounding of the function's value divided by h / r.

The step with the smallest bound is used. A direction along which no step avoids a kink is left out and counted.
"""

import math
from typing import NamedTuple

import numpy as np

RATIO, STEPS, LARGEST = 8.0, 7, 2.0**-4
"""Ratio of consecutive steps, their number, and the largest one relative to the largest entry of x."""

UNRESOLVED = 1e-3
"""Relative error bound above which a direction is left out, unless rounding explains the bound."""

ROUNDINGS = 30
"""A bound up to this multiple of the rounding error is explained by rounding."""


class Slopes(NamedTuple):
    """The derivatives of one output along k directions."""

    values: np.ndarray
    """The differences, ``(k, out)``."""
    bounds: np.ndarray
    """Bounds on the Frobenius norm of their errors, ``(k,)``."""
    kept: np.ndarray
    """Whether the difference along a direction is usable, ``(k,)``; False at a kink."""


def steps(x: np.ndarray) -> np.ndarray:
    """Return the steps from the largest to the smallest, powers of two near fixed fractions of the largest entry."""
    largest = float(np.max(np.abs(x), initial=0)) or 1.0
    return LARGEST * 2.0 ** round(math.log2(largest)) * RATIO ** -np.arange(STEPS)


def slopes(center: np.ndarray, above: np.ndarray, below: np.ndarray, step: np.ndarray) -> Slopes:
    """Return the best difference along each direction.

    Args:
        center: the values at x, ``(k, out)``, all equal but for rounding.
        above: the values at ``x + h v``, ``(k, steps, out)``.
        below: the values at ``x - h v``, ``(k, steps, out)``.
        step: the steps h, ``(steps,)``, in decreasing order.
    """
    with np.errstate(all="ignore"):
        central = (above - below) / (2 * step[:, None])
        jumps = (above - 2 * center[:, None] + below) / step[:, None]
        change = _norm(central[:, 1:] - central[:, :-1])
        kink = _norm((RATIO * jumps[:, 1:] - jumps[:, :-1]) / (RATIO - 1))
        noise = np.finfo(np.float64).eps * np.maximum(_norm(above), _norm(below))[:, 1:] / step[1:]
        bounds = np.nan_to_num(change + kink + noise, nan=np.inf)
        # Rounding makes both grow as the step shrinks, while the jump of a slope at a kink stays as it is.
        growing = np.median(np.nan_to_num(change[:, -1] + np.maximum(0, kink[:, -1] - kink[:, -2])))
    best, rows = np.argmin(bounds, axis=1), np.arange(len(bounds))
    values, bound = central[rows, best + 1], bounds[rows, best]
    rounding = noise[rows, best] + growing * step[-1] / step[best + 1]
    kept = (bound <= UNRESOLVED * _norm(values)) | (bound <= ROUNDINGS * rounding)
    return Slopes(values, bound, kept)


def _norm(values: np.ndarray) -> np.ndarray:
    return np.linalg.norm(values, axis=-1)
