"""The rows of a certificate: relative errors and the tolerances that follow from rounding and curvature.

A tolerance has two parts. The first one is fixed by the dtype. The second one is the error to expect of the comparison
itself: rounding, measured in :mod:`pcacam_jax.verification.rounding`, and the error bounds of the differences.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pcacam_jax.core.numerics import DIFFERENCE_TOLERANCES, TOLERANCES, frobenius_norm, relative_error
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.stages import MaxPool
from pcacam_jax.verification import differences
from pcacam_jax.verification.differences import Slopes
from pcacam_jax.verification.directions import Directions, directions, random_signs
from pcacam_jax.verification.measure import ByOutput, Measured, measuring
from pcacam_jax.verification.rounding import SAFETY, VECTORS

FINITE_DIFFERENCE = "finite_difference"
FORWARD_OVER_REVERSE, JACOBIAN_DIFFERENCE = "forward_over_reverse", "jacobian_difference"
CURVATURE_METHODS = (FORWARD_OVER_REVERSE, JACOBIAN_DIFFERENCE)
"""The reference methods of second derivatives."""
REFERENCE_METHODS = ("reverse", "forward", FINITE_DIFFERENCE)
DTYPES = ("float32", "float64")
TITLES = {
    "reverse": "reverse mode",
    "forward": "forward mode",
    FINITE_DIFFERENCE: "central differences",
    FORWARD_OVER_REVERSE: "forward over reverse mode",
    JACOBIAN_DIFFERENCE: "central differences of the Jacobian",
}

SHIFT = 2.0**-10
"""How far the point is moved, relative to its largest entry, if differences meet a kink along most directions."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One row of the certificate: one output, one dtype and one reference method."""

    name: str
    """Name of the stage; for a head, with the output, such as ``"head: pca"``."""
    dtype: str
    """dtype of the closed form, ``"float32"`` or ``"float64"``."""
    witness: str
    """The reference method: ``"reverse"``, ``"forward"`` or ``"finite_difference"``; for second derivatives
    ``"forward_over_reverse"`` or ``"jacobian_difference"``."""
    error: float
    """Relative error of the closed form in the Frobenius norm, ``||J V - reference|| / ||reference||`` for the
    directions V, or ``||J - reference|| / ||reference||`` for the whole Jacobian. Where the norm of the reference is
    smaller than its rounding error, that error is the divisor."""
    tolerance: float
    """The largest error that passes."""
    directions: int | None = None
    """Number of directions along which the derivatives are compared, or None for the whole Jacobian."""
    left_out: int = 0
    """Number of directions that are left out, because the function has a kink there."""

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; False if the error is NaN."""
        return self.error <= self.tolerance

    def sentence(self) -> str:
        """Return what was compared and the outcome, such as ``"pca in float32 against reverse mode: ..."``."""
        compared = f"{self.name} in {self.dtype} against {TITLES.get(self.witness, self.witness)}"
        if self.directions == 0 and self.left_out:
            return f"{compared}: none of {self.left_out} directions is free of kinks; choose another point"
        if math.isnan(self.error):
            return f"{compared}: a derivative is not finite"
        along = "" if self.directions is None else f" along {self.directions} directions"
        outcome = "is within" if self.passed else "exceeds"
        return f"{compared}{along}: relative error {self.error:.1e} {outcome} the tolerance {self.tolerance:.1e}"


def compare(stage: Any, x: Array, name: str, dtypes: tuple[str, ...], methods: tuple[str, ...]) -> Iterator[Comparison]:
    """Yield the rows for one stage or head and one point, both in float64."""
    x, along = without_ties(stage, x), directions(x.size)
    compiled = measuring(dtypes, methods)
    measured = _measured(compiled, stage, x, along)
    beside, slopes = measured, _slopes(measured, x)
    if any(np.mean(output.kept) < 0.5 for output in slopes.values()):
        moved = without_ties(stage, _moved(x))
        beside = _measured(compiled, stage, moved, along)
        slopes = _slopes(beside, moved)
    for dtype, method, output in itertools.product(dtypes, methods, measured.center):
        title = f"{name}: {output}" if output else name
        if method == FINITE_DIFFERENCE:
            yield _against_differences(title, dtype, beside, slopes[output], output, along)
        else:
            yield _against_autodiff(title, dtype, method, measured, output, along)


def _measured(compiled: Callable[..., Measured], stage: Any, x: Array, along: Directions) -> Measured:
    probes = random_signs(VECTORS, x.size, seed=1)
    return jax.tree.map(np.asarray, compiled(stage, x, along.vectors, probes, differences.steps(np.asarray(x))))


def without_ties(stage: Any, maps: Array) -> Array:
    """Return maps with a single maximum in each window that a head pools first.

    The maximum is raised by a thousandth of the largest value. Other stages get the maps as they are.
    """
    first = stage.spatial.stages[0] if isinstance(stage, HybridHead) else None
    if not isinstance(first, MaxPool):
        return maps
    _, winner = first.forward(maps)
    routed = first.pull_back(winner, jnp.ones((1, *first.out_shape), maps.dtype))[0]
    return maps + 1e-3 * jnp.maximum(1, jnp.max(jnp.abs(maps))) * routed


def _moved(x: Array) -> Array:
    """Return a point close to ``x``, rounded to float32 like ``x``."""
    distance = SHIFT * (float(jnp.max(jnp.abs(x), initial=0)) or 1.0)
    moved = x + distance * np.random.default_rng(0).uniform(-1, 1, x.shape)
    return moved.astype("float32").astype(x.dtype)


def _slopes(measured: Measured, x: Array) -> dict[str, Slopes]:
    step = differences.steps(np.asarray(x))
    return {
        output: differences.slopes(values[:, 0], values[:, 1 : 1 + len(step)], values[:, 1 + len(step) :], step)
        for output, values in (measured.beside or {}).items()
    }


def _against_autodiff(
    title: str, dtype: str, method: str, measured: Measured, output: str, along: Directions
) -> Comparison:
    computed, whole = measured.derivatives[dtype], method == "reverse"
    closed, reference = (computed.closed, computed.reverse) if whole else (computed.closed_along, computed.forward)
    noise = _rounding(measured, output, dtype) * (1 if whole else along.weight)
    error, tolerance = judged(_get(closed, output), _get(reference, output), TOLERANCES[dtype], noise, dtype)
    return Comparison(title, dtype, method, error, tolerance, None if whole else len(along.vectors))


def _against_differences(
    title: str, dtype: str, measured: Measured, slopes: Slopes, output: str, along: Directions
) -> Comparison:
    row = Comparison(title, dtype, FINITE_DIFFERENCE, 0.0, DIFFERENCE_TOLERANCES[dtype])
    closed = _get(measured.derivatives[dtype].closed_along, output)
    return compared_with_differences(row, closed, slopes, _rounding(measured, output, dtype) * along.weight)


def compared_with_differences(
    row: Comparison, closed: np.ndarray, slopes: Slopes, noise: float, smallest: float = 0.0
) -> Comparison:
    """Return a row with the error of derivatives along directions, and its tolerance, where differences are usable.

    Args:
        row: the row, whose tolerance is that of derivatives without rounding.
        closed: the derivatives of the closed form, ``(k, out)``.
        slopes: the differences.
        noise: the norm of the rounding error to expect.
        smallest: the norm to divide by if that of the differences is smaller.
    """
    kept = slopes.kept
    if closed.shape[:1] == kept.shape:
        closed = closed[kept]
    noise = noise + 2 * frobenius_norm(slopes.bounds[kept])
    error, tolerance = judged(closed, slopes.values[kept], row.tolerance, noise, row.dtype, smallest)
    if not kept.any():
        error = math.nan
    return dataclasses.replace(
        row, error=error, tolerance=tolerance, directions=int(kept.sum()), left_out=int((~kept).sum())
    )


def _get(arrays: ByOutput | None, output: str) -> np.ndarray:
    return np.asarray((arrays or {}).get(output, np.zeros((0, 0))))


def _rounding(measured: Measured, output: str, dtype: str) -> float:
    """Return the rounding error to expect of the Jacobian of one output, in the Frobenius norm."""
    rounding = SAFETY * float(jnp.finfo(dtype).eps) * float(measured.sensitivity[output])
    return rounding if math.isfinite(rounding) else 0.0


def judged(
    value: np.ndarray, reference: np.ndarray, tolerance: float, noise: float, dtype: str, smallest: float = 0.0
) -> tuple[float, float]:
    """Return the relative error and its tolerance, if the comparison itself has an error of norm ``noise``.

    The error is divided by the norm of the reference, or by ``noise`` or ``smallest`` where these are larger.
    """
    limits = jnp.finfo(dtype)
    # Below tiny / eps^2, the terms of a product may have underflowed.
    smallest = max(noise, smallest, float(limits.tiny) / float(limits.eps) ** 2)
    norm = max(frobenius_norm(reference), smallest)
    return relative_error(value, reference, smallest=smallest), tolerance + noise / norm
