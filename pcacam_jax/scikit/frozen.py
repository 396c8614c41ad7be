"""Frozen estimators, which a meta-estimator leaves as they are: each is the estimator that it holds."""

from sklearn.frozen import FrozenEstimator

from pcacam_jax.scikit.registry import Entry, Estimator, outputs, register, steps_of

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


def last_step(estimator: Estimator) -> Estimator:
    """Return the estimator that ends a Pipeline, however deep in pipelines and frozen estimators; else itself."""
    last = steps_of(estimator)[-1]
    if isinstance(last, FrozenEstimator):
        return last_step(last.estimator)
    return last if last is estimator else last_step(last)
