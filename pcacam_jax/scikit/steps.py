"""The steps of pipelines, those of imbalanced-learn included, whose samplers do nothing at prediction."""

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

Estimator = Any
"""A scikit-learn object; its fitted attributes are not part of its static type."""


def is_pipeline(estimator: Any) -> bool:
    """Whether an object is scikit-learn's Pipeline, imbalanced-learn's, or another one that has samplers as steps.

    imbalanced-learn is not imported.
    """
    steps = getattr(estimator, "steps", None)
    if isinstance(estimator, type) or not isinstance(steps, list):
        return False
    is_known = type(estimator) is Pipeline or type(estimator).__module__.startswith("imblearn.pipeline")
    return is_known or any(isinstance(step, tuple) and len(step) == 2 and is_sampler(step[1]) for step in steps)


def is_sampler(step: Any) -> bool:
    """Whether a step changes the training examples only, as the samplers of imbalanced-learn do."""
    return hasattr(step, "fit_resample")


def is_identity(step: Any) -> bool:
    """Whether a step of a Pipeline, or a part of a union or column transformer, does not change its features."""
    if is_pipeline(step):
        return all(is_identity(inner) for _, inner in step.steps)
    if isinstance(step, FrozenEstimator):
        return is_identity(step.estimator)
    if isinstance(step, FunctionTransformer):
        return step.func is None
    return step is None or is_sampler(step) or (isinstance(step, str) and step == "passthrough")


def steps_of(estimator: Estimator) -> list[Estimator]:
    """Return the steps of a Pipeline without identities, with nested pipelines and frozen estimators unpacked.

    For any other estimator it is a list of the estimator alone.
    """
    if isinstance(estimator, FrozenEstimator):
        return steps_of(estimator.estimator)
    if not is_pipeline(estimator) or is_identity(estimator):
        return [estimator]
    return [inner for _, step in estimator.steps if not is_identity(step) for inner in steps_of(step)]


def last_step(estimator: Estimator) -> Estimator:
    """Return the last estimator of a Pipeline, with nested pipelines and frozen estimators unpacked, else itself."""
    return steps_of(estimator)[-1]
