"""Is the head your network? Its outputs beside those of the framework that it came from, and why they differ."""

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
"""As many are enough to tell causes apart."""
OF_NETWORKS = ("relu", "sigmoid", "tanh", "gelu", "softplus", "identity")
"""The activations that are tried."""

Outputs = dict[str, np.ndarray]


def check_outputs(
    head: HybridHead, maps: Any, expected: Mapping[str, Any], *, tolerance: float | None = None
) -> dict[str, float]:
    """Compare a head's outputs with your framework's own, for the same maps.

    Args:
        head: from :func:`pcacam_jax.hybrid_head`.
        maps: (B, h, w, K) feature maps, channels last.
        expected: output name -> (B, size) values, such as {"cnn": logits, "pca": pca.transform(x)}.
        tolerance: largest error relative to the output's largest value; by default the square root of the machine
            epsilon of the head's dtype: 3.5e-4 in float32, 1.5e-8 in float64.

    Returns:
        The largest error of every output in ``expected``, relative to its largest value.

    Raises:
        InputError: another shape, a negative tolerance; or an error above ``tolerance``, with its cause where one of
            the usual ones, tried out, explains all of it: the order of flattening, a transposed kernel, the activation,
            a missing bias, negative maps, probabilities for logits, votes for margins, the order of the classes, a
            component's sign.
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
    wanted = {name: _expected(head, name, values, len(maps)) for name, values in expected.items()}
    if not wanted:
        raise InputError(f"expected must hold values for at least one of {', '.join(head.outputs)}; got none.")
    errors = _errors(_outputs(head, maps), wanted)
    wrong = {name: error for name, error in errors.items() if not error <= limit}
    if not wrong:
        return errors
    listed = ", ".join(f"{name} by {error:.2g}" for name, error in wrong.items())
    raise InputError(
        f"the head and what was expected differ, relative to the output's largest value: {listed}, where {limit:.2g} "
        f"is allowed; {_cause(head, maps[:EXAMPLES], {name: wanted[name][:EXAMPLES] for name in wrong}, limit)}."
    )


def _limit(head: HybridHead, tolerance: float | None) -> float:
    if tolerance is None:
        return float(np.sqrt(jnp.finfo(head.dtype).eps))
    if isinstance(tolerance, bool) or not isinstance(tolerance, numbers.Real) or not tolerance >= 0:
        raise InputError(f"tolerance must be a number of at least 0, or None for the usual one; got {tolerance!r}.")
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
    return {name: np.asarray(own, np.float64) for name, own in values.items()}


@jax.jit
def _run(head: HybridHead, maps: Any) -> dict[str, jax.Array]:
    return jax.vmap(head)(maps)


def _errors(found: Outputs, wanted: Outputs) -> dict[str, float]:
    return {name: _error(found[name], own) for name, own in wanted.items()}


def _error(found: np.ndarray, wanted: np.ndarray) -> float:
    scale = np.abs(wanted).max()
    return float(np.abs(found - wanted).max() / (scale if scale > 0 else 1))


def _cause(head: HybridHead, maps: Any, wanted: Outputs, limit: float) -> str:
    """Return the first cause that, undone, makes all outputs equal."""
    found = _outputs(head, maps)
    for cause, explains in _readings():
        if all(explains(found[name], own, limit) for name, own in wanted.items()):
            return cause
    for cause, other, seen in _other_heads(head, maps):
        if all(error <= limit for error in _errors(_outputs(other, seen), wanted).values()):
            return cause
    return (
        "none of the usual causes explains it: see that the network is in its mode of use (dropout and batch norm at "
        "rest, model.eval() in PyTorch), and that the maps are those at the tap, after its activation and before any "
        "pooling"
    )


def _readings() -> Iterator[tuple[str, Callable[[np.ndarray, np.ndarray, float], bool]]]:
    """Yield causes that lie in how the expected values are read: (what to do, does it explain (found, wanted))."""
    yield (
        "what was expected are probabilities: give the logits, before softmax",
        lambda found, wanted, limit: _error(np.asarray(jax.nn.softmax(found)), wanted) <= limit,
    )
    yield (
        "what was expected are log-probabilities: give the logits, before log-softmax",
        lambda found, wanted, limit: _error(np.asarray(jax.nn.log_softmax(found)), wanted) <= limit,
    )
    yield (
        'what was expected is the decision with votes (decision_function_shape="ovr"): the head gives margins, the '
        "signed sums of the pairs",
        _are_votes,
    )
    yield "the entries are in another order: compare the names of the classes", _are_permuted
    yield (
        "components have the other sign: compare with the very PCA that the head was made from",
        lambda found, wanted, limit: _error(np.abs(found), np.abs(wanted)) <= limit and _columns_agree(found, wanted),
    )
    yield "all values differ by one constant factor: look for a scale that only one side has", _are_multiples
    yield (
        "every value differs by a constant: look at the last layer's bias, or at the center of the PCA",
        lambda found, wanted, limit: len(found) > 1 and _error(found - (found - wanted).mean(axis=0), wanted) <= limit,
    )


def _are_votes(found: np.ndarray, wanted: np.ndarray, limit: float) -> bool:
    left = wanted - found / (3 * (np.abs(found) + 1))
    return found.shape[1] > 2 and bool(np.abs(left - np.round(left)).max() <= limit)


def _are_permuted(found: np.ndarray, wanted: np.ndarray, limit: float) -> bool:
    near = np.abs(found[:, :, None] - wanted[:, None, :]).max(axis=0) <= limit * np.abs(wanted).max()
    return bool((near.sum(axis=0) == 1).all() and (near.sum(axis=1) == 1).all())


def _columns_agree(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether every column has one sign against the other throughout."""
    products = found * wanted
    return bool(((products >= 0).all(axis=0) | (products <= 0).all(axis=0)).all())


def _are_multiples(found: np.ndarray, wanted: np.ndarray, limit: float) -> bool:
    norm = float(np.sum(found * found))
    return norm > 0 and found.size > 2 and _error(found * (np.sum(found * wanted) / norm), wanted) <= limit


def _other_heads(head: HybridHead, maps: Any) -> Iterator[tuple[str, HybridHead, Any]]:
    """Yield causes that lie in the head: (what to do, the head as it should have been, the maps it reads)."""
    yield from _other_orders(head, maps)
    for name in OF_NETWORKS:
        other = _with_dense(
            head, lambda d, name=name: d if d.activation == "identity" else _replaced(d, activation=name)
        )
        yield f'the activation is "{name}": make the head with activation="{name}"', other, maps
    yield (
        "the maps at the tap have lost their negative values in the network: give them after the ReLU",
        head,
        np.maximum(np.asarray(maps), 0),
    )
    square = [d for d in _dense_of(head) if d.kernel.shape[0] == d.kernel.shape[1]]
    for chosen in [None, *square] if len(square) > 1 else square:
        other = _with_dense(head, lambda d, chosen=chosen: _turned(d, chosen, square))
        which = "the square kernels are" if chosen is None else "a square kernel is"
        yield f"{which} transposed: PyTorch's weights are (out, in), convert them with dense_from_torch", other, maps
    yield (
        "the network has no biases where the head has: give zeros",
        _with_dense(head, lambda d: _replaced(d, bias=jnp.zeros_like(d.bias))),
        maps,
    )


def _other_orders(head: HybridHead, maps: Any) -> Iterator[tuple[str, HybridHead, Any]]:
    last = head.spatial.stages[-1]
    if not isinstance(last, Flatten):
        return
    places = np.arange(np.prod(last.shape)).reshape(last.shape).transpose(2, 0, 1).reshape(-1)
    causes = {
        "what reads the flattened maps expects them channel after channel: convert its kernel with dense_from_torch, "
        "or fit it on maps_from_torch(maps) flattened": places,
        "what reads the flattened maps expects channels last already: its kernel was converted once too often": (
            np.argsort(places)
        ),
    }
    for cause, order in causes.items():
        take = Take(tuple(order.tolist()), len(order))
        yield cause, dataclasses.replace(head, spatial=Chain((*head.spatial.stages, take))), maps


def _turned(dense: Dense, chosen: Dense | None, square: list[Dense]) -> Dense:
    turn = any(dense is own for own in square) if chosen is None else dense is chosen
    return _replaced(dense, kernel=dense.kernel.T) if turn else dense


def _dense_of(head: HybridHead) -> list[Dense]:
    chains = (head.dense, head.cnn)
    return [own for own in jax.tree.leaves(chains, is_leaf=_is_dense) if _is_dense(own)]


def _with_dense(head: HybridHead, change: Callable[[Dense], Dense]) -> HybridHead:
    """Return the head with every dense layer of the network itself changed."""
    dense, cnn = jax.tree.map(
        lambda own: change(own) if _is_dense(own) else own, (head.dense, head.cnn), is_leaf=_is_dense
    )
    return dataclasses.replace(head, dense=dense, cnn=cnn)


def _is_dense(value: Any) -> bool:
    return isinstance(value, Dense)


def _replaced(dense: Dense, **changes: Any) -> Dense:
    return dataclasses.replace(dense, **changes)
