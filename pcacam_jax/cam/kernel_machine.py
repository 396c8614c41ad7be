"""The machine inside an SVM: what comes before its kernel, the kernel expansion, what comes after; block by block."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree
from pcacam_jax.core.types import Vector
from pcacam_jax.stages import Classifier, Elementwise, KernelExpansion, SVMClassifier
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.kernel import exponent_named, kernel_named

INNER: dict[type, str] = {SVMClassifier: "pairs", Classifier: "scores"}
"""Classifiers, with the name of the field that holds the stage they decide by."""


@pytree
class Machine:
    """A stage around a kernel expansion, in three parts: v -> scores(expansion(before(v)))."""

    before: Chain
    """(D,) -> (d,), such as a scaler; empty where the kernel reads v itself."""
    expansion: KernelExpansion
    """(d,) -> (P,), Eq. 6."""
    scores: Any
    """The stage with g for its input, (P,) -> (C,); a classifier predicts from that too."""


def machine_of(name: str, stage: Any) -> Machine:
    """Return the parts of a stage: a KernelExpansion, a Chain that holds one, or a classifier over one of these.

    Raises:
        InputError: there is no kernel expansion in it, or only beside other stages.
    """
    field = INNER.get(type(stage))
    stages = _flat(getattr(stage, field) if field else stage)
    places = [place for place, own in enumerate(stages) if isinstance(own, KernelExpansion)]
    if not places:
        kinds = ", ".join(type(own).__name__ for own in stages)
        raise InputError(
            f"{name} has no support vectors of its own, being made of {kinds} and not of a KernelExpansion; take its "
            "map apart over components instead, with pcacam_jax.decompose."
        )
    expansion, after = stages[places[-1]], tuple(stages[places[-1] + 1 :])
    scores: Any = Chain(after) if after else Elementwise("identity", len(expansion.intercept))
    before = Chain(tuple(stages[: places[-1]]))
    if field:
        scores = dataclasses.replace(stage, **{field: scores})
    if getattr(stage, "voter", None) is not None:
        scores = dataclasses.replace(scores, voter=_voter(name, stage.voter, before, expansion))
    return Machine(before, expansion, scores)


def _voter(name: str, voter: Any, before: Chain, expansion: KernelExpansion) -> Any:
    """Return what a classifier predicts by, if it reads the very expansion that its scores are made from."""
    own = machine_of(name, voter)
    both = [jax.tree.flatten((own.before, own.expansion)), jax.tree.flatten((before, expansion))]
    (own_leaves, own_structure), (leaves, structure) = both
    if own_structure != structure or not all(map(np.array_equal, own_leaves, leaves)):
        raise InputError(f"{name} predicts by another machine than that of its scores, so it has no one decomposition.")
    return own.scores


def _flat(stage: Any) -> list[Any]:
    return [own for part in stage.stages for own in _flat(part)] if isinstance(stage, Chain) else [stage]


def with_support(name: str, machine: Machine, support: KernelExpansion | None) -> Machine:
    """Return the machine over the support vectors given, or over its own where it still has them.

    Raises:
        InputError: they are gone and not given, or those given cannot be this machine's.
    """
    own = machine.expansion
    if support is None:
        if is_collapsed(own):
            raise InputError(
                f"{name} is linear and keeps only the sum of its support vectors, so the head cannot tell them apart; "
                "pass them as support=pcacam_jax.scikit.svm.expansion_of(estimator, collapse=False)."
            )
        return machine
    if not isinstance(support, KernelExpansion):
        raise TypeError(f"support must be a KernelExpansion; got {type(support).__name__}.")
    shapes = [(own.in_shape[0], len(own.intercept)), (support.in_shape[0], len(support.intercept))]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"support must be the machine of {name}, which reads {shapes[0][0]} numbers and gives {shapes[0][1]}; "
            f"the one given reads {shapes[1][0]} and gives {shapes[1][1]}."
        )
    dtype = own.support.dtype
    given = jax.tree.map(lambda leaf: jnp.array(leaf, dtype), support)
    return dataclasses.replace(machine, expansion=dataclasses.replace(given, relative=own.relative))


def is_collapsed(expansion: KernelExpansion) -> bool:
    """Return whether a linear expansion holds one vector a machine, the sum of its support vectors."""
    own = expansion.coefficients
    return expansion.kernel == "linear" and own.shape[0] == own.shape[1] and np.array_equal(own, np.eye(len(own)))


def block_starts(expansion: KernelExpansion, size: int) -> Int[Array, " blocks"]:
    """Return where each block of ``size`` support vectors starts."""
    return jnp.arange(0, expansion.support.shape[0], size)


def block_at(
    expansion: KernelExpansion, start: Int[Array, ""], size: int
) -> tuple[KernelExpansion, Int[Array, " size"], Array]:
    """Return ``size`` support vectors from ``start`` on, their indices, and which of them no earlier block held.

    A last short block is filled with those before it, whose coefficients are then zero.
    """
    first = jnp.minimum(start, expansion.support.shape[0] - size)
    indices = first + jnp.arange(size)
    fresh = indices >= start
    coefficients = jax.lax.dynamic_slice_in_dim(expansion.coefficients, first, size, axis=1)
    block = dataclasses.replace(
        expansion,
        support=jax.lax.dynamic_slice_in_dim(expansion.support, first, size),
        coefficients=jnp.where(fresh, coefficients, 0),
    )
    return block, indices, fresh


def kernels(expansion: KernelExpansion, z: Vector) -> tuple[Float[Array, " n"], Float[Array, "n d"]]:
    """Return k(s_i, z) and dk(s_i, z)/dz of every support vector (Eq. 7, 25, 26)."""
    kernel = kernel_named(expansion.kernel)
    return _each(kernel.value, expansion, z), _each(kernel.gradient, expansion, z)


def exponents(expansion: KernelExpansion, z: Vector) -> tuple[Float[Array, " n"], Float[Array, "n d"]]:
    """Return e_i and de_i/dz of an exponential kernel k = exp(e)."""
    exponent = exponent_named(expansion.kernel)
    return _each(exponent.value, expansion, z), _each(exponent.gradient, expansion, z)


def _each(function: Callable[..., Array], expansion: KernelExpansion, z: Vector) -> Array:
    return jax.vmap(lambda s: function(s, z, **expansion.parameters))(expansion.support)


def machine_values(expansion: KernelExpansion, z: Vector, size: int) -> tuple[Float[Array, " P"], Float[Array, " P"]]:
    """Return g(z) in blocks of ``size`` support vectors, and the sum of its terms' magnitudes."""

    def add(sums: tuple[Array, Array], start: Array) -> tuple[tuple[Array, Array], None]:
        block, _, _ = block_at(expansion, start, size)
        values, _ = kernels(block, z)
        terms = matmul(block.coefficients, values), matmul(jnp.abs(block.coefficients), jnp.abs(values))
        return (sums[0] + terms[0], sums[1] + terms[1]), None

    first = expansion.intercept, jnp.abs(expansion.intercept)
    return jax.lax.scan(add, first, block_starts(expansion, size))[0]


def part_weights(
    block: KernelExpansion, z: Vector, slopes: Float[Array, " n"], largest: Float[Array, ""]
) -> Float[Array, "n d"]:
    """Return c_i dk(s_i, z)/dz of every support vector; divided by exp(``largest``) if the expansion is relative."""
    if not block.relative:
        return slopes[:, None] * kernels(block, z)[1]
    own, gradients = exponents(block, z)
    return (slopes * jnp.exp(jnp.minimum(own - largest, 0)))[:, None] * gradients


def whole_weights(expansion: KernelExpansion, z: Vector, row: Float[Array, " P"], size: int) -> Vector:
    """Return the sum of :func:`part_weights` over all support vectors, ``size`` at a time."""
    top = largest_exponent(expansion, z, row, size)

    def add(total: Array, start: Array) -> tuple[Array, None]:
        block, _, _ = block_at(expansion, start, size)
        return total + jnp.sum(part_weights(block, z, matmul(row, block.coefficients), top), axis=0), None

    return jax.lax.scan(add, jnp.zeros_like(z), block_starts(expansion, size))[0]


def largest_exponent(expansion: KernelExpansion, z: Vector, row: Float[Array, " P"], size: int) -> Float[Array, ""]:
    """Return the largest e_i among the terms of row ds/dg that are not zero; 0 for an expansion that is not relative.

    It is the one by whose exponential :meth:`KernelExpansion.pull_back` divides a relative derivative.
    """
    if not expansion.relative:
        return jnp.zeros((), z.dtype)

    def step(found: Array, start: Array) -> tuple[Array, None]:
        block, _, _ = block_at(expansion, start, size)
        own, gradients = exponents(block, z)
        counts = (matmul(row, block.coefficients) != 0) & jnp.any(gradients != 0, axis=1)
        return jnp.maximum(found, jnp.max(jnp.where(counts, own, found))), None

    lowest = jnp.full((), jnp.finfo(z.dtype).min, z.dtype)
    return jax.lax.scan(step, lowest, block_starts(expansion, size))[0]
