"""Where a CNN looked for each principal component and each SVM decision, from closed-form Jacobians."""

import importlib
from typing import TYPE_CHECKING

from pcacam_jax.chain import Chain
from pcacam_jax.checks import InputError
from pcacam_jax.explain import Explanation, explain
from pcacam_jax.head import HybridHead
from pcacam_jax.jacobian import jacobian
from pcacam_jax.stages import (
    Affine,
    Dense,
    Elementwise,
    Flatten,
    KernelExpansion,
    MaxPool,
    OvrDecision,
    PairwiseMargins,
    Scaling,
    SVMClassifier,
    critical_distance,
    influence,
)
from pcacam_jax.types import NOTATION, Stage
from pcacam_jax.verify import Certificate, certify, verify

if TYPE_CHECKING:
    from pcacam_jax.run import Run, load
    from pcacam_jax.scikit import from_sklearn, hybrid_head

__version__ = "0.1.0"

_DOORS = {
    "from_sklearn": "pcacam_jax.scikit",
    "hybrid_head": "pcacam_jax.scikit",
    "Run": "pcacam_jax.run",
    "load": "pcacam_jax.run",
}
"""Names whose rooms import a large library; the room is entered when the name is first used."""

__all__ = [
    "NOTATION",
    "Affine",
    "Certificate",
    "Chain",
    "Dense",
    "Elementwise",
    "Explanation",
    "Flatten",
    "HybridHead",
    "InputError",
    "KernelExpansion",
    "MaxPool",
    "OvrDecision",
    "PairwiseMargins",
    "Run",
    "SVMClassifier",
    "Scaling",
    "Stage",
    "certify",
    "critical_distance",
    "explain",
    "from_sklearn",
    "hybrid_head",
    "influence",
    "jacobian",
    "load",
    "verify",
]


def __getattr__(name: str):
    if name in _DOORS:
        return getattr(importlib.import_module(_DOORS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
