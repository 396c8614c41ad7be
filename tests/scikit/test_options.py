"""Options with which an estimator was fitted, and the outputs that it has by them."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier, RidgeClassifierCV, SGDClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support.drawing import Draw

from pcacam_jax import InputError, from_sklearn
from pcacam_jax.scikit import outputs_of

pytestmark = pytest.mark.usefixtures("x64")


def data():
    draw = Draw(0)
    return draw.points(60, 3), draw


@pytest.mark.parametrize("loss", ["modified_huber", "hinge"])
def test_only_the_logarithmic_loss_has_probabilities(loss):
    x, draw = data()
    model = SGDClassifier(loss, max_iter=2000).fit(x, draw.labels(x, 3))
    with pytest.raises(InputError, match="output of SGDClassifier must be one of decision; got 'proba'"):
        from_sklearn(model, output="proba")


def test_least_squares_discriminants_do_not_transform():
    x, draw = data()
    model = LinearDiscriminantAnalysis(solver="lsqr").fit(x, draw.labels(x, 3))
    with pytest.raises(InputError, match="must be one of decision, log_proba, proba; got 'transform'"):
        from_sklearn(model, output="transform")


def test_older_ways_of_several_classes_are_not_taken_for_softmax():
    x, draw = data()
    several = LogisticRegression().fit(x, draw.labels(x, 3))
    several.multi_class = "ovr"
    decision = several.decision_function(x[:1])
    expected = 1 / (1 + np.exp(-decision))
    np.testing.assert_allclose(
        from_sklearn(several, output="proba")(jnp.asarray(x[0])), (expected / expected.sum())[0], rtol=1e-12
    )
    two = LogisticRegression().fit(x, draw.labels(x, 2))
    two.multi_class = "multinomial"
    assert outputs_of(two) == ("decision",)


def test_several_labels_an_example_are_refused():
    x, draw = data()
    labels = np.stack([draw.labels(x, 2, "positions") for _ in range(3)], axis=1)
    for model in (MLPClassifier((3,), max_iter=5000), RidgeClassifier(), RidgeClassifierCV()):
        for several in (labels, labels[:, :2]):
            for fitted in (model.fit(x, several), make_pipeline(StandardScaler(), model).fit(x, several)):
                sentence = f"{type(model).__name__} was fitted on several labels an example; fit one classifier a label"
                with pytest.raises(InputError, match=sentence):
                    from_sklearn(fitted)


def test_a_count_regression_has_an_exponential_output():
    x, draw = data()
    if "loss" not in MLPRegressor().get_params():
        pytest.skip("scikit-learn before 1.7 has no Poisson loss")
    model = MLPRegressor(hidden_layer_sizes=(3,), loss="poisson", max_iter=5000).fit(x, np.exp(draw.targets(x)))
    assert model.out_activation_ == "exp"
    np.testing.assert_allclose(from_sklearn(model)(jnp.asarray(x[0])), model.predict(x[:1]), rtol=1e-10)
