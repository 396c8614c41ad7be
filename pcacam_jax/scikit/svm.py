"""Support vector machines: every one is a kernel expansion over its support vectors (Eq. 6, 24)."""

import itertools

import numpy as np
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from pcacam_jax.core.checks import InputError
from pcacam_jax.scikit.kernel_expansion import check_kernel, expansion
from pcacam_jax.scikit.probability import platt_outputs
from pcacam_jax.scikit.registry import Entry, Estimator, Outputs, as_dense, check_fitted, last_step, register
from pcacam_jax.stages import KernelExpansion, OvrDecision, PairwiseMargins
from pcacam_jax.stages.chain import Chain

KERNEL_NAMES = ("linear", "rbf", "poly", "sigmoid")
"""Every kernel that is taken from a support vector machine."""

MACHINES = (SVC, NuSVC, SVR, NuSVR, OneClassSVM)


def expansion_of(estimator: Estimator, *, collapse: bool = True) -> KernelExpansion:
    """Return the kernel expansion of a support vector machine, or of the one that ends a Pipeline.

    Args:
        estimator: fitted SVC, NuSVC, SVR, NuSVR or OneClassSVM; of several classes, one machine a pair.
        collapse: False keeps the support vectors of a linear kernel apart, whose sum is taken otherwise; then
            ``support`` lies in the order of the estimator's ``support_``, the rows of the training data.

    Leaves are NumPy's float64. Every number is public but one: gamma is ``_gamma``, with which the machine decides.
    "scale" is 1 / (d Var X) of training data that nothing else keeps, and the option may be set anew after the fit.
    """
    machine = last_step(estimator)
    if not isinstance(machine, MACHINES):
        names = ", ".join(kind.__name__ for kind in MACHINES)
        raise InputError(f"support vectors are kept by {names}; got {type(machine).__name__}.")
    check_fitted(machine)
    kernel = check_kernel(machine, KERNEL_NAMES)
    values = {"gamma": machine._gamma, "coef0": machine.coef0, "degree": machine.degree}
    coefficients = _pair_coefficients(as_dense(machine.dual_coef_), machine.n_support_)
    support = as_dense(machine.support_vectors_)
    return expansion(support, coefficients, machine.intercept_, kernel, values, collapse=collapse)


def _pair_coefficients(dual: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(P, n) alpha_i t_i from scikit-learn's (C - 1, n): support vectors lie class by class, ``counts`` of each.

    For the pair i < j, those of class i keep theirs in row j - 1 and those of class j in row i.
    """
    if len(dual) == 1:
        return dual
    ends = np.cumsum(counts)
    members = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    pairs = list(itertools.combinations(range(len(counts)), 2))
    coefficients = np.zeros((len(pairs), dual.shape[1]))
    for p, (i, j) in enumerate(pairs):
        coefficients[p, members[i]] = dual[j - 1, members[i]]
        coefficients[p, members[j]] = dual[i, members[j]]
    return coefficients


def _classifier_outputs(svc: Estimator) -> Outputs:
    check_kernel(svc, KERNEL_NAMES)
    classes = len(svc.classes_)

    def pairs() -> KernelExpansion:
        return expansion_of(svc)

    def ovr() -> Chain:
        return Chain((pairs(), OvrDecision(classes)))

    def margin() -> Chain:
        return Chain((pairs(), PairwiseMargins(classes)))

    decision = pairs if classes == 2 or svc.decision_function_shape == "ovo" else ovr
    return {"decision": decision, "pairs": pairs, "margin": margin, **platt_outputs(svc, pairs)}


def _regressor_outputs(svr: Estimator) -> Outputs:
    check_kernel(svr, KERNEL_NAMES)
    return {"predict": lambda: expansion_of(svr)}


def _detector_outputs(machine: Estimator) -> Outputs:
    check_kernel(machine, KERNEL_NAMES)
    return {"decision": lambda: expansion_of(machine)}


_NAMED = "kernels linear, rbf, poly and sigmoid; no callable or precomputed kernel"

for _kind in (SVC, NuSVC):
    register(
        Entry(
            _kind,
            "kernel expansion",
            "g = sum_i alpha_i t_i k(s_i, x) + b, a value a pair of classes; margin s_c = sum of signed pairs; "
            "ovr: votes + s / (3 (|s| + 1)); proba = sigmoid(A g - B), sigmoid(B - A g)",
            f"{_NAMED}; proba and log_proba with two classes and probability=True only, for more fit a "
            "CalibratedClassifierCV; they are Platt's sigmoid itself: "
            "scikit-learn's own values, made of the sigmoid clipped 1e-7 from 0 and 1, stop short of it by up to 0.005",
            _classifier_outputs,
            ("decision", "pairs", "margin", "log_proba", "proba"),
        )
    )
for _kind in (SVR, NuSVR):
    register(Entry(_kind, "kernel expansion", "sum_i alpha_i k(s_i, x) + b", _NAMED, _regressor_outputs, ("predict",)))
register(
    Entry(
        OneClassSVM,
        "kernel expansion",
        "sum_i alpha_i k(s_i, x) - rho, positive inside",
        _NAMED,
        _detector_outputs,
        ("decision",),
    )
)
