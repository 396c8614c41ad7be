"""Multi-layer perceptrons: chains of dense layers, with a softmax at the end of a classifier."""

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from pcacam_jax.scikit.linear_models import softmaxes
from pcacam_jax.scikit.registry import Entry, Estimator, Outputs, as_dense, check_one_label, register
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.dense import Dense

ACTIVATIONS = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu", "exp": "exp"}
"""Names of activations in scikit-learn -> names in :data:`pcacam_jax.stages.ACTIVATIONS`."""


def _layers(estimator: Estimator, last: str = "identity") -> list[Dense]:
    """Return the dense layers; ``last`` is the activation of the last layer."""
    kernels, biases = list(map(as_dense, estimator.coefs_)), list(map(as_dense, estimator.intercepts_))
    names = [estimator.activation] * (len(kernels) - 1) + [last]
    return [Dense(kernel, bias, ACTIVATIONS[name]) for kernel, bias, name in zip(kernels, biases, names, strict=True)]


def _classifier(estimator: Estimator) -> Outputs:
    check_one_label(estimator)
    *layers, last = _layers(estimator)
    if estimator.out_activation_ == "logistic":
        # 1 - sigmoid(u) and sigmoid(u) are the softmax of (0, u).
        last = Dense(last.kernel * np.array([0.0, 1.0]), last.bias * np.array([0.0, 1.0]))
    return softmaxes(*layers, last, size=len(last.bias))


def _regressor(estimator: Estimator) -> Outputs:
    return {"predict": lambda: Chain(tuple(_layers(estimator, estimator.out_activation_)))}


register(
    Entry(
        MLPClassifier,
        "dense chain",
        "softmax(W_n f(... f(W_1 x + b_1)) + b_n), with two classes sigmoid",
        "single-label classification only",
        _classifier,
        ("log_proba", "proba"),
    )
)
register(Entry(MLPRegressor, "dense chain", "W_n f(... f(W_1 x + b_1)) + b_n", "", _regressor, ("predict",)))
