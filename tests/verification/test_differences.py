"""Central differences choose a step for every direction, bound their error, and recognise kinks."""

import numpy as np
import pytest

from pcacam_jax import Elementwise, MaxPool, Normalise, verify
from pcacam_jax.verification import differences
from pcacam_jax.verification.directions import ALL_UP_TO, COUNT, directions


def slopes_of(function, x, vectors):
    step = differences.steps(x)
    at = lambda sign: np.array([[function(x + sign * h * v) for h in step] for v in vectors])  # noqa: E731
    return differences.slopes(np.array([function(x)] * len(vectors)), at(1), at(-1), step)


@pytest.mark.parametrize("sharpness", [1e-3, 1, 30, 1e3])
def test_the_bound_contains_the_error(sharpness):
    x, vectors = np.array([0.3, -0.2, 0.7]), np.eye(3)
    weights = np.array([[1.0, 2.0, -1.0], [0.5, -1.0, 3.0]])
    result = slopes_of(lambda x: np.sin(sharpness * weights @ x) + 3, x, vectors)
    exact = (sharpness * np.cos(sharpness * weights @ x)[:, None] * weights).T
    errors = np.linalg.norm(result.values - exact, axis=1)
    assert result.kept.all()
    assert (errors <= result.bounds).all()
    assert (result.bounds < 1e-5 * np.linalg.norm(exact)).all()


@pytest.mark.parametrize("distance", [0.3, 1e-2, 1e-4, 1e-5])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_step_that_does_not_reach_a_kink_is_used(distance, side):
    kinked = lambda x: np.array([np.sin(x[0]) + max(0.0, side * (x[0] - 1) - distance)])  # noqa: E731
    result = slopes_of(kinked, np.array([1.0]), np.eye(1))
    assert result.kept.all()
    assert abs(result.values[0, 0] - np.cos(1)) <= result.bounds[0] < 1e-6


def test_a_kink_at_the_point_is_left_out():
    result = slopes_of(lambda x: np.maximum(x, 0) + np.sin(3 * x), np.array([0.0, 0.5, -0.5]), np.eye(3))
    assert result.kept.tolist() == [False, True, True]
    assert result.bounds[0] >= 0.5


def test_a_value_without_slope_is_kept_with_the_bound_of_its_rounding():
    result = slopes_of(lambda x: np.array([3.0 + 1e-20 * x[0]]), np.array([1.0]), np.eye(1))
    assert result.kept.all()
    assert result.bounds[0] < 1e-12


def test_directions():
    small, large = directions(ALL_UP_TO), directions(ALL_UP_TO + 1)
    assert (small.vectors == np.eye(ALL_UP_TO)).all()
    assert small.complete
    assert large.vectors.shape == (COUNT, ALL_UP_TO + 1)
    assert set(np.unique(large.vectors)) == {-1, 1}
    matrix = np.random.default_rng(0).normal(size=(4, ALL_UP_TO + 1))
    assert np.linalg.norm(large.vectors @ matrix.T) == pytest.approx(np.linalg.norm(matrix) * large.weight, rel=0.1)
    assert (directions(ALL_UP_TO + 1).vectors == large.vectors).all()


def differences_of(stage, x):
    return verify(stage, x, dtypes=["float64"], witnesses=["finite_difference"]).comparisons[0]


def test_the_certificate_counts_the_directions_that_it_leaves_out():
    row = differences_of(Elementwise("relu6", 4), np.array([0.0, 6.0, 3.0, -1.0]))
    assert (row.directions, row.left_out, row.passed) == (2, 2, True)


@pytest.mark.parametrize(
    ("stage", "x"),
    [
        (Elementwise("relu", 2), np.zeros(2)),
        (MaxPool((4, 4, 2)), np.zeros((4, 4, 2))),
        (Normalise("max", 3), np.array([1.0, -1.0, 1.0])),
        (Normalise("l2", 3), np.zeros(3)),
    ],
    ids=["relu", "max-pool", "max", "l2"],
)
def test_differences_at_a_kink_are_taken_at_a_point_close_to_it(stage, x):
    row = differences_of(stage, x)
    assert row.passed
    assert row.directions > 0
    assert row.directions + row.left_out == x.size
