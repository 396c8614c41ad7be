"""Stages: one idea a file, a pytree of parameters with its map and its closed-form derivative, for ONE example."""

from pcacam_jax.stages.activation import ACTIVATIONS, Activation, Elementwise
from pcacam_jax.stages.affine import Affine, Scaling
from pcacam_jax.stages.dense import Dense
from pcacam_jax.stages.flatten import Flatten, MaxPool
from pcacam_jax.stages.kernel import KERNELS, Kernel, critical_distance, influence
from pcacam_jax.stages.svm import KernelExpansion, OvrDecision, PairwiseMargins, SVMClassifier

__all__ = [
    "ACTIVATIONS",
    "KERNELS",
    "Activation",
    "Affine",
    "Dense",
    "Elementwise",
    "Flatten",
    "Kernel",
    "KernelExpansion",
    "MaxPool",
    "OvrDecision",
    "PairwiseMargins",
    "SVMClassifier",
    "Scaling",
    "critical_distance",
    "influence",
]
