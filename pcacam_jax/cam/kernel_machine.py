"""A kernel SVM split into its scaler, its kernel expansion and its scores, and sums over its support vectors.

The sums are computed in blocks of support vectors, so that memory does not grow with their number.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree
from pcacam_jax.core.types import Vector
from pcacam_jax.stages import Classifier, Elementwise, KernelExpansion, OneVsOneExpansion, SVMClassifier
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.kernel import exponent_named, kernel_named
from pcacam_jax.stages.kernel_expansion import Expansion

SCORE_FIELDS: dict[type, str] = {SVMClassifier: "pairs", Classifier: "scores"}
"""For each type of classifier, the field that holds the stage of its scores."""


@pytree
class KernelMachine:
    """A kernel SVM split into three stages: ``v -> scores(expansion(scaler(v)))``."""

    scaler: Chain
    """The stages before the kernel, ``(D,) -> (d,)``, such as a standard scaler; empty if there are none."""
    expansion: KernelExpansion | OneVsOneExpansion
    """The decision values ``g``, ``(d,) -> (P,)``, Eq. 6."""
    scores: Any
    """From the decision values to the class scores, ``(P,) -> (C,)``; a classifier also predicts a class from them."""


def kernel_machine_of(name: str, stage: Any) -> KernelMachine:
    """Split a stage: an expansion, a Chain with an expansion, or a classifier of one of these.

    Raises:
        InputError: the stage has no kernel expansion in sequence, or predicts with another one than its scores.
    """
    field = SCORE_FIELDS.get(type(stage))
    stages = _flat(getattr(stage, field) if field else stage)
    places = [place for place, link in enumerate(stages) if isinstance(link, Expansion)]
    if not places:
        kinds = ", ".join(type(link).__name__ for link in stages)
        raise InputError(
            f"{name} has no support vectors, because it consists of {kinds} and not of a KernelExpansion; use "
            "pcacam_jax.decompose to split its map over components instead."
        )
    expansion, after = stages[places[-1]], tuple(stages[places[-1] + 1 :])
    scores: Any = Chain(after) if after else Elementwise("identity", len(expansion.intercept))
    scaler = Chain(tuple(stages[: places[-1]]))
    if field:
        scores = dataclasses.replace(stage, **{field: scores})
    if getattr(stage, "voter", None) is not None:
        scores = dataclasses.replace(scores, voter=_voter(name, stage.voter, scaler, expansion))
    return KernelMachine(scaler, expansion, scores)


def _voter(name: str, voter: Any, scaler: Chain, expansion: Expansion) -> Any:
    """Return the voter as a function of the decision values, if it has the same expansion as the scores."""
    svm = kernel_machine_of(name, voter)
    both = [jax.tree.flatten((svm.scaler, svm.expansion)), jax.tree.flatten((scaler, expansion))]
    (voter_leaves, voter_structure), (leaves, structure) = both
    if voter_structure != structure or not all(map(np.array_equal, voter_leaves, leaves)):
        raise InputError(
            f"the predictions and the scores of {name} use different kernel expansions, so its map is not a single sum "
            "over support vectors; use pcacam_jax.decompose instead."
        )
    return svm.scores


def _flat(stage: Any) -> list[Any]:
    return [link for inner in stage.stages for link in _flat(inner)] if isinstance(stage, Chain) else [stage]


def check_support(name: str, svm: KernelMachine, support: Expansion | None) -> None:
    """Check that support vectors are given if an SVM needs them, and that their expansion has its shapes.

    Raises:
        InputError: ``support`` is needed but None, or its shapes differ from those of the SVM.
        TypeError: ``support`` is not an expansion.
    """
    expansion = svm.expansion
    if support is None:
        if is_collapsed(expansion):
            raise InputError(
                f"{name} is a linear SVM, and the head stores only the weighted sum of its support vectors; "
                "pass them as support=pcacam_jax.scikit.svm.expansion_of(estimator, collapse=False)."
            )
        return
    if not isinstance(support, Expansion):
        raise TypeError(f"support must be a KernelExpansion or a OneVsOneExpansion; got {type(support).__name__}.")
    if is_collapsed(support):
        raise InputError(
            f"support must hold the support vectors of {name}, but it holds their weighted sum; build it with "
            "expansion_of(estimator, collapse=False)."
        )
    if support.kernel != expansion.kernel:
        raise InputError(
            f"support must be the kernel expansion of {name}, with the kernel {expansion.kernel}; got "
            f"{support.kernel}, so build it from the estimator of the head."
        )
    shapes = [(expansion.in_shape[0], len(expansion.intercept)), (support.in_shape[0], len(support.intercept))]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"support must be the kernel expansion of {name}, with {shapes[0][0]} inputs and {shapes[0][1]} outputs; "
            f"got {shapes[1][0]} inputs and {shapes[1][1]} outputs, so build it from the estimator of the head."
        )


def with_support(svm: KernelMachine, support: Any) -> KernelMachine:
    """Return the SVM over the support vectors in ``support``, in the dtype of the SVM."""
    dtype = svm.expansion.support.dtype
    converted = jax.tree.map(lambda leaf: leaf.astype(dtype), support)
    return dataclasses.replace(svm, expansion=dataclasses.replace(converted, relative=svm.expansion.relative))


def is_collapsed(expansion: Expansion) -> bool:
    """Return whether a linear expansion holds one vector per output, the weighted sum of the support vectors."""
    if expansion.kernel != "linear" or not isinstance(expansion, KernelExpansion):
        return False
    coefficients = expansion.coefficients
    if coefficients is None:
        return True
    # Files of earlier schemas hold the identity matrix.
    is_square = coefficients.shape[0] == coefficients.shape[1]
    return is_square and np.array_equal(coefficients, np.eye(len(coefficients)))


def coefficients_of(expansion: KernelExpansion) -> Float[Array, "P n"]:
    """Return the coefficients of an expansion; None stands for the identity matrix."""
    if expansion.coefficients is None:
        return jnp.eye(len(expansion.support), dtype=expansion.support.dtype)
    return expansion.coefficients


def of_row(
    expansion: KernelExpansion | OneVsOneExpansion, row: Float[Array, " P"]
) -> tuple[KernelExpansion, Float[Array, " Q"]]:
    """Return an expansion and a row whose coefficients can be read in blocks of support vectors.

    They are those given, or a single output with the coefficients of the row if the expansion is one-vs-one.
    """
    if isinstance(expansion, KernelExpansion):
        return expansion, row
    single = KernelExpansion(
        support=expansion.support,
        coefficients=expansion.weights(row[None]),
        intercept=matmul(row[None], expansion.intercept),
        parameters=expansion.parameters,
        kernel=expansion.kernel,
        relative=expansion.relative,
    )
    return single, jnp.ones(1, row.dtype)


def block_starts(expansion: KernelExpansion, size: int) -> Int[Array, " blocks"]:
    """Return the index of the first support vector of each block of ``size``."""
    return jnp.arange(0, expansion.support.shape[0], size)


def block_at(
    expansion: KernelExpansion, start: Int[Array, ""], size: int
) -> tuple[KernelExpansion, Int[Array, " size"], Bool[Array, " size"]]:
    """Return (the ``size`` support vectors from ``start`` on, their indices, whether each belongs to this block).

    If the last block is short, it starts with support vectors of the block before, whose coefficients are set to zero.
    """
    first = jnp.minimum(start, expansion.support.shape[0] - size)
    indices = first + jnp.arange(size)
    is_new = indices >= start
    coefficients = jax.lax.dynamic_slice_in_dim(coefficients_of(expansion), first, size, axis=1)
    block = dataclasses.replace(
        expansion,
        support=jax.lax.dynamic_slice_in_dim(expansion.support, first, size),
        coefficients=jnp.where(is_new, coefficients, 0),
    )
    return block, indices, is_new


def kernels(expansion: Expansion, z: Vector) -> tuple[Float[Array, " n"], Float[Array, "n d"]]:
    """Return ``k(s_i, z)`` and ``dk(s_i, z)/dz`` of each support vector (Eq. 7, 25, 26)."""
    kernel = kernel_named(expansion.kernel)
    return _for_each_support(kernel.value, expansion, z), _for_each_support(kernel.gradient, expansion, z)


def exponents(expansion: Expansion, z: Vector) -> tuple[Float[Array, " n"], Float[Array, "n d"]]:
    """Return ``e_i`` and ``de_i/dz`` of an exponential kernel ``k = exp(e)`` for each support vector."""
    exponent = exponent_named(expansion.kernel)
    return _for_each_support(exponent.value, expansion, z), _for_each_support(exponent.gradient, expansion, z)


def _for_each_support(function: Callable[..., Array], expansion: Expansion, z: Vector) -> Array:
    return jax.vmap(lambda s: function(s, z, **expansion.parameters))(expansion.support)


def decision_values(
    expansion: KernelExpansion | OneVsOneExpansion, z: Vector, size: int
) -> tuple[Float[Array, " P"], Float[Array, " P"]]:
    """Return ``g(z)`` and the sum of the magnitudes of its terms, in blocks of ``size`` support vectors.

    A one-vs-one expansion is evaluated as a whole.
    """
    if isinstance(expansion, OneVsOneExpansion):
        values, absolute = kernels(expansion, z)[0], dataclasses.replace(expansion, dual=jnp.abs(expansion.dual))
        return expansion(z), absolute.sums(jnp.abs(values)) + jnp.abs(expansion.intercept)

    def add(sums: tuple[Array, Array], start: Array) -> tuple[tuple[Array, Array], None]:
        block, _, _ = block_at(expansion, start, size)
        values, coefficients = kernels(block, z)[0], coefficients_of(block)
        terms = matmul(coefficients, values), matmul(jnp.abs(coefficients), jnp.abs(values))
        return (sums[0] + terms[0], sums[1] + terms[1]), None

    first = expansion.intercept, jnp.abs(expansion.intercept)
    return jax.lax.scan(add, first, block_starts(expansion, size))[0]


def term_gradients(
    block: KernelExpansion, z: Vector, coefficients: Float[Array, " n"], largest: Float[Array, ""]
) -> Float[Array, "n d"]:
    """Return ``c_i dk(s_i, z)/dz`` of each support vector, divided by ``exp(largest)`` if the expansion is relative."""
    if not block.relative:
        return coefficients[:, None] * kernels(block, z)[1]
    values, gradients = exponents(block, z)
    return (coefficients * jnp.exp(jnp.minimum(values - largest, 0)))[:, None] * gradients


def summed_gradient(expansion: KernelExpansion, z: Vector, row: Float[Array, " P"], size: int) -> Vector:
    """Return the sum of :func:`term_gradients` over all support vectors, in blocks of ``size``."""
    largest = largest_exponent(expansion, z, row, size)

    def add(total: Array, start: Array) -> tuple[Array, None]:
        block, _, _ = block_at(expansion, start, size)
        return total + jnp.sum(term_gradients(block, z, matmul(row, coefficients_of(block)), largest), axis=0), None

    return jax.lax.scan(add, jnp.zeros_like(z), block_starts(expansion, size))[0]


def largest_exponent(expansion: KernelExpansion, z: Vector, row: Float[Array, " P"], size: int) -> Float[Array, ""]:
    """Return the largest ``e_i`` among the nonzero terms of the row ``ds/dg``; 0 if the expansion is not relative.

    :meth:`KernelExpansion.pull_back` divides the relative derivative of the row by its exponential.
    """
    if not expansion.relative:
        return jnp.zeros((), z.dtype)

    def step(largest: Array, start: Array) -> tuple[Array, None]:
        block, _, _ = block_at(expansion, start, size)
        values, gradients = exponents(block, z)
        nonzero = (matmul(row, coefficients_of(block)) != 0) & jnp.any(gradients != 0, axis=1)
        return jnp.maximum(largest, jnp.max(jnp.where(nonzero, values, largest))), None

    lowest = jnp.full((), jnp.finfo(z.dtype).min, z.dtype)
    return jax.lax.scan(step, lowest, block_starts(expansion, size))[0]
