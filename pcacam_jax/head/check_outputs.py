"""Comparison of a head's outputs with those of the network it was built from, and the search for usual causes."""

import dataclasses
import functools
import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.head.batches import batched, checked_maps
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.layouts import as_numpy
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.dense import Dense
from pcacam_jax.stages.flatten import Flatten
from pcacam_jax.stages.take import Take

BATCH = 256
EXAMPLES = 64
"""Number of examples on which causes are tried."""
TRIED_ACTIVATIONS = ("relu", "sigmoid", "tanh", "gelu", "softplus", "identity")

Outputs = dict[str, np.ndarray]


def check_outputs(
    head: HybridHead, maps: Any, expected: Mapping[str, Any], *, tolerance: float | None = None
) -> dict[str, float]:
    """Compare the outputs of a head with those of your framework for the same feature maps.

    Args:
        head: a head from :func:`pcacam_jax.hybrid_head`.
        maps: ``(B, h, w, K)`` feature maps, channels last.
        expected: output name -> values ``(B, size)``, such as ``{"cnn": logits, "pca": pca.transform(x)}``.
        tolerance: the largest error that passes. The default is the square root of the machine epsilon of the head's
            dtype: 3.5e-4 in float32, 1.5e-8 in float64.

    Returns:
        The largest error of each output in ``expected``, relative to the largest magnitude of that output.

    Raises:
        InputError: a shape or the tolerance is invalid, or an error exceeds the tolerance. Then the message names the
            cause, if one of these explains the whole difference: the order of flattening, a transposed kernel, the
            activation, missing biases, maps before their ReLU, probabilities instead of logits, votes instead of
            margins, the order of the classes, the sign of a component, a constant factor or a constant.
        TypeError: ``head`` is not a head, or ``expected`` is not a dictionary.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import check_outputs, hybrid_head
        >>> kernel, maps = np.ones((4, 2)), np.ones((3, 1, 2, 2))
        >>> head = hybrid_head([(kernel, np.zeros(2))], maps_shape=(1, 2, 2), at=1)
        >>> check_outputs(head, maps, {"cnn": maps.reshape(3, 4) @ kernel})
        {'cnn': 0.0}
    """
    if not isinstance(head, HybridHead):
        raise TypeError(f"head must be a HybridHead, from pcacam_jax.hybrid_head; got {type(head).__name__}.")
    limit = _limit(head, tolerance)
    if not isinstance(expected, Mapping):
        raise TypeError(
            f"expected must be a dictionary output name -> values, such as {{'{next(iter(head.outputs))}': values}}; "
            f"got {type(expected).__name__}."
        )
    maps = checked_maps(head, maps)
    references = {name: _expected(head, name, values, len(maps)) for name, values in expected.items()}
    if not references:
        raise InputError(f"expected must hold values for at least one of {', '.join(head.outputs)}; got none.")
    errors = _errors(_outputs(head, maps), references)
    wrong = {name: error for name, error in errors.items() if not error <= limit}
    if not wrong:
        return errors
    listed = ", ".join(f"{name} by {error:.2g}" for name, error in wrong.items())
    cause = _cause(head, maps[:EXAMPLES], {name: references[name][:EXAMPLES] for name in wrong}, limit)
    raise InputError(
        f"the outputs of the head differ from the expected values, relative to the largest value of each output: "
        f"{listed}, but at most {limit:.2g} is allowed; {cause}."
    )


def _limit(head: HybridHead, tolerance: float | None) -> float:
    if tolerance is None:
        return float(np.sqrt(jnp.finfo(head.dtype).eps))
    if isinstance(tolerance, bool) or not isinstance(tolerance, numbers.Real) or not tolerance >= 0:
        raise InputError(f"tolerance must be a number of at least 0, or None for the default; got {tolerance!r}.")
    return float(tolerance)


def _expected(head: HybridHead, name: str, values: Any, count: int) -> np.ndarray:
    check_choice("a name in expected", name, head.outputs)
    array, size = as_numpy(f"expected[{name!r}]", values), len(head.outputs[name])
    if array.shape != (count, size):
        hint = "; the margins of a two-class SVM are (-g, g)" if size == 2 and array.size == count else ""
        raise InputError(f"expected[{name!r}] must have shape ({count}, {size}); got {array.shape}{hint}.")
    return array


def _outputs(head: HybridHead, maps: Any) -> Outputs:
    values = batched(functools.partial(_run, head), maps, min(len(maps), BATCH), head.dtype)
    return {name: np.asarray(array, np.float64) for name, array in values.items()}


@jax.jit
def _run(head: HybridHead, maps: Any) -> dict[str, jax.Array]:
    return jax.vmap(head)(maps)


def _errors(outputs: Outputs, references: Outputs) -> dict[str, float]:
    return {name: _error(outputs[name], reference) for name, reference in references.items()}


def _error(output: np.ndarray, reference: np.ndarray) -> float:
    scale = np.abs(reference).max()
    return float(np.abs(output - reference).max() / (scale if scale > 0 else 1))


def _cause(head: HybridHead, maps: Any, references: Outputs, limit: float) -> str:
    """Return the first cause whose correction makes all outputs equal to their references, and what to do about it."""
    outputs = _outputs(head, maps)
    for cause, explains in _causes_in_values():
        if all(explains(outputs[name], reference, limit) for name, reference in references.items()):
            return cause
    for cause, other_head, other_maps in _causes_in_head(head, maps):
        if all(error <= limit for error in _errors(_outputs(other_head, other_maps), references).values()):
            return cause
    return (
        "none of the usual causes explains the difference: check that the network is in inference mode (model.eval() "
        "in PyTorch), and that the maps are those at the tap, after its activation and before any pooling"
    )


def _causes_in_values() -> Iterator[tuple[str, Callable[[np.ndarray, np.ndarray, float], bool]]]:
    """Yield causes in the expected values: (cause and what to do, test of (output, reference, limit))."""
    yield (
        "the expected values are probabilities: give the logits, before softmax",
        lambda output, reference, limit: _error(np.asarray(jax.nn.softmax(output)), reference) <= limit,
    )
    yield (
        "the expected values are log-probabilities: give the logits, before log-softmax",
        lambda output, reference, limit: _error(np.asarray(jax.nn.log_softmax(output)), reference) <= limit,
    )
    yield (
        'the expected values are decisions with votes (decision_function_shape="ovr"): give the margins, which are '
        "signed sums of the values of the class pairs",
        _are_votes,
    )
    yield "the entries are in another order: compare the names of the classes", _are_permuted
    yield (
        "components have the opposite sign: compare with the PCA that the head was built from",
        lambda output, reference, limit: (
            _error(np.abs(output), np.abs(reference)) <= limit and _columns_agree(output, reference)
        ),
    )
    yield "all values differ by one constant factor: look for a scaling that only one side applies", _are_multiples
    yield (
        "each entry differs by a constant: look at the bias of the last layer, or at the mean of the PCA",
        lambda output, reference, limit: (
            len(output) > 1 and _error(output - (output - reference).mean(axis=0), reference) <= limit
        ),
    )


def _are_votes(output: np.ndarray, reference: np.ndarray, limit: float) -> bool:
    votes = reference - output / (3 * (np.abs(output) + 1))
    return output.shape[1] > 2 and bool(np.abs(votes - np.round(votes)).max() <= limit)


def _are_permuted(output: np.ndarray, reference: np.ndarray, limit: float) -> bool:
    near = np.abs(output[:, :, None] - reference[:, None, :]).max(axis=0) <= limit * np.abs(reference).max()
    return bool((near.sum(axis=0) == 1).all() and (near.sum(axis=1) == 1).all())


def _columns_agree(output: np.ndarray, reference: np.ndarray) -> bool:
    """Return whether the ratio of output and reference has a constant sign in each column."""
    products = output * reference
    return bool(((products >= 0).all(axis=0) | (products <= 0).all(axis=0)).all())


def _are_multiples(output: np.ndarray, reference: np.ndarray, limit: float) -> bool:
    norm = float(np.sum(output * output))
    return norm > 0 and output.size > 2 and _error(output * (np.sum(output * reference) / norm), reference) <= limit


def _causes_in_head(head: HybridHead, maps: Any) -> Iterator[tuple[str, HybridHead, Any]]:
    """Yield causes in the head or its maps: (cause and what to do, corrected head, corrected maps)."""
    yield from _flattening_orders(head, maps)
    for name in TRIED_ACTIVATIONS:
        other_head = _with_dense(
            head, lambda d, name=name: d if d.activation == "identity" else _replaced(d, activation=name)
        )
        yield f'the activation is "{name}": build the head with activation="{name}"', other_head, maps
    yield (
        "the network applies a ReLU to the maps: give the maps after the ReLU",
        head,
        np.maximum(np.asarray(maps), 0),
    )
    square = [d for d in _dense_of(head) if d.kernel.shape[0] == d.kernel.shape[1]]
    for chosen in [None, *square] if len(square) > 1 else square:
        other_head = _with_dense(head, lambda d, chosen=chosen: _transposed(d, chosen, square))
        which = "the square kernels are" if chosen is None else "a square kernel is"
        cause = f"{which} transposed: PyTorch's weights are (out, in), convert them with dense_from_torch"
        yield cause, other_head, maps
    yield (
        "the network has no biases, but the head has: build the head with biases of zeros",
        _with_dense(head, lambda d: _replaced(d, bias=jnp.zeros_like(d.bias))),
        maps,
    )


def _flattening_orders(head: HybridHead, maps: Any) -> Iterator[tuple[str, HybridHead, Any]]:
    last = head.spatial.stages[-1]
    if not isinstance(last, Flatten):
        return
    places = np.arange(np.prod(last.shape)).reshape(last.shape).transpose(2, 0, 1).reshape(-1)
    causes = {
        "the first layer or estimator expects maps flattened channel by channel: convert its kernel with "
        "dense_from_torch, or fit it on maps_from_torch(maps) flattened": places,
        "the first layer expects channels last: its kernel was converted twice, convert it once": np.argsort(places),
    }
    for cause, order in causes.items():
        take = Take(tuple(order.tolist()), len(order))
        yield cause, dataclasses.replace(head, spatial=Chain((*head.spatial.stages, take))), maps


def _transposed(dense: Dense, chosen: Dense | None, square: list[Dense]) -> Dense:
    """Transpose the kernel of ``dense`` if it is ``chosen``, or, if ``chosen`` is None, one of ``square``."""
    transpose = any(dense is layer for layer in square) if chosen is None else dense is chosen
    return _replaced(dense, kernel=dense.kernel.T) if transpose else dense


def _dense_of(head: HybridHead) -> list[Dense]:
    chains = (head.dense, head.cnn)
    return [layer for layer in jax.tree.leaves(chains, is_leaf=_is_dense) if _is_dense(layer)]


def _with_dense(head: HybridHead, change: Callable[[Dense], Dense]) -> HybridHead:
    """Return the head with ``change`` applied to each dense layer of the network."""
    dense, cnn = jax.tree.map(
        lambda layer: change(layer) if _is_dense(layer) else layer, (head.dense, head.cnn), is_leaf=_is_dense
    )
    return dataclasses.replace(head, dense=dense, cnn=cnn)


def _is_dense(value: Any) -> bool:
    return isinstance(value, Dense)


def _replaced(dense: Dense, **changes: Any) -> Dense:
    return dataclasses.replace(dense, **changes)
