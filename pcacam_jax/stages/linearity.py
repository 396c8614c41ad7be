"""Which stages are affine, so that their derivatives are the same at every point."""

from typing import Any

from pcacam_jax.stages.activation import Elementwise, is_identity
from pcacam_jax.stages.affine import Affine, Scaling
from pcacam_jax.stages.append import Append
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.classifier import Classifier
from pcacam_jax.stages.dense import Dense
from pcacam_jax.stages.flatten import Flatten, GlobalAverage
from pcacam_jax.stages.kernel_expansion import Expansion
from pcacam_jax.stages.parallel import Parallel
from pcacam_jax.stages.svm import PairwiseMargins, SVMClassifier
from pcacam_jax.stages.take import Take


def is_affine(stage: Any) -> bool:
    """Return whether a stage is known to be affine; False for stages that are not the library's.

    Example:
        >>> from pcacam_jax import Elementwise
        >>> from pcacam_jax.stages.linearity import is_affine
        >>> is_affine(Elementwise("identity", 3)), is_affine(Elementwise("relu", 3))
        (True, False)
    """
    if isinstance(stage, Chain | Parallel):
        return all(map(is_affine, stage.stages))
    if isinstance(stage, SVMClassifier):
        return is_affine(stage.pairs)
    if isinstance(stage, Classifier):
        return is_affine(stage.scores)
    if isinstance(stage, Elementwise):
        return is_identity(stage.name)
    if isinstance(stage, Dense):
        return is_identity(stage.activation)
    if isinstance(stage, Expansion):
        return stage.kernel == "linear"
    return isinstance(stage, Affine | Scaling | Append | Take | Flatten | GlobalAverage | PairwiseMargins)
