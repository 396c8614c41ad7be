"""The outputs that an estimator has depending on its options."""

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
def test_an_sgd_classifier_has_probabilities_only_with_log_loss(loss):
    x, draw = data()
    model = SGDClassifier(loss, max_iter=2000).fit(x, draw.labels(x, 3))
    with pytest.raises(InputError, match="output of SGDClassifier must be one of decision; got 'proba'"):
        from_sklearn(model, output="proba")


def test_a_discriminant_analysis_with_solver_lsqr_has_no_transform():
    x, draw = data()
    model = LinearDiscriminantAnalysis(solver="lsqr").fit(x, draw.labels(x, 3))
    with pytest.raises(InputError, match="must be one of decision, log_proba, proba; got 'transform'"):
        from_sklearn(model, output="transform")


def test_the_option_multi_class_of_older_versions_is_respected():
    x, draw = data()
    several = LogisticRegression().fit(x, draw.labels(x, 3))
    several.multi_class = "ovr"
    decision = several.decision_function(x[:1])
    expected = 1 / (1 + np.exp(-decision))
    np.testing.assert_allclose(
        from_sklearn(several, output="proba")(jnp.asarray(x[0])), (expected / expected.sum())[0], rtol=1e-12
    )
    binary = LogisticRegression().fit(x, draw.labels(x, 2))
    binary.multi_class = "multinomial"
    assert outputs_of(binary) == ("decision",)


def test_several_labels_per_example_raise():
    x, draw = data()
    labels = np.stack([draw.labels(x, 2, "positions") for _ in range(3)], axis=1)
    for model in (MLPClassifier((3,), max_iter=5000), RidgeClassifier(), RidgeClassifierCV()):
        for several in (labels, labels[:, :2]):
            for fitted in (model.fit(x, several), make_pipeline(StandardScaler(), model).fit(x, several)):
                name = type(model).__name__
                sentence = f"{name} was fitted on several labels per example; fit one classifier per label"
                with pytest.raises(InputError, match=sentence):
                    from_sklearn(fitted)


def test_an_mlp_with_poisson_loss_has_an_exponential_output():
    x, draw = data()
    if "loss" not in MLPRegressor().get_params():
        pytest.skip("scikit-learn before 1.7 has no Poisson loss")
    model = MLPRegressor(hidden_layer_sizes=(3,), loss="poisson", max_iter=5000).fit(x, np.exp(draw.targets(x)))
    assert model.out_activation_ == "exp"
    np.testing.assert_allclose(from_sklearn(model)(jnp.asarray(x[0])), model.predict(x[:1]), rtol=1e-10)
