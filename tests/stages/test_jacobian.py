"""Four backends behind one signature: each one is really asked, and none leans on another."""

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

OTHERS = tuple(backend for backend in cases.BACKENDS if backend != "closed_form")


def explode(*_, **__):
    raise RuntimeError("asked")


def small_dense():
    return case("dense, sigmoid", "float64")


@pytest.mark.usefixtures("x64")
def test_witnesses_answer_when_the_closed_form_explodes(monkeypatch):
    stage, x = small_dense()
    expected = jacobian(stage, x)
    for method in ("forward", "pull_back", "jacobian"):
        monkeypatch.setattr(pcacam_jax.Dense, method, explode)
    for backend in OTHERS:
        assert relative_error(jacobian(stage, x, backend=backend), expected) < DIFFERENCE_TOLERANCES["float64"]
    with pytest.raises(RuntimeError, match="asked"):
        jacobian(stage, x)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("broken", "asks"), [("jacrev", {"reverse"}), ("linearize", {"forward"}), ("jvp", set()), ("vjp", set())]
)
def test_only_its_own_backend_asks_autodiff(monkeypatch, broken, asks):
    stage, x = small_dense()
    expected = jacobian(stage, x)
    monkeypatch.setattr(jax, broken, explode)
    for backend in cases.BACKENDS:
        if backend in asks:
            with pytest.raises(RuntimeError, match="asked"):
                jacobian(stage, x, backend=backend)
        else:
            assert relative_error(jacobian(stage, x, backend=backend), expected) < DIFFERENCE_TOLERANCES["float64"]


def test_head_gives_a_dictionary_whatever_the_names_order(dtype):
    network = cases.network()
    head = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), network.head)
    x = jnp.asarray(network.maps[0], dtype)
    assert tuple(head.outputs) == ("cnn", "pca", "svm_rbf", "svm_linear")
    found = {b: jax.jit(functools.partial(jacobian, backend=b))(head, x) for b in ("closed_form", "reverse")}
    for name, names in head.outputs.items():
        assert found["closed_form"][name].shape == (len(names), 3, 4, 5)
        assert relative_error(found["closed_form"][name], found["reverse"][name]) < TOLERANCES[dtype]


def test_users_jit_and_vmap_work(dtype):
    stage, x = case("SVM rbf, pairs", dtype)
    batch = jnp.stack([x, x + 1, x - 1])
    for backend in cases.BACKENDS:
        found = jax.jit(jax.vmap(lambda v: jacobian(stage, v, backend=backend)))(batch)  # noqa: B023
        expected = np.stack([jacobian(stage, v) for v in batch])
        tolerance = TOLERANCES[dtype] if backend != "finite_difference" else 10 * float(jnp.finfo(dtype).eps) ** (2 / 3)
        assert relative_error(found, expected) < tolerance


def test_blocks_of_directions_join_without_a_seam(x64):
    size = 2 * BLOCK + 3
    x = jnp.linspace(-2, 2, size)
    for backend in ("forward", "finite_difference"):
        found = jacobian(lambda x: jnp.sin(x)[::100], x, backend=backend)
        np.testing.assert_allclose(found, np.diag(np.cos(x))[::100], atol=1e-9)


@pytest.mark.parametrize("backend", OTHERS)
def test_any_function_will_do_for_a_witness(backend, x64):
    found = jacobian(lambda x: {"square": x**2, "sum": x.sum()}, [1, 2], backend=backend)
    np.testing.assert_allclose(found["square"], [[2, 0], [0, 4]], rtol=1e-8)
    np.testing.assert_allclose(found["sum"], [1, 1], rtol=1e-8)


def test_whole_numbers_are_a_point_too():
    found = jacobian(pcacam_jax.Elementwise("sigmoid", 2), np.array([0, 0]))
    np.testing.assert_allclose(found, 0.25 * np.eye(2))


def test_bad_calls_get_a_sentence():
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
def test_unknown_activation_is_refused(stage):
    with pytest.raises(InputError, match=r"activation must be one of identity, sigmoid, relu.*got 'rellu'"):
        jacobian(stage, np.ones(2))


def test_unknown_kernel_is_refused():
    stage = pcacam_jax.KernelExpansion(np.ones((3, 2)), np.ones((1, 3)), np.zeros(1), {}, "lap")
    with pytest.raises(InputError, match="kernel must be one of linear, rbf, poly, sigmoid; got 'lap'"):
        jacobian(stage, np.ones(2))
