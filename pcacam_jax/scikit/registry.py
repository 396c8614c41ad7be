"""The table of estimators: what each one is as stages, entered by the rooms beside this one."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from pcacam_jax.checks import InputError, check_choice
from pcacam_jax.scikit.refusals import refusal
from pcacam_jax.types import Stage

Estimator = Any
"""A scikit-learn object; its fitted attributes are not part of its static type."""

Outputs = dict[str, Callable[[], Stage]]
"""What an estimator gives, the default first: the name of a score space, and what builds its stage."""


class Entry(NamedTuple):
    """One line of the table of estimators."""

    kind: type
    stage: str
    """The family of its stage: affine, kernel expansion, quadratic, elementwise, norm, dense chain, ..."""
    formula: str
    limits: str
    outputs: Callable[[Any], Outputs]
    """Fitted estimator -> the outputs that this one has, with leaves in NumPy's float64."""
    spaces: tuple[str, ...] = ()
    """Every output that some estimator of this kind has, the usual default first."""


ENTRIES: dict[type, Entry] = {}
"""Every supported estimator; complete once :mod:`pcacam_jax.scikit.table` is imported, as the package does."""


def register(entry: Entry) -> None:
    """Enter one estimator."""
    ENTRIES[entry.kind] = entry


def outputs(estimator: Estimator) -> Outputs:
    """Return the outputs of a fitted estimator, the default first.

    Raises:
        InputError: not fitted, or not supported.
    """
    check_fitted(estimator)
    if type(estimator) not in ENTRIES:
        raise InputError(refusal(type(estimator)))
    return ENTRIES[type(estimator)].outputs(estimator)


def build(estimator: Estimator, output: str | None = None) -> Stage:
    """Return the stage of a fitted estimator for one of its outputs, by default the first.

    Raises:
        InputError: not fitted, not supported, or an output that this estimator does not have.
    """
    known = outputs(estimator)
    if output is None:
        output = next(iter(known))
    return known[check_choice(f"output of {type(estimator).__name__}", output, known)]()


def check_fitted(estimator: Estimator) -> None:
    """Refuse an estimator that is not fitted, and what is no estimator."""
    name = type(estimator).__name__
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise InputError(f"{name} is not fitted; call its fit before the conversion.") from error
    except TypeError as error:
        raise InputError(f"expected a fitted scikit-learn estimator; got {name}.") from error


def steps_of(estimator: Estimator) -> list[Estimator]:
    """Return the steps of a pipeline that do something; any other estimator is its own only step."""
    if not isinstance(estimator, Pipeline):
        return [estimator]
    steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    if not steps:
        raise InputError("a Pipeline must have at least one step that is not 'passthrough'.")
    return steps


def as_dense(matrix: Any) -> Any:
    """Return a dense or sparse matrix as a dense NumPy array of float64, a leaf of a stage before it is JAX's."""
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, np.float64)


def own_values(method: Callable[[np.ndarray], Any], points: np.ndarray) -> np.ndarray:
    """Return what a public method gives at ``points``, for numbers that no public attribute holds."""
    with warnings.catch_warnings():
        # Fitted on a table it warns that an array has no column names; of a warning about NaN the caller takes care.
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(method(points), np.float64)
