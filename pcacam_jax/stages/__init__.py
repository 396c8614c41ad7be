"""Stages: differentiable functions of one example with closed-form derivatives; their parameters are pytrees."""

from pcacam_jax.stages.activation import ACTIVATIONS, Activation, Elementwise
from pcacam_jax.stages.affine import Affine, Scaling
from pcacam_jax.stages.append import Append
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.classifier import Classifier
from pcacam_jax.stages.curvature import hessian
from pcacam_jax.stages.dense import Dense
from pcacam_jax.stages.flatten import Flatten, GlobalAverage, MaxPool
from pcacam_jax.stages.kernel import KERNELS, Kernel, critical_distance, influence
from pcacam_jax.stages.kernel_expansion import KernelExpansion, has_exponential_kernel, relative_kernels
from pcacam_jax.stages.linear import PiecewiseLinear, curved, push_forward
from pcacam_jax.stages.normalise import NORMS, Norm, Normalise
from pcacam_jax.stages.one_vs_one import OneVsOneExpansion
from pcacam_jax.stages.parallel import Parallel
from pcacam_jax.stages.power import POWER_METHODS, Power, PowerMethod
from pcacam_jax.stages.quadratic import DiagonalQuadratic, Quadratic
from pcacam_jax.stages.softmax import Softmax
from pcacam_jax.stages.svm import OvrDecision, PairwiseMargins, SVMClassifier
from pcacam_jax.stages.take import Take

__all__ = [
    "ACTIVATIONS",
    "KERNELS",
    "NORMS",
    "POWER_METHODS",
    "Activation",
    "Affine",
    "Append",
    "Chain",
    "Classifier",
    "Dense",
    "DiagonalQuadratic",
    "Elementwise",
    "Flatten",
    "GlobalAverage",
    "Kernel",
    "KernelExpansion",
    "MaxPool",
    "Norm",
    "Normalise",
    "OneVsOneExpansion",
    "OvrDecision",
    "PairwiseMargins",
    "Parallel",
    "PiecewiseLinear",
    "Power",
    "PowerMethod",
    "Quadratic",
    "SVMClassifier",
    "Scaling",
    "Softmax",
    "Take",
    "critical_distance",
    "curved",
    "has_exponential_kernel",
    "hessian",
    "influence",
    "push_forward",
    "relative_kernels",
]
