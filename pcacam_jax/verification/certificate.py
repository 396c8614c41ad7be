"""The certificate: closed forms against reverse mode, forward mode and central differences, as data.

One row compares one map with one witness in one dtype. Parameters and point are first rounded to float32, so that both
dtypes speak of the same map; central differences are always taken in float64, since in float32 they say little.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pcacam_jax.core.checks import check_choice, check_finite, check_shape
from pcacam_jax.core.numerics import DIFFERENCE_TOLERANCES, TOLERANCES, difference_noise, relative_error
from pcacam_jax.core.types import Stage
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.stages import MaxPool
from pcacam_jax.stages.jacobian import jacobian
from pcacam_jax.verification.cases import Case, default_cases

DIFFERENCES = "finite_difference"
WITNESSES = ("reverse", "forward", DIFFERENCES)
DTYPES = ("float32", "float64")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One row of the certificate."""

    name: str
    dtype: str
    witness: str
    error: float
    """Norm-wise relative difference of the Jacobians, ||closed - witness|| / ||witness||."""
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return self.error <= self.tolerance


@dataclasses.dataclass(frozen=True)
class Certificate:
    """All comparisons of one run of the verification."""

    comparisons: tuple[Comparison, ...]

    @property
    def passed(self) -> bool:
        """Whether there are comparisons and every one is within its tolerance."""
        return bool(self.comparisons) and all(row.passed for row in self.comparisons)

    def max_relative_error(self, dtype: str) -> float:
        """Return the largest error against autodiff (reverse and forward) in ``dtype``."""
        rows = [row.error for row in self.comparisons if row.dtype == dtype and row.witness != DIFFERENCES]
        return float(np.max(rows)) if rows else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        dtypes = sorted({row.dtype for row in self.comparisons})
        return {
            "passed": self.passed,
            **{dtype: {"max_relative_error": _plain(self.max_relative_error(dtype))} for dtype in dtypes},
            "comparisons": [
                dataclasses.asdict(row)
                | {"error": _plain(row.error), "tolerance": _plain(row.tolerance), "passed": row.passed}
                for row in self.comparisons
            ],
        }


def _plain(number: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return number if math.isfinite(number) else None


def verify(
    stage: Any, x: Array, *, name: str = "stage", dtypes: Iterable[str] = DTYPES, witnesses: Iterable[str] = WITNESSES
) -> Certificate:
    """Compare the closed-form Jacobian of a stage or head at ``x`` with autodiff and central differences.

    Runs in both dtypes whatever JAX is set to; a head gives one row per output, dtype and witness. A head that begins
    with a max-pool is verified beside ``x``, where no window has two maxima: at ties a maximum has no derivative.

    Raises:
        InputError: an unknown dtype or witness, or a point of another shape or that is not finite.
        TypeError: not a stage.
    """
    if isinstance(stage, type) or not isinstance(stage, Stage):
        raise TypeError(f"expected a stage or a head to verify; got {stage!r}.")
    for values, choices in ((dtypes, DTYPES), (witnesses, WITNESSES)):
        for value in values:
            check_choice("dtypes and witnesses", value, choices)
    check_shape("x", np.shape(x), stage.in_shape)
    check_finite("x", x)
    with jax.enable_x64(True):
        stage, x = jax.tree.map(lambda leaf: jnp.asarray(leaf, "float32"), (stage, jnp.asarray(x)))
        if isinstance(stage, HybridHead):
            x = off_ties(stage, x)
        return Certificate(tuple(_compare(stage, x, name, tuple(dtypes), tuple(witnesses))))


def off_ties(head: HybridHead, maps: Array) -> Array:
    """Return maps whose every pooled window has one maximum, raised by a thousandth of the largest value."""
    first = head.spatial.stages[0]
    if not isinstance(first, MaxPool):
        return maps
    _, winner = first.forward(maps)
    routed = first.pull_back(winner, jnp.ones((1, *first.out_shape), maps.dtype))[0]
    return maps + 1e-3 * jnp.maximum(1, jnp.max(jnp.abs(maps))) * routed


def certify(
    cases: Iterable[Case] | None = None,
    *,
    dtypes: Iterable[str] = DTYPES,
    progress: Callable[[str], None] = lambda name: None,
) -> Certificate:
    """Verify every (name, stage, point) of ``cases``; by default all stages, the six closed forms and the full head."""
    rows: list[Comparison] = []
    for name, stage, x in cases if cases is not None else default_cases():
        progress(name)
        rows.extend(verify(stage, x, name=name, dtypes=dtypes).comparisons)
    return Certificate(tuple(rows))


def _compare(
    stage: Any, x: Array, name: str, dtypes: tuple[str, ...], witnesses: tuple[str, ...]
) -> Iterator[Comparison]:
    jacobians = {}
    values = by_output(_cast(stage, "float64")(jnp.asarray(x, "float64")))
    noises = {output: difference_noise(value, jnp.asarray(x, "float64")) for output, value in values.items()}

    def jacobian_of(backend: str, dtype: str) -> dict[str, Array]:
        dtype = "float64" if backend == DIFFERENCES else dtype
        if (backend, dtype) not in jacobians:
            jacobians[backend, dtype] = _jacobian(_cast(stage, dtype), jnp.asarray(x, dtype), backend)
        return jacobians[backend, dtype]

    for dtype, witness in itertools.product(dtypes, witnesses):
        for output, closed in jacobian_of("closed_form", dtype).items():
            reference = jacobian_of(witness, dtype)[output]
            error, tolerance = relative_error(closed, reference), TOLERANCES[dtype]
            if witness == DIFFERENCES:
                # Where a Jacobian nearly vanishes beside its function, rounding is most of a difference.
                scale = max(float(jnp.linalg.norm(reference)), np.finfo(np.float64).tiny)
                tolerance = DIFFERENCE_TOLERANCES[dtype] + noises[output] / scale
            yield Comparison(f"{name}: {output}" if output else name, dtype, witness, error, tolerance)


def _jacobian(stage: Any, x: Array, backend: str) -> dict[str, Array]:
    return by_output(jax.jit(lambda stage, x: jacobian(stage, x, backend=backend))(stage, x))


def by_output(value: Any) -> dict[str, Array]:
    """Return what belongs to each output of a head; a stage has one, under the empty name."""
    return value if isinstance(value, dict) else {"": value}


def _cast(stage: Any, dtype: str) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), stage)
