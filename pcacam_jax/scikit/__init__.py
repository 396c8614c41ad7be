"""The scikit-learn door: what users have fitted becomes stages and heads."""

from pcacam_jax.scikit.convert import from_sklearn, outputs_of
from pcacam_jax.scikit.hybrid import hybrid_head
from pcacam_jax.scikit.own import scores_from_sklearn
from pcacam_jax.scikit.parity import pair_values, parity
from pcacam_jax.scikit.svm import svm_classifier
from pcacam_jax.scikit.table import ENTRIES

__all__ = [
    "ENTRIES",
    "from_sklearn",
    "hybrid_head",
    "outputs_of",
    "pair_values",
    "parity",
    "scores_from_sklearn",
    "svm_classifier",
]
