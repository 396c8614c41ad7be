"""Verification of closed-form Jacobians: the certificate compares them with autodiff and central differences.

Each row compares one output with one reference method in one dtype. Parameters and the example are first rounded to
float32, so that both dtypes verify the same function. Central differences are always computed in float64, because
float32 is too coarse for them. Second derivatives have rows of their own, see :mod:`pcacam_jax.verification.curvature`.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pcacam_jax.core.arrays import as_numpy
from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import InputError, check_choice, check_finite, check_flag, check_items, check_shape
from pcacam_jax.core.types import Stage
from pcacam_jax.verification.cases import Case, default_cases
from pcacam_jax.verification.comparisons import (
    DTYPES,
    FINITE_DIFFERENCE,
    REFERENCE_METHODS,
    Comparison,
    compare,
    without_ties,
)
from pcacam_jax.verification.curvature import compare_curvature


@dataclasses.dataclass(frozen=True)
class Certificate:
    """The result of :func:`verify` or :func:`certify`.

    Args:
        comparisons: one row per output, dtype and reference method, with the fields ``name``, ``dtype``, ``witness``
            (the reference method), ``error``, ``tolerance`` and ``passed``.
        curvature: the same for second derivatives; empty if they were not compared.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Elementwise, verify
        >>> certificate = verify(Elementwise("tanh", 2), jnp.array([0.5, -1.0]))
        >>> certificate.passed, len(certificate.comparisons), len(certificate.curvature)
        (True, 6, 4)
    """

    comparisons: tuple[Comparison, ...]
    curvature: tuple[Comparison, ...] = ()

    __repr__ = brief_repr

    @property
    def passed(self) -> bool:
        """Whether all comparisons are within their tolerances and there is at least one."""
        return bool(self.comparisons) and all(row.passed for row in self.rows)

    @property
    def rows(self) -> tuple[Comparison, ...]:
        """All comparisons: those of Jacobians, then those of second derivatives."""
        return self.comparisons + self.curvature

    def max_relative_error(self, dtype: str) -> float:
        """Return the largest error of a Jacobian against autodiff (reverse and forward mode), NaN if there is none."""
        rows = [row.error for row in self.comparisons if row.dtype == dtype and row.witness != FINITE_DIFFERENCE]
        return float(np.max(rows)) if rows else math.nan

    def failures(self) -> list[str]:
        """Return one sentence for each comparison that fails: the output, dtype, reference, error and tolerance."""
        return [row.sentence() for row in self.rows if not row.passed]

    def as_dict(self) -> dict[str, Any]:
        """Return the certificate as plain data for JSON, with None in place of NaN and infinity."""
        dtypes = sorted({row.dtype for row in self.comparisons})
        return {
            "passed": self.passed,
            **{dtype: {"max_relative_error": _finite_or_none(self.max_relative_error(dtype))} for dtype in dtypes},
            "failures": self.failures(),
            "comparisons": list(map(_as_dict, self.comparisons)),
            **({"curvature": list(map(_as_dict, self.curvature))} if self.curvature else {}),
        }


def _as_dict(row: Comparison) -> dict[str, Any]:
    numbers = {"error": _finite_or_none(row.error), "tolerance": _finite_or_none(row.tolerance)}
    return dataclasses.asdict(row) | numbers | {"passed": row.passed}


def first_of(failures: list[str]) -> str:
    """Return the first of several sentences about failures and the number of the others."""
    others = len(failures) - 1
    return failures[0] + (f", and {others} other{'s' if others > 1 else ''}" if others else "")


def _finite_or_none(number: float) -> float | None:
    """Replace NaN and infinity, which JSON does not have, by None."""
    return number if math.isfinite(number) else None


def verify(
    stage: Any,
    x: Any,
    *,
    name: str = "stage",
    dtypes: Iterable[str] = DTYPES,
    witnesses: Iterable[str] = REFERENCE_METHODS,
    curvature: bool = True,
) -> Certificate:
    """Compare the closed-form Jacobian of a stage or head at one example with autodiff and central differences.

    The second derivatives of stages with the methods ``curvature`` and ``taylor`` are compared, too; those of a head in
    u, the first pre-activation.

    The comparison runs in both dtypes, whether or not 64-bit mode is enabled in JAX. A head that begins with a max-pool
    is verified at a point close to ``x`` where each window has a single maximum, because a maximum has no derivative at
    ties.

    Args:
        stage: a stage or head.
        x: the example, of the stage's input shape.
        name: the name of the rows in the certificate.
        dtypes: some of "float32" and "float64".
        witnesses: the reference methods, some of "reverse", "forward" and "finite_difference".
        curvature: whether to compare second derivatives, too.

    Returns:
        A certificate with one row per output, dtype and reference method.

    Raises:
        InputError: a dtype or reference method is unknown, or ``x`` has another shape than the stage takes or does not
            hold finite real numbers.
        TypeError: ``stage`` is not a stage or head, ``name`` is not a string, or a parameter is not an array of real
            numbers.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Dense, verify
        >>> layer = Dense(kernel=jnp.array([[1.0], [2.0]]), bias=jnp.array([-1.0]), activation="sigmoid")
        >>> certificate = verify(layer, jnp.array([1.0, 1.0]))
        >>> certificate.passed, certificate.max_relative_error("float64") < 1e-12
        (True, True)
    """
    if isinstance(stage, type) or not isinstance(stage, Stage):
        raise TypeError(f"expected a stage or a head to verify; got {type(stage).__name__}.")
    check_flag("curvature", curvature)
    if not isinstance(name, str):
        raise TypeError(f"name must be a string; got {type(name).__name__}.")
    chosen = _chosen("dtypes", dtypes, DTYPES), _chosen("witnesses", witnesses, REFERENCE_METHODS)
    x = as_numpy("x", x)
    check_shape("x", x.shape, stage.in_shape)
    if not x.size:
        raise InputError("x must have at least one entry; a Jacobian without columns needs no verification.")
    with jax.enable_x64(True):
        rounded = jax.tree.map(_rounded, stage), _rounded(x)
        check_finite("x in float32", rounded[1])
        stage, x = jax.tree.map(lambda leaf: jnp.asarray(leaf, "float64"), rounded)
        second = compare_curvature(stage, without_ties(stage, x), name, chosen[0]) if curvature else ()
        return Certificate(tuple(compare(stage, x, name, *chosen)), tuple(second))


def _chosen(argument: str, values: Any, choices: tuple[str, ...]) -> tuple[str, ...]:
    """Return some of ``choices`` as a tuple; a single string is one of them."""
    described = f"some of {', '.join(choices)}"
    values = (values,) if isinstance(values, str) else tuple(check_items(argument, values, described))
    for value in values:
        check_choice(f"each of {argument}", value, choices)
    return values


def _rounded(leaf: Any) -> Array:
    """Return a parameter or an example rounded to float32."""
    array = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool) or jnp.iscomplexobj(array):
        raise TypeError(
            f"the parameters of a stage must be arrays of real numbers; got {type(leaf).__name__} of {array.dtype}, so "
            f"register the class with jax.tree_util.register_dataclass or convert the parameter."
        )
    with np.errstate(over="ignore"):
        return jnp.asarray(array, "float32")


def certify(
    cases: Iterable[Case] | None = None,
    *,
    dtypes: Iterable[str] = DTYPES,
    curvature: bool = True,
    progress: Callable[[str], None] = lambda name: None,
) -> Certificate:
    """Verify several stages and heads; by default all stages, the six closed forms of Table 2 and full-size heads.

    Args:
        cases: ``(name, stage, x)`` of each stage or head, with x as in :func:`verify`.
        dtypes: some of "float32" and "float64".
        curvature: whether to compare second derivatives, too.
        progress: called with the name of each case before it is verified.

    Returns:
        A certificate with the rows of all cases.

    Raises:
        InputError: as in :func:`verify`, or a case is not a tuple of three.
        TypeError: as in :func:`verify`.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Elementwise, certify
        >>> cases = [(name, Elementwise(name, 2), jnp.array([0.5, -1.0])) for name in ("relu", "sigmoid")]
        >>> certify(cases).passed
        True
    """
    certificates: list[Certificate] = []
    dtypes = _chosen("dtypes", dtypes, DTYPES)
    for case in default_cases() if cases is None else check_items("cases", cases, "tuples (name, stage, x)"):
        if not (isinstance(case, tuple) and len(case) == 3):
            raise InputError(f"each case must be a tuple (name, stage, x); got {type(case).__name__}.")
        name, stage, x = case
        progress(name)
        certificates.append(verify(stage, x, name=name, dtypes=dtypes, curvature=curvature))
    return Certificate(
        tuple(row for certificate in certificates for row in certificate.comparisons),
        tuple(row for certificate in certificates for row in certificate.curvature),
    )
