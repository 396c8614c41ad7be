"""Each stage compared with NumPy, autodiff and finite differences, and under jit, vmap and flattening."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import cases, truth
from support.cases import case
from support.marks import float64_by_default, more

import pcacam_jax
from pcacam_jax import jacobian, stages
from pcacam_jax.core.numerics import DIFFERENCE_TOLERANCES, TOLERANCES, relative_error
from pcacam_jax.serialization.schema import STORABLE_CLASSES
from pcacam_jax.stages.activation import PARAMETRISED
from pcacam_jax.stages.classifier import RULES
from pcacam_jax.stages.flatten import ORDERS
from pcacam_jax.stages.jacobian import BACKENDS
from pcacam_jax.verification.cases import Draw, stage_cases

# --- all results of the library, compiled once per case ---------------------------------------------------------------


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


_dtype = float64_by_default


RARE = {name for name in cases.NAMES if name.startswith("dense, ")} - {"dense, sigmoid", "dense, relu", "dense, gelu"}
"""Dense layers with the other activations, each of which has a case of its own."""
every_case = pytest.mark.parametrize("name", [more(name) if name in RARE else name for name in cases.NAMES])


@every_case
def test_value_and_jacobian_equal_numpy(name, dtype):
    results = measured(name, dtype)
    value, slope = truth.truth(*jax.tree.map(np.float64, case(name, "float32")))
    assert relative_error(results["plain"], np.reshape(value, results["plain"].shape)) < TOLERANCES[dtype]
    assert relative_error(results["closed_form"].reshape(np.shape(slope)), slope) < TOLERANCES[dtype]


@every_case
def test_shapes_and_dtypes(name, dtype):
    stage, x = case(name, dtype)
    results = measured(name, dtype)
    assert stage.in_shape == x.shape
    assert isinstance(stage, pcacam_jax.Stage)
    assert {array.dtype for array in results.values()} == {jnp.dtype(dtype)}
    assert {results[backend].shape for backend in cases.BACKENDS if backend in results} == {
        (*results["plain"].shape, *x.shape)
    }
    assert results["pulled"].shape == (4, *x.shape)


@every_case
def test_jit_and_vmap_equal_the_plain_call(name, dtype):
    results = measured(name, dtype)
    for key in ["value", "called"]:
        assert relative_error(results[key], results["plain"]) < TOLERANCES[dtype]
    assert relative_error(results["batch"], np.stack([results["plain"], results["second"]])) < TOLERANCES[dtype]


@every_case
def test_closed_form_equals_every_reference_method(name, dtype):
    results = measured(name, dtype)
    assert relative_error(results["closed_form"], results["reverse"]) < TOLERANCES[dtype]
    if dtype == "float64":
        assert relative_error(results["closed_form"], results["forward"]) < TOLERANCES[dtype]
    if dtype == "float64" and name not in cases.KINKS:
        assert relative_error(results["closed_form"], results["finite_difference"]) < DIFFERENCE_TOLERANCES[dtype]


@every_case
def test_pull_back_multiplies_rows_with_the_jacobian(name, dtype):
    results = measured(name, dtype)
    expected = np.tensordot(results["rows"], results["closed_form"], axes=results["plain"].ndim)
    assert relative_error(results["pulled"], expected) < TOLERANCES[dtype]


@pytest.mark.parametrize("name", cases.NAMES)
def test_flattening_and_unflattening_change_nothing(name):
    stage, _ = case(name, "float32")
    leaves, structure = jax.tree.flatten(stage)
    restored, restored_structure = jax.tree.flatten(jax.tree.unflatten(structure, leaves))
    assert restored_structure == structure
    assert hash(restored_structure) == hash(structure)
    assert all(leaf is other and isinstance(leaf, jax.Array) for leaf, other in zip(restored, leaves, strict=True))


@pytest.mark.parametrize(
    "name",
    ["flatten", "2 x 2 max-pool", "SVM rbf, margins", "normalisation, max", "softmax, logarithm", "parallel, nested"],
)
def test_residuals_pass_through_jit_and_vmap(name):
    stage, x = case(name, "float32")
    _, saved = jax.jit(jax.vmap(stage.forward))(jnp.stack([x, x / 2]))
    out_shape = stage(x).shape
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, *out_shape)), "float32")
    pulled = jax.jit(jax.vmap(stage.pull_back))(saved, rows)
    expected = np.tensordot(rows[0], measured(name, "float32")["closed_form"], axes=len(out_shape))
    assert relative_error(pulled[0], expected) < TOLERANCES["float32"]


# --- the cases cover all tables of the package ------------------------------------------------------------------------


def parts_of(stage):
    parts = [stage]
    for field in getattr(stage, "__dataclass_fields__", {}):
        value = getattr(stage, field)
        for inner in value if isinstance(value, tuple) else (value,):
            parts += parts_of(inner) if hasattr(inner, "pull_back") else []
    return parts


def names_of(parts, kind, field):
    return {getattr(part, field) for part in parts if isinstance(part, kind)}


def test_the_certificate_covers_every_stage_that_a_file_may_hold():
    names = [name for name, _, _ in stage_cases(Draw(np.random.default_rng(0)))]
    parts = [part for name in names for part in parts_of(case(name, "float32")[0])]
    assert {type(part).__name__ for part in parts} | {"HybridHead"} == set(STORABLE_CLASSES)


def test_cases_cover_every_table():
    parts = [part for name in cases.NAMES for part in parts_of(case(name, "float32")[0])]
    sloped = {"leaky_relu:0.2", "elu:0.5"}
    assert {name.partition(":")[0] for name in sloped} == set(PARAMETRISED)
    assert names_of(parts, pcacam_jax.Elementwise, "name") == {*stages.ACTIVATIONS, *sloped} == set(truth.ACTIVATIONS)
    assert names_of(parts, pcacam_jax.Dense, "activation") == set(stages.ACTIVATIONS)
    assert names_of(parts, pcacam_jax.KernelExpansion, "kernel") == set(stages.KERNELS) == set(truth.KERNELS)
    assert names_of(parts, stages.Normalise, "norm") == set(stages.NORMS) == set(truth.NORMS)
    assert names_of(parts, stages.Power, "method") == set(stages.POWER_METHODS) == set(truth.POWERS)
    assert names_of(parts, stages.Classifier, "rule") == set(RULES)
    assert names_of(parts, stages.Flatten, "order") == set(ORDERS)
    assert names_of(parts, stages.Softmax, "log") == {False, True}
    assert set(cases.BACKENDS) == set(BACKENDS)
