"""The complete registry of estimators: this module imports every module that registers some."""

from pcacam_jax.scikit import (  # noqa: F401 (imported because they register estimators)
    composition,
    elementwise,
    feature_selection,
    gaussian,
    kernel_methods,
    linear_models,
    multiclass,
    perceptrons,
    probability,
    reducers,
    svm,
)
from pcacam_jax.scikit.registry import ENTRIES

__all__ = ["ENTRIES", "FAMILIES"]

FAMILIES = ("affine", "kernel expansion", "quadratic", "elementwise", "norm", "dense chain", "selection", "composition")
"""Every family of stages, in the order in which a table of estimators lists them."""
