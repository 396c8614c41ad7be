"""Every stage against NumPy, against autodiff and differences, and under jit, vmap and flattening."""

import functools
import itertools
import math

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import case
from scipy.stats import norm
from sklearn.metrics.pairwise import linear_kernel, rbf_kernel

import pcacam_jax
from pcacam_jax import jacobian, stages, store
from pcacam_jax.cam import METHODS
from pcacam_jax.jacobian import BACKENDS
from pcacam_jax.numerics import DIFFERENCE_TOLERANCES, TOLERANCES, relative_error
from pcacam_jax.scikit import BUILDERS
from pcacam_jax.stages.svm import pair_signs

# --- the truth: values and Jacobians from NumPy and scipy -------------------------------------------------------------


def logistic(u):
    return 1 / (1 + math.exp(-u)) if u > 0 else math.exp(u) / (1 + math.exp(u))


TRUTH = {
    "identity": (lambda u: u, lambda u: 1.0),
    "sigmoid": (logistic, lambda u: 1 / (2 + math.exp(u) + math.exp(-u))),
    "relu": (lambda u: max(u, 0.0), lambda u: float(u > 0)),
    "tanh": (math.tanh, lambda u: 1 / math.cosh(u) ** 2),
    "softplus": (lambda u: math.log(1 + math.exp(u)), logistic),
    "gelu": (lambda u: u * (1 + math.erf(u / math.sqrt(2))) / 2, lambda u: norm.cdf(u) + u * norm.pdf(u)),
}


@functools.singledispatch
def truth(stage, x):
    """(value, Jacobian (out size, in size)) of a stage at a point, in float64."""
    raise NotImplementedError(type(stage))


@truth.register
def _(stage: pcacam_jax.Elementwise, u):
    function, derivative = TRUTH[stage.name]
    return [function(one) for one in u], np.diag([derivative(one) for one in u])


@truth.register
def _(stage: pcacam_jax.Dense, x):
    kernel = np.float64(stage.kernel)
    u = kernel.T @ x + stage.bias
    value, slope = truth(pcacam_jax.Elementwise(stage.activation, len(u)), u)
    return value, slope @ kernel.T


@truth.register
def _(stage: pcacam_jax.Flatten, maps):
    h, w, channels = maps.shape
    return [maps[i, j, k] for i in range(h) for j in range(w) for k in range(channels)], np.eye(maps.size)


@truth.register
def _(stage: pcacam_jax.MaxPool, maps):
    h, w, channels = maps.shape
    value = np.zeros((h // 2, w // 2, channels))
    routing = np.zeros((*value.shape, *maps.shape))
    for i, j, k in np.ndindex(value.shape):
        places = [(2 * i + a, 2 * j + b, k) for a, b in itertools.product((0, 1), (0, 1))]
        winner = max(places, key=lambda place: maps[place])  # the first of equals
        value[i, j, k] = maps[winner]
        routing[(i, j, k, *winner)] = 1
    return value, routing.reshape(value.size, maps.size)


@truth.register
def _(stage: pcacam_jax.Affine, x):
    return np.float64(stage.matrix) @ (x - stage.center) + stage.offset, np.float64(stage.matrix)


@truth.register
def _(stage: pcacam_jax.Scaling, x):
    return np.float64(stage.scale) * (x - stage.center), np.diag(np.float64(stage.scale))


@truth.register
def _(stage: pcacam_jax.KernelExpansion, v):
    support, coefficients = np.float64(stage.support), np.float64(stage.coefficients)
    if stage.kernel == "linear":
        values, gradients = linear_kernel(support, v[None])[:, 0], support
    else:
        gamma = float(stage.parameters["gamma"])
        values = rbf_kernel(support, v[None], gamma=gamma)[:, 0]
        gradients = np.array([2 * gamma * k * (s - v) for k, s in zip(values, support, strict=True)])
    return coefficients @ values + stage.intercept, coefficients @ gradients


def pair_list(classes):
    return [(i, j) for i in range(classes) for j in range(i + 1, classes)]


@truth.register
def _(stage: pcacam_jax.PairwiseMargins, g):
    if stage.classes == 2:
        return [-g[0], g[0]], [[-1], [1]]
    pairs = pair_list(stage.classes)
    signs = np.array([[(c == i) - (c == j) for i, j in pairs] for c in range(stage.classes)])
    return signs @ g, signs


@truth.register
def _(stage: pcacam_jax.OvrDecision, g):
    s, signs = truth(pcacam_jax.PairwiseMargins(stage.classes), g)
    winners = [i if g[p] >= 0 else j for p, (i, j) in enumerate(pair_list(stage.classes))]
    ballots = np.bincount(winners, minlength=stage.classes)
    squash = [1 / (3 * (abs(one) + 1)) for one in s]
    return ballots + s * squash, [row * 3 * q * q for row, q in zip(signs, squash, strict=True)]


@truth.register
def _(stage: pcacam_jax.SVMClassifier, v):
    return truth(pcacam_jax.Chain((stage.pairs, pcacam_jax.PairwiseMargins(stage.classes))), v)


@truth.register
def _(stage: pcacam_jax.Chain, x):
    total = np.eye(x.size)
    for own in stage.stages:
        value, slope = truth(own, x)
        x, total = np.asarray(value), slope @ total
    return x, total


# --- what the library says, all of it compiled once a case ------------------------------------------------------------


@functools.cache
def measured(name, dtype):
    stage, x = case(name, dtype)

    def everything(stage, x, rows):
        value, saved = stage.forward(x)
        backends = cases.BACKENDS if dtype == "float64" else ("closed_form", "reverse")
        jacobians = {backend: jacobian(stage, x, backend=backend) for backend in backends}
        return value, stage(x), stage.pull_back(saved, rows), jacobians, jax.vmap(stage)(jnp.stack([x, x / 2]))

    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        plain = stage(x)
        rows = jnp.asarray(np.random.default_rng(0).normal(size=(4, *plain.shape)), dtype)
        value, called, pulled, jacobians, batch = jax.jit(everything)(stage, x, rows)
        second = stage(x / 2)
    return {"plain": plain, "second": second, "value": value, "called": called, "rows": rows, "pulled": pulled} | {
        "batch": batch,
        **jacobians,
    }


every_case = pytest.mark.parametrize("name", cases.NAMES)


@every_case
def test_value_and_jacobian_equal_numpy(name, dtype):
    found = measured(name, dtype)
    value, slope = truth(*jax.tree.map(np.float64, case(name, "float32")))
    assert relative_error(found["plain"], np.reshape(value, found["plain"].shape)) < TOLERANCES[dtype]
    assert relative_error(found["closed_form"].reshape(np.shape(slope)), slope) < TOLERANCES[dtype]


@every_case
def test_shapes_and_dtypes(name, dtype):
    stage, x = case(name, dtype)
    found = measured(name, dtype)
    assert stage.in_shape == x.shape
    assert isinstance(stage, pcacam_jax.Stage)
    assert {array.dtype for array in found.values()} == {jnp.dtype(dtype)}
    assert {found[backend].shape for backend in cases.BACKENDS if backend in found} == {
        (*found["plain"].shape, *x.shape)
    }
    assert found["pulled"].shape == (4, *x.shape)


@every_case
def test_jit_and_vmap_equal_the_plain_call(name, dtype):
    found = measured(name, dtype)
    for got, want in [("value", "plain"), ("called", "plain")]:
        assert relative_error(found[got], found[want]) < TOLERANCES[dtype]
    assert relative_error(found["batch"], np.stack([found["plain"], found["second"]])) < TOLERANCES[dtype]


@every_case
def test_closed_form_equals_every_witness(name, dtype):
    found = measured(name, dtype)
    assert relative_error(found["closed_form"], found["reverse"]) < TOLERANCES[dtype]
    if dtype == "float64":
        assert relative_error(found["closed_form"], found["forward"]) < TOLERANCES[dtype]
    if dtype == "float64" and name not in cases.KINKS:
        assert relative_error(found["closed_form"], found["finite_difference"]) < DIFFERENCE_TOLERANCES[dtype]


@every_case
def test_pull_back_multiplies_rows_with_the_jacobian(name, dtype):
    found = measured(name, dtype)
    expected = np.tensordot(found["rows"], found["closed_form"], axes=found["plain"].ndim)
    assert relative_error(found["pulled"], expected) < TOLERANCES[dtype]


@pytest.mark.parametrize("name", cases.NAMES)
def test_flattening_keeps_everything(name):
    stage, _ = case(name, "float32")
    leaves, structure = jax.tree.flatten(stage)
    again, own = jax.tree.flatten(jax.tree.unflatten(structure, leaves))
    assert own == structure
    assert hash(own) == hash(structure)
    assert all(leaf is other and isinstance(leaf, jax.Array) for leaf, other in zip(again, leaves, strict=True))


@pytest.mark.parametrize("name", ["flatten", "max-pool", "classifier, rbf"])
def test_by_products_go_through_jit_and_vmap(name):
    stage, x = case(name, "float32")
    _, saved = jax.jit(jax.vmap(stage.forward))(jnp.stack([x, x / 2]))
    out_shape = stage(x).shape
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, *out_shape)), "float32")
    pulled = jax.jit(jax.vmap(stage.pull_back))(saved, rows)
    expected = np.tensordot(rows[0], measured(name, "float32")["closed_form"], axes=len(out_shape))
    assert relative_error(pulled[0], expected) < TOLERANCES["float32"]


# --- every room's table is covered ------------------------------------------------------------------------------------


def parts_of(stage):
    own = [stage]
    for field in getattr(stage, "__dataclass_fields__", {}):
        value = getattr(stage, field)
        for inner in value if isinstance(value, tuple) else (value,):
            own += parts_of(inner) if hasattr(inner, "pull_back") else []
    return own


def test_cases_cover_every_table():
    parts = [part for name in cases.NAMES for part in parts_of(case(name, "float32")[0])]
    assert {type(part).__name__ for part in parts} | {"HybridHead"} == set(store.PARTS)
    assert {p.name for p in parts if isinstance(p, pcacam_jax.Elementwise)} == set(stages.ACTIVATIONS) == set(TRUTH)
    assert {p.activation for p in parts if isinstance(p, pcacam_jax.Dense)} == set(stages.ACTIVATIONS)
    assert {p.kernel for p in parts if isinstance(p, pcacam_jax.KernelExpansion)} == set(stages.KERNELS)
    assert {f"scikit-learn, {kind.__name__}" for kind in BUILDERS} <= set(cases.NAMES)
    assert set(cases.BACKENDS) == set(BACKENDS)
    assert set(cases.METHODS) == set(METHODS)


# --- special points ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["closed_form", "reverse", "forward"])
def test_relu_at_its_kink_has_slope_zero(backend, dtype):
    x = jnp.array([-1.0, 0.0, -0.0, 2.0], dtype)
    slopes = jnp.diag(jacobian(pcacam_jax.Elementwise("relu", 4), x, backend=backend))
    np.testing.assert_array_equal(slopes, [0, 0, 0, 1])


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_saturated_slopes_keep_their_digits_in_float32(name):
    u = np.float32([-40, -20, -9, 9, 20, 40])
    slopes = stages.ACTIVATIONS[name].derivative(jnp.asarray(u))
    np.testing.assert_allclose(slopes, [TRUTH[name][1](float(one)) for one in u], rtol=2e-5)
    assert slopes.dtype == np.float32


@pytest.mark.parametrize("name", stages.ACTIVATIONS)
def test_extreme_inputs_stay_finite(name, dtype):
    u = jnp.array([-1e4, -100.0, 0.0, 100.0, 1e4], dtype)
    activation = stages.ACTIVATIONS[name]
    assert np.isfinite(activation.function(u)).all()
    assert np.isfinite(activation.derivative(u)).all()


@pytest.mark.parametrize("backend", cases.BACKENDS)
def test_rbf_at_a_support_vector_is_finite(backend, dtype):
    support = jnp.array([[0.3, -0.7], [1.0, 2.0]], dtype)
    one = jnp.ones((1, 2), dtype)
    stage = pcacam_jax.KernelExpansion(support, one, one[0, :1], {"gamma": jnp.asarray(0.5, dtype)}, "rbf")
    found = jax.jit(functools.partial(jacobian, backend=backend))(stage, support[0])
    expected = np.exp(-0.5 * (0.49 + 7.29)) * np.array([[0.7, 2.7]])
    digits = {"rtol": 1e-2, "atol": 1e-3} if (backend, dtype) == ("finite_difference", "float32") else {"rtol": 1e-6}
    np.testing.assert_allclose(found, expected, **digits)


@pytest.mark.parametrize("backend", ["closed_form", "reverse"])
@pytest.mark.parametrize("shape", [(2, 3, 2), (7, 7, 1)])
def test_max_pool_of_small_and_odd_maps(backend, shape):
    maps = jnp.asarray(np.random.default_rng(1).integers(0, 3, shape), "float32")
    stage = pcacam_jax.MaxPool(shape)
    value, routing = truth(stage, np.asarray(maps))
    assert stage.out_shape == value.shape
    found = jax.jit(functools.partial(jacobian, stage, backend=backend))(maps)
    np.testing.assert_array_equal(found.reshape(routing.shape), routing)


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
    np.testing.assert_array_equal(pair_signs(3), [[1, 1, 0], [-1, 0, 1], [0, -1, -1]])
    np.testing.assert_array_equal(pair_signs(2), [[-1], [1]])
