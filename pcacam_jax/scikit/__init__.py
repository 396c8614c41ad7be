"""Conversion of fitted scikit-learn estimators to stages and heads."""

from pcacam_jax.scikit.agreement import pair_values, parity
from pcacam_jax.scikit.class_scores import scores_from_sklearn, svm_classifier
from pcacam_jax.scikit.conversion import from_sklearn, outputs_of
from pcacam_jax.scikit.head_builder import hybrid_head
from pcacam_jax.scikit.precision import PrecisionWarning
from pcacam_jax.scikit.table import ENTRIES

__all__ = [
    "ENTRIES",
    "PrecisionWarning",
    "from_sklearn",
    "hybrid_head",
    "outputs_of",
    "pair_values",
    "parity",
    "scores_from_sklearn",
    "svm_classifier",
]
