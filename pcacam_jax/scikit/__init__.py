"""The scikit-learn door: what users have fitted becomes stages and heads."""

from pcacam_jax.scikit.estimators import BUILDERS, from_sklearn, svm_classifier
from pcacam_jax.scikit.hybrid import hybrid_head
from pcacam_jax.scikit.parity import pair_values, parity

__all__ = ["BUILDERS", "from_sklearn", "hybrid_head", "pair_values", "parity", "svm_classifier"]
