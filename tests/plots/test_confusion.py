"""Confusion matrices: counts, colours and names for few and for many classes."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from pcacam_jax import plots
from pcacam_jax.core.checks import InputError


def drawn(matrix, names=None):
    figure = Figure(figsize=(6, 6), layout="constrained")
    names = [f"class {i}" for i in range(len(matrix))] if names is None else names
    axes = plots.confusion_matrix(figure.add_subplot(), matrix, names)
    figure.draw_without_rendering()
    return axes


@pytest.mark.parametrize("classes", [1, 2, 20])
def test_counts_are_written(classes):
    matrix = np.arange(classes**2).reshape(classes, classes)
    axes = drawn(matrix)
    assert [int(text.get_text()) for text in axes.texts] == matrix.ravel()[1:].tolist()
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"class {i}" for i in range(classes)]


def test_colours_are_shares_of_the_true_class():
    shares = drawn([[3, 1], [0, 0]]).images[0].get_array()
    np.testing.assert_array_equal(shares, [[0.75, 0.25], [0, 0]])


def test_many_classes_have_a_colour_bar_and_evenly_spaced_names():
    axes = drawn(np.eye(100))
    assert not axes.texts
    assert len(axes.child_axes) == 1
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == [f"class {i}" for i in range(0, 100, 4)]


@pytest.mark.parametrize(
    ("matrix", "names", "sentence"),
    [
        ([[1, 2]], ["a"], "matrix must be square"),
        ([[0.5]], ["a"], "hold counts, whole numbers"),
        ([[-1]], ["a"], "must not contain values below 0"),
        ([[1]], ["a", "b"], "class_names must have one entry per class: expected 1, got 2"),
    ],
)
def test_invalid_matrices_raise(matrix, names, sentence):
    with pytest.raises(InputError, match=sentence):
        drawn(matrix, names)
