"""The scikit-learn door: what users have fitted becomes stages and heads."""

from pcacam_jax.scikit.estimators import BUILDERS, from_sklearn, svm_classifier
from pcacam_jax.scikit.hybrid import hybrid_head
from pcacam_jax.scikit.parity import parity

__all__ = ["BUILDERS", "from_sklearn", "hybrid_head", "parity", "svm_classifier"]
