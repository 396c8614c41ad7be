"""Feature selection: x -> x[indices]."""

from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)

from pcacam_jax.scikit.reducers import register_transformer
from pcacam_jax.scikit.registry import Estimator
from pcacam_jax.stages.take import Take


def _selected(estimator: Estimator) -> Take:
    indices = estimator.get_support(indices=True)
    return Take(tuple(int(index) for index in indices), int(estimator.n_features_in_))


SELECTORS = (
    VarianceThreshold,
    SelectKBest,
    SelectPercentile,
    SelectFpr,
    SelectFdr,
    SelectFwe,
    GenericUnivariateSelect,
    SelectFromModel,
    RFE,
    RFECV,
    SequentialFeatureSelector,
)

for _kind in SELECTORS:
    register_transformer(_kind, "selection", "x[selected]", "", _selected)
