"""Errors about estimators that are not supported or not fitted."""

import numpy as np
import pytest
from sklearn.cluster import FeatureAgglomeration, KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import NMF, PCA, KernelPCA, SparsePCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, TheilSenRegressor
from sklearn.manifold import Isomap
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import OutputCodeClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import BernoulliNB
from sklearn.neighbors import KernelDensity, KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    Normalizer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from support.drawing import Draw

from pcacam_jax import InputError, from_sklearn
from pcacam_jax.scikit import ENTRIES, outputs_of, scores_from_sklearn
from pcacam_jax.scikit.unsupported import BY_MODULE, BY_NAME, unsupported_message

X = np.abs(Draw(0).points(40, 4))
WHICH = np.arange(40) % 3


class DerivedPCA(PCA):
    """A subclass of a supported class, whose transform could be anything."""


class NotAnEstimator:
    """A class with ``fit`` that is not derived from BaseEstimator."""

    def fit(self, x, y=None):
        self.fitted_ = True
        return self


UNSUPPORTED = {
    "tree": (DecisionTreeClassifier(), "the output of a tree is constant between thresholds.*fit an SVC"),
    "forest": (
        RandomForestClassifier(5),
        "consists of trees, whose output is constant.*derivative is zero or undefined; fit",
    ),
    "boosting": (GradientBoostingClassifier(n_estimators=2), "consists of trees"),
    "isolation forest": (IsolationForest(n_estimators=2), "constant between thresholds"),
    "neighbours": (KNeighborsClassifier(), "nearest training examples, which change abruptly; fit an SVC"),
    "clusters": (KMeans(2, n_init=1), "whose labels change abruptly; fit a classifier on the labels"),
    "manifold": (Isomap(n_components=2), "embeds only the training examples.*use PCA or KernelPCA"),
    "factorization": (NMF(2, init="random", max_iter=5000), "the solution of an optimization problem"),
    "search": (GridSearchCV(Ridge(), {"alpha": [1, 2]}), "convert the result of the search, its best_estimator_"),
    "several": (MultiOutputRegressor(Ridge()), "a collection of estimators; convert the estimators that it con"),
    "classification process": (GaussianProcessClassifier(), "an integral without a closed form; fit an SVC"),
    "counts": (BernoulliNB(), "models discrete features; fit a GaussianNB"),
    "codes": (OutputCodeClassifier(LogisticRegression()), "nearest code word; fit a OneVsRestClassifier"),
    "constant": (DummyClassifier(), "its output does not depend on the features"),
    "missing": (SimpleImputer(), "never missing; leave it out of the Pipeline"),
    "bins": (KBinsDiscretizer(2, quantile_method="averaged_inverted_cdf"), "a step function of the features"),
    "threshold": (Binarizer(), "a step function of the features"),
    "quantiles": (QuantileTransformer(n_quantiles=5), "its derivative jumps at every quantile; use PowerTransformer"),
    "splines": (SplineTransformer(), "no closed form is implemented for it; write its stage yourself"),
    "function": (FunctionTransformer(np.log1p), "whose derivative is not known; write its stage yourself"),
    "robust regression": (TheilSenRegressor(), "no stage is implemented for it; fit a Ridge"),
    "nearest mean": (NearestCentroid(), "the nearest mean.*fit a LinearDiscriminantAnalysis or GaussianNB"),
    "vote": (VotingClassifier([("a", LogisticRegression())]), "convert the estimators in its estimators_"),
    "stack": (StackingClassifier([("a", LogisticRegression())]), "convert the estimators in its estimators_"),
    "boosting of anything": (AdaBoostClassifier(LogisticRegression(), n_estimators=2), "several estimators"),
    "feature clusters": (
        FeatureAgglomeration(2),
        "pools groups of features with an arbitrary Python function; use PCA",
    ),
    "density": (KernelDensity(), "estimates a density.*fit a OneClassSVM"),
    "self-training": (
        SelfTrainingClassifier(LogisticRegression(), threshold=0.1),
        "convert that classifier, its estimator_",
    ),
    "spreading": (LabelSpreading(), "no stage is implemented for it; fit an SVC on the labels that it predicts"),
    "sparse components": (SparsePCA(1, max_iter=5, random_state=0), "ridge regression; use PCA"),
    "threshold of a classifier": (FixedThresholdClassifier(LogisticRegression()), "convert that classifier"),
    "transformed values": (TransformedTargetRegressor(Ridge()), "convert that regressor, its regressor_"),
    "subclass": (DerivedPCA(2), "it is not defined in scikit-learn.*write its stage yourself, as a class with the met"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_the_error_about_an_unsupported_estimator_has_a_reason_and_an_alternative(name):
    estimator, sentence = UNSUPPORTED[name]
    labels = {
        "several": np.stack([WHICH, WHICH], axis=1),
        "threshold of a classifier": WHICH > 0,
        "self-training": WHICH - 1,
    }
    estimator.fit(X, labels.get(name, WHICH))
    kind = type(estimator).__name__
    for model in (estimator, Pipeline([("first", StandardScaler().fit(X)), ("last", estimator)])):
        for convert in (from_sklearn, outputs_of, scores_from_sklearn):
            with pytest.raises(InputError, match=rf"{kind} is not supported because .*{sentence}"):
                convert(model)


def test_feature_extraction_raises():
    with pytest.raises(InputError, match="CountVectorizer is not supported because it extracts features from raw data"):
        from_sklearn(CountVectorizer().fit(["one two"]))


FITTED = {"pca": PCA(2).fit(X), "svc": SVC().fit(X, WHICH), "reducer": KernelPCA(2).fit(X)}
OTHERS = {
    "unfitted": (PCA(2), "PCA is not fitted; call its fit"),
    "unfitted without parameters": (Normalizer(), "Normalizer is not fitted; call its fit"),
    "unfitted process": (GaussianProcessRegressor(RBF()), "GaussianProcessRegressor is not fitted"),
    "unfitted union": (FeatureUnion([("b", "passthrough")]), "FeatureUnion is not fitted"),
    "unfitted inside": (make_pipeline(PCA(2).fit(X), Normalizer()), "Normalizer is not fitted"),
    "unfitted pipeline": (make_pipeline(StandardScaler(), SVC()), "Pipeline is not fitted"),
    "unfitted step": (Pipeline([("a", StandardScaler()), ("b", FITTED["svc"])]), "StandardScaler is not fitted"),
    "not an estimator": (42, "expected a fitted scikit-learn estimator; got int"),
    "not derived from BaseEstimator": (
        NotAnEstimator().fit(X),
        "got NotAnEstimator, which is not derived from BaseEstimator, so fit",
    ),
    "a class": (PCA, "expected a fitted scikit-learn estimator; got"),
    "only passthrough": (Pipeline([("a", "passthrough")]), "at least one step that is not 'passthrough', since"),
    "classifier inside": (
        Pipeline([("a", FITTED["svc"]), ("b", FITTED["pca"])]),
        "output of SVC must be one of decision, pairs, margin; got 'transform'",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_objects_than_fitted_estimators_raise(name):
    estimator, sentence = OTHERS[name]
    with pytest.raises(InputError, match=sentence):
        from_sklearn(estimator)


def test_no_supported_estimator_has_a_message_and_messages_are_one_sentence():
    names = {kind.__name__ for kind in ENTRIES}
    assert not names & BY_NAME.keys()
    for reason, alternative in (*BY_NAME.values(), *BY_MODULE.values()):
        assert reason[0].islower()
        assert not (reason + alternative).endswith(".")
    assert unsupported_message(DecisionTreeClassifier).endswith(".")
