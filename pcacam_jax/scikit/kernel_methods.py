"""Kernel PCA, Nystroem, kernel ridge and Gaussian process regression: linear in the kernels of training examples."""

import copy
from typing import Any

import numpy as np
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Kernel, Product, Sum, WhiteKernel
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import pairwise_kernels

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.kernel_expansion import check_kernel, expansion
from pcacam_jax.scikit.registry import Entry, Estimator, Outputs, as_dense, method_values, register
from pcacam_jax.stages import Normalise, Scaling
from pcacam_jax.stages.chain import Chain

PAIRWISE = ("linear", "rbf", "poly", "polynomial", "sigmoid", "cosine")
"""The supported kernels of scikit-learn's ``pairwise_kernels``."""

BLOCK = 1024
"""The number of training examples whose kernels are in memory at a time."""

LARGE = 2.0**60
"""A number beside which the mean of the training targets is negligible."""


def _pairwise_stage(support: Any, coefficients: Any, intercept: Any, kernel: str, values: dict[str, Any]) -> Stage:
    """Return x -> coefficients k(x, support) + intercept for a kernel of ``PAIRWISE``."""
    if kernel == "cosine":
        norms = np.linalg.norm(support, axis=1, keepdims=True)
        directions = support / np.where(norms == 0, 1, norms)
        return Chain((Normalise("l2", support.shape[1]), expansion(directions, coefficients, intercept, "linear", {})))
    return expansion(support, coefficients, intercept, "poly" if kernel == "polynomial" else kernel, values)


def _kernel_pca_outputs(estimator: Estimator) -> Outputs:
    check_kernel(estimator, PAIRWISE)
    return {"transform": lambda: _kernel_pca(estimator)}


def _kernel_pca(estimator: Estimator) -> Stage:
    """Return the stage x -> A (k - mean(k) 1 - r + m), with the centring moved into coefficients and intercept.

    k is the vector of kernels k(x, x_i) of all training examples x_i; r_i is the mean kernel of x_i with all training
    examples, and m the mean of r. The centring is linear in k, so the stage is a plain kernel expansion.
    """
    projection = np.zeros_like(estimator.eigenvectors_.T)
    nonzero = estimator.eigenvalues_ != 0
    projection[nonzero] = (estimator.eigenvectors_[:, nonzero] / np.sqrt(estimator.eigenvalues_[nonzero])).T
    values = {"gamma": _kernel_pca_gamma(estimator), "coef0": estimator.coef0, "degree": estimator.degree}
    training = as_dense(estimator.X_fit_)
    means = _mean_kernels(training, estimator.kernel, values)
    intercept = projection.sum(axis=1) * means.mean() - projection @ means
    centred = projection - projection.mean(axis=1, keepdims=True)
    return _pairwise_stage(training, centred, intercept, estimator.kernel, values)


def _kernel_pca_gamma(estimator: Estimator) -> float:
    """Return ``gamma_``, or what it would be for an estimator of scikit-learn before 1.3, which did not store it."""
    default = 1 / estimator.n_features_in_ if estimator.gamma is None else estimator.gamma
    return getattr(estimator, "gamma_", default)


def _mean_kernels(training: np.ndarray, kernel: str, values: dict[str, Any]) -> np.ndarray:
    means = np.zeros(len(training))
    for start in range(0, len(training), BLOCK):
        block = training[start : start + BLOCK]
        means += pairwise_kernels(block, training, metric=kernel, filter_params=True, **values).sum(axis=0)
    return means / len(training)


def _nystroem_outputs(estimator: Estimator) -> Outputs:
    check_kernel(estimator, PAIRWISE)
    return {"transform": lambda: _nystroem(estimator)}


def _nystroem(estimator: Estimator) -> Stage:
    """Return the stage x -> N k(x, basis), where N = K^(-1/2) of the basis."""
    values = {"gamma": 1 / estimator.n_features_in_, "coef0": 1, "degree": 3}
    options = {name: getattr(estimator, name) for name in values}
    for parameters in (estimator.kernel_params or {}, options):
        values |= {name: value for name, value in parameters.items() if value is not None}
    matrix = as_dense(estimator.normalization_)
    return _pairwise_stage(as_dense(estimator.components_), matrix, np.zeros(len(matrix)), estimator.kernel, values)


def _kernel_ridge_outputs(estimator: Estimator) -> Outputs:
    check_kernel(estimator, PAIRWISE)
    return {"predict": lambda: _kernel_ridge(estimator)}


def _kernel_ridge(estimator: Estimator) -> Stage:
    """Return the stage x -> sum_i alpha_i k(x_i, x)."""
    training = as_dense(estimator.X_fit_)
    coefficients = as_dense(estimator.dual_coef_).reshape(len(training), -1).T
    gamma = 1 / training.shape[1] if estimator.gamma is None else estimator.gamma
    values = {"gamma": gamma, "coef0": estimator.coef0, "degree": estimator.degree}
    return _pairwise_stage(training, coefficients, np.zeros(len(coefficients)), estimator.kernel, values)


def _process_outputs(estimator: Estimator) -> Outputs:
    _kernel_parameters(estimator.kernel_)
    return {"predict": lambda: _process(estimator)}


def _process(estimator: Estimator) -> Stage:
    """Return the stage x -> mean + std sum_i alpha_i (c exp(-||(x_i - x) / l||^2 / 2) + constant)."""
    amplitude, length, constant = _kernel_parameters(estimator.kernel_)
    training = as_dense(estimator.X_train_)
    length: Any = np.array(np.broadcast_to(length, training.shape[1:]), np.float64)
    mean, deviation = _target_statistics(estimator)
    alpha = deviation[:, None] * estimator.alpha_.reshape(len(training), -1).T
    intercept = mean + constant * alpha.sum(axis=1)
    rbf = expansion(training / length, amplitude * alpha, intercept, "rbf", {"gamma": 0.5})
    return Chain((Scaling(1 / length, np.zeros_like(length)), rbf))


def _target_statistics(estimator: Estimator) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the T training targets, (T,) each.

    They are private in scikit-learn. A copy of the estimator whose kernel is 1 everywhere predicts
    mean + std sum_i alpha_i for any alpha, so two predictions determine both.
    """
    probe = copy.copy(estimator)
    probe.kernel_ = ConstantKernel(1.0)
    point = estimator.X_train_[:1]
    probe.alpha_ = np.zeros_like(estimator.alpha_)
    mean = method_values(probe.predict, point).ravel()
    probe.alpha_[0] = LARGE
    return mean, (method_values(probe.predict, point).ravel() - mean) / LARGE


def _kernel_parameters(kernel: Kernel) -> tuple[float, Any, float]:
    """Return c, l and the constant of a kernel c exp(-||(x - y) / l||^2 / 2) + constant of different examples x, y."""
    terms = _terms(kernel)
    rbf_terms = [term for term in terms if term[1] is not None]
    if len(rbf_terms) != 1:
        raise _unsupported_kernel(kernel)
    return *rbf_terms[0], sum(factor for factor, length in terms if length is None)


def _terms(kernel: Kernel) -> list[tuple[float, Any]]:
    """Return the terms (factor, length) of a kernel of different examples; the length of a constant is None."""
    # Not isinstance, since Matern is derived from RBF.
    if type(kernel) is RBF:
        return [(1.0, kernel.length_scale)]
    if isinstance(kernel, ConstantKernel):
        return [(kernel.constant_value, None)]
    if isinstance(kernel, WhiteKernel):
        # Its value is zero for different examples.
        return []
    if isinstance(kernel, Sum):
        return _terms(kernel.k1) + _terms(kernel.k2)
    if isinstance(kernel, Product):
        return [_product(kernel, one, other) for one in _terms(kernel.k1) for other in _terms(kernel.k2)]
    raise _unsupported_kernel(kernel)


def _product(kernel: Product, one: tuple[float, Any], other: tuple[float, Any]) -> tuple[float, Any]:
    if one[1] is not None and other[1] is not None:
        raise _unsupported_kernel(kernel)
    return one[0] * other[0], one[1] if other[1] is None else other[1]


def _unsupported_kernel(kernel: Kernel) -> InputError:
    return InputError(
        f"the kernel of GaussianProcessRegressor must be one RBF, optionally times constants, plus constants or a "
        f"WhiteKernel; got {kernel}, so fit with such a kernel or use an SVR."
    )


register(
    Entry(
        KernelPCA,
        "kernel expansion",
        "A (k(x) - mean k(x) - r + m), A = diag(lambda)^(-1/2) V^T; cosine: the linear kernel of x / ||x||",
        "kernels linear, rbf, poly, sigmoid and cosine, not callable or precomputed",
        _kernel_pca_outputs,
        ("transform",),
    )
)
register(
    Entry(
        Nystroem,
        "kernel expansion",
        "N k(x, basis), N = K^(-1/2) of the basis; cosine: the linear kernel of x / ||x||",
        "kernels linear, rbf, poly, sigmoid and cosine, not callable or precomputed",
        _nystroem_outputs,
        ("transform",),
    )
)
register(
    Entry(
        KernelRidge,
        "kernel expansion",
        "sum_i alpha_i k(x_i, x); cosine: the linear kernel of x / ||x||",
        "kernels linear, rbf, poly, sigmoid and cosine, not callable or precomputed",
        _kernel_ridge_outputs,
        ("predict",),
    )
)
register(
    Entry(
        GaussianProcessRegressor,
        "kernel expansion",
        "mean + std sum_i alpha_i (c exp(-||(x_i - x) / l||^2 / 2) + constant)",
        "kernel: one RBF, optionally times constants, plus constants and a WhiteKernel; predicts the mean without its "
        "standard deviation",
        _process_outputs,
        ("predict",),
    )
)
