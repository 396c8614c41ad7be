"""The four backends of jacobian(): each one is used when requested, and they do not depend on one another."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import cases
from support.cases import case

import pcacam_jax
from pcacam_jax import InputError, jacobian
from pcacam_jax.core.numerics import DIFFERENCE_TOLERANCES, TOLERANCES, relative_error
from pcacam_jax.stages.jacobian import BLOCK

REFERENCES = tuple(backend for backend in cases.BACKENDS if backend != "closed_form")


def fail(*_, **__):
    raise RuntimeError("called")


def small_dense():
    return case("dense, sigmoid", "float64")


@pytest.mark.usefixtures("x64")
def test_reference_methods_do_not_use_the_closed_form(monkeypatch):
    stage, x = small_dense()
    expected = jacobian(stage, x)
    for method in ("forward", "pull_back", "jacobian"):
        monkeypatch.setattr(pcacam_jax.Dense, method, fail)
    for backend in REFERENCES:
        assert relative_error(jacobian(stage, x, backend=backend), expected) < DIFFERENCE_TOLERANCES["float64"]
    with pytest.raises(RuntimeError, match="called"):
        jacobian(stage, x)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("broken", "users"), [("jacrev", {"reverse"}), ("linearize", {"forward"}), ("jvp", set()), ("vjp", set())]
)
def test_each_autodiff_function_is_used_by_one_backend(monkeypatch, broken, users):
    stage, x = small_dense()
    expected = jacobian(stage, x)
    monkeypatch.setattr(jax, broken, fail)
    for backend in cases.BACKENDS:
        if backend in users:
            with pytest.raises(RuntimeError, match="called"):
                jacobian(stage, x, backend=backend)
        else:
            assert relative_error(jacobian(stage, x, backend=backend), expected) < DIFFERENCE_TOLERANCES["float64"]


def test_a_head_gives_a_dictionary_in_any_order_of_names(dtype):
    network = cases.network()
    head = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), network.head)
    x = jnp.asarray(network.maps[0], dtype)
    assert tuple(head.outputs) == ("cnn", "pca", "svm_rbf", "svm_linear")
    result = {
        backend: jax.jit(functools.partial(jacobian, backend=backend))(head, x)
        for backend in ("closed_form", "reverse")
    }
    for name, names in head.outputs.items():
        assert result["closed_form"][name].shape == (len(names), 3, 4, 5)
        assert relative_error(result["closed_form"][name], result["reverse"][name]) < TOLERANCES[dtype]


def test_jacobian_works_under_jit_and_vmap(dtype):
    stage, x = case("SVM rbf, pairs", dtype)
    batch = jnp.stack([x, x + 1, x - 1])
    for backend in cases.BACKENDS:
        result = jax.jit(jax.vmap(lambda v: jacobian(stage, v, backend=backend)))(batch)  # noqa: B023
        expected = np.stack([jacobian(stage, v) for v in batch])
        tolerance = TOLERANCES[dtype] if backend != "finite_difference" else 10 * float(jnp.finfo(dtype).eps) ** (2 / 3)
        assert relative_error(result, expected) < tolerance


def test_batches_of_directions_are_joined(x64):
    size = 2 * BLOCK + 3
    x = jnp.linspace(-2, 2, size)
    for backend in ("forward", "finite_difference"):
        result = jacobian(lambda x: jnp.sin(x)[::100], x, backend=backend)
        np.testing.assert_allclose(result, np.diag(np.cos(x))[::100], atol=1e-9)


@pytest.mark.parametrize("backend", REFERENCES)
def test_reference_methods_accept_any_function(backend, x64):
    result = jacobian(lambda x: {"square": x**2, "sum": x.sum()}, [1, 2], backend=backend)
    np.testing.assert_allclose(result["square"], [[2, 0], [0, 4]], rtol=1e-8)
    np.testing.assert_allclose(result["sum"], [1, 1], rtol=1e-8)


def test_integers_are_accepted():
    result = jacobian(pcacam_jax.Elementwise("sigmoid", 2), np.array([0, 0]))
    np.testing.assert_allclose(result, 0.25 * np.eye(2))


def test_invalid_calls_raise():
    stage = pcacam_jax.Elementwise("relu", 3)
    with pytest.raises(
        InputError, match="backend must be one of closed_form, reverse, forward, finite_difference; got"
    ):
        jacobian(stage, jnp.ones(3), backend="backward")
    for backend in cases.BACKENDS:
        with pytest.raises(InputError, match=r"x must have shape \(3,\); got \(4,\)"):
            jacobian(stage, jnp.ones(4), backend=backend)
    with pytest.raises(TypeError, match=r"the closed form needs a stage.*got function.*backend='reverse'"):
        jacobian(lambda x: x, jnp.ones(3))


@pytest.mark.parametrize(
    "stage", [pcacam_jax.Dense(np.eye(2), np.zeros(2), "rellu"), pcacam_jax.Elementwise("rellu", 2)]
)
def test_an_unknown_activation_is_rejected(stage):
    with pytest.raises(InputError, match=r"activation must be one of identity, sigmoid, relu.*got 'rellu'"):
        jacobian(stage, np.ones(2))


def test_an_unknown_kernel_is_rejected():
    stage = pcacam_jax.KernelExpansion(np.ones((3, 2)), np.ones((1, 3)), np.zeros(1), {}, "lap")
    with pytest.raises(InputError, match="kernel must be one of linear, rbf, poly, sigmoid; got 'lap'"):
        jacobian(stage, np.ones(2))


ODD = {
    "big-endian": np.array([0.5, -1.0], ">f4"),
    "big-endian integers": np.array([1, -1], ">i4"),
    "float16": np.array([0.5, -1.0], np.float16),
    "longdouble": np.array([0.5, -1.0], np.longdouble),
    "bool": np.array([True, False]),
    "list": [0.5, -1],
    "read-only": np.broadcast_to(np.float32(0.5), 2),
    "strided": np.arange(4.0)[::2],
}
WRONG = {
    "NaN": (np.array([np.nan, 1.0]), "must be finite"),
    "out of range": (np.array([1e300, 1.0]), "must be finite"),
    "complex": (np.ones(2, complex), "real numbers"),
    "text": (np.array(["a", "b"]), "real numbers"),
    "dates": (np.array(["2020", "2021"], "M8[Y]"), "real numbers"),
    "object": (np.array([None, 1.0], object), "real numbers|finite"),
    "None": (None, "real numbers"),
    "dictionary": ({"x": 1.0}, "real numbers"),
    "ragged": ([[1.0], [1.0, 2.0]], "x (cannot be read|must be) .*array"),
    "masked": (np.ma.array([1.0, 2.0], mask=[0, 1]), "masked"),
    "key": (jax.random.key(0), "real numbers"),
}


@pytest.mark.parametrize("name", ODD)
def test_arrays_of_any_byte_order_and_dtype_are_read(name):
    layer = pcacam_jax.Dense(np.eye(2).astype(">f4"), np.zeros(2, ">f8"), "sigmoid")
    x = np.asarray(ODD[name], np.float64)
    expected = np.diag(1 / (2 + np.exp(x) + np.exp(-x)))
    for x64 in (False, True):
        with jax.enable_x64(x64):
            np.testing.assert_allclose(jacobian(layer, ODD[name]), expected, rtol=5e-3)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_array_of_finite_real_numbers_is_rejected_in_one_sentence(name):
    x, message = WRONG[name]
    layer = pcacam_jax.Dense(np.eye(2), np.zeros(2))
    for call in (jacobian, pcacam_jax.verify):
        with pytest.raises(InputError, match=message) as error:
            call(layer, x)
        assert str(error.value).count("\n") == 0


def test_functions_without_slopes_are_rejected():
    with pytest.raises(InputError, match="must return floating-point arrays; got bool"):
        jacobian(lambda x: x > 0, np.ones(2), backend="reverse")
    with pytest.raises(TypeError, match="a function of one array; got NoneType"):
        jacobian(None, np.ones(2), backend="forward")


def test_an_input_without_entries_has_a_jacobian_without_columns():
    for backend in REFERENCES:
        assert jacobian(lambda x: jnp.ones(3) * x.sum(), np.ones(0), backend=backend).shape == (3, 0)
