"""Support vector machines as kernel expansions over their support vectors (Eq. 6, 24)."""

import dataclasses
from typing import Any

import numpy as np
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.kernel_expansion import check_kernel, expansion, kernel_parameters
from pcacam_jax.scikit.probability import platt_outputs
from pcacam_jax.scikit.registry import Entry, Outputs, as_dense, check_fitted, register
from pcacam_jax.scikit.steps import Estimator, last_step
from pcacam_jax.stages import KernelExpansion, OneVsOneExpansion, OvrDecision, PairwiseMargins
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.one_vs_one import pair_classes

KERNEL_NAMES = ("linear", "rbf", "poly", "sigmoid")
"""The supported kernels of scikit-learn's support vector machines."""

COLLAPSED_FLOATS = 2**24
"""Largest size of the summed vectors of all pairs of a linear SVM, unless its support vectors are as large."""

SVM_CLASSES = (SVC, NuSVC, SVR, NuSVR, OneClassSVM)


def expansion_of(estimator: Estimator, *, collapse: bool = True) -> KernelExpansion | OneVsOneExpansion:
    """Return the kernel expansion of a support vector machine, ``g(v) = sum_i alpha_i t_i k(s_i, v) + b`` (Eq. 6).

    The transforms of earlier Pipeline steps are not included.

    Args:
        estimator: a fitted SVC, NuSVC, SVR, NuSVR or OneClassSVM, or a Pipeline that ends in one.
        collapse: whether to sum the support vectors of a linear kernel into one vector per pair of classes, unless
            these are so many that they need much more memory. With False every support vector is kept, in the order of
            the estimator's ``support_``. Other kernels always keep them.

    Returns:
        A stage ``(D,) -> (P,)`` with one value per pair of classes, or one value without classes, and arrays in NumPy's
        float64: a :class:`~pcacam_jax.OneVsOneExpansion` for support vectors of more than two classes, otherwise a
        :class:`~pcacam_jax.KernelExpansion`.

    Raises:
        InputError: if the estimator is of another class, is not fitted or has an unsupported kernel.

    Example:
        >>> from pcacam_jax.scikit.svm import expansion_of
        >>> from sklearn.svm import SVC
        >>> svm = SVC(kernel="linear").fit([[-1.0], [1.0]], [0, 1])
        >>> expansion_of(svm, collapse=False).support.tolist()
        [[-1.0], [1.0]]
    """
    svm = last_step(estimator)
    if not isinstance(svm, SVM_CLASSES):
        names = ", ".join(kind.__name__ for kind in SVM_CLASSES)
        raise InputError(f"an estimator with support vectors must be one of {names}; got {type(svm).__name__}.")
    check_fitted(svm)
    kernel = check_kernel(svm, KERNEL_NAMES)
    # _gamma is the value that the SVM computes with. The option gamma may have been changed after the fit, and "scale"
    # stands for 1 / (d Var X) of training data that the estimator does not store.
    values = {"gamma": svm._gamma, "coef0": svm.coef0, "degree": svm.degree}
    dual, support = as_dense(svm.dual_coef_), as_dense(svm.support_vectors_)
    if len(getattr(svm, "classes_", ())) < 3:
        return expansion(support, dual, svm.intercept_, kernel, values, collapse=collapse)
    counts, parameters = tuple(map(int, svm.n_support_)), kernel_parameters(kernel, values)
    pairs: Any = OneVsOneExpansion(support, dual, svm.intercept_, parameters, counts, kernel)
    size, least = len(svm.intercept_) * support.shape[1], support.size + dual.size
    return _collapsed(pairs) if kernel == "linear" and collapse and size <= max(least, COLLAPSED_FLOATS) else pairs


def _collapsed(pairs: OneVsOneExpansion) -> KernelExpansion:
    """Return a linear expansion with one vector per pair, the weighted sum of its support vectors (Eq. 25).

    Most digits of this sum cancel, so it is computed once, here, in float64.
    """
    ends = np.cumsum(pairs.counts)
    parts = [slice(end - count, end) for end, count in zip(ends, pairs.counts, strict=True)]
    sums = np.array([pairs.dual[:, part] @ pairs.support[part] for part in parts])
    first, second = pair_classes(pairs.classes)
    vectors: Any = sums[first, second - 1] + sums[second, first]
    return KernelExpansion(vectors, None, pairs.intercept, {}, "linear")


def _margins_of(svc: Estimator) -> Stage:
    """Return the stage of the class margins."""
    pairs: Any = expansion_of(svc, collapse=False)
    if not isinstance(pairs, OneVsOneExpansion):
        return Chain((expansion_of(svc), PairwiseMargins(2)))
    margins: Any = pairs.margins
    if margins.kernel != "linear":
        return margins
    return dataclasses.replace(margins, support=margins.coefficients @ margins.support, coefficients=None)


def _classifier_outputs(svc: Estimator) -> Outputs:
    check_kernel(svc, KERNEL_NAMES)
    classes = len(svc.classes_)

    def pairs() -> Stage:
        return expansion_of(svc)

    def ovr() -> Chain:
        return Chain((pairs(), OvrDecision(classes)))

    decision = pairs if classes == 2 or svc.decision_function_shape == "ovo" else ovr
    return {"decision": decision, "pairs": pairs, "margin": lambda: _margins_of(svc), **platt_outputs(svc, pairs)}


def _regressor_outputs(svr: Estimator) -> Outputs:
    check_kernel(svr, KERNEL_NAMES)
    return {"predict": lambda: expansion_of(svr)}


def _detector_outputs(detector: Estimator) -> Outputs:
    check_kernel(detector, KERNEL_NAMES)
    return {"decision": lambda: expansion_of(detector)}


KERNEL_LIMITS = "kernels linear, rbf, poly and sigmoid, not callable or precomputed"

for _kind in (SVC, NuSVC):
    register(
        Entry(
            _kind,
            "kernel expansion",
            "pairs g = sum_i alpha_i t_i k(s_i, x) + b; margin s_c = sum of the g of the pairs with class c, signed "
            "toward c; ovr decision votes + s / (3 (|s| + 1)); proba sigmoid(A g - B), sigmoid(B - A g)",
            f"{KERNEL_LIMITS}; proba and log_proba only with two classes and probability=True (with more classes fit "
            "a CalibratedClassifierCV); they are Platt's sigmoid, from which predict_proba differs by up to 0.005, "
            "since scikit-learn clips the sigmoid 1e-7 from 0 and 1 and then runs an iteration that stops early",
            _classifier_outputs,
            ("decision", "pairs", "margin", "log_proba", "proba"),
        )
    )
for _kind in (SVR, NuSVR):
    register(
        Entry(
            _kind,
            "kernel expansion",
            "sum_i alpha_i k(s_i, x) + b",
            KERNEL_LIMITS,
            _regressor_outputs,
            ("predict",),
        )
    )
register(
    Entry(
        OneClassSVM,
        "kernel expansion",
        "sum_i alpha_i k(s_i, x) - rho, positive for inliers",
        KERNEL_LIMITS,
        _detector_outputs,
        ("decision",),
    )
)
