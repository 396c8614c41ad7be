"""Messages for unsupported estimators: why there is no closed form, and what to use instead."""

from typing import NamedTuple


class Unsupported(NamedTuple):
    """Why an estimator is not supported, and what to do instead; both are clauses of one sentence."""

    reason: str
    alternative: str


WRITE_STAGE = "write its stage yourself, as a class with the methods of pcacam_jax.Stage"
NOT_IMPLEMENTED = "no stage is implemented for it"
FIT_SMOOTH = "fit an SVC, LogisticRegression or MLPClassifier, or for regression an SVR, Ridge or MLPRegressor"

STEPS = Unsupported(
    "its output is a step function of the features, whose derivative is zero or undefined", "use a scaler instead"
)
TREES = Unsupported(
    "the output of a tree is constant between thresholds, so its derivative is zero or undefined", FIT_SMOOTH
)
FORESTS = Unsupported(
    "it consists of trees, whose output is constant between thresholds, so its derivative is zero or undefined",
    FIT_SMOOTH,
)
NEIGHBOURS = Unsupported(
    "its output depends on the nearest training examples, which change abruptly",
    "fit an SVC or SVR with an RBF kernel, whose output is a smooth function of the features",
)
OPTIMIZATIONS = Unsupported(
    "its output is the solution of an optimization problem, which has no closed form", "use PCA or FastICA"
)
EMBEDDINGS = Unsupported(
    "it embeds only the training examples, or places new examples by their neighbours", "use PCA or KernelPCA"
)
SEARCHES = Unsupported("it is a search for an estimator", "convert the result of the search, its best_estimator_")
RAW_DATA = Unsupported(
    "it extracts features from raw data such as text or images", "convert only the steps of the Pipeline after it"
)
ENSEMBLES = Unsupported(
    "it combines the outputs of several estimators, and no stage is implemented for that",
    "convert the estimators in its estimators_ one by one",
)
THRESHOLDS = Unsupported("it changes the decision threshold of a classifier", "convert that classifier, its estimator_")
SPARSE_PCA = Unsupported("no stage is implemented for its ridge regression", "use PCA or FactorAnalysis")
COLLECTIONS = Unsupported("it is a collection of estimators", "convert the estimators that it contains one by one")

BY_NAME = {
    "BernoulliRBM": Unsupported(NOT_IMPLEMENTED, "use PCA, or the layers of an MLPClassifier as pcacam_jax.Dense"),
    "FunctionTransformer": Unsupported(
        "it calls an arbitrary Python function, whose derivative is not known", WRITE_STAGE
    ),
    "GaussianProcessClassifier": Unsupported(
        "its probability is an integral without a closed form", "fit an SVC with an RBF kernel"
    ),
    "KBinsDiscretizer": STEPS,
    "Binarizer": STEPS,
    "QuantileTransformer": Unsupported(
        "it interpolates between quantiles, so its derivative jumps at every quantile", "use PowerTransformer"
    ),
    **dict.fromkeys(
        (
            "ExtraTreesClassifier",
            "ExtraTreesRegressor",
            "GradientBoostingClassifier",
            "GradientBoostingRegressor",
            "HistGradientBoostingClassifier",
            "HistGradientBoostingRegressor",
            "IsolationForest",
            "RandomForestClassifier",
            "RandomForestRegressor",
            "RandomTreesEmbedding",
        ),
        FORESTS,
    ),
    "FeatureAgglomeration": Unsupported("it pools groups of features with an arbitrary Python function", "use PCA"),
    "NearestCentroid": Unsupported(
        "it predicts the class with the nearest mean, and no stage is implemented for that",
        "fit a LinearDiscriminantAnalysis or GaussianNB, which also compare an example with the class means",
    ),
    "KernelDensity": Unsupported("it estimates a density, and no stage is implemented for that", "fit a OneClassSVM"),
    "SelfTrainingClassifier": Unsupported(
        "it uses another classifier to label examples", "convert that classifier, its estimator_"
    ),
    "SparsePCA": SPARSE_PCA,
    "MiniBatchSparsePCA": SPARSE_PCA,
    "FixedThresholdClassifier": THRESHOLDS,
    "TunedThresholdClassifierCV": THRESHOLDS,
    "TransformedTargetRegressor": Unsupported(
        "it transforms the predictions of a regressor with an arbitrary function",
        "convert that regressor, its regressor_",
    ),
    "OutputCodeClassifier": Unsupported(
        "it predicts the class with the nearest code word", "fit a OneVsRestClassifier or OneVsOneClassifier"
    ),
}
"""Messages for single estimators, by class name."""

BY_MODULE = {
    "sklearn.tree": TREES,
    "sklearn.ensemble": ENSEMBLES,
    "sklearn.neighbors": NEIGHBOURS,
    "sklearn.semi_supervised": Unsupported(NOT_IMPLEMENTED, "fit an SVC on the labels that it predicts"),
    "sklearn.cluster": Unsupported(
        "no stage is implemented for clusters, whose labels change abruptly",
        "fit a classifier on the labels that it predicts",
    ),
    "sklearn.manifold": EMBEDDINGS,
    "sklearn.decomposition": OPTIMIZATIONS,
    "sklearn.model_selection": SEARCHES,
    "sklearn.multioutput": COLLECTIONS,
    "sklearn.compose": COLLECTIONS,
    "sklearn.feature_extraction": RAW_DATA,
    "sklearn.dummy": Unsupported("its output does not depend on the features", "fit another estimator"),
    "sklearn.impute": Unsupported("features of a network are never missing", "leave it out of the Pipeline"),
    "sklearn.naive_bayes": Unsupported("it models discrete features", "fit a GaussianNB"),
    "sklearn.linear_model": Unsupported(NOT_IMPLEMENTED, "fit a Ridge, LinearSVR, LogisticRegression or SGDClassifier"),
}
"""Messages for all other estimators of scikit-learn, by the module that defines them."""


def unsupported_message(kind: type) -> str:
    """Return the error message for an unsupported class: one sentence with the reason and an alternative."""
    reason, alternative = _unsupported(kind)
    return f"{kind.__name__} is not supported because {reason}; {alternative}."


def _unsupported(kind: type) -> Unsupported:
    if not kind.__module__.startswith("sklearn."):
        return Unsupported("it is not defined in scikit-learn, so its formula is not known", WRITE_STAGE)
    if kind.__name__ in BY_NAME:
        return BY_NAME[kind.__name__]
    module = ".".join(kind.__module__.split(".")[:2])
    return BY_MODULE.get(module, Unsupported("no closed form is implemented for it", WRITE_STAGE))
