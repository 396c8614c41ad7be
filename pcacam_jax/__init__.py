"""Where a CNN looked for each principal component and each SVM decision, from closed-form Jacobians."""

import importlib
from typing import TYPE_CHECKING

from pcacam_jax.cam.decompose import Decomposition, decompose
from pcacam_jax.cam.evidence import Evidence, evidence
from pcacam_jax.chain import Chain
from pcacam_jax.checks import InputError
from pcacam_jax.compare import check_outputs
from pcacam_jax.explain import Explanation, explain
from pcacam_jax.head import HybridHead
from pcacam_jax.jacobian import jacobian
from pcacam_jax.layouts import (
    BatchNorm,
    batch_norm_of,
    dense_from_keras,
    dense_from_torch,
    fold_batch_norm,
    fold_batch_norm_before,
    maps_from_torch,
)
from pcacam_jax.parallel import Parallel
from pcacam_jax.stages import (
    Affine,
    Classifier,
    Dense,
    DiagonalQuadratic,
    Elementwise,
    Flatten,
    GlobalAverage,
    KernelExpansion,
    MaxPool,
    Normalise,
    OvrDecision,
    PairwiseMargins,
    Power,
    Quadratic,
    Scaling,
    Softmax,
    SVMClassifier,
    Take,
    critical_distance,
    influence,
)
from pcacam_jax.types import NOTATION, Stage
from pcacam_jax.verify import Certificate, certify, verify

if TYPE_CHECKING:
    from pcacam_jax.run import Run, load
    from pcacam_jax.scikit import from_sklearn, hybrid_head, outputs_of
    from pcacam_jax.store import restore, save

__version__ = "0.1.0"

_DOORS = {
    "from_sklearn": "pcacam_jax.scikit",
    "hybrid_head": "pcacam_jax.scikit",
    "outputs_of": "pcacam_jax.scikit",
    "restore": "pcacam_jax.store",
    "save": "pcacam_jax.store",
    "Run": "pcacam_jax.run",
    "load": "pcacam_jax.run",
}
"""Names whose rooms import a large library; the room is entered when the name is first used."""

__all__ = [
    "NOTATION",
    "Affine",
    "BatchNorm",
    "Certificate",
    "Chain",
    "Classifier",
    "Decomposition",
    "Dense",
    "DiagonalQuadratic",
    "Elementwise",
    "Evidence",
    "Explanation",
    "Flatten",
    "GlobalAverage",
    "HybridHead",
    "InputError",
    "KernelExpansion",
    "MaxPool",
    "Normalise",
    "OvrDecision",
    "PairwiseMargins",
    "Parallel",
    "Power",
    "Quadratic",
    "Run",
    "SVMClassifier",
    "Scaling",
    "Softmax",
    "Stage",
    "Take",
    "batch_norm_of",
    "certify",
    "check_outputs",
    "critical_distance",
    "decompose",
    "dense_from_keras",
    "dense_from_torch",
    "evidence",
    "explain",
    "fold_batch_norm",
    "fold_batch_norm_before",
    "from_sklearn",
    "hybrid_head",
    "influence",
    "jacobian",
    "load",
    "maps_from_torch",
    "outputs_of",
    "restore",
    "save",
    "verify",
]


def __getattr__(name: str):
    if name in _DOORS:
        return getattr(importlib.import_module(_DOORS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
