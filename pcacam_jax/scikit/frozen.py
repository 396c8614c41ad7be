"""Frozen estimators, which a meta-estimator leaves as they are: each is the estimator that it holds."""

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from pcacam_jax.scikit.registry import Entry, Estimator, is_identity, outputs, register, steps_of

register(
    Entry(
        FrozenEstimator,
        "composition",
        "its estimator's",
        "",
        lambda frozen: outputs(frozen.estimator),
        ("those of its estimator",),
    )
)


def all_steps(estimator: Estimator) -> list[Estimator]:
    """Return the steps of a Pipeline that do something, out of all pipelines and frozen estimators; else itself."""
    if isinstance(estimator, FrozenEstimator):
        return all_steps(estimator.estimator)
    if not isinstance(estimator, Pipeline) or is_identity(estimator):
        return [estimator]
    return [own for step in steps_of(estimator) for own in all_steps(step)]


def last_step(estimator: Estimator) -> Estimator:
    """Return the estimator that ends a Pipeline, however deep in pipelines and frozen estimators; else itself."""
    return all_steps(estimator)[-1]
