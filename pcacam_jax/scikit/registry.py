"""The table of estimators: what each one is as stages, entered by the rooms beside this one."""

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
from pcacam_jax.scikit.refusals import refusal

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
        InputError: not fitted, not supported, an output that this estimator does not have, or numbers that are not
            finite.
    """
    known, name = outputs(estimator), type(estimator).__name__
    if output is None:
        output = next(iter(known))
    stage = known[check_choice(f"output of {name}", output, known)]()
    for leaf in jax.tree.leaves(stage):
        check_finite(f"the fitted numbers of {name}", leaf)
    return stage


def as_dtype(name: str, numbers: Any, dtype: Any) -> Any:
    """Return a tree of finite numbers in another dtype.

    Raises:
        InputError: some are too large for it.
    """

    def convert(values: Any) -> jax.Array:
        with np.errstate(over="ignore"):
            # A copy: the owner may change its arrays later, and JAX would take them as they lie in memory.
            array = jnp.array(values, dtype)
        if array.dtype != values.dtype and not isinstance(array, Tracer) and not jnp.isfinite(array).all():
            raise InputError(
                f"{name} overflow in {array.dtype}, whose largest number is {float(jnp.finfo(array.dtype).max):.2g}; "
                f"take a wider dtype, or fit on features of another scale."
            )
        return array

    return jax.tree.map(convert, numbers)


def out_size(stage: Stage) -> int:
    """Return how many values a stage gives."""
    dtype = jax.dtypes.canonicalize_dtype(jnp.result_type(float, *jax.tree.leaves(stage)))
    point = jax.ShapeDtypeStruct(stage.in_shape, dtype)
    return jax.eval_shape(lambda own, x: own(x), stage, point).shape[0]


def check_fitted(estimator: Estimator) -> None:
    """Refuse an estimator that is not fitted, and what is no estimator."""
    if not isinstance(estimator, BaseEstimator):
        raise InputError(
            f"expected a fitted scikit-learn estimator; got {type(estimator).__name__}, which is not derived from its "
            f"BaseEstimator, so fit one of the README's table, or write a stage by hand."
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise not_fitted(estimator) from error
    # scikit-learn takes a Normalizer or a Gaussian process as fitted from the start.
    answers = hasattr(estimator, "__sklearn_is_fitted__")
    if not answers and not any(name.endswith("_") for name in vars(estimator)):
        raise not_fitted(estimator)


def not_fitted(estimator: Estimator) -> InputError:
    """Return the refusal of an estimator that is not fitted."""
    return InputError(f"{type(estimator).__name__} is not fitted; call its fit before the conversion.")


def check_one_label(estimator: Estimator) -> None:
    """Refuse a classifier fitted on several labels an example, which predicts a row of labels."""
    with warnings.catch_warnings():
        # Fitted on a table it warns that an array has no column names.
        warnings.simplefilter("ignore", UserWarning)
        labels = estimator.predict(np.zeros((1, estimator.n_features_in_)))
    if np.ndim(labels) > 1:
        name = type(estimator).__name__
        raise InputError(f"{name} was fitted on several labels an example; fit one classifier a label.")


def is_identity(step: Any) -> bool:
    """Whether a step of a Pipeline, or a part beside others, leaves its features as they are."""
    if isinstance(step, Pipeline):
        return all(is_identity(own) for _, own in step.steps)
    if isinstance(step, FrozenEstimator):
        return is_identity(step.estimator)
    if isinstance(step, FunctionTransformer):
        return step.func is None
    return step is None or (isinstance(step, str) and step == "passthrough")


def steps_of(estimator: Estimator) -> list[Estimator]:
    """Return the steps of a Pipeline that do something, out of all pipelines and frozen estimators; else itself."""
    if isinstance(estimator, FrozenEstimator):
        return steps_of(estimator.estimator)
    if not isinstance(estimator, Pipeline) or is_identity(estimator):
        return [estimator]
    return [own for _, step in estimator.steps if not is_identity(step) for own in steps_of(step)]


def last_step(estimator: Estimator) -> Estimator:
    """Return the estimator that ends a Pipeline, however deep in pipelines and frozen estimators; else itself."""
    return steps_of(estimator)[-1]


def as_dense(matrix: Any) -> Any:
    """Return a dense or sparse matrix as a dense NumPy array of float64, a leaf of a stage before it is JAX's."""
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, np.float64)


def own_values(method: Callable[[np.ndarray], Any], points: np.ndarray) -> np.ndarray:
    """Return what a public method gives at ``points``, for numbers that no public attribute holds."""
    with warnings.catch_warnings():
        # Fitted on a table it warns that an array has no column names; of a warning about NaN the caller takes care.
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(method(points), np.float64)
