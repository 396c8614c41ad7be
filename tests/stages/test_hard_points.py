"""Stages at difficult points: kinks, saturation, zero vectors, powers near their limits, extreme inputs."""

import functools
import itertools
import math
from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.preprocessing import Normalizer, PowerTransformer
from support import cases, truth
from support.marks import float64_by_default

import pcacam_jax
from pcacam_jax import InputError, KernelExpansion, PairwiseMargins, jacobian, stages
from pcacam_jax.stages import DiagonalQuadratic, Normalise, Power, Quadratic, Softmax, Take
from pcacam_jax.stages.activation import ALIASES, activation_named
from pcacam_jax.stages.parallel import Parallel

EXACT = ("closed_form", "reverse", "forward")
EXTREMES = {"log": [1e-30, 1e-4, 1.0, 1e4, 1e30], "exp": [-1e4, -100.0, 0.0, 80.0]}


def unit_svm(kernel, support, dtype="float64", **parameters):
    """Return an SVM with coefficients 1 and intercept 0."""
    support = jnp.asarray(support, dtype)
    parameters = {name: jnp.asarray(value, dtype) for name, value in parameters.items()}
    return KernelExpansion(support, jnp.ones((1, len(support)), dtype), jnp.zeros(1, dtype), parameters, kernel)


# --- activations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", EXACT)
def test_relu_at_its_kink_has_slope_zero(backend, dtype):
    x = jnp.array([-1.0, 0.0, -0.0, 2.0], dtype)
    slopes = jnp.diag(jacobian(pcacam_jax.Elementwise("relu", 4), x, backend=backend))
    np.testing.assert_array_equal(slopes, [0, 0, 0, 1])


@pytest.mark.parametrize(
    "name", ["sigmoid", "tanh", "log_sigmoid", "elu", "selu", "silu", "mish", "hard_swish", "softsign"]
)
def test_saturated_slopes_are_accurate_in_float32(name):
    u = np.float32([-40, -20, -9, 9, 20, 40])
    slopes = stages.ACTIVATIONS[name].derivative(jnp.asarray(u))
    np.testing.assert_allclose(slopes, [truth.ACTIVATIONS[name][1](float(value)) for value in u], rtol=2e-5)
    assert slopes.dtype == np.float32


_dtype = float64_by_default


@pytest.mark.parametrize("name", stages.ACTIVATIONS)
def test_extreme_inputs_stay_finite(name, dtype):
    huge = 1e300 if dtype == "float64" else 1e38
    u = jnp.array(EXTREMES.get(name, [-huge, -1e20, -1e4, -100.0, 0.0, 100.0, 1e4, 1e20, huge]), dtype)
    activation = stages.ACTIVATIONS[name]
    assert np.isfinite(activation.function(u)).all()
    assert np.isfinite(activation.derivative(u)).all()
    # The slope tends to 0 or to a constant, so that autodiff must agree with it far out as well.
    far = u[np.array([1, 2, -3, -2])]
    slopes = jax.vmap(jax.grad(activation.function))(far)
    np.testing.assert_allclose(slopes, activation.derivative(far), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_aliases_are_the_same_functions(alias, name):
    assert activation_named(alias) is stages.ACTIVATIONS[name]


@pytest.mark.parametrize(
    "name",
    ["leaky", "leaky_relu:", "leaky_relu:a", "elu:nan", "leaky_relu:1e39", "relu:0.2", ":1", "", None, jax.nn.relu, []],
)
def test_an_unknown_activation_lists_names_and_forms(name):
    with pytest.raises(InputError, match=r"one of identity, .*silu, .*swish.* such as leaky_relu:0\.2.*; got .*\.$"):
        activation_named(name)


@pytest.mark.parametrize("name", [name for name, entry in stages.ACTIVATIONS.items() if name not in EXTREMES])
def test_saturating_activations_are_those_whose_slope_underflows(name, x64):
    """In float32 the slope is 0 at one of these points, in float64 it is not."""
    derivative = stages.ACTIVATIONS[name].derivative
    points = np.array([-130.0, -60.0, 60.0, 130.0, -1.5e19, 1.5e19, -5.5, 5.5, -20.0, -17.0])
    narrow, wide = derivative(jnp.asarray(points, "float32")), derivative(jnp.asarray(points))
    assert bool(((narrow == 0) & (wide != 0)).any()) == (stages.ACTIVATIONS[name].saturates)


# --- kernels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", cases.BACKENDS)
def test_rbf_at_a_support_vector_is_finite(backend, dtype):
    stage = unit_svm("rbf", [[0.3, -0.7], [1.0, 2.0]], dtype, gamma=0.5)
    result = jax.jit(functools.partial(jacobian, backend=backend))(stage, stage.support[0])
    expected = np.exp(-0.5 * (0.49 + 7.29)) * np.array([[0.7, 2.7]])
    digits = {"rtol": 1e-2, "atol": 1e-3} if (backend, dtype) == ("finite_difference", "float32") else {"rtol": 1e-6}
    np.testing.assert_allclose(result, expected, **digits)


@pytest.mark.parametrize(
    ("degree", "base", "value", "slope"),
    [
        (0, 0.0, 1, 0),
        (0, -2.0, 1, 0),
        (1, 0.0, 0, 1),
        (1, -2.0, -2, 1),
        (2, 0.0, 0, 0),
        (2, -2.0, 4, -4),
        (3, -2.0, -8, 12),
        (2.5, 0.0, 0, 0),
        (2.5, 4.0, 32, 20),
    ],
)
def test_poly_at_hard_degrees_and_bases(degree, base, value, slope, dtype):
    stage = unit_svm("poly", [[3.0]], dtype, gamma=0.5, coef0=1.5, degree=degree)
    v = jnp.array([(base - 1.5) / 1.5], dtype)
    np.testing.assert_allclose(stage(v), [value], atol=0 if base else 1e-30, rtol=1e-5)
    for backend in EXACT:
        np.testing.assert_allclose(jacobian(stage, v, backend=backend), [[1.5 * slope]], rtol=1e-5, err_msg=backend)


def test_a_saturated_sigmoid_kernel_is_accurate_in_float32():
    result = jacobian(unit_svm("sigmoid", [[2.0]], "float32", gamma=0.5, coef0=1.0), jnp.array([14.0]))
    np.testing.assert_allclose(result, [[1 / math.cosh(15) ** 2]], rtol=1e-5)


@pytest.mark.parametrize("kernel", stages.KERNELS)
def test_kernels_of_extreme_inputs_stay_finite(kernel, dtype):
    stage = unit_svm(kernel, [[1e4, -1e4], [0.0, 0.0]], dtype, **cases.PARAMETERS[kernel])
    for v in ([1e4, 1e4], [1e4, -1e4], [-1e4, 0.0]):
        assert np.isfinite(jacobian(stage, jnp.array(v, dtype))).all()
        assert np.isfinite(stage(jnp.array(v, dtype))).all()


def test_influence_peaks_at_the_critical_distance(x64):
    for gamma in (0.2, 1.0, 8.0):
        d = np.linspace(0, 5, 50_001)
        curve = stages.influence(d, gamma)
        s, v = jnp.zeros(1), jnp.array([1.3])
        np.testing.assert_allclose(
            abs(stages.KERNELS["rbf"].gradient(s, v, gamma=gamma))[0], stages.influence(1.3, gamma), rtol=1e-14
        )
        assert abs(d[np.argmax(curve)] - stages.critical_distance(gamma)) < 1e-4
        np.testing.assert_allclose(curve.max(), math.sqrt(2 * gamma) * math.exp(-0.5), rtol=1e-7)
        assert curve[0] == 0
        assert stages.influence(200 / math.sqrt(gamma), gamma) == 0


def test_pair_signs_follow_scikit_learns_order():
    np.testing.assert_array_equal(jacobian(PairwiseMargins(3), jnp.ones(3)), [[1, 1, 0], [-1, 0, 1], [0, -1, -1]])
    np.testing.assert_array_equal(jacobian(PairwiseMargins(2), jnp.ones(1)), [[-1], [1]])


# --- maps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["closed_form", "reverse"])
@pytest.mark.parametrize("shape", [(2, 3, 2), (7, 7, 1)])
def test_max_pool_of_small_and_odd_maps(backend, shape):
    maps = jnp.asarray(np.random.default_rng(1).integers(0, 3, shape), "float32")
    stage = pcacam_jax.MaxPool(shape)
    value, routing = truth.truth(stage, np.asarray(maps))
    assert stage.out_shape == value.shape
    result = jax.jit(functools.partial(jacobian, stage, backend=backend))(maps)
    np.testing.assert_array_equal(result.reshape(routing.shape), routing)


# --- norms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", stages.NORMS)
@pytest.mark.parametrize("factor", [0, 0.5, -0.5])
def test_a_vector_that_scikit_learn_treats_as_zero_is_unchanged(norm, factor, dtype):
    x = jnp.array([0.0, 1.0, 0.0], dtype) * factor * 10 * jnp.finfo(dtype).eps
    np.testing.assert_array_equal(Normalise(norm, 3)(x), Normalizer(norm).transform(x[None])[0])
    for backend in EXACT:
        np.testing.assert_array_equal(jacobian(Normalise(norm, 3), x, backend=backend), np.eye(3))


@pytest.mark.parametrize("norm", stages.NORMS)
def test_normalise_equals_scikit_learn(norm, dtype):
    rows = np.array([[3.0, -4, 0], [1e-4, 2e-4, -1e-5], [1e4, 1e4, -1e4], [2e-5, 0, 0]], dtype)
    result = jax.vmap(Normalise(norm, 3))(jnp.asarray(rows))
    np.testing.assert_allclose(result, Normalizer(norm).transform(rows), rtol=4 * np.finfo(dtype).eps)
    slopes = jax.vmap(functools.partial(jacobian, Normalise(norm, 3)))(jnp.asarray(rows))
    for row, slope in zip(rows, slopes, strict=True):
        expected = truth.truth(Normalise(norm, 3), np.float64(row))[1]
        np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("backend", EXACT)
def test_the_largest_entry_is_the_first_of_equals(backend):
    result = jacobian(Normalise("max", 3), jnp.array([1.0, -2.0, 2.0]), backend=backend)
    np.testing.assert_array_equal(result, [[0.5, 0.25, 0], [0, 0, 0], [0, 0.5, 0.5]])


# --- powers -----------------------------------------------------------------------------------------------------------


def exact_power(x, power, method):
    """Return value and slope, computed with 60 digits from the floating-point x and power."""
    with localcontext() as context:
        context.prec = 60
        x, power = Decimal(float(x)), Decimal(float(power))
        base, sign = x, 1
        if method == "yeo-johnson":
            base, sign, power = (1 + x, 1, power) if x >= 0 else (1 - x, -1, 2 - power)
        logarithm = base.ln()
        value = ((power * logarithm).exp() - 1) / power if power else logarithm
        return float(sign * value), float(((power - 1) * logarithm).exp())


NEAR = {
    "yeo-johnson": [0, 1e-15, -1e-12, 1e-8, -1e-5, 1e-3, 2, 2 - 1e-12, 2 + 1e-8, 2 + 1e-5, 2 - 1e-3, 1, -3, 4],
    "box-cox": [0, 1e-15, -1e-12, 1e-8, -1e-5, 1e-3, 1, -3, 4],
}


@pytest.mark.parametrize("method", stages.POWER_METHODS)
def test_powers_near_their_limits_are_accurate(method, dtype):
    points = [1e-6, 0.3, 1.0, 1 + 1e-5, 5.0, 40.0]
    points = points if method == "box-cox" else [*points, 0.0, *(-point for point in points)]
    x, exponents = np.array(list(itertools.product(points, NEAR[method])), dtype).T
    stage = Power(jnp.asarray(exponents), method)
    expected = np.array([exact_power(point, power, method) for point, power in zip(x, exponents, strict=True)])
    digits = {"rtol": 100 * np.finfo(dtype).eps, "atol": 0}
    value, slope = stage.forward(jnp.asarray(x))
    np.testing.assert_allclose(value, expected[:, 0], **digits)
    np.testing.assert_allclose(slope, expected[:, 1], **digits)
    for backend in ("reverse", "forward"):
        result = jnp.diag(jacobian(stage, jnp.asarray(x), backend=backend))
        np.testing.assert_allclose(result, expected[:, 1], rtol=200 * np.finfo(dtype).eps, err_msg=backend)


@pytest.mark.parametrize("method", stages.POWER_METHODS)
def test_powers_equal_scikit_learn(method, x64):
    rng = np.random.default_rng(0)
    x = np.exp(rng.normal(size=(30, 4)) * [0.3, 1, 2, 0.1])
    x = x if method == "box-cox" else x - [0.5, 3, 0, 1]
    transformer = PowerTransformer(method, standardize=False).fit(x)
    result = jax.vmap(Power(jnp.asarray(transformer.lambdas_), method))(jnp.asarray(x))
    np.testing.assert_allclose(result, transformer.transform(x), rtol=1e-12, atol=1e-13)


def test_powers_of_extreme_inputs_stay_finite(dtype):
    exponents = jnp.array([-2, 0, 1, 2, 3], dtype)
    for x in (-1e4, -100.0, 0.0, 100.0, 1e4):
        point = jnp.full(5, x, dtype)
        for backend in EXACT:
            assert np.isfinite(jacobian(Power(exponents, "yeo-johnson"), point, backend=backend)).all()
            if x > 0:
                assert np.isfinite(jacobian(Power(exponents, "box-cox"), point, backend=backend)).all()


# --- softmax ----------------------------------------------------------------------------------------------------------


def exact_softmax(y):
    """Return p, its Jacobian, log p and its Jacobian, computed with 60 digits."""
    with localcontext() as context:
        context.prec = 60
        scores = [Decimal(float(score)) for score in y]
        total = sum(score.exp() for score in scores)
        p, each = [score.exp() / total for score in scores], range(len(y))
        slopes = [[p[i] * ((i == j) - p[j]) for j in each] for i in each]
        log_slopes = [[(i == j) - p[j] for j in each] for i in each]
        exact = p, slopes, [probability.ln() for probability in p], log_slopes
    return [np.array(values, float) for values in exact]


@pytest.mark.parametrize("y", [[0, -20, -25, -3], [30, -30, 29, 0], [5, 5, 5, 5], [-40, 40, -40, -40], [1, 9, 20, 20]])
def test_a_saturated_softmax_is_accurate(y, dtype):
    y = jnp.array(y, dtype)
    p, slopes, log_p, log_slopes = exact_softmax(y)
    digits = {"rtol": 50 * np.finfo(dtype).eps, "atol": np.finfo(dtype).tiny}
    np.testing.assert_allclose(Softmax(4)(y), p, **digits)
    np.testing.assert_allclose(Softmax(4, log=True)(y), log_p, **digits)
    np.testing.assert_allclose(jacobian(Softmax(4), y), slopes, **digits)
    np.testing.assert_allclose(jacobian(Softmax(4, log=True), y), log_slopes, **digits)


def test_softmax_of_extreme_inputs_stays_finite(dtype):
    for y in ([1e4, -1e4, 0.0], [1e4, 1e4, 1e4], [-1e30, 0.0, 1e30]):
        for log, backend in itertools.product((False, True), EXACT):
            assert np.isfinite(Softmax(3, log)(jnp.array(y, dtype))).all()
            assert np.isfinite(jacobian(Softmax(3, log), jnp.array(y, dtype), backend=backend)).all()


# --- other stages -----------------------------------------------------------------------------------------------------


def test_the_gradient_of_a_quadratic_is_zero_at_its_center(dtype):
    rng = np.random.default_rng(0)
    centers, offset = jnp.asarray(rng.normal(size=(2, 3)), dtype), jnp.array([1.0, -2.0], dtype)
    full = Quadratic(jnp.asarray(rng.normal(size=(2, 3, 3)), dtype), centers, offset)
    diagonal = DiagonalQuadratic(jnp.ones((2, 3), dtype), centers, offset)
    for stage in (full, diagonal):
        assert stage(centers[1])[1] == -2
        np.testing.assert_array_equal(jacobian(stage, centers[1])[1], 0)
        assert np.abs(jacobian(stage, centers[1])[0]).min() > 0


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Take((0, 3), 3), r"indices must lie in 0 .. 2; got 3"),
        (Take((-1, 0), 3), r"indices must lie in 0 .. 2; got -1"),
        (Take((0,), 4), r"x must have shape \(4,\); got \(3,\)"),
        (Normalise("l3", 3), "norm must be one of l1, l2, max; got 'l3'"),
        (Normalise("l1", 2), r"x must have shape \(2,\); got \(3,\)"),
        (Power(np.ones(3), "log"), "method must be one of yeo-johnson, box-cox; got 'log'"),
        (Power(np.ones(2), "box-cox"), r"x must have shape \(2,\); got \(3,\)"),
        (Softmax(2), r"y must have shape \(2,\); got \(3,\)"),
        (Quadratic(np.ones((2, 1, 4)), np.ones((2, 4)), np.ones(2)), r"x must have shape \(4,\); got \(3,\)"),
        (DiagonalQuadratic(np.ones((2, 4)), np.ones((2, 4)), np.ones(2)), r"x must have shape \(4,\); got \(3,\)"),
        (stages.GlobalAverage((2, 2, 3)), r"maps must have shape \(2, 2, 3\); got \(3,\)"),
        (Parallel((Softmax(3), Softmax(2))), r"y must have shape \(2,\); got \(3,\)"),
        (stages.Classifier(Softmax(3), "vote"), "rule must be one of argmax, sign, rounded; got 'vote'"),
    ],
)
def test_invalid_input_raises_an_input_error(stage, message):
    for call in (stage, stage.forward):
        with pytest.raises(InputError, match=message):
            call(jnp.ones(3))


def test_an_empty_selection(dtype):
    x = jnp.ones(3, dtype)
    assert Take((), 3)(x).shape == (0,)
    assert jacobian(Take((), 3), x).shape == (0, 3)
