"""The syntax of targets: outputs, entries, class names and invalid targets."""

import numpy as np
import pytest
from sklearn.svm import SVC
from support import cases

from pcacam_jax import InputError, explain, hybrid_head
from pcacam_jax.head.targets import Target, parse_targets


@pytest.fixture
def network():
    return cases.network()


def names_of(head, targets):
    return [(target.name, target.column) for target in parse_targets(head, targets)]


def named_head(labels, class_names=None):
    """A head of one dense layer with one input, and an SVM that reads its outputs."""
    x = np.arange(2.0 * len(labels))[:, None] * np.ones(len(labels))
    svm = SVC().fit(x, np.repeat(np.array(labels), 2))
    dense = [(np.ones((1, len(labels))), np.zeros(len(labels)))]
    return hybrid_head(dense, maps_shape=(1, 1, 1), svms={"svm": svm}, at=1, class_names=class_names)


def test_every_form_of_target(network):
    head = network.head
    assert names_of(head, "pca") == [("pca:0", 0), ("pca:1", 1), ("pca:2", 2)]
    assert names_of(head, "pca:1") == [("pca:1", 1)]
    assert names_of(head, "cnn:3") == [("cnn:3", 3)]
    assert names_of(head, ("cnn:predicted", "svm_rbf:predicted")) == [
        ("cnn:predicted", None),
        ("svm_rbf:predicted", None),
    ]
    assert names_of(head, "svm_rbf") == [(f"svm_rbf:{c}", i) for i, c in enumerate(["ant", "cat", "owl", "wolf"])]
    assert names_of(head, ["svm_linear:wolf", "svm_linear:3"]) == [("svm_linear:wolf", 3), ("svm_linear:3", 3)]
    assert parse_targets(head, "pca:0") == (Target("pca", 0, "pca:0"),)


def test_names_that_are_numbers_have_priority_over_indices():
    head = named_head([7, 3, 1])
    assert head.outputs["svm"] == ("1", "3", "7")
    assert names_of(head, ["svm:1", "svm:7", "svm:3"]) == [("svm:1", 0), ("svm:7", 2), ("svm:3", 1)]
    with pytest.raises(InputError, match="'svm:0' names no entry of that output, which has 1, 3, 7"):
        parse_targets(head, "svm:0")


def test_numbers_are_compared_as_numbers():
    head = named_head([1.0, 2.0, 10.0])
    assert head.outputs["svm"] == ("1.0", "2.0", "10.0")
    names = names_of(head, ["svm:1", "svm:2.0", "svm:1e1", "cnn:2"])
    assert names == [("svm:1", 0), ("svm:2.0", 1), ("svm:1e1", 2), ("cnn:2", 2)]
    for entry in ("0", "3", "nan", "1_0", "\u0662"):
        with pytest.raises(InputError, match=f"'svm:{entry}' names no entry of that output, which has 1.0, 2.0, 10.0"):
            parse_targets(head, f"svm:{entry}")


def test_a_number_that_equals_several_names_is_rejected():
    head = named_head(["1", "01", "x"])
    assert names_of(head, ["svm:1", "svm:01", "svm:x"]) == [("svm:1", 1), ("svm:01", 0), ("svm:x", 2)]
    with pytest.raises(InputError, match=r"'svm:1\.0' names more than one entry of that output, which has 01, 1, x"):
        parse_targets(head, "svm:1.0")


@pytest.mark.parametrize("entry", ["\u0662", "02", "2.0", "9" * 5000])
def test_an_index_must_be_written_in_plain_digits(entry):
    head = named_head(["a", "b", "nan"])
    assert names_of(head, "svm:2") == [("svm:2", 2)]
    with pytest.raises(InputError, match="names no entry of that output, which has a, b, nan"):
        parse_targets(head, f"svm:{entry}")


def test_class_names_name_the_logits_and_integer_labels():
    head = named_head([0, 2, 1], ["x:y", "b", "c"])
    assert head.outputs == {"cnn": ("x:y", "b", "c"), "svm": ("x:y", "b", "c")}
    assert names_of(head, ["cnn:x:y", "svm:b", "cnn:2"]) == [("cnn:x:y", 0), ("svm:b", 1), ("cnn:2", 2)]


@pytest.mark.parametrize("target", ["svm:predicted", "svm", "cnn:predicted"])
def test_a_class_named_predicted_is_not_confused_with_the_predicted_class(target):
    head = named_head([0, 2, 1], ["x", "b", "predicted"])
    output = target.partition(":")[0]
    sentence = f"target '{target}' is ambiguous, .* class named 'predicted'; .*the index of that one, '{output}:2'"
    with pytest.raises(InputError, match=sentence):
        parse_targets(head, ["svm:b", target])
    assert names_of(head, ["svm:x", f"{output}:2"]) == [("svm:x", 0), (f"{output}:2", 2)]


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        ([], "targets must name at least one of cnn, pca, svm_rbf, svm_linear; got an empty list"),
        ("svm_poly", "'svm_poly' names no output of this head, which has cnn, pca, svm_rbf, svm_linear"),
        ("pca:3", "'pca:3' names no entry of that output, which has 0, 1, 2"),
        ("pca:-1", "names no entry"),
        ("pca:predicted", "'pca:predicted' names no entry"),
        ("cnn:", "'cnn:' names no entry"),
        (["pca", "svm_rbf:dog"], "'svm_rbf:dog' names no entry of that output, which has ant, cat, owl, wolf"),
        ("svm_rbf:4", "names no entry"),
        ("", "names no output"),
    ],
)
def test_invalid_targets_raise_an_error(network, targets, sentence):
    with pytest.raises(InputError, match=sentence):
        explain(network.head, network.maps, targets)


def test_targets_that_are_not_strings_are_rejected(network):
    with pytest.raises(TypeError, match="a target must be a string such as 'pca:0'; got int"):
        explain(network.head, network.maps, [0])
