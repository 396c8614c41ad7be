"""Estimators without a stage: why there is no closed form, and what to use instead."""

from typing import NamedTuple


class Refusal(NamedTuple):
    """Why an estimator has no stage, and what has one."""

    why: str
    instead: str


BY_HAND = "write its stage by hand: any object with the methods of pcacam_jax.Stage will do"
STEPS = Refusal("its output is a step function of the features, whose derivative is zero or not there", "scale instead")
NO_TREES = "fit an SVC, a LogisticRegression or an MLPClassifier (SVR, Ridge or MLPRegressor for values)"
TREES = Refusal(
    "a tree's output is constant between its thresholds, so its derivative is zero wherever there is one",
    NO_TREES,
)
NEIGHBOURS = Refusal(
    "it looks for the nearest training examples, which change in jumps",
    "fit an SVC or SVR with an RBF kernel, which weighs all its support vectors smoothly",
)
SOLVES = Refusal("it solves an optimization problem for every example, which has no closed form", "use PCA or FastICA")
NO_MAP = Refusal("it places the training examples only, or new ones by their neighbours", "use PCA or KernelPCA")
SEARCH = Refusal("it is a search for an estimator", "convert the one that it found, its best_estimator_")
NO_VECTOR = Refusal("it does not read feature vectors of numbers", "give it to no head")
UNWRITTEN = "no stage is written for it"
FORESTS = Refusal("it is made of trees, whose output is constant between thresholds, with derivative zero", NO_TREES)
COMBINES = Refusal(
    "it combines the answers of several estimators, for which no stage is written",
    "convert those that it holds, its estimators_, one by one",
)
THRESHOLD = Refusal("it moves the threshold of a classifier", "convert that classifier, its estimator_")
SPARSE = Refusal("no stage is written for its ridge regression", "use PCA or FactorAnalysis")
SEVERAL = Refusal("it is a collection of estimators", "convert those that it holds, one by one")

KINDS = {
    "BernoulliRBM": Refusal(UNWRITTEN, "use PCA, or an MLPClassifier's layers by pcacam_jax.Dense"),
    "FunctionTransformer": Refusal("it calls any Python function, whose derivative nobody knows", BY_HAND),
    "GaussianProcessClassifier": Refusal(
        "its probability is an integral without a closed form", "fit an SVC with an RBF kernel"
    ),
    "KBinsDiscretizer": STEPS,
    "Binarizer": STEPS,
    "QuantileTransformer": Refusal(
        "it interpolates between quantiles, with a kink at every one", "use PowerTransformer"
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
    "FeatureAgglomeration": Refusal("it pools groups of features by any Python function", "use PCA"),
    "KernelDensity": Refusal("it gives a density, for which no stage is written", "fit a OneClassSVM"),
    "SelfTrainingClassifier": Refusal(
        "it labels examples by another classifier", "convert that classifier, its estimator_"
    ),
    "SparsePCA": SPARSE,
    "MiniBatchSparsePCA": SPARSE,
    "FixedThresholdClassifier": THRESHOLD,
    "TunedThresholdClassifierCV": THRESHOLD,
    "TransformedTargetRegressor": Refusal(
        "it transforms the values of a regressor by any function", "convert that regressor, its regressor_"
    ),
    "OutputCodeClassifier": Refusal(
        "it decides by the nearest code word", "fit a OneVsRestClassifier or OneVsOneClassifier"
    ),
}
"""Single estimators, by name."""

FAMILIES = {
    "sklearn.tree": TREES,
    "sklearn.ensemble": COMBINES,
    "sklearn.neighbors": NEIGHBOURS,
    "sklearn.semi_supervised": Refusal(UNWRITTEN, "fit an SVC on the labels it gives"),
    "sklearn.cluster": Refusal(
        "no stage is written for clusters, whose labels jump from one to another",
        "fit a classifier on the labels it gives",
    ),
    "sklearn.manifold": NO_MAP,
    "sklearn.decomposition": SOLVES,
    "sklearn.model_selection": SEARCH,
    "sklearn.multioutput": SEVERAL,
    "sklearn.compose": SEVERAL,
    "sklearn.feature_extraction": NO_VECTOR,
    "sklearn.dummy": Refusal("its output is the same for all features", "fit another estimator"),
    "sklearn.impute": Refusal("features of a network are never missing", "leave it out of the Pipeline"),
    "sklearn.naive_bayes": Refusal("it counts discrete features", "fit a GaussianNB"),
    "sklearn.linear_model": Refusal(UNWRITTEN, "fit a Ridge, LinearSVR, LogisticRegression or SGDClassifier"),
}
"""Everything else of scikit-learn, by the module that it lies in."""


def refusal(kind: type) -> str:
    """Return the sentence with which an estimator of this kind is refused: why, and what to use instead."""
    why, instead = _reason(kind)
    return f"{kind.__name__} is not supported: {why}; {instead}."


def _reason(kind: type) -> Refusal:
    if not kind.__module__.startswith("sklearn."):
        return Refusal("it is not one of scikit-learn's own, so its formula is not known here", BY_HAND)
    if kind.__name__ in KINDS:
        return KINDS[kind.__name__]
    family = ".".join(kind.__module__.split(".")[:2])
    return FAMILIES.get(family, Refusal("no closed form is written for it", BY_HAND))
