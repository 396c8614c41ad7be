"""Evidence is independent of the blocks in which support vectors are read; misuse raises an error."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.evidence_world import (
    SHAPE,
    check_equal,
    evidence_in_world,
    world,
)

from pcacam_jax import KernelExpansion
from pcacam_jax.cam import evidence as evidence_module
from pcacam_jax.cam.component_maps import without_svms
from pcacam_jax.cam.evidence import evidence
from pcacam_jax.cam.kernel_machine import kernel_machine_of
from pcacam_jax.cam.largest_terms import largest_terms
from pcacam_jax.cam.methods import METHODS
from pcacam_jax.core.checks import InputError
from pcacam_jax.scikit.svm import expansion_of


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


# --- blocks and batches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 7])
def test_the_block_size_changes_nothing(block, monkeypatch):
    number = evidence_in_world().support_vectors
    assert number % 7
    monkeypatch.setattr(evidence_module, "block_size", lambda count, width, batch: block)
    got = evidence(world().head, world().maps, "svm_rbf:predicted", count=4)
    check_equal(got, evidence_in_world(), 1e-12)


@pytest.mark.parametrize("integer", [int, np.int64, np.uint8, np.array])
def test_batches_change_nothing(integer):
    options = {"count": integer(4), "batch_size": integer(2)}
    got = evidence(world().head, world().maps, "svm_rbf:predicted", **options)
    check_equal(got, evidence_in_world(), 1e-13)


@pytest.mark.parametrize(("count", "block"), [(2, 1), (1, 2), (5, 2), (2, 4), (3, 5)])
def test_the_first_among_equals_comes_first(count, block):
    expansion = KernelExpansion(
        support=jnp.array([[1.0], [2], [2], [1], [2]]),
        coefficients=jnp.array([[1.0, 1, -1, 0, 1]]),
        intercept=jnp.zeros(1),
        parameters={},
        kernel="linear",
    )
    got = largest_terms(expansion, jnp.ones(1), jnp.ones(1), jnp.eye(1), count, block)
    assert got.indices.tolist() == [1, 2, 4, 0, 3][:count]
    assert got.gradients[:, 0].tolist() == [2, -2, 2, 1, 0][:count]
    assert float(got.rest[0]) == sum([2, -2, 2, 1, 0][count:])
    assert float(got.total) == 7


def shapes_in(jaxpr):
    """Shapes of all intermediate arrays, also in nested computations."""
    for equation in jaxpr.eqns:
        yield from (tuple(variable.aval.shape) for variable in equation.outvars)
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda value: hasattr(value, "eqns") or hasattr(value, "jaxpr")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from shapes_in(inner)


@pytest.mark.parametrize("column", [None, 1])
@pytest.mark.parametrize("relative", [False, True])
def test_no_array_has_an_entry_for_each_support_vector(column, relative):
    """Memory depends on the size of a block only, for one example and for a batch."""
    rng, data, number, block = np.random.default_rng(0), world(), 1001, 50
    support, coefficients = jnp.asarray(rng.normal(size=(number, 3))), jnp.asarray(rng.normal(size=(6, number)))
    svm = kernel_machine_of("svm_rbf", data.head.svms["svm_rbf"])
    shared = svm.expansion.intercept, svm.expansion.parameters, "rbf", relative
    svm = dataclasses.replace(svm, expansion=KernelExpansion(support, coefficients, *shared))
    options = {"column": column, "method": METHODS["hirescam"], "count": 4, "block": block}
    compute = functools.partial(evidence_module._evidence_batch, **options)
    arguments = without_svms(data.head), svm, None, jnp.asarray(data.maps[:2])
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        traced = jax.make_jaxpr(compute)(*arguments)
    sizes = [max(shape, default=0) for shape in shapes_in(traced.jaxpr)]
    assert len(sizes) > 100
    assert block in sizes
    assert max(sizes) <= 60  # the entries of the feature maps; an array over 1001 support vectors would be larger


@pytest.mark.parametrize(("count", "width", "batch", "size"), [(10, 3, 1, 10), (10**6, 3, 256, 5461), (9, 10**9, 1, 1)])
def test_blocks_are_as_large_as_memory_allows(count, width, batch, size):
    assert evidence_module.block_size(count, width, batch) == size


# --- misuse -----------------------------------------------------------------------------------------------------------


def linear_support(**changes):
    return dataclasses.replace(expansion_of(world().svms["svm_linear"], collapse=False), **changes)


def collapsed_support():
    return expansion_of(world().svms["svm_linear"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"target": "cnn:0"},
            "target must be a class of an SVM, and the SVMs of this head are svm_rbf, scaled, .*got 'cnn:0'",
        ),
        ({"target": "pca"}, "target must be a class of an SVM"),
        ({"target": "svm_rbf"}, "target must be one class, svm_rbf:predicted or one of svm_rbf:ant, svm_rbf:cat, "),
        ({"target": "svm_rbf:dog"}, "names no entry"),
        ({"target": ["svm_rbf:cat"]}, "target must be a string such as 'svm_rbf:predicted'; got list"),
        ({"head": {}}, "head must be a HybridHead"),
        ({"count": 0}, "count must be an integer of at least 1; got 0"),
        ({"count": True}, "count must be an integer"),
        ({"count": 2.0}, "count must be an integer"),
        ({"count": np.True_}, "count must be an integer"),
        ({"count": np.int64(-1)}, "count must be an integer"),
        ({"batch_size": True}, "batch_size must be an integer"),
        ({"batch_size": 2.0}, "batch_size must be an integer"),
        ({"maps": [[[1, 2], [3]]]}, r"maps must be one array of shape \(B, 4, 5, 3\); got a list that NumPy cannot"),
        ({"batch_size": 0}, "batch_size must be an integer"),
        ({"maps": np.zeros((2, 3))}, r"maps must have shape \(B, 4, 5, 3\)"),
        ({"maps": np.full((1, *SHAPE), np.nan)}, "maps must be finite"),
        ({"target": "logistic:predicted"}, "logistic has no support vectors, because it consists of Affine"),
        (
            {"target": "svm_linear:predicted"},
            "svm_linear is a linear SVM, and the head stores only the weighted sum of its support vectors",
        ),
        (
            {"support": collapsed_support},
            r"holds their weighted sum; build it with expansion_of\(estimator, collapse=False\)",
        ),
        (
            {"support": lambda: linear_support(kernel="rbf", parameters={"gamma": np.float64(1)})},
            "with the kernel linear; got rbf, so build it from the estimator",
        ),
        ({"support": 3}, "support must be a KernelExpansion or a OneVsOneExpansion; got int"),
        (
            {"support": lambda: linear_support(intercept=np.zeros(2))},
            "with 3 inputs and 6 outputs; got 3 inputs and 2 outputs",
        ),
        ({"support": lambda: linear_support(intercept=np.zeros(6))}, "at example 0 it gives .* where the head gives"),
    ],
)
def test_misuse_raises_an_error(change, sentence):
    options = {"head": world().head, "maps": world().maps[:2], "target": "svm_rbf:predicted", **change}
    if "support" in change:
        options["target"] = "svm_linear:predicted"
    if callable(options.get("support")):
        options["support"] = options["support"]()
    with pytest.raises((InputError, TypeError), match=sentence):
        evidence(**options)


def test_support_of_an_rbf_svm_is_accepted_too():
    support = expansion_of(world().svms["svm_rbf"])
    got = evidence(world().head, world().maps, "svm_rbf:predicted", count=4, support=support)
    check_equal(got, evidence_in_world(), 1e-12)
    other = dataclasses.replace(support, parameters={"gamma": np.float64(0.71)})
    with pytest.raises(InputError, match="support must be the kernel expansion of svm_rbf, but at example 0"):
        evidence(world().head, world().maps, "svm_rbf:predicted", support=other)
