"""DeepLIFT's multipliers of single stages: they add up, equal difference quotients, and hold at difficult points."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import cases, truth
from support.marks import more

from pcacam_jax import Elementwise, InputError, KernelExpansion, Normalise, OvrDecision, Power, Softmax
from pcacam_jax.cam.secants import exp_secant, secant, secant_pull_back
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.stages import ACTIVATIONS, DiagonalQuadratic, Quadratic
from pcacam_jax.stages.activation import activation_named

REJECTED = ("normalis", "softmax", "ovr", "side by side", "voter", "parallel, nested", "Pipeline")
"""Parts of the names of cases with a stage that has no multipliers."""
REPEATED = ("dense, ", ", binary", ", margins")
"""Parts of the names of cases whose stages occur in others."""
CASES = [name for name in cases.NAMES if not any(part in name for part in REJECTED + REPEATED)]
DEFAULT = (
    "classifier of two",
    "power, yeo-johnson, below 0",
    "quadratic",
    "quadratic, diagonal",
    "classifier, sign",
    "parallel, of maps",
    "fixed values",
)


@pytest.fixture(autouse=True)
def _in_float64(x64):
    return x64


@jax.jit
def multipliers(stage, x, reference):
    outputs = stage(x)
    return secant_pull_back(stage, x, reference, jnp.eye(outputs.size).reshape(-1, *outputs.shape))


@pytest.mark.parametrize("name", [*DEFAULT, *(more(name) for name in CASES if name not in DEFAULT)])
def test_multipliers_add_up(name):
    stage, x = cases.case(name, "float64")
    x, reference = np.asarray(x), np.random.default_rng(0).normal(size=x.shape)
    if any(part in name for part in ("log", "box-cox", "poly")):
        reference = np.abs(reference)
    references = [reference, x, x * (1 + 1e-9)]
    if name == "trunk" or "max-pool" in name:
        references = [np.zeros_like(x)]
    value = jax.jit(lambda stage, x: stage(x))
    for other in references:
        rows = np.asarray(multipliers(stage, x, other))
        total = np.sum(rows * (x - other)[None], axis=tuple(range(1, x.ndim + 1)))
        change = (value(stage, x) - value(stage, other)).ravel()
        size = np.max(np.abs(value(stage, x))) + np.max(np.abs(change))
        assert np.max(np.abs(total - change)) <= 1e-13 * size


@pytest.mark.parametrize("name", ["relu", "sigmoid", "leaky_relu:0.2", *map(more, ACTIVATIONS)])
def test_multipliers_of_an_activation_are_difference_quotients(name):
    function, derivative = truth.ACTIVATIONS[name]
    u, reference = np.array([0.3, 1.7, 4.0, 0.8]), np.array([2.1, 0.2, 4.0, 6.5])
    expected = [
        derivative(one) if one == other else (function(one) - function(other)) / (one - other)
        for one, other in zip(u, reference, strict=True)
    ]
    result = multipliers(Elementwise(name, 4), u, reference)
    assert relative_error(result, np.diag(expected)) < 1e-12


@pytest.mark.parametrize("kind", [Quadratic, DiagonalQuadratic])
def test_multipliers_of_quadratic_scores_are_the_mean_of_the_gradients(kind):
    stage, x = cases.case("quadratic" if kind is Quadratic else "quadratic, diagonal", "float64")
    x, reference = np.asarray(x), np.sin(x)
    _, at_x = truth.truth(stage, x)
    _, at_reference = truth.truth(stage, reference)
    assert relative_error(multipliers(stage, x, reference), (np.array(at_x) + np.array(at_reference)) / 2) < 1e-12


def secants_of(name):
    activation = activation_named(name)
    return jax.jit(functools.partial(secant, activation.function, activation.derivative))


@pytest.mark.parametrize("name", ["relu", "sigmoid", *map(more, ["cosine", "gelu", "tanh", "hard_swish", "exp"])])
def test_close_to_the_reference_the_multiplier_is_accurate(name):
    u = np.array([-1.3, 0.0, 0.4, 2.0, 30.0, 0.0])[:, None]
    distance = np.array([1e-13, 1e-11, 1e-9, 1e-7, 1e-5, 1e-3])[None]
    slopes = secants_of(name)(u + distance, u)
    if name == "relu":
        np.testing.assert_array_equal(slopes, np.broadcast_to(u >= 0, slopes.shape))
        # across the kink the multiplier is the share of the positive part
        across = secants_of(name)(np.array([3e-9, -1e-9]), np.array([-1e-9, 3e-9]))
        np.testing.assert_allclose(across, 0.75, rtol=1e-12)
        return
    middle = jax.jit(activation_named(name).derivative)(u + distance / 2)
    # the slope at the midpoint is the secant up to a term in the square of the distance
    assert np.max(np.abs(slopes - middle) / (1 + np.abs(middle)) / (1e-8 + distance**2)) < 1


def test_far_points_with_equal_values_have_the_multiplier_zero():
    u = np.array([0.7])
    assert abs(float(secants_of("cosine")(u + 2 * math.pi, u)[0])) < 1e-15


def test_the_multiplier_does_not_depend_on_the_unit_of_the_input():
    unit = 1e-9
    function, slope = lambda t: jnp.tanh(t / unit), lambda t: (1 - jnp.tanh(t / unit) ** 2) / unit
    result = jax.jit(lambda u: secant(function, slope, u, -u))(np.array([unit]))
    np.testing.assert_allclose(result, math.tanh(1) / unit, rtol=1e-14)


def test_the_secant_of_exp():
    of = jax.jit(exp_secant)
    for e, reference in ((-0.5, -1.5), (-1.5, -0.5), (-3.0, -700.0)):
        expected = (math.exp(e) - math.exp(reference)) / (e - reference)
        assert float(of(e, reference)) == pytest.approx(expected, rel=1e-14)
    assert float(of(-2.0, -2.0)) == pytest.approx(math.exp(-2.0), rel=1e-15)
    assert float(of(-2.0, -2 - 1e-9)) == pytest.approx(math.exp(-2 - 5e-10), rel=1e-15)
    assert float(of(-800.0, -900.0)) == 0
    assert float(of(-1.0, -math.inf)) == 0


def test_multipliers_at_a_support_vector_and_far_from_all():
    stage = KernelExpansion(np.array([[1.0, 0.0]]), None, np.zeros(1), {"gamma": np.array(2.0)}, "rbf")
    s = stage.support[0]
    np.testing.assert_array_equal(multipliers(stage, s, s), np.zeros((1, 2)))
    # from s: k falls from 1 to exp(-2 * 0.25) along the first coordinate
    expected = (math.exp(-0.5) - 1) / 0.5
    np.testing.assert_allclose(multipliers(stage, s + np.array([0.5, 0.0]), s), [[expected, 0]], rtol=1e-14)
    np.testing.assert_array_equal(multipliers(stage, s + 100, s - 100), np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("stage", "advice"),
    [
        (Softmax(3), 'explain scores before the softmax, such as those of output="decision", or use a method of'),
        (OvrDecision(3), 'explain the class margins, which hold no votes, as output="margin"'),
        (Normalise("l2", 3), 'use a method of gradients, such as method="hirescam", or fit without the normalisation'),
    ],
)
def test_stages_without_multipliers_are_rejected(stage, advice):
    name = type(stage).__name__
    with pytest.raises(InputError, match=f"^liftcam and relevancecam have no rule for {name}; {advice}.*\\.$"):
        secant_pull_back(stage, np.ones(3), np.zeros(3), np.ones((1, 3)))


def test_stages_of_users_and_unknown_kernels_are_rejected():
    class Cubic:
        def __call__(self, x):
            return x**3

    with pytest.raises(InputError, match='no rule for Cubic; use a method of gradients, such as method="hire'):
        secant_pull_back(Cubic(), np.ones(3), np.zeros(3), np.ones((1, 3)))
    stage = KernelExpansion(np.ones((1, 3)), None, np.zeros(1), {}, "laplacian")
    with pytest.raises(InputError, match="one of linear, poly, sigmoid, rbf, whose secants are known; got 'laplacian'"):
        secant_pull_back(stage, np.ones(3), np.zeros(3), np.ones((1, 1)))


def test_multipliers_of_a_power_transform_by_hand():
    # box-cox with lambda = 2 is (x^2 - 1) / 2, whose secant is the mean of the two points
    stage = Power(np.array([2.0]), "box-cox")
    np.testing.assert_allclose(multipliers(stage, np.array([3.0]), np.array([1.0])), [[2.0]], rtol=1e-14)
