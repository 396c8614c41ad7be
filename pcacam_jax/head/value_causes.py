"""Causes of a difference that lie in the expected values of one output: other units, another order, other signs."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

LARGEST_PERMUTATION = 2048
"""Largest number of examples whose order is examined; the comparison is quadratic in it."""


class ValueCause(NamedTuple):
    """A cause in the expected values of one output."""

    advice: str
    """What is wrong and what to do; ``{name}`` stands for the output."""
    explains: Callable[[np.ndarray, np.ndarray, float], bool]
    """A function of (output ``(B, size)``, reference ``(B, size)``, largest relative error)."""
    spaces: tuple[str, ...] = ()
    """The spaces of the outputs to which it applies; all if empty."""


def value_cause(name: str, space: str, output: np.ndarray, reference: np.ndarray, limit: float) -> str | None:
    """Return the cause that explains the whole difference of one output, or None.

    Args:
        name: the name of the output.
        space: what its values are, as :meth:`HybridHead.space` says it.
        output: its values, ``(B, size)``.
        reference: the expected values, ``(B, size)``.
        limit: the largest relative error of equal values.
    """
    for cause in VALUE_CAUSES:
        if (not cause.spaces or space in cause.spaces) and cause.explains(output, reference, limit):
            return cause.advice.format(name=name)
    return None


def relative_error(output: np.ndarray, reference: np.ndarray) -> float:
    """Return the largest error relative to the largest magnitude of the reference."""
    scale = np.abs(reference).max()
    return float(np.abs(output - reference).max() / (scale if scale > 0 else 1))


def examples_are_permuted(outputs: dict[str, np.ndarray], references: dict[str, np.ndarray], limit: float) -> bool:
    """Return whether one permutation of the examples makes all outputs equal to their references."""
    count = len(next(iter(references.values())))
    if not 2 <= count <= LARGEST_PERMUTATION:
        return False

    def near_each_other(one: dict[str, np.ndarray]) -> np.ndarray:
        near = np.ones((count, count), bool)
        for name, reference in references.items():
            margin = limit * (np.abs(reference).max() or 1)
            for column in range(reference.shape[1]):
                near &= np.abs(one[name][:, None, column] - reference[None, :, column]) <= margin
        return near.sum(axis=0)

    # Examples may be alike, so a reference must be met as often among the outputs as among the references.
    return bool((near_each_other(outputs) == near_each_other(references)).all())


def _function_of(function: Callable) -> Callable[[np.ndarray, np.ndarray, float], bool]:
    return lambda output, reference, limit: relative_error(np.asarray(function(output)), reference) <= limit


def _are_votes(output: np.ndarray, reference: np.ndarray, limit: float) -> bool:
    votes = reference - output / (3 * (np.abs(output) + 1))
    return output.shape[1] > 2 and bool(np.abs(votes - np.round(votes)).max() <= limit)


def _are_permuted(output: np.ndarray, reference: np.ndarray, limit: float) -> bool:
    near = np.abs(output[:, :, None] - reference[:, None, :]).max(axis=0) <= limit * np.abs(reference).max()
    return bool((near.sum(axis=0) == 1).all() and (near.sum(axis=1) == 1).all())


def _have_opposite_signs(output: np.ndarray, reference: np.ndarray, limit: float) -> bool:
    signs = np.where((output * reference).sum(axis=0) < 0, -1, 1)
    return relative_error(output * signs, reference) <= limit


def _are_multiples(output: np.ndarray, reference: np.ndarray, limit: float) -> bool:
    norm = float(np.sum(output * output))
    return (
        norm > 0
        and output.size > 2
        and relative_error(output * (np.sum(output * reference) / norm), reference) <= limit
    )


def _differ_by_constants(output: np.ndarray, reference: np.ndarray, limit: float) -> bool:
    # Relative to the variation, because a large constant would hide any other difference.
    return len(output) > 2 and relative_error(output - output.mean(axis=0), reference - reference.mean(axis=0)) <= limit


VALUE_CAUSES = (
    ValueCause(
        "the expected values of {name} are probabilities: give the logits, before softmax",
        _function_of(jax.nn.softmax),
        ("logit",),
    ),
    ValueCause(
        "the expected values of {name} are log-probabilities: give the logits, before log-softmax",
        _function_of(jax.nn.log_softmax),
        ("logit",),
    ),
    ValueCause(
        "the expected values of {name} are probabilities of a sigmoid: give the logits, before the sigmoid",
        _function_of(jax.nn.sigmoid),
        ("logit",),
    ),
    ValueCause(
        'the expected values of {name} are probabilities: build the head with output="proba"',
        _function_of(np.exp),
        ("log_proba",),
    ),
    ValueCause(
        'the expected values of {name} are log-probabilities: build the head with output="log_proba"',
        _function_of(np.log),
        ("proba",),
    ),
    ValueCause(
        'the expected values of {name} are decisions with votes (decision_function_shape="ovr"): give the margins, '
        "which are signed sums of the values of the class pairs",
        _are_votes,
        ("margin",),
    ),
    ValueCause(
        "components of {name} have the opposite sign: compare with the PCA that the head was built from",
        _have_opposite_signs,
        ("component",),
    ),
    ValueCause("the components of {name} are in another order", _are_permuted, ("component",)),
    ValueCause("the entries of {name} are in another order: compare the names of the classes", _are_permuted),
    ValueCause(
        "all values of {name} differ by one constant factor: look for a scaling that only one side applies",
        _are_multiples,
    ),
    ValueCause(
        "each entry of {name} differs by a constant: look at the bias of the last layer, or at the mean of the PCA",
        _differ_by_constants,
    ),
)
"""The causes in the expected values, in the order in which they are tried."""
