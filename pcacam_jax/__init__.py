"""Heatmaps for principal components and SVM decisions of CNN features, from closed-form Jacobians."""

import importlib
from typing import TYPE_CHECKING

from pcacam_jax.cam.decompose import Decomposition, decompose
from pcacam_jax.cam.evidence import Evidence, evidence
from pcacam_jax.cam.explain import explain
from pcacam_jax.cam.methods import cam_method
from pcacam_jax.cam.trust import Trust, trust
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.core.types import NOTATION, Stage
from pcacam_jax.core.version import __version__ as __version__
from pcacam_jax.head.check_outputs import check_outputs
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.layouts import (
    BatchNorm,
    batch_norm_of,
    dense_from_keras,
    dense_from_torch,
    fold_batch_norm,
    fold_batch_norm_before,
    maps_from_torch,
)
from pcacam_jax.nets.backbone import Backbone
from pcacam_jax.stages import (
    Affine,
    Append,
    Classifier,
    Dense,
    DiagonalQuadratic,
    Elementwise,
    Flatten,
    GlobalAverage,
    KernelExpansion,
    MaxPool,
    Normalise,
    OneVsOneExpansion,
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
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.jacobian import jacobian
from pcacam_jax.stages.parallel import Parallel
from pcacam_jax.verification.certificate import Certificate, certify, verify

if TYPE_CHECKING:
    from pcacam_jax.runs.run import Run, load
    from pcacam_jax.scikit import from_sklearn, hybrid_head, outputs_of
    from pcacam_jax.serialization.store import restore, save

_LAZY = {
    "from_sklearn": "pcacam_jax.scikit",
    "hybrid_head": "pcacam_jax.scikit",
    "outputs_of": "pcacam_jax.scikit",
    "restore": "pcacam_jax.serialization.store",
    "save": "pcacam_jax.serialization.store",
    "Run": "pcacam_jax.runs.run",
    "load": "pcacam_jax.runs.run",
}
"""Public names that are imported lazily, because their modules import a large library."""

__all__ = [
    "NOTATION",
    "Affine",
    "Append",
    "Backbone",
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
    "OneVsOneExpansion",
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
    "Trust",
    "batch_norm_of",
    "cam_method",
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
    "trust",
    "verify",
]


def __getattr__(name: str):
    """Import the modules behind ``_LAZY`` when one of their names is first used."""
    if name == "layouts":
        return importlib.import_module("pcacam_jax.head.layouts")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
