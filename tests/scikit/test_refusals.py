"""What cannot be converted gets a sentence: why, and what to use instead."""

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
from sklearn.feature_selection import RFE
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.impute import SimpleImputer
from sklearn.linear_model import HuberRegressor, LogisticRegression, Ridge
from sklearn.manifold import Isomap
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import OutputCodeClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import BernoulliNB
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
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
from pcacam_jax.scikit.refusals import FAMILIES, KINDS, refusal

X = np.abs(Draw(0).points(40, 4))
WHICH = np.arange(40) % 3


class Own(PCA):
    """A user's own subclass, whose transform could be anything."""


class Foreign:
    """Looks like an estimator, but is not derived from scikit-learn's."""

    def fit(self, x, y=None):
        self.fitted_ = True
        return self


UNSUPPORTED = {
    "tree": (DecisionTreeClassifier(), "a tree's output is constant between its thresholds.*fit an SVC"),
    "forest": (RandomForestClassifier(5), "made of trees, whose output is constant.*derivative zero; fit an SVC"),
    "boosting": (GradientBoostingClassifier(n_estimators=2), "made of trees"),
    "isolation forest": (IsolationForest(n_estimators=2), "constant between thresholds"),
    "neighbours": (KNeighborsClassifier(), "nearest training examples, which change in jumps; fit an SVC"),
    "clusters": (KMeans(2, n_init=1), "whose labels jump from one to another; fit a classifier on the labels"),
    "manifold": (Isomap(n_components=2), "places the training examples only.*use PCA or KernelPCA"),
    "factorization": (NMF(2, init="random", max_iter=5000), "solves an optimization problem for every example"),
    "search": (GridSearchCV(Ridge(), {"alpha": [1, 2]}), "convert the one that it found, its best_estimator_"),
    "several": (MultiOutputRegressor(Ridge()), "a collection of estimators; convert those that it holds"),
    "classification process": (GaussianProcessClassifier(), "an integral without a closed form; fit an SVC"),
    "counts": (BernoulliNB(), "counts discrete features; fit a GaussianNB"),
    "codes": (OutputCodeClassifier(LogisticRegression()), "nearest code word; fit a OneVsRestClassifier"),
    "constant": (DummyClassifier(), "its output is the same for all features"),
    "missing": (SimpleImputer(), "never missing; leave it out of the Pipeline"),
    "bins": (KBinsDiscretizer(2, quantile_method="averaged_inverted_cdf"), "a step function of the features"),
    "threshold": (Binarizer(), "a step function of the features"),
    "quantiles": (QuantileTransformer(n_quantiles=5), "a kink at every one; use PowerTransformer"),
    "splines": (SplineTransformer(), "no closed form is written for it; write its stage by hand"),
    "function": (FunctionTransformer(np.log1p), "whose derivative nobody knows; write its stage by hand"),
    "robust regression": (HuberRegressor(), "no stage is written for it; fit a Ridge"),
    "elimination": (RFE(Ridge()), "no closed form is written for it"),
    "vote": (VotingClassifier([("a", LogisticRegression())]), "convert those that it holds, its estimators_"),
    "stack": (StackingClassifier([("a", LogisticRegression())]), "convert those that it holds, its estimators_"),
    "boosting of anything": (AdaBoostClassifier(LogisticRegression(), n_estimators=2), "several estimators"),
    "feature clusters": (FeatureAgglomeration(2), "pools groups of features by any Python function; use PCA"),
    "density": (KernelDensity(), "gives a density.*fit a OneClassSVM"),
    "self-training": (
        SelfTrainingClassifier(LogisticRegression(), threshold=0.1),
        "convert that classifier, its estimator_",
    ),
    "spreading": (LabelSpreading(), "no stage is written for it; fit an SVC on the labels it gives"),
    "sparse components": (SparsePCA(1, max_iter=5, random_state=0), "ridge regression; use PCA"),
    "threshold of a classifier": (FixedThresholdClassifier(LogisticRegression()), "convert that classifier"),
    "transformed values": (TransformedTargetRegressor(Ridge()), "convert that regressor, its regressor_"),
    "subclass": (Own(2), "not one of scikit-learn's own.*write its stage by hand: any object with the methods"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_an_estimator_without_a_stage_is_told_why_and_what_to_use(name):
    estimator, sentence = UNSUPPORTED[name]
    labels = {
        "several": np.stack([WHICH, WHICH], axis=1),
        "threshold of a classifier": WHICH > 0,
        "self-training": WHICH - 1,
    }
    estimator.fit(X, labels.get(name, WHICH))
    kind = type(estimator).__name__
    for estimate in (estimator, Pipeline([("first", StandardScaler().fit(X)), ("last", estimator)])):
        for convert in (from_sklearn, outputs_of, scores_from_sklearn):
            with pytest.raises(InputError, match=rf"{kind} is not supported: .*{sentence}"):
                convert(estimate)


def test_what_does_not_read_vectors_is_refused():
    with pytest.raises(InputError, match="CountVectorizer is not supported: it does not read feature vectors"):
        from_sklearn(CountVectorizer().fit(["one two"]))


FITTED = {"pca": PCA(2).fit(X), "svc": SVC().fit(X, WHICH), "reducer": KernelPCA(2).fit(X)}
OTHERS = {
    "unfitted": (PCA(2), "PCA is not fitted; call its fit"),
    "unfitted without need": (Normalizer(), "Normalizer is not fitted; call its fit"),
    "unfitted process": (GaussianProcessRegressor(RBF()), "GaussianProcessRegressor is not fitted"),
    "unfitted union": (FeatureUnion([("b", "passthrough")]), "FeatureUnion is not fitted"),
    "unfitted inside": (make_pipeline(PCA(2).fit(X), Normalizer()), "Normalizer is not fitted"),
    "unfitted pipeline": (make_pipeline(StandardScaler(), SVC()), "Pipeline is not fitted"),
    "unfitted step": (Pipeline([("a", StandardScaler()), ("b", FITTED["svc"])]), "StandardScaler is not fitted"),
    "not an estimator": (42, "expected a fitted scikit-learn estimator; got int"),
    "a foreign estimator": (
        Foreign().fit(X),
        "got Foreign, which is not derived from its BaseEstimator, so fit",
    ),
    "a class": (PCA, "expected a fitted scikit-learn estimator; got"),
    "only passthrough": (Pipeline([("a", "passthrough")]), "at least one step that is not 'passthrough', since"),
    "classifier inside": (
        Pipeline([("a", FITTED["svc"]), ("b", FITTED["pca"])]),
        "output of SVC must be one of decision, pairs, margin; got 'transform'",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_fitted_estimator_gets_a_sentence(name):
    estimator, sentence = OTHERS[name]
    with pytest.raises(InputError, match=sentence):
        from_sklearn(estimator)


def test_no_supported_estimator_is_refused_by_name():
    names = {kind.__name__ for kind in ENTRIES}
    assert not names & KINDS.keys()
    for why, instead in (*KINDS.values(), *FAMILIES.values()):
        assert why[0].islower()
        assert not (why + instead).endswith(".")
    assert refusal(DecisionTreeClassifier).endswith(".")
