"""Random fits of every supported scikit-learn estimator, with random data and hyper-parameters."""

import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.compose import ColumnTransformer
from sklearn.cross_decomposition import PLSSVD, PLSRegression
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import (
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    HuberRegressor,
    Lasso,
    LassoCV,
    LassoLars,
    LassoLarsCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    OrthogonalMatchingPursuit,
    Perceptron,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDOneClassSVM,
    SGDRegressor,
)
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, PowerTransformer, RobustScaler, StandardScaler
from sklearn.random_projection import GaussianRandomProjection
from sklearn.svm import LinearSVC, LinearSVR
from support.drawing import Draw

Fit = Callable[[Draw], tuple[Any, np.ndarray, np.ndarray | None]]
"""Draw -> an unfitted estimator, X, and y or None."""

FITS: dict[str, Fit] = {}
"""Fits by class name, with a suffix such as in "SVC, probability" for a second fit of the same class."""


def fit_of(name: str) -> Callable[[Fit], Fit]:
    """Return a decorator that adds a fit to ``FITS``."""

    def register(fit: Fit) -> Fit:
        FITS[name] = fit
        return fit

    return register


def drawn(name: str, seed: int) -> tuple[Any, np.ndarray]:
    """Return the fitted estimator of one seed, and 8 points near its data in float64."""
    draw = Draw(zlib.crc32(name.encode()) + seed)
    estimator, x, y = FITS[name](draw)
    with warnings.catch_warnings():
        # Parameters of a solver that has not converged are as good for these tests.
        warnings.simplefilter("ignore")
        estimator.fit(x) if y is None else estimator.fit(x, y)
    points = np.asarray(x[:8].toarray() if hasattr(x, "toarray") else x[:8], np.float64)
    return estimator, points * np.exp(0.1 * draw.random.normal(size=points.shape))


def sparse_or_not(draw: Draw, x: np.ndarray) -> Any:
    """Return x, or a sparse matrix of its large entries."""
    return csr_matrix(np.where(np.abs(x) > 0.3, x, 0)) if draw.flag() else x


def transformers() -> dict[str, Callable[[Draw, int], Any]]:
    """Return functions (draw, number of features) -> unfitted estimator, for transformers that need no labels."""
    random = {"random_state": 0}
    return {
        "StandardScaler": lambda draw, d: StandardScaler(with_mean=draw.flag(), with_std=draw.flag()),
        "MinMaxScaler": lambda draw, d: MinMaxScaler(draw.choice((0, 1), (-2, 5)), clip=draw.flag()),
        "MaxAbsScaler": lambda draw, d: MaxAbsScaler(),
        "RobustScaler": lambda draw, d: RobustScaler(
            with_centering=draw.flag(), with_scaling=draw.flag(), unit_variance=draw.flag()
        ),
        "PCA": lambda draw, d: PCA(
            draw.integer(1, d),
            whiten=draw.flag(),
            svd_solver=draw.choice("full", "covariance_eigh", "randomized"),
            **random,
        ),
        "IncrementalPCA": lambda draw, d: IncrementalPCA(draw.integer(1, d), whiten=draw.flag(), batch_size=20),
        "TruncatedSVD": lambda draw, d: TruncatedSVD(draw.integer(1, d), **random),
        "FastICA": lambda draw, d: FastICA(
            draw.integer(1, d), whiten=draw.choice("unit-variance", "arbitrary-variance"), max_iter=20, **random
        ),
        "FactorAnalysis": lambda draw, d: FactorAnalysis(draw.integer(1, d), max_iter=50),
        "GaussianRandomProjection": lambda draw, d: GaussianRandomProjection(draw.integer(1, d), **random),
        "Normalizer": lambda draw, d: Normalizer(draw.choice("l1", "l2", "max")),
        "RBFSampler": lambda draw, d: RBFSampler(
            gamma=draw.choice("scale", draw.number(0.05, 2)), n_components=draw.integer(1, 9), **random
        ),
        "VarianceThreshold": lambda draw, d: VarianceThreshold(),
    }


def _register_transformers() -> None:
    for name, make in transformers().items():

        @fit_of(name)
        def fit(draw: Draw, make: Callable = make) -> tuple:
            x = draw.points()
            return make(draw, x.shape[1]), x, None


_register_transformers()


@fit_of("PowerTransformer")
def _power_transformer(draw: Draw) -> tuple:
    method, x = draw.choice("yeo-johnson", "box-cox"), draw.points()
    skewed = np.exp(x / 2) + draw.choice(0, draw.number(0.1, 2)) if method == "box-cox" or draw.flag() else x
    return PowerTransformer(method, standardize=draw.flag()), skewed, None


@fit_of("PLSRegression")
def _pls_regression(draw: Draw) -> tuple:
    x = draw.points()
    estimator = PLSRegression(draw.integer(1, x.shape[1]), scale=draw.flag())
    return estimator, x, draw.targets(x, draw.choice(None, 1, 3))


@fit_of("PLSSVD")
def _pls_svd(draw: Draw) -> tuple:
    x = draw.points()
    return PLSSVD(draw.integer(1, 2), scale=draw.flag()), x, draw.targets(x, 3)


def _weights(draw: Draw) -> str | None:
    return draw.choice(None, "balanced")


def classifiers() -> dict[str, Callable[[Draw], Any]]:
    """Return functions draw -> unfitted classifier."""
    losses = ("hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron")
    return {
        "LinearSVC": lambda draw: LinearSVC(
            C=draw.number(0.01, 10), fit_intercept=draw.flag(), class_weight=_weights(draw), random_state=0
        ),
        # With the default learning rate a squared hinge diverges to values of 1e10, whose rounding error is 1e-6.
        "SGDClassifier": lambda draw: SGDClassifier(
            draw.choice(*losses), learning_rate="constant", eta0=0.01, max_iter=20, alpha=0.1, random_state=0
        ),
        "LogisticRegression": lambda draw: LogisticRegression(C=draw.number(0.01, 1), class_weight=_weights(draw)),
        "LogisticRegressionCV": lambda draw: LogisticRegressionCV(
            Cs=2, cv=2, scoring="neg_log_loss", class_weight=_weights(draw)
        ),
        "RidgeClassifier": lambda draw: RidgeClassifier(draw.number(0.1, 10), fit_intercept=draw.flag()),
        "RidgeClassifierCV": lambda draw: RidgeClassifierCV(fit_intercept=draw.flag()),
        "Perceptron": lambda draw: Perceptron(penalty=draw.choice(None, "l2", "l1"), max_iter=20, random_state=0),
    }


def _register_classifiers() -> None:
    for name, make in classifiers().items():

        @fit_of(name)
        def fit(draw: Draw, make: Callable = make) -> tuple:
            x, y = draw.labelled()
            return make(draw), sparse_or_not(draw, x), y


_register_classifiers()


@fit_of("LinearDiscriminantAnalysis")
def _discriminant(draw: Draw) -> tuple:
    x, y = draw.labelled()
    solver = draw.choice("svd", "eigen", "lsqr")
    shrinkage = None if solver == "svd" else draw.choice(None, "auto", 0.5)
    axes = draw.choice(None, 1)
    return LinearDiscriminantAnalysis(solver=solver, shrinkage=shrinkage, n_components=axes), x, y


@fit_of("LinearSVR")
def _linear_svr(draw: Draw) -> tuple:
    x = draw.points()
    return LinearSVR(C=draw.number(0.1, 10), fit_intercept=draw.flag(), random_state=0), x, draw.targets(x)


REGRESSORS: dict[str, Callable[[Draw], Any]] = {
    "Ridge": lambda draw: Ridge(draw.number(0.1, 10), fit_intercept=draw.flag()),
    "RidgeCV": lambda draw: RidgeCV(fit_intercept=draw.flag()),
    "LinearRegression": lambda draw: LinearRegression(fit_intercept=draw.flag()),
    "Lasso": lambda draw: Lasso(draw.number(0.01, 0.1), fit_intercept=draw.flag()),
    "ElasticNet": lambda draw: ElasticNet(draw.number(0.01, 0.1), fit_intercept=draw.flag()),
}
"""Functions draw -> unfitted regressor, for regressors of one or several targets."""


def _register_regressors() -> None:
    for name, make in REGRESSORS.items():

        @fit_of(name)
        def fit(draw: Draw, make: Callable = make) -> tuple:
            x = draw.points()
            return make(draw), x, draw.targets(x, draw.choice(None, 1, 3))


_register_regressors()


SINGLE_REGRESSORS: dict[str, Callable[[Draw], Any]] = {
    "LassoCV": lambda draw: LassoCV(alphas=3, cv=2, fit_intercept=draw.flag()),
    "ElasticNetCV": lambda draw: ElasticNetCV(alphas=3, cv=2, fit_intercept=draw.flag()),
    "LassoLars": lambda draw: LassoLars(draw.number(0.01, 0.1), fit_intercept=draw.flag()),
    "LassoLarsCV": lambda draw: LassoLarsCV(cv=2, fit_intercept=draw.flag()),
    "OrthogonalMatchingPursuit": lambda draw: OrthogonalMatchingPursuit(n_nonzero_coefs=draw.integer(1, 2)),
    "BayesianRidge": lambda draw: BayesianRidge(fit_intercept=draw.flag()),
    "HuberRegressor": lambda draw: HuberRegressor(epsilon=draw.number(1.1, 2), fit_intercept=draw.flag()),
}
"""Functions draw -> unfitted regressor, for regressors of one target."""


def _register_single_regressors() -> None:
    for name, make in SINGLE_REGRESSORS.items():

        @fit_of(name)
        def fit(draw: Draw, make: Callable = make) -> tuple:
            x = draw.points()
            return make(draw), x, draw.targets(x)


_register_single_regressors()


@fit_of("SGDOneClassSVM")
def _sgd_one_class(draw: Draw) -> tuple:
    return SGDOneClassSVM(nu=draw.number(0.1, 0.9), max_iter=20, random_state=0), draw.points(), None


@fit_of("SGDRegressor")
def _sgd_regressor(draw: Draw) -> tuple:
    x = draw.points()
    return SGDRegressor(alpha=0.1, max_iter=20, tol=None, eta0=1e-4, random_state=0), x, draw.targets(x)


def _layers(draw: Draw) -> dict[str, Any]:
    activation = draw.choice("identity", "logistic", "tanh", "relu")
    sizes = draw.choice((3,), (4, 2))
    return {"hidden_layer_sizes": sizes, "activation": activation, "solver": "lbfgs", "max_iter": 15, "random_state": 0}


@fit_of("MLPClassifier")
def _mlp_classifier(draw: Draw) -> tuple:
    return MLPClassifier(alpha=1.0, **_layers(draw)), *draw.labelled()


@fit_of("MLPRegressor")
def _mlp_regressor(draw: Draw) -> tuple:
    x = draw.points()
    return MLPRegressor(**_layers(draw)), x, draw.targets(x, draw.choice(None, 3))


@fit_of("NeighborhoodComponentsAnalysis")
def _neighborhood_components(draw: Draw) -> tuple:
    x, y = draw.labelled()
    return NeighborhoodComponentsAnalysis(draw.integer(1, x.shape[1]), max_iter=5, random_state=0), x, y


@fit_of("SelectKBest")
def _select_k_best(draw: Draw) -> tuple:
    x, y = draw.labelled()
    return SelectKBest(k=draw.integer(1, x.shape[1])), x, y


@fit_of("SelectPercentile")
def _select_percentile(draw: Draw) -> tuple:
    return SelectPercentile(percentile=draw.integer(50, 100)), *draw.labelled()


SELECTORS: dict[str, Callable[[Draw], Any]] = {
    "SelectFpr": lambda draw: SelectFpr(alpha=0.9),
    "SelectFdr": lambda draw: SelectFdr(alpha=0.9),
    "SelectFwe": lambda draw: SelectFwe(alpha=0.9),
    "GenericUnivariateSelect": lambda draw: GenericUnivariateSelect(mode="k_best", param=draw.integer(1, 2)),
    "RFE": lambda draw: RFE(LinearSVC(random_state=0), n_features_to_select=draw.integer(1, 2)),
    "RFECV": lambda draw: RFECV(RidgeClassifier(), cv=2),
    "SequentialFeatureSelector": lambda draw: SequentialFeatureSelector(RidgeClassifier(), cv=2),
}
"""Functions draw -> unfitted selector of features."""


def _register_selectors() -> None:
    for name, make in SELECTORS.items():

        @fit_of(name)
        def fit(draw: Draw, make: Callable = make) -> tuple:
            return make(draw), *draw.labelled()


_register_selectors()


@fit_of("SelectFromModel")
def _select_from_model(draw: Draw) -> tuple:
    return SelectFromModel(LinearSVC(random_state=0), threshold=draw.choice("mean", "median")), *draw.labelled()


def _reducer(draw: Draw, size: int) -> Any:
    return draw.choice(PCA(draw.integer(1, size)), TruncatedSVD(1), StandardScaler(), Normalizer())


@fit_of("Pipeline")
def _pipeline(draw: Draw) -> tuple:
    x, y = draw.labelled()
    reducer = draw.choice(_reducer(draw, x.shape[1]), LinearDiscriminantAnalysis(), "passthrough")
    last = draw.choice(LogisticRegression(), LinearDiscriminantAnalysis(), PCA(1))
    return make_pipeline(StandardScaler(), reducer, last), x, y


@fit_of("FeatureUnion")
def _feature_union(draw: Draw) -> tuple:
    x, y = draw.labelled()
    parts = [("first", _reducer(draw, x.shape[1])), ("second", draw.choice("passthrough", "drop", MaxAbsScaler()))]
    parts.append(("third", make_pipeline(StandardScaler(), LinearDiscriminantAnalysis())))
    return FeatureUnion(parts, transformer_weights=draw.choice(None, {"first": 2.5})), x, y


@fit_of("ColumnTransformer")
def _column_transformer(draw: Draw) -> tuple:
    x = draw.points()
    size = x.shape[1]
    columns = draw.choice([0, -1], slice(0, 2), np.arange(size) % 2 == 0, [1, 0])
    parts = [("first", _reducer(draw, 1), columns), ("second", MaxAbsScaler(), [1]), ("third", "drop", [])]
    weights = draw.choice(None, {"second": 3.0})
    remainder = draw.choice("drop", "passthrough", StandardScaler())
    return ColumnTransformer(parts, remainder=remainder, transformer_weights=weights), x, None
