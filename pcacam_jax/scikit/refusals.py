"""Estimators without a stage: why there is no closed form, and what to use instead."""

from typing import NamedTuple


class Refusal(NamedTuple):
    """Why an estimator has no stage, and what has one."""

    why: str
    instead: str


BY_HAND = "write its stage by hand: any object with the methods of pcacam_jax.Stage will do"
STEPS = Refusal("its output is a step function of the features, whose derivative is zero or not there", "scale instead")
TREES = Refusal(
    "a tree's output is constant between its thresholds, so its derivative is zero wherever there is one",
    "fit an SVC, a LogisticRegression or an MLPClassifier (SVR, Ridge or MLPRegressor for values)",
)
NEIGHBOURS = Refusal(
    "its output jumps where another training example becomes the nearest",
    "fit an SVC or SVR with an RBF kernel, which weighs all its support vectors smoothly",
)
SOLVES = Refusal("it solves an optimization problem for every example, which has no closed form", "use PCA or FastICA")
NO_MAP = Refusal("it places the training examples only, or new ones by their neighbours", "use PCA or KernelPCA")
SEARCH = Refusal("it is a search for an estimator", "convert the one that it found, its best_estimator_")
NO_VECTOR = Refusal("it does not read feature vectors of numbers", "give it to no head")
SEVERAL = Refusal("it is a collection of estimators", "convert those that it holds, one by one")

KINDS = {
    "BernoulliRBM": Refusal("no stage is written for it", "use PCA, or an MLPClassifier's layers by pcacam_jax.Dense"),
    "FunctionTransformer": Refusal("it calls any Python function, whose derivative nobody knows", BY_HAND),
    "GaussianProcessClassifier": Refusal(
        "its probability is an integral without a closed form", "fit an SVC with an RBF kernel"
    ),
    "KBinsDiscretizer": STEPS,
    "Binarizer": STEPS,
    "QuantileTransformer": Refusal(
        "it interpolates between quantiles, with a kink at every one", "use PowerTransformer"
    ),
    "IsolationForest": TREES,
    "OutputCodeClassifier": Refusal(
        "it decides by the nearest code word", "fit a OneVsRestClassifier or OneVsOneClassifier"
    ),
}
"""Single estimators, by name."""

FAMILIES = {
    "sklearn.tree": TREES,
    "sklearn.ensemble": Refusal(
        "an ensemble is mostly made of trees, whose output is constant between thresholds, with derivative zero",
        "fit an SVC, a LogisticRegression or an MLPClassifier (SVR, Ridge or MLPRegressor for values)",
    ),
    "sklearn.neighbors": NEIGHBOURS,
    "sklearn.semi_supervised": NEIGHBOURS,
    "sklearn.cluster": Refusal("its labels jump from cluster to cluster", "fit a classifier on the labels it gives"),
    "sklearn.manifold": NO_MAP,
    "sklearn.decomposition": SOLVES,
    "sklearn.model_selection": SEARCH,
    "sklearn.multioutput": SEVERAL,
    "sklearn.compose": SEVERAL,
    "sklearn.feature_extraction": NO_VECTOR,
    "sklearn.dummy": Refusal("its output is the same for all features", "fit another estimator"),
    "sklearn.impute": Refusal("features of a network are never missing", "leave it out of the Pipeline"),
    "sklearn.naive_bayes": Refusal("it counts discrete features", "fit a GaussianNB"),
    "sklearn.linear_model": Refusal(
        "no stage is written for it", "fit a Ridge, LinearSVR, LogisticRegression or SGDClassifier"
    ),
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
