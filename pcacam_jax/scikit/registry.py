"""Registry of the supported estimators, filled by the other modules of this package."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import sklearn
from jax.core import Tracer
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from pcacam_jax.core.checks import InputError, check_choice, check_finite
from pcacam_jax.core.text import one_line
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.steps import Estimator, is_pipeline, last_step
from pcacam_jax.scikit.unsupported import unsupported_message

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
    kind = Pipeline if is_pipeline(estimator) else type(estimator)
    if kind not in ENTRIES:
        raise InputError(unsupported_message(kind))
    with readable(estimator):
        return ENTRIES[kind].outputs(estimator)


def build(estimator: Estimator, output: str | None = None) -> Stage:
    """Return the stage of a fitted estimator for one of its outputs, by default the first.

    Raises:
        InputError: if the estimator is not fitted, is not supported or does not have the output, or if its parameters
            are not finite.
    """
    available, name = outputs(estimator), type(estimator).__name__
    if output is None:
        output = next(iter(available))
    check_choice(f"output of {name}", output, available)
    with readable(estimator):
        stage = jax.tree.map(as_dense, available[output]())
    for leaf in jax.tree.leaves(stage):
        check_finite(f"the fitted parameters of {name}", leaf)
    return stage


@contextlib.contextmanager
def readable(estimator: Estimator) -> Iterator[None]:
    """Raise an InputError instead of the errors that missing or malformed fitted attributes cause inside."""
    try:
        yield
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(estimator, error) from error


def _unreadable(estimator: Estimator, error: Exception) -> InputError:
    current, part = sklearn.__version__, getattr(error, "obj", None)
    if isinstance(error, AttributeError) and isinstance(part, BaseEstimator):
        estimator = part
        problem = f"{type(part).__name__} has no attribute {error.name!r}, which scikit-learn {current} sets in fit"
    else:
        problem = f"the fitted attributes of {type(estimator).__name__} cannot be read ({one_line(error)})"
    # scikit-learn drops this entry when it loads a pickle of an estimator, so it is seldom known.
    version = getattr(estimator, "_sklearn_version", None)
    origin = f"with scikit-learn {version}" if version else "with another version of scikit-learn or changed afterwards"
    return InputError(
        f"{problem}, so it was fitted {origin}; fit it again with scikit-learn {current}, or convert it where the "
        f"version it was fitted with is installed."
    )


def check_output(output: Any) -> None:
    """Raise an InputError unless ``output`` is a string or None."""
    if output is not None and not isinstance(output, str):
        raise InputError(f"output must be the name of an output, such as 'decision'; got {type(output).__name__}.")


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
    if is_pipeline(estimator) and (not isinstance(estimator, Pipeline) or is_pipeline(estimator.steps[-1][1])):
        return  # its steps are checked one by one, since check_is_fitted does not know pipelines of other libraries
    if not isinstance(estimator, BaseEstimator):
        raise InputError(
            f"expected a fitted scikit-learn estimator; got {type(estimator).__name__}, which is not derived from "
            f"BaseEstimator, so fit a supported estimator or write the stage by hand."
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise not_fitted(estimator) from error
    except TypeError as error:  # the last step of a Pipeline has no fit
        raise InputError(unsupported_message(type(last_step(estimator)))) from error
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


def as_dense(matrix: Any) -> Any:
    """Return a dense or sparse matrix as a dense NumPy array of float64, in the byte order of this computer."""
    if isinstance(matrix, np.ma.MaskedArray):
        raise InputError("fitted parameters must not be masked arrays, because the mask would be ignored; fill them.")
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, np.float64)


def method_values(method: Callable[[np.ndarray], Any], points: np.ndarray) -> np.ndarray:
    """Return the values of a scikit-learn method at ``points``, to compute numbers that no public attribute holds."""
    with warnings.catch_warnings():
        # An estimator fitted on a table with column names warns about an array without names.
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(method(points), np.float64)
