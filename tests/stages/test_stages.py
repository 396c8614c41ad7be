"""Every stage against NumPy, against autodiff and differences, and under jit, vmap and flattening."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import cases, truth
from support.cases import case

import pcacam_jax
from pcacam_jax import jacobian, stages
from pcacam_jax.cam.methods import METHODS
from pcacam_jax.core.numerics import DIFFERENCE_TOLERANCES, TOLERANCES, relative_error
from pcacam_jax.serialization.schema import PARTS
from pcacam_jax.stages.classifier import RULES
from pcacam_jax.stages.jacobian import BACKENDS
from pcacam_jax.verification.cases import Draw, stage_cases

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
    value, slope = truth.truth(*jax.tree.map(np.float64, case(name, "float32")))
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


@pytest.mark.parametrize(
    "name",
    ["flatten", "2 x 2 max-pool", "SVM rbf, margins", "normalisation, max", "softmax, logarithm", "parallel, nested"],
)
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


def names_of(parts, kind, field):
    return {getattr(part, field) for part in parts if isinstance(part, kind)}


def test_the_certificate_covers_every_stage_that_a_file_may_hold():
    names = [name for name, _, _ in stage_cases(Draw(np.random.default_rng(0)))]
    parts = [part for name in names for part in parts_of(case(name, "float32")[0])]
    assert {type(part).__name__ for part in parts} | {"HybridHead"} == set(PARTS)


def test_cases_cover_every_table():
    parts = [part for name in cases.NAMES for part in parts_of(case(name, "float32")[0])]
    assert names_of(parts, pcacam_jax.Elementwise, "name") == set(stages.ACTIVATIONS) == set(truth.ACTIVATIONS)
    assert names_of(parts, pcacam_jax.Dense, "activation") == set(stages.ACTIVATIONS)
    assert names_of(parts, pcacam_jax.KernelExpansion, "kernel") == set(stages.KERNELS) == set(truth.KERNELS)
    assert names_of(parts, stages.Normalise, "norm") == set(stages.NORMS) == set(truth.NORMS)
    assert names_of(parts, stages.Power, "method") == set(stages.POWER_METHODS) == set(truth.POWERS)
    assert names_of(parts, stages.Classifier, "rule") == set(RULES)
    assert names_of(parts, stages.Softmax, "log") == {False, True}
    assert set(cases.BACKENDS) == set(BACKENDS)
    assert set(cases.METHODS) == set(METHODS)
