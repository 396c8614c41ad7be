"""check_outputs accepts correct outputs, and names the cause of a difference."""

import jax
import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from support import cases

from pcacam_jax import InputError, hybrid_head
from pcacam_jax.head.check_outputs import check_outputs

SHAPE = (3, 4, 5)
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def network():
    return cases.network()


@pytest.fixture(scope="module")
def correct(network):
    """The outputs of the network, computed by NumPy and scikit-learn."""
    x = cases.trunk(network.dense[:2], network.maps)
    hidden = cases.trunk(network.dense[2:3], x)
    return {"cnn": hidden @ network.dense[3][0] + network.dense[3][1], "pca": network.pca.transform(x)}


@pytest.fixture(scope="module")
def margins(network):
    return np.asarray(jax.vmap(network.head)(network.maps.astype("float32"))["svm_rbf"])


def error_message(network, expected, *, maps=None, **changes):
    """The error message for the network's head with some options changed."""
    options = {"pca": network.pca, "svms": network.svms, **network.options, "dense": network.dense, **changes}
    head = hybrid_head(options.pop("dense"), **options)
    with pytest.raises(InputError) as error:
        check_outputs(head, network.maps if maps is None else maps, expected)
    sentence = str(error.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_correct_outputs_pass_and_their_errors_are_returned(network, correct):
    errors = check_outputs(network.head, network.maps, correct)
    assert set(errors) == {"cnn", "pca"}
    assert max(errors.values()) < 1e-5


def test_errors_are_smaller_in_float64(network, correct, x64):
    assert max(check_outputs(network.head, network.maps, correct).values()) < 1e-13
    off = {"cnn": correct["cnn"] * (1 + 1e-6)}
    assert "cnn by 1e-06" in error_message(network, off)
    assert check_outputs(network.head, network.maps, off, tolerance=1e-5)["cnn"] > 1e-8


def test_only_outputs_that_differ_are_named(network, correct):
    sentence = error_message(network, {**correct, "cnn": correct["cnn"] + RANDOM.random(correct["cnn"].shape)})
    assert "cnn by" in sentence
    assert "pca by" not in sentence
    assert "none of the usual causes" in sentence


def in_channel_order(kernel):
    return kernel.reshape(*SHAPE, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)


def without_biases(layers):
    return [(kernel, np.zeros_like(bias)) for kernel, bias in layers]


def test_the_order_of_flattening_is_named(network, correct):
    kernel, bias = network.dense[0]
    channels_first = [(in_channel_order(kernel), bias), *network.dense[1:]]
    assert "expects maps flattened channel by channel" in error_message(network, correct, dense=channels_first)
    converted_twice = np.empty_like(kernel)
    converted_twice[np.arange(60).reshape(SHAPE).transpose(2, 0, 1).reshape(-1)] = kernel
    dense = [(converted_twice, bias), *network.dense[1:]]
    assert "because it was converted twice" in error_message(network, correct, dense=dense)


def test_the_activation_is_named(network, correct):
    assert 'build the head with activation="sigmoid"' in error_message(network, correct, activation="relu")


def test_missing_biases_are_named(network):
    maps, layers = network.maps, without_biases(network.dense)
    hidden = cases.trunk(layers[:3], maps)
    assert "no biases" in error_message(network, {"cnn": hidden @ layers[3][0]})


def test_a_transposed_square_kernel_is_named(network):
    random = np.random.default_rng(3)
    kernel, bias = random.normal(size=(7, 7)), random.normal(size=7)
    before = network.dense[:2]
    expected = cases.trunk(before, network.maps) @ kernel + bias
    changes = {"dense": [*before, (kernel.T, bias)], "pca": None, "svms": None}
    assert "a square kernel is transposed" in error_message(network, {"cnn": expected}, **changes)


def test_two_transposed_square_kernels_are_named():
    random = np.random.default_rng(3)
    dense = [(random.normal(size=(6, 6)), np.zeros(6)) for _ in range(2)]
    maps = random.normal(size=(5, 1, 1, 6))
    expected = cases.trunk(dense[:1], maps) @ dense[1][0]
    transposed = [(kernel.T, bias) for kernel, bias in dense]
    head = hybrid_head(transposed, maps_shape=(1, 1, 6), activation="sigmoid")
    with pytest.raises(InputError, match="the square kernels are transposed"):
        check_outputs(head, maps, {"cnn": expected})


def test_maps_before_their_relu_are_named(network, correct):
    maps = network.maps - (network.maps == 0) * np.random.default_rng(0).random(network.maps.shape)
    assert "after the ReLU" in error_message(network, correct, maps=maps)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda logits: softmax(logits, axis=1), "are probabilities"),
        (lambda logits: log_softmax(logits, axis=1), "are log-probabilities"),
        (lambda logits: logits[:, ::-1], "in another order"),
        (lambda logits: 3 * logits, "one constant factor"),
        (lambda logits: logits + np.arange(4), "look at the bias of the last layer"),
    ],
)
def test_causes_in_the_expected_logits_are_named(network, correct, change, sentence):
    assert sentence in error_message(network, {"cnn": change(correct["cnn"])})


def test_the_sign_of_a_component_is_named(network, correct):
    assert "the opposite sign" in error_message(network, {"pca": correct["pca"] * [1, -1, 1]})


def test_votes_for_margins_are_named(network, correct):
    votes = network.svms["svm_rbf"].decision_function(network.components)
    assert "with votes" in error_message(network, {"svm_rbf": votes})


@pytest.mark.parametrize(
    ("expected", "sentence"),
    [
        ({}, "at least one of cnn, pca"),
        ({"dnn": 1}, "a name in expected must be one of"),
        ({"cnn": np.ones((7, 3))}, r"must have shape \(7, 4\); got \(7, 3\)\.$"),
        ({"cnn": np.full((7, 4), np.nan)}, "must be finite"),
    ],
)
def test_invalid_expected_values_are_rejected(network, expected, sentence):
    with pytest.raises(InputError, match=sentence):
        check_outputs(network.head, network.maps, expected)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"head": None, "maps": None}, "head must be a HybridHead, from pcacam_jax.hybrid_head; got NoneType"),
        ({"expected": [1.0]}, "expected must be a dictionary output name -> values, such as .*'cnn'.*; got list"),
        (
            {"maps": [[1, 2], [3]]},
            r"maps must be one array of shape \(B, 3, 4, 5\); got a list that NumPy cannot convert",
        ),
        *(
            ({"tolerance": wrong, "maps": None}, f"tolerance must be a number of at least 0, .*got {wrong!r}")
            for wrong in ("a", -1e-3, float("nan"), True)
        ),
    ],
)
def test_misuse_raises_an_error(network, correct, change, sentence):
    options = {"head": network.head, "maps": network.maps, "expected": correct, "tolerance": None, **change}
    with pytest.raises((InputError, TypeError), match=sentence) as error:
        check_outputs(**options)
    assert str(error.value).endswith(".")


def test_a_tolerance_is_any_real_number(network, correct):
    for tolerance in (1, np.float32(0.5), np.int64(1), float("inf")):
        assert check_outputs(network.head, network.maps, correct, tolerance=tolerance)


def test_two_class_decisions_get_a_hint():
    network = cases.network(("a", "b"))
    decision = network.svms["svm_rbf"].decision_function(network.components)
    with pytest.raises(InputError, match=r"the margins of a two-class SVM are \(-g, g\)"):
        check_outputs(network.head, network.maps, {"svm_rbf": decision})
    check_outputs(network.head, network.maps, {"svm_rbf": np.stack([-decision, decision], axis=1)})
