"""Second and third derivatives of activations, kernels and transforms against Cauchy's integral in NumPy and SciPy.

The n-th derivative of an analytic function is a mean over a circle, ``n! / r^n mean f(u + r e^(i a)) e^(-i n a)``, so
the reference needs only values, at complex points.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf
from support import cases

from pcacam_jax import stages
from pcacam_jax.stages import ACTIVATIONS, KERNELS
from pcacam_jax.stages.activation import activation_named, derivatives_of
from pcacam_jax.stages.kernel import power_derivatives
from pcacam_jax.stages.softmax import Softmax

RADIUS, POINTS = 0.4, 32
CIRCLE = np.exp(2j * np.pi * np.arange(POINTS) / POINTS)


def cauchy(function, order):
    """Return the derivative of ``function`` at 0 along the last axis of its result."""
    values = function(RADIUS * CIRCLE)
    return (math.factorial(order) / RADIUS**order * (values * CIRCLE**-order).mean(axis=-1)).real


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def branch(above, below):
    """Return a function of z and the real center u whose branch is chosen by the sign of u."""
    return lambda z, u: np.where(u > 0, above(z), below(z))


def clipped_sigmoid(z, u):
    return np.where(u <= -3, 0 * z, np.where(u >= 3, 1 + 0 * z, (z + 3) / 6))


def selu(z, u):
    return 1.0507009873554805 * np.where(u > 0, z, 1.6732632423543772 * (np.exp(z) - 1))


VALUES = {
    "identity": lambda z, u: z,
    "sigmoid": lambda z, u: sigmoid(z),
    "relu": branch(lambda z: z, lambda z: 0 * z),
    "tanh": lambda z, u: np.tanh(z),
    "softplus": lambda z, u: np.log(1 + np.exp(z)),
    "gelu": lambda z, u: z * (1 + erf(z / math.sqrt(2))) / 2,
    "gelu_tanh": lambda z, u: z * sigmoid(2 * math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)),
    "leaky_relu": branch(lambda z: z, lambda z: 0.01 * z),
    "leaky_relu:0.2": branch(lambda z: z, lambda z: 0.2 * z),
    "elu": branch(lambda z: z, lambda z: np.exp(z) - 1),
    "elu:0.5": branch(lambda z: z, lambda z: (np.exp(z) - 1) / 2),
    "selu": selu,
    "silu": lambda z, u: z * sigmoid(z),
    "mish": lambda z, u: z * np.tanh(np.log(1 + np.exp(z))),
    "relu6": lambda z, u: np.where(u <= 0, 0 * z, np.where(u >= 6, 6 + 0 * z, z)),
    "hard_sigmoid": clipped_sigmoid,
    "hard_swish": lambda z, u: z * clipped_sigmoid(z, u),
    "softsign": branch(lambda z: z / (1 + z), lambda z: z / (1 - z)),
    "cosine": lambda z, u: np.cos(z),
    "exp": lambda z, u: np.exp(z),
    "log": lambda z, u: np.log(z),
    "log_sigmoid": lambda z, u: -np.log(1 + np.exp(-z)),
}
GRID = np.array([-6.5, -3.2, -2.1, -1.0, -0.3, 0.2, 0.7, 1.6, 2.4, 3.5, 6.5])


def test_the_formulas_cover_the_table():
    assert set(VALUES) == {*ACTIVATIONS, "leaky_relu:0.2", "elu:0.5"}


def points_of(name):
    return abs(GRID) + 0.8 if name == "log" else GRID


def test_activations_equal_cauchys_integral(x64):
    computed = jax.jit(lambda points: {name: derivatives_of(name, points[name]) for name in VALUES})
    results = computed({name: jnp.asarray(points_of(name)) for name in VALUES})
    for name, derivatives in results.items():
        centers = points_of(name)[:, None]
        for order, derivative in enumerate(derivatives, start=1):
            expected = cauchy(lambda z, c=centers, name=name: VALUES[name](c + z, c), order)
            np.testing.assert_allclose(derivative, expected, rtol=1e-10, atol=1e-12, err_msg=f"{name}, {order}")


SATURATED = ("sigmoid", "tanh", "softplus", "log_sigmoid", "silu", "mish", "gelu", "gelu_tanh")


def test_saturated_curves_are_accurate_in_float32():
    points = np.array([-40.0, -20.0, -9.0, 9.0, 20.0, 40.0])
    computed = jax.jit(
        lambda u: {name: activation_named(name).curves(u / 4 if "gelu" in name else u) for name in SATURATED}
    )
    narrow = computed(jnp.asarray(points, "float32"))
    with jax.enable_x64(True):
        wide = computed(jnp.asarray(points))
    for name in SATURATED:
        for result, expected in zip(narrow[name], wide[name], strict=True):
            assert result.dtype == np.float32
            np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-37, err_msg=name)


def saturated(u):
    """Return f'' of softplus, tanh and silu far out, from the leading terms of their series in e^(-|u|)."""
    e = math.exp(-abs(u))
    return {
        "softplus": e * (1 - 2 * e),
        "tanh": -math.copysign(8 * e**2 * (1 - 4 * e**2), u),
        "silu": (2 - abs(u)) * e * (1 - 2 * e) + 2 * abs(u) * e * e,
    }


def test_saturated_curves_equal_their_series(x64):
    points = np.array([-30.0, -18.0, 18.0, 30.0])
    names = saturated(points[0])
    results = jax.jit(lambda u: {name: activation_named(name).curves(u)[0] for name in names})(points)
    for index, u in enumerate(points):
        for name, expected in saturated(u).items():
            np.testing.assert_allclose(results[name][index], expected, rtol=1e-12, err_msg=name)


def test_extreme_inputs_stay_finite(dtype):
    huge = 1e300 if dtype == "float64" else 1e38
    points = jnp.array([-huge, -1e20, -1e4, -100.0, 0.0, 80.0, 1e4, 1e20, huge], dtype)
    names = set(ACTIVATIONS) - {"log", "exp"}
    curves = jax.jit(lambda u: {name: activation_named(name).curves(u) for name in names})(points)
    assert [name for name, values in curves.items() if not np.isfinite(values).all()] == []


# --- kernels ----------------------------------------------------------------------------------------------------------

COMPLEX_KERNELS = {
    "linear": lambda s, v: s @ v,
    "rbf": lambda s, v, gamma: np.exp(-gamma * ((s[:, None] - v) ** 2).sum(axis=0)),
    "poly": lambda s, v, gamma, coef0, degree: (gamma * s @ v + coef0) ** degree,
    "sigmoid": lambda s, v, gamma, coef0: np.tanh(gamma * s @ v + coef0),
}


def test_kernels_equal_cauchys_integral(x64):
    rng = np.random.default_rng(5)
    s, v, tangent, other, *series = 0.6 * rng.normal(size=(7, 3))
    assert set(COMPLEX_KERNELS) == set(KERNELS)

    def computed(s, v, tangent, series):
        entries = {name: (KERNELS[name], cases.PARAMETERS[name]) for name in KERNELS}
        curvatures = {name: kernel.curvature(s, v, tangent, **options) for name, (kernel, options) in entries.items()}
        return curvatures, {name: kernel.taylor(s, v, series, **options) for name, (kernel, options) in entries.items()}

    curvatures, paths = jax.jit(computed)(s, v, tangent, jnp.stack(series))
    for name, formula in COMPLEX_KERNELS.items():

        def along(direction, name=name, formula=formula):
            return lambda z: formula(s, v[:, None] + direction[:, None] * z, **cases.PARAMETERS[name])

        # tangent^T H other from the second derivatives along the sum and the difference of both.
        both = [cauchy(along(tangent + sign * other), 2) for sign in (1, -1)]
        np.testing.assert_allclose(curvatures[name] @ other, (both[0] - both[1]) / 4, rtol=1e-10, atol=1e-12)
        for order in (1, 2, 3):

            def path(z, name=name, formula=formula):
                steps = np.stack([z, z**2 / 2, z**3 / 6])
                return formula(s, v[:, None] + np.stack(series).T @ steps, **cases.PARAMETERS[name])

            np.testing.assert_allclose(paths[name][order - 1], cauchy(path, order), rtol=1e-10, atol=1e-12)


def test_derivatives_of_powers_at_hard_degrees_and_bases(dtype):
    degrees, bases = jnp.array([0, 1, 2, 3, 3, 2.5], dtype), jnp.array([1, 0, 0, 0, -2, 4], dtype)
    result = jnp.stack(jax.jit(jax.vmap(power_derivatives))(bases, degrees))
    expected = [(0, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 6), (12, -12, 6), (20, 7.5, 0.9375)]
    np.testing.assert_allclose(result.T, expected, rtol=1e-6)


# --- saturated softmax, transforms and norms --------------------------------------------------------------------------


@pytest.mark.parametrize("log", [False, True])
def test_a_saturated_softmax_is_accurate_in_float32(log):
    y, series = np.array([0.0, 30.0, 12.0]), np.float32(np.random.default_rng(0).normal(size=(3, 3)))
    tangent, rows = series[0], np.array([[1.0, 2.0, -3.0]])
    stage = Softmax(3, log)
    computed = jax.jit(lambda y, tangent, rows, series: (stage.curvature(y, tangent, rows), stage.taylor(y, series)))
    results = computed(*map(np.float32, (y, tangent, rows, series)))
    with jax.enable_x64(True):
        exact = computed(*map(np.float64, (y, tangent, rows, series)))
    for result, expected in zip(results, exact, strict=True):
        np.testing.assert_allclose(result, expected, rtol=3e-5)


EXPONENTS = np.array([-1.5, 0.0, 0.5, 1.0, 2.0, 3.0])
TRANSFORMS = {
    "box-cox": (1.3, lambda z, power: np.log(z) if power == 0 else (z**power - 1) / power),
    "yeo-johnson": (
        -0.7,
        lambda z, power: -np.log(1 - z) if power == 2 else -((1 - z) ** (2 - power) - 1) / (2 - power),
    ),
}


@pytest.mark.parametrize("method", TRANSFORMS)
def test_powers_equal_cauchys_integral(method, x64):
    x, function = TRANSFORMS[method]
    path = np.zeros((3, 6))
    path[0] = 1
    result = jax.jit(stages.Power(EXPONENTS, method).taylor)(np.full(6, x), path)
    for order in (1, 2, 3):
        expected = [cauchy(lambda z, power=power: function(x + z, power), order) for power in EXPONENTS]
        np.testing.assert_allclose(result[order - 1], expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("norm", stages.NORMS)
def test_a_vector_that_is_returned_unchanged_has_no_curvature(norm):
    stage, x, series = stages.Normalise(norm, 2), np.zeros(2, "float32"), np.arange(6, dtype="float32").reshape(3, 2)
    both = jax.jit(lambda x: (stage.curvature(x, series[1], jnp.ones((1, 2))), stage.taylor(x, series)))
    curvature, path = both(x)
    np.testing.assert_array_equal(curvature, np.zeros((1, 2)))
    np.testing.assert_array_equal(path, series)
