"""Shapley values of positions and maps, against all coalitions, in float64."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from support import cam_oracle
from support.small_head import SMALL, small_head, small_value

from pcacam_jax import explain, hybrid_head
from pcacam_jax.cam.methods import cam_method
from pcacam_jax.core.numerics import relative_error

TOLERANCE = 1e-10


@pytest.fixture(autouse=True)
def _in_float64(x64):
    return x64


@functools.cache
def exact_shapley(b, t, players):
    """By all coalitions of the six positions, or of the four maps."""
    if players == "positions":
        return cam_oracle.shapley_values(small_value(b, t), SMALL[b], list(np.ndindex(2, 3)))
    return cam_oracle.shapley_values(small_value(b, t), SMALL[b], [(slice(None), slice(None), k) for k in range(4)])


@pytest.mark.parametrize("players", ["positions", "maps"])
def test_shapley_values_are_exact_within_three_standard_errors_and_efficient(players):
    method = cam_method("shapcam", players=players, tolerance=0.0)
    result = explain(small_head(), SMALL, "cnn", method=method, samples=1000)
    assert (np.asarray(result.permutations) == 1000).all()
    assert dict(result.options) == {"players": players, "samples": 1000, "tolerance": 0.0}
    for b, t in np.ndindex(2, 3):
        phi, errors = exact_shapley(b, t, players), np.asarray(result.standard_errors[b, t]).ravel()
        estimate = result.weights[b, t] if players == "maps" else result.position_values[b, t].ravel()
        assert np.all(np.abs(estimate - phi) <= 3 * errors)
        assert errors.max() < 0.05 * np.abs(phi).max()
        gained = small_value(b, t)(SMALL[b]) - small_value(b, t)(np.zeros((2, 3, 4)))
        assert abs(float(estimate.sum()) - gained) < 1e-12
        assert abs(phi.sum() - gained) < 1e-12
        if players == "positions":
            assert relative_error(result.signed[b, t], cam_oracle.shap_cam(estimate, SMALL[b])) < TOLERANCE


@pytest.mark.parametrize("samples", [2, 20, 36])
def test_at_most_as_many_permutations_as_asked_for(samples):
    result = explain(small_head(), SMALL, "cnn", method=cam_method("shapcam", tolerance=0.0), samples=samples)
    assert (np.asarray(result.permutations) == samples).all()


def test_the_stopping_rule_of_shapley_values():
    loose, tight = (
        explain(small_head(), SMALL, "cnn:0", method=cam_method("shapcam", tolerance=tolerance), samples=2000)
        for tolerance in (0.2, 0.05)
    )
    assert (np.asarray(loose.permutations) < np.asarray(tight.permutations)).all()
    for result, tolerance in ((loose, 0.2), (tight, 0.05)):
        for b in range(2):
            assert result.standard_errors[b].max() <= tolerance * np.abs(result.position_values[b]).max()
    again = explain(small_head(), SMALL, "cnn:0", method="shapcam", seed=1)
    same = explain(small_head(), SMALL[1:], "cnn:0", method="shapcam", seed=1)
    assert relative_error(same.signed[0], again.signed[1]) < 1e-12
    other = explain(small_head(), SMALL, "cnn:0", method="shapcam", seed=2)
    assert relative_error(other.signed, again.signed) > 1e-6


def test_shapley_values_behind_a_max_pool_pool_the_remaining_positions():
    rng = np.random.default_rng(5)
    dense = [(rng.normal(size=(4, 3)), rng.normal(size=3)), (rng.normal(size=(3, 2)), np.zeros(2))]
    head, maps = hybrid_head(dense, maps_shape=(2, 3, 4), at=1, activation="tanh", pool=True), SMALL[:1]
    result = explain(head, maps, "cnn:1", method=cam_method("shapcam", tolerance=0.0), samples=600)
    phi = cam_oracle.shapley_values(lambda m: float(head(jnp.asarray(m))["cnn"][1]), maps[0], list(np.ndindex(2, 3)))
    errors = np.asarray(result.standard_errors[0, 0]).ravel()
    assert np.all(np.abs(result.position_values[0, 0].ravel() - phi) <= 3 * errors + 1e-12)
    assert errors[2] == 0 == phi[2], "the odd column is dropped by the pooling"
