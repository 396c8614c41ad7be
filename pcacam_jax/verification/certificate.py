"""Verification of closed-form Jacobians: the certificate compares them with autodiff and central differences.

Each row compares one output with one reference method in one dtype. Parameters and the example are first rounded to
float32, so that both dtypes verify the same function. Central differences are always computed in float64, because
float32 is too coarse for them.
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

from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import check_choice, check_finite, check_shape
from pcacam_jax.core.numerics import DIFFERENCE_TOLERANCES, TOLERANCES, difference_noise, relative_error
from pcacam_jax.core.types import Stage
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.stages import MaxPool
from pcacam_jax.stages.jacobian import jacobian
from pcacam_jax.verification.cases import Case, default_cases

FINITE_DIFFERENCE = "finite_difference"
REFERENCE_METHODS = ("reverse", "forward", FINITE_DIFFERENCE)
DTYPES = ("float32", "float64")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One row of the certificate: one output, one dtype and one reference method."""

    name: str
    """Name of the stage; for a head, with the output, such as ``"head: pca"``."""
    dtype: str
    """dtype of the closed form, ``"float32"`` or ``"float64"``."""
    witness: str
    """The reference method: ``"reverse"``, ``"forward"`` or ``"finite_difference"``."""
    error: float
    """Relative error of the closed form in the Frobenius norm, ``||closed - reference|| / ||reference||``."""
    tolerance: float
    """The largest error that passes."""

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; False if the error is NaN."""
        return self.error <= self.tolerance


@dataclasses.dataclass(frozen=True)
class Certificate:
    """The result of :func:`verify` or :func:`certify`.

    Args:
        comparisons: one row per output, dtype and reference method, with the fields ``name``, ``dtype``, ``witness``
            (the reference method), ``error``, ``tolerance`` and ``passed``.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Elementwise, verify
        >>> certificate = verify(Elementwise("tanh", 2), jnp.array([0.5, -1.0]))
        >>> certificate.passed, len(certificate.comparisons)
        (True, 6)
    """

    comparisons: tuple[Comparison, ...]

    __repr__ = brief_repr

    @property
    def passed(self) -> bool:
        """Whether all comparisons are within their tolerances and there is at least one."""
        return bool(self.comparisons) and all(row.passed for row in self.comparisons)

    def max_relative_error(self, dtype: str) -> float:
        """Return the largest error against autodiff (reverse and forward mode) in ``dtype``, NaN if there is none."""
        rows = [row.error for row in self.comparisons if row.dtype == dtype and row.witness != FINITE_DIFFERENCE]
        return float(np.max(rows)) if rows else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Return the certificate as plain data for JSON, with None in place of NaN and infinity."""
        dtypes = sorted({row.dtype for row in self.comparisons})
        return {
            "passed": self.passed,
            **{dtype: {"max_relative_error": _finite_or_none(self.max_relative_error(dtype))} for dtype in dtypes},
            "comparisons": [
                dataclasses.asdict(row)
                | {
                    "error": _finite_or_none(row.error),
                    "tolerance": _finite_or_none(row.tolerance),
                    "passed": row.passed,
                }
                for row in self.comparisons
            ],
        }


def _finite_or_none(number: float) -> float | None:
    """Replace NaN and infinity, which JSON does not have, by None."""
    return number if math.isfinite(number) else None


def verify(
    stage: Any,
    x: Array,
    *,
    name: str = "stage",
    dtypes: Iterable[str] = DTYPES,
    witnesses: Iterable[str] = REFERENCE_METHODS,
) -> Certificate:
    """Compare the closed-form Jacobian of a stage or head at one example with autodiff and central differences.

    The comparison runs in both dtypes, whether or not 64-bit mode is enabled in JAX. A head that begins with a max-pool
    is verified at a point close to ``x`` where each window has a single maximum, because a maximum has no derivative at
    ties.

    Args:
        stage: a stage or head.
        x: the example, of the stage's input shape.
        name: the name of the rows in the certificate.
        dtypes: some of "float32" and "float64".
        witnesses: the reference methods, some of "reverse", "forward" and "finite_difference".

    Returns:
        A certificate with one row per output, dtype and reference method.

    Raises:
        InputError: a dtype or reference method is unknown, or ``x`` has another shape than the stage takes or is not
            finite.
        TypeError: ``stage`` is not a stage or head.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Dense, verify
        >>> layer = Dense(kernel=jnp.array([[1.0], [2.0]]), bias=jnp.array([-1.0]), activation="sigmoid")
        >>> certificate = verify(layer, jnp.array([1.0, 1.0]))
        >>> certificate.passed, certificate.max_relative_error("float64") < 1e-12
        (True, True)
    """
    if isinstance(stage, type) or not isinstance(stage, Stage):
        raise TypeError(f"expected a stage or a head to verify; got {stage!r}.")
    dtypes, witnesses = tuple(dtypes), tuple(witnesses)
    for argument, values, choices in (("dtypes", dtypes, DTYPES), ("witnesses", witnesses, REFERENCE_METHODS)):
        for value in values:
            check_choice(f"each of {argument}", value, choices)
    check_shape("x", np.shape(x), stage.in_shape)
    check_finite("x", x)
    with jax.enable_x64(True):
        stage, x = jax.tree.map(lambda leaf: jnp.asarray(leaf, "float32"), (stage, jnp.asarray(x)))
        if isinstance(stage, HybridHead):
            x = without_ties(stage, x)
        return Certificate(tuple(_compare(stage, x, name, dtypes, witnesses)))


def without_ties(head: HybridHead, maps: Array) -> Array:
    """Return maps with a single maximum in each pooled window, which is raised by a thousandth of the largest value."""
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
    """Verify several stages and heads; by default all stages, the six closed forms of Table 2 and full-size heads.

    Args:
        cases: ``(name, stage, x)`` of each stage or head, with x as in :func:`verify`.
        dtypes: some of "float32" and "float64".
        progress: called with the name of each case before it is verified.

    Returns:
        A certificate with the rows of all cases.

    Raises:
        InputError: as in :func:`verify`.
        TypeError: as in :func:`verify`.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Elementwise, certify
        >>> cases = [(name, Elementwise(name, 2), jnp.array([0.5, -1.0])) for name in ("relu", "sigmoid")]
        >>> certify(cases).passed
        True
    """
    rows: list[Comparison] = []
    dtypes = tuple(dtypes)
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
        dtype = "float64" if backend == FINITE_DIFFERENCE else dtype
        if (backend, dtype) not in jacobians:
            jacobians[backend, dtype] = _jacobian(_cast(stage, dtype), jnp.asarray(x, dtype), backend)
        return jacobians[backend, dtype]

    for dtype, method in itertools.product(dtypes, witnesses):
        for output, closed in jacobian_of("closed_form", dtype).items():
            reference = jacobian_of(method, dtype)[output]
            error, tolerance = relative_error(closed, reference), TOLERANCES[dtype]
            if method == FINITE_DIFFERENCE:
                # Rounding dominates the differences where the Jacobian is tiny compared with the value.
                scale = max(float(jnp.linalg.norm(reference)), np.finfo(np.float64).tiny)
                tolerance = DIFFERENCE_TOLERANCES[dtype] + noises[output] / scale
            yield Comparison(f"{name}: {output}" if output else name, dtype, method, error, tolerance)


def _jacobian(stage: Any, x: Array, backend: str) -> dict[str, Array]:
    return by_output(jax.jit(lambda stage, x: jacobian(stage, x, backend=backend))(stage, x))


def by_output(value: Any) -> dict[str, Array]:
    """Return a dictionary of values by output; the single output of a stage has the empty name."""
    return value if isinstance(value, dict) else {"": value}


def _cast(stage: Any, dtype: str) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), stage)
