"""Registry of the supported estimators, filled by the other modules of this package."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from pcacam_jax.core.checks import InputError, check_choice, check_finite
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.unsupported import unsupported_message

Estimator = Any
"""A scikit-learn object; its fitted attributes are not part of its static type."""

Outputs = dict[str, Callable[[], Stage]]
"""Output name -> function that builds the stage of this output; the default comes first."""


class Entry(NamedTuple):
    """The entry of one estimator class."""

    kind: type
    stage: str
    """The family of its stage, one of :data:`pcacam_jax.scikit.table.FAMILIES`."""
    formula: str
    """The formula of the default output, and of others where they differ; shown in the documentation."""
    limits: str
    """Options that are not supported and differences from scikit-learn; shown in the documentation."""
    outputs: Callable[[Any], Outputs]
    """Fitted estimator -> its outputs. The arrays of their stages are NumPy's float64."""
    spaces: tuple[str, ...] = ()
    """All outputs that an estimator of this class may have, the usual default first; shown in the documentation."""


ENTRIES: dict[type, Entry] = {}
"""Estimator class -> entry. Importing :mod:`pcacam_jax.scikit` registers all supported estimators."""


def register(entry: Entry) -> None:
    """Add one estimator class to ``ENTRIES``."""
    ENTRIES[entry.kind] = entry


def outputs(estimator: Estimator) -> Outputs:
    """Return the outputs of a fitted estimator, the default first.

    Raises:
        InputError: if the estimator is not fitted or not supported.
    """
    check_fitted(estimator)
    if type(estimator) not in ENTRIES:
        raise InputError(unsupported_message(type(estimator)))
    return ENTRIES[type(estimator)].outputs(estimator)


def build(estimator: Estimator, output: str | None = None) -> Stage:
    """Return the stage of a fitted estimator for one of its outputs, by default the first.

    Raises:
        InputError: if the estimator is not fitted, is not supported or does not have the output, or if its parameters
            are not finite.
    """
    available, name = outputs(estimator), type(estimator).__name__
    if output is None:
        output = next(iter(available))
    stage = available[check_choice(f"output of {name}", output, available)]()
    for leaf in jax.tree.leaves(stage):
        check_finite(f"the fitted parameters of {name}", leaf)
    return stage


def as_dtype(name: str, numbers: Any, dtype: Any) -> Any:
    """Return a pytree of finite numbers in another dtype; ``name`` stands for the numbers in the error message.

    Raises:
        InputError: if some numbers are too large for the dtype.
    """

    def convert(values: Any) -> jax.Array:
        with np.errstate(over="ignore"):
            # A copy, since JAX may share the memory of NumPy arrays, which the estimator may change later.
            array = jnp.array(values, dtype)
        if array.dtype != values.dtype and not isinstance(array, Tracer) and not jnp.isfinite(array).all():
            raise InputError(
                f"{name} overflow in {array.dtype}, whose largest number is {float(jnp.finfo(array.dtype).max):.2g}; "
                f"use a wider dtype, or rescale the features before the fit."
            )
        return array

    return jax.tree.map(convert, numbers)


def out_size(stage: Stage) -> int:
    """Return the output size of a stage."""
    dtype = jax.dtypes.canonicalize_dtype(jnp.result_type(float, *jax.tree.leaves(stage)))
    point = jax.ShapeDtypeStruct(stage.in_shape, dtype)
    return jax.eval_shape(lambda function, x: function(x), stage, point).shape[0]


def check_fitted(estimator: Estimator) -> None:
    """Raise an InputError unless the object is a fitted scikit-learn estimator."""
    if not isinstance(estimator, BaseEstimator):
        raise InputError(
            f"expected a fitted scikit-learn estimator; got {type(estimator).__name__}, which is not derived from "
            f"BaseEstimator, so fit a supported estimator or write the stage by hand."
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise not_fitted(estimator) from error
    # check_is_fitted accepts a Normalizer or a Gaussian process that was never fitted.
    has_check = hasattr(estimator, "__sklearn_is_fitted__")
    if not has_check and not any(name.endswith("_") for name in vars(estimator)):
        raise not_fitted(estimator)


def not_fitted(estimator: Estimator) -> InputError:
    """Return the error for an estimator that is not fitted."""
    return InputError(f"{type(estimator).__name__} is not fitted; call its fit before the conversion.")


def check_one_label(estimator: Estimator) -> None:
    """Raise an InputError for a multi-label classifier, which predicts several labels per example."""
    with warnings.catch_warnings():
        # An estimator fitted on a table with column names warns about an array without names.
        warnings.simplefilter("ignore", UserWarning)
        labels = estimator.predict(np.zeros((1, estimator.n_features_in_)))
    if np.ndim(labels) > 1:
        name = type(estimator).__name__
        raise InputError(f"{name} was fitted on several labels per example; fit one classifier per label.")


def is_identity(step: Any) -> bool:
    """Whether a step of a Pipeline, or a part of a union or column transformer, does not change its features."""
    if isinstance(step, Pipeline):
        return all(is_identity(inner) for _, inner in step.steps)
    if isinstance(step, FrozenEstimator):
        return is_identity(step.estimator)
    if isinstance(step, FunctionTransformer):
        return step.func is None
    return step is None or (isinstance(step, str) and step == "passthrough")


def steps_of(estimator: Estimator) -> list[Estimator]:
    """Return the steps of a Pipeline without identities, with nested pipelines and frozen estimators unpacked.

    For any other estimator it is a list of the estimator alone.
    """
    if isinstance(estimator, FrozenEstimator):
        return steps_of(estimator.estimator)
    if not isinstance(estimator, Pipeline) or is_identity(estimator):
        return [estimator]
    return [inner for _, step in estimator.steps if not is_identity(step) for inner in steps_of(step)]


def last_step(estimator: Estimator) -> Estimator:
    """Return the last estimator of a Pipeline, with nested pipelines and frozen estimators unpacked, else itself."""
    return steps_of(estimator)[-1]


def as_dense(matrix: Any) -> Any:
    """Return a dense or sparse matrix as a dense NumPy array of float64."""
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, np.float64)


def method_values(method: Callable[[np.ndarray], Any], points: np.ndarray) -> np.ndarray:
    """Return the values of a scikit-learn method at ``points``, to compute numbers that no public attribute holds."""
    with warnings.catch_warnings():
        # An estimator fitted on a table with column names warns about an array without names.
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(method(points), np.float64)
