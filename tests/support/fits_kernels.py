"""Random fits of support vector machines, kernel methods, Gaussian classifiers and classifiers of classifiers."""

import contextlib
import warnings
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import expit, log_expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, NuSVR, OneClassSVM
from support import parities
from support.fits import Draw, fit_of


def kernel_options(draw: Draw) -> dict[str, Any]:
    """Return the kernel of a support vector machine and its parameters."""
    return {
        "kernel": draw.choice("linear", "rbf", "poly", "sigmoid"),
        "gamma": draw.choice("scale", "auto", draw.number(0.02, 0.5)),
        "coef0": draw.choice(0.0, draw.number(0.1, 2), -draw.number(0.1, 1)),
        "degree": draw.integer(1, 4),
    }


def _decision_options(draw: Draw) -> dict[str, Any]:
    shape = draw.choice("ovr", "ovr", "ovo")
    return {"decision_function_shape": shape, "break_ties": shape == "ovr" and draw.flag()}


def _dense_or_sparse(draw: Draw, x: np.ndarray) -> Any:
    return draw.choice(x, x, csr_matrix(np.where(np.abs(x) < 0.3, 0, x)))


def svc(draw: Draw, **options: Any) -> SVC:
    """Return an unfitted SVC."""
    return SVC(
        C=draw.number(0.05, 20),
        class_weight=draw.choice(None, "balanced"),
        **kernel_options(draw) | _decision_options(draw) | options,
    )


@fit_of("SVC")
def _svc(draw: Draw):
    x, y = draw.labelled()
    return svc(draw), _dense_or_sparse(draw, x), y


@fit_of("SVC, probability")
def _svc_with_probability(draw: Draw):
    return svc(draw, probability=True, random_state=draw.integer(0, 99)), *draw.labelled(classes=2)


@fit_of("NuSVC")
def _nu_svc(draw: Draw):
    # An SVM that hardly separates has large coefficients, whose terms cancel and lose digits, also in scikit-learn.
    while True:
        x, y = draw.labelled()
        x = _dense_or_sparse(draw, x)
        most = 0.9 * 2 * np.unique(y, return_counts=True)[1].min() / len(y)
        options = kernel_options(draw) | _decision_options(draw)
        estimator = NuSVC(nu=most * draw.number(0.3, 1), max_iter=100_000, **options)
        # With an indefinite kernel libsvm may find no finite solution, or need very many iterations.
        with contextlib.suppress(ValueError), warnings.catch_warnings(action="ignore"):
            if abs(estimator.fit(x, y).dual_coef_).max() < 10:
                return estimator, x, y


@fit_of("SVR")
def _svr(draw: Draw):
    x = draw.points()
    epsilon = draw.choice(0.1, draw.number(0.01, 1), 20.0)
    estimator = SVR(C=draw.number(0.05, 20), epsilon=epsilon, **kernel_options(draw))
    return estimator, _dense_or_sparse(draw, x), draw.targets(x)


@fit_of("NuSVR")
def _nu_svr(draw: Draw):
    x = draw.points()
    estimator = NuSVR(C=draw.number(0.05, 20), nu=draw.number(0.1, 0.9), **kernel_options(draw))
    return estimator, _dense_or_sparse(draw, x), draw.targets(x)


@fit_of("OneClassSVM")
def _one_class(draw: Draw):
    options = kernel_options(draw) | {"kernel": draw.choice("linear", "rbf", "rbf", "poly")}
    return OneClassSVM(nu=draw.number(0.05, 0.8), **options), _dense_or_sparse(draw, draw.points()), None


def _pairwise_options(draw: Draw) -> dict[str, Any]:
    kernel = draw.choice("linear", "rbf", "poly", "sigmoid", "cosine")
    return {"kernel": kernel, "gamma": draw.choice(None, draw.number(0.05, 0.3)), "degree": draw.choice(2, 3, 2.5)}


def _for_powers(options: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """Return positive data for a non-integer degree, which needs a positive base."""
    return np.abs(x) if options["kernel"] == "poly" and options["degree"] % 1 else x


@fit_of("KernelPCA")
def _kernel_pca(draw: Draw):
    options, x = _pairwise_options(draw), draw.points()
    components = draw.integer(1, 2)
    estimator = KernelPCA(components, coef0=draw.choice(1, draw.number(0.1, 2)), **options)
    return estimator, _for_powers(options, x), None


@fit_of("KernelRidge")
def _kernel_ridge(draw: Draw):
    options, x = _pairwise_options(draw), draw.points()
    return (
        KernelRidge(alpha=draw.number(1, 20), **options),
        _for_powers(options, x),
        draw.targets(x, draw.choice(None, 3)),
    )


@fit_of("Nystroem")
def _nystroem(draw: Draw):
    options, x = _pairwise_options(draw), draw.points()
    if draw.flag():
        options["kernel_params"] = {"gamma": options.pop("gamma")} if options["gamma"] else {}
    if options["kernel"] != "poly":
        options.pop("degree")
    if options["kernel"] in ("poly", "sigmoid"):
        options["coef0"] = draw.choice(None, 0.5)
    estimator = Nystroem(n_components=draw.integer(1, 2), random_state=draw.integer(0, 99), **options)
    return estimator, _for_powers({"degree": 3, **options}, x), None


@fit_of("GaussianProcessRegressor")
def _process(draw: Draw):
    x = draw.points()
    length = draw.choice(draw.number(0.5, 2), np.exp(draw.random.normal(size=x.shape[1])))
    kernel = draw.choice(RBF(length), ConstantKernel(draw.number(0.2, 5)) * RBF(length))
    kernel = draw.choice(kernel, kernel + WhiteKernel(draw.number(0.01, 1)), kernel + ConstantKernel(0.5), None)
    estimator = GaussianProcessRegressor(kernel, alpha=0.1, normalize_y=draw.flag(), optimizer=None)
    return estimator, x, 3 + draw.targets(x, draw.choice(None, 1, 3))


@fit_of("QuadraticDiscriminantAnalysis")
def _qda(draw: Draw):
    x = draw.points(size=draw.integer(1, 3))
    y = draw.labels(x, classes=draw.integer(2, 4))
    priors = draw.choice(None, draw.random.dirichlet(np.full(len(np.unique(y)), 5.0)))
    if draw.flag():
        return QuadraticDiscriminantAnalysis(priors=priors, reg_param=draw.number(0.01, 0.9)), x, y
    return QuadraticDiscriminantAnalysis(priors=priors, solver="eigen", shrinkage=draw.number(0.01, 0.9)), x, y


@fit_of("GaussianNB")
def _naive_bayes(draw: Draw):
    x, y = draw.labelled()
    priors = draw.choice(None, draw.random.dirichlet(np.full(len(np.unique(y)), 5.0)))
    return GaussianNB(priors=priors, var_smoothing=draw.number(1e-9, 1)), x, y


def _base(draw: Draw, *, with_decision: bool = False) -> Any:
    """Return an unfitted classifier for use inside another one."""
    single = (svc(draw, decision_function_shape="ovr"), LogisticRegression(C=draw.number(0.1, 1)), RidgeClassifier())
    pipeline = make_pipeline(StandardScaler(), LinearSVC())
    return draw.choice(*single, pipeline, *(() if with_decision else (GaussianNB(),)))


@fit_of("CalibratedClassifierCV")
def _calibrated(draw: Draw):
    # Temperature scaling in scikit-learn uses integer labels as positions, so they must be positions or strings.
    method = draw.choice("sigmoid", "temperature")
    x, y = draw.labelled(kind=None if method == "sigmoid" else draw.choice("positions", "names"))
    base = _base(draw)
    if draw.flag():
        return CalibratedClassifierCV(FrozenEstimator(base.fit(x, y)), method=method), x, y
    return CalibratedClassifierCV(base, method=method, ensemble=draw.flag(), cv=3), x, y


@fit_of("OneVsRestClassifier")
def _one_against_rest(draw: Draw):
    return OneVsRestClassifier(_base(draw)), *draw.labelled()


@fit_of("OneVsOneClassifier")
def _one_against_one(draw: Draw):
    return OneVsOneClassifier(_base(draw, with_decision=True)), *draw.labelled()


@fit_of("FrozenEstimator")
def _frozen(draw: Draw):
    x, y = draw.labelled()
    return FrozenEstimator(draw.choice(LinearDiscriminantAnalysis(), svc(draw), StandardScaler()).fit(x, y)), x, y


def platt(svm: SVC | NuSVC, x: np.ndarray) -> np.ndarray:
    """Return the arguments of Platt's sigmoid for both classes, (n, 2), from scikit-learn's decision."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        logits = svm.probA_ * svm.decision_function(x) - svm.probB_
    return np.stack([logits, -logits], axis=1)


def coupled(probabilities: np.ndarray) -> np.ndarray:
    """Return libsvm's ``predict_proba`` of two classes from their sigmoids: the pairwise coupling, stopped early.

    It minimises (p_1 r_0 - p_0 r_1)^2 over p, one coordinate at a time, until no entry of the gradient exceeds
    0.005 / 2.
    """
    return np.array([_coupled_pair(np.clip(first, 1e-7, 1 - 1e-7)) for first in probabilities[:, 0]])


def _coupled_pair(first: float) -> np.ndarray:
    direction = np.array([1 - first, -first])
    matrix, p = np.outer(direction, direction), np.full(2, 0.5)
    for _ in range(100):
        slope = matrix @ p
        if np.abs(slope - p @ slope).max() < 0.005 / 2:
            break
        for i in range(2):
            slope = matrix @ p
            p[i] += (p @ slope - slope[i]) / matrix[i, i]
            p /= p.sum()
    return p


def _log_proba(estimator: Any, x: np.ndarray) -> np.ndarray:
    """Return the logarithm of predict_proba, and NaN where predict_proba is too small to have full precision."""
    proba = estimator.predict_proba(x)
    return np.log(np.where(proba > np.finfo(float).tiny / np.finfo(float).eps, proba, np.nan))


def _pairs(estimator: Any, x: np.ndarray) -> np.ndarray:
    sign = 1 if len(estimator.classes_) == 2 else -1
    return sign * np.stack([classifier.decision_function(x) for classifier in estimator.estimators_], axis=1)


parities.REFERENCES |= {
    ("SVC", "proba"): lambda svm, x: expit(platt(svm, x)),
    ("SVC", "log_proba"): lambda svm, x: log_expit(platt(svm, x)),
    ("CalibratedClassifierCV", "log_proba"): _log_proba,
    ("OneVsRestClassifier", "log_proba"): _log_proba,
    ("OneVsOneClassifier", "pairs"): _pairs,
    ("FrozenEstimator", "pairs"): lambda frozen, x: parities.sklearn_output(frozen.estimator, "pairs", x),
    ("FrozenEstimator", "margin"): lambda frozen, x: parities.sklearn_output(frozen.estimator, "margin", x),
}
