"""A named cause explains every output that was given, and the head that follows its advice passes.

The network is written in NumPy: two hidden layers of equal width, a PCA at the first, a linear classifier on it.
"""

import re

import jax
import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from pcacam_jax import InputError, check_outputs, hybrid_head

H, W, K, WIDTH, COUNT = 2, 3, 4, 5, 90
RANDOM = np.random.default_rng(5)
MAPS = RANDOM.normal(size=(COUNT, H, W, K))
DENSE = [
    (RANDOM.normal(size=size) * 1.5 / np.sqrt(size[0]), RANDOM.normal(size=size[1:]))
    for size in ((H * W * K, WIDTH), (WIDTH, WIDTH), (WIDTH, 3))
]
NONE = "none of the usual causes explains every output given"


def relu(u):
    return np.maximum(u, 0)


def leaky(u):
    return np.where(u > 0, u, 0.2 * u)


def channels_first(maps):
    return maps.transpose(0, 3, 1, 2).reshape(len(maps), -1)


class Network:
    """The values of a network, with estimators fitted on what ``reads`` names: u1, x1, u2 or x2."""

    def __init__(self, activation=relu, reads="x1", flatten=lambda maps: maps.reshape(len(maps), -1), dense=DENSE):
        u1 = flatten(MAPS) @ dense[0][0] + dense[0][1]
        u2 = activation(u1) @ dense[1][0] + dense[1][1]
        x = {"u1": u1, "x1": activation(u1), "u2": u2, "x2": activation(u2)}
        self.pca = PCA(3).fit(x[reads])
        v = self.pca.transform(x[reads])
        self.classifier = LogisticRegression().fit(v, np.arange(COUNT) % 3)
        scores = self.classifier.decision_function(v)
        self.values = {"cnn": activation(u2) @ dense[2][0] + dense[2][1], "pca": v, "lr": scores}

    def head(self, dense=DENSE, **options):
        estimators = {"pca": self.pca, "svms": {"lr": self.classifier}, "output": "decision"}
        return hybrid_head(dense, maps_shape=(H, W, K), **{"at": 1, **estimators, **options})


def advice(head, expected, maps=MAPS):
    """Return what the message says after the errors."""
    with pytest.raises(InputError) as error:
        check_outputs(head, maps, expected)
    sentence = str(error.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence.partition(" is allowed; ")[2]


def without_biases(layers):
    return [(kernel, np.zeros_like(bias)) for kernel, bias in layers]


def transposed(layers):
    return [layers[0], (layers[1][0].T, layers[1][1]), layers[2]]


IN_THE_HEAD = {
    "flattened": (Network(flatten=channels_first), {}, {"flattened": "channels_first"}, 'flattened="channels_first"'),
    "flattened, dense": (Network(), {"flattened": "channels_first"}, {}, 'flattened="channels_last"'),
    "activation": (Network(np.tanh), {}, {"activation": "tanh"}, 'the activation is "tanh"'),
    "leaky": (Network(leaky), {}, {"activation": "leaky_relu:0.2"}, 'activation="leaky_relu:0.2"'),
    "from identity": (Network(np.tanh), {"activation": "identity"}, {"activation": "tanh"}, 'activation="tanh"'),
    "before": (Network(reads="u1"), {}, {"before_activation": True}, "build the head with before_activation=True."),
    "after": (Network(), {"before_activation": True}, {}, "build the head with before_activation=False."),
    "layer": (Network(reads="x2"), {}, {"at": 2}, "build the head with at=2, before_activation=False."),
    "layer, before": (
        Network(reads="u2"),
        {},
        {"at": 2, "before_activation": True},
        "build the head with at=2, before_activation=True.",
    ),
    "activation, before": (
        Network(np.tanh, reads="u1"),
        {"activation": "relu"},
        {"activation": "tanh", "before_activation": True},
        'build the head with activation="tanh", before_activation=True.',
    ),
    "biases": (Network(dense=without_biases(DENSE)), {}, {"dense": without_biases(DENSE)}, "biases of zeros"),
    "transposed": (Network(dense=transposed(DENSE)), {}, {"dense": transposed(DENSE)}, "a square kernel is transposed"),
}


@pytest.mark.parametrize("name", IN_THE_HEAD)
def test_a_cause_in_the_head_is_named(name):
    network, wrong, right, sentence = IN_THE_HEAD[name]
    assert sentence in advice(network.head(**wrong), network.values)
    check_outputs(network.head(**right), MAPS, network.values)


@pytest.mark.exhaustive
@pytest.mark.parametrize("outputs", [("cnn",), ("pca",), ("lr", "cnn")])
@pytest.mark.parametrize("name", IN_THE_HEAD)
def test_what_is_advised_for_some_outputs_makes_them_right(name, outputs):
    network, wrong, _, _ = IN_THE_HEAD[name]
    expected = {output: network.values[output] for output in outputs}
    try:
        check_outputs(network.head(**wrong), MAPS, expected)
    except InputError:
        _, _, options = advice(network.head(**wrong), expected).partition("build the head with ")
        values = {"True": True, "False": False, "1": 1, "2": 2}
        followed = {key: values.get(value, value) for key, value in re.findall(r'(\w+)="?([\w:.]*\w)', options)}
        assert followed or name in ("biases", "transposed")  # their advice names no option
        if followed:
            check_outputs(network.head(**{**wrong, **followed}), MAPS, expected)


CORRECT = Network()
IN_THE_VALUES = {
    "softmax": ("cnn", lambda y: softmax(y, axis=1), "the expected values of cnn are probabilities: give the logits"),
    "log-softmax": ("cnn", lambda y: log_softmax(y, axis=1), "the expected values of cnn are log-probabilities"),
    "sigmoid": ("cnn", expit, "the expected values of cnn are probabilities of a sigmoid"),
    "order": ("cnn", lambda y: y[:, [1, 2, 0]], "the entries of cnn are in another order"),
    "factor": ("lr", lambda y: 3 * y, "all values of lr differ by one constant factor"),
    "constant": ("cnn", lambda y: y + np.arange(3), "each entry of cnn differs by a constant"),
    "sign": ("pca", lambda v: v * [1, -1, 1], "components of pca have the opposite sign"),
    "order of components": ("pca", lambda v: v[:, ::-1], "the components of pca are in another order"),
}


@pytest.mark.parametrize("name", IN_THE_VALUES)
def test_a_cause_in_one_output_is_named_with_and_without_right_ones(name):
    output, change, sentence = IN_THE_VALUES[name]
    wrong = {output: change(CORRECT.values[output])}
    for expected in (wrong, {**CORRECT.values, **wrong}):
        assert advice(CORRECT.head(), expected).startswith(sentence)


def test_two_causes_in_two_outputs_are_both_named():
    expected = {
        "cnn": softmax(CORRECT.values["cnn"], axis=1),
        "pca": -CORRECT.values["pca"],
        "lr": CORRECT.values["lr"],
    }
    said = advice(CORRECT.head(), expected)
    assert "of cnn are probabilities" in said
    assert "; components of pca have the opposite sign" in said


def test_softmax_and_a_cause_in_the_head_are_both_named():
    network = Network(flatten=channels_first)
    expected = {**network.values, "cnn": softmax(network.values["cnn"], axis=1)}
    said = advice(network.head(), expected)
    assert said.startswith("the first kernel expects maps flattened channel by channel")
    assert said.endswith("; the expected values of cnn are probabilities: give the logits, before softmax.")


def test_softmax_comes_before_causes_that_would_explain_it_as_well():
    """The softmax of logits 1e-3 and 0 in turn also differs from them by constants, up to the tolerance."""
    head = hybrid_head([(np.array([[1e-3, 0]]), np.zeros(2))], maps_shape=(1, 1, 1), at=1)
    maps = np.linspace(0, 1, 9).reshape(9, 1, 1, 1)
    expected = softmax(maps.reshape(9, 1) * [1e-3, 0], axis=1)
    assert "are probabilities: give the logits, before softmax" in advice(head, {"cnn": expected}, maps)


@pytest.mark.parametrize(
    ("network", "options"),
    [
        (Network(np.tanh, flatten=channels_first), {}),
        (Network(np.tanh, dense=transposed(DENSE)), {}),
        (Network(np.tanh, reads="x2"), {}),
        (Network(np.sin), {}),
        (Network(flatten=channels_first, reads="u1"), {}),
    ],
)
def test_pairs_of_causes_in_the_head_are_not_given_as_one(network, options):
    said = advice(network.head(**options), network.values)
    assert said.startswith(NONE)
    for tried in (
        "the order of flattening",
        "leaky_relu:0.2",
        "silu",
        "before or after the activation",
        "missing biases",
    ):
        assert tried in said


def test_a_cause_that_breaks_a_right_output_is_not_named():
    """The logits alone ask for another activation, but the components say that it is the right one."""
    expected = {"cnn": Network(np.tanh).values["cnn"], "pca": CORRECT.values["pca"]}
    assert advice(CORRECT.head(), expected).startswith(NONE)
    assert 'activation="tanh"' in advice(CORRECT.head(), {"cnn": expected["cnn"]})


def test_two_thirds_of_a_cause_are_not_a_cause():
    expected = dict(CORRECT.values)
    expected["cnn"] = np.where(np.arange(COUNT)[:, None] < 70, softmax(expected["cnn"], axis=1), expected["cnn"])
    assert advice(CORRECT.head(), expected).startswith(NONE)
    network = Network(np.tanh)
    mixed = {"cnn": np.concatenate([network.values["cnn"][:80], CORRECT.values["cnn"][80:]])}
    assert advice(CORRECT.head(), mixed).startswith(NONE)


def test_differences_beyond_the_first_examples_are_examined():
    network = Network(np.tanh)
    maps = np.concatenate([np.zeros_like(MAPS), MAPS])
    zeros = np.tanh(np.tanh(DENSE[0][1]) @ DENSE[1][0] + DENSE[1][1]) @ DENSE[2][0] + DENSE[2][1]
    expected = {"cnn": np.concatenate([np.tile(zeros, (COUNT, 1)), network.values["cnn"]])}
    assert 'activation="tanh"' in advice(network.head(activation="softplus"), expected, maps)


def test_shuffled_examples_are_named():
    order = np.random.default_rng(0).permutation(COUNT)
    expected = {name: array[order] for name, array in CORRECT.values.items()}
    assert advice(CORRECT.head(), expected).startswith("the examples are in another order than the maps")
    expected["pca"] = CORRECT.values["pca"]
    assert advice(CORRECT.head(), expected).startswith(NONE)


def test_a_large_bias_does_not_pass_for_a_constant_difference():
    dense = [*DENSE[:2], (DENSE[2][0], np.full(3, 1e4))]
    head = hybrid_head(dense, maps_shape=(H, W, K), at=1)
    expected = np.random.default_rng(0).normal(size=(COUNT, 3)) * 5 + 1e4 + 100
    assert advice(head, {"cnn": expected}).startswith(NONE)


def test_estimators_without_dense_layers_get_the_order_as_an_option():
    pca = PCA(2).fit(channels_first(MAPS))
    expected = {"pca": pca.transform(channels_first(MAPS))}
    head = hybrid_head([], maps_shape=(H, W, K), pca=pca)
    assert (
        'the estimators expect maps flattened channel by channel: build the head with flattened="channels_first"'
        in (advice(head, expected))
    )
    check_outputs(hybrid_head([], maps_shape=(H, W, K), pca=pca, flattened="channels_first"), MAPS, expected)


def test_causes_are_found_in_probability_spaces():
    network = Network()
    head = network.head(output="log_proba")
    expected = {"lr": network.classifier.predict_proba(network.values["pca"])}
    assert 'build the head with output="proba"' in advice(head, expected)
    expected = {"lr": network.classifier.predict_log_proba(network.values["pca"])}
    assert 'build the head with output="log_proba"' in advice(network.head(output="proba"), expected)


def test_the_search_is_silent_under_strict_settings():
    """Wrong activations may overflow; neither NumPy nor JAX may raise about them."""
    with np.errstate(all="raise"), jax.debug_nans(True), jax.numpy_rank_promotion("raise"):
        assert advice(CORRECT.head(), {"cnn": 1e3 * np.random.default_rng(0).random((COUNT, 3))}).startswith(NONE)
