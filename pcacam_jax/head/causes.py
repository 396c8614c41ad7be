"""The search for what makes the outputs of a head differ from those of the network that it was built from.

A cause is named only if its correction makes every given output equal to its reference, those included that were right
before. Corrections of the head are tried on a few examples first and then confirmed on all.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.head.hybrid import HybridHead, split_dense
from pcacam_jax.head.trial import Trial
from pcacam_jax.head.value_causes import examples_are_permuted, relative_error, value_cause
from pcacam_jax.stages.activation import ACTIVATIONS, Elementwise
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.dense import Dense
from pcacam_jax.stages.flatten import Flatten
from pcacam_jax.stages.take import Take

EXAMPLES = 64
"""Number of examples on which corrections of the head are tried first."""
TRIED_ACTIVATIONS = (
    *(name for name in ACTIVATIONS if name not in ("identity", "log")),
    *("leaky_relu:0.1", "leaky_relu:0.2", "leaky_relu:0.3", "identity"),
)
VALUE_KINDS = (
    "probabilities or log-probabilities for logits, votes for margins, another order of entries or examples, opposite "
    "signs, a constant factor, constant differences"
)

Outputs = dict[str, np.ndarray]


class Cause(NamedTuple):
    """A cause in the head or its maps, and its correction."""

    kind: str
    """What is tried, in words for the message that no cause was found."""
    advice: str
    """What is wrong and what to do."""
    head: HybridHead
    """The corrected head."""
    correct_maps: Callable[[np.ndarray], np.ndarray] = lambda maps: maps


def find_cause(
    head: HybridHead,
    maps: Any,
    outputs: Outputs,
    references: Outputs,
    limit: float,
    evaluate: Callable[[HybridHead, Any], Outputs],
) -> str:
    """Return the cause with the fewest corrections that explains all outputs, or what was tried if there is none.

    Args:
        head: the head whose outputs differ.
        maps: ``(B, h, w, K)``.
        outputs: the outputs of the head for these maps, ``(B, size)`` each.
        references: the expected values of some outputs, ``(B, size)`` each.
        limit: the largest relative error of an output that is equal to its reference.
        evaluate: a function that returns the outputs of any head for any number of maps.
    """
    with np.errstate(all="ignore"), jax.debug_nans(False), jax.debug_infs(False):
        in_values = _value_causes(head, outputs, references, limit)
        if in_values is not None and len(in_values) == 1:
            return in_values[0]
        if examples_are_permuted(outputs, references, limit):
            return "the examples are in another order than the maps: shuffle neither of them, or both alike"
        return _search(head, maps, outputs, references, limit, evaluate, in_values)


def _search(
    head: HybridHead,
    maps: Any,
    outputs: Outputs,
    references: Outputs,
    limit: float,
    evaluate: Callable[[HybridHead, Any], Outputs],
    in_values: list[str] | None,
) -> str:
    places = _informative_examples(outputs, references)
    few_maps, few_references = np.asarray(maps[places]), {name: array[places] for name, array in references.items()}
    kinds, with_value_causes = [], []
    trial = Trial(tuple(references))
    for cause in head_causes(head):
        kinds.append(cause.kind)
        values = trial.outputs(cause.head, cause.correct_maps(few_maps))
        others = _value_causes(cause.head, values, few_references, limit)
        if others == [] and _confirmed(cause, maps, references, limit, evaluate) == []:
            return cause.advice
        if others:
            with_value_causes.append(cause)
    if in_values is not None:
        return "; ".join(in_values)
    for cause in with_value_causes:
        others = _confirmed(cause, maps, references, limit, evaluate)
        if others is not None:
            return "; ".join([cause.advice, *others])
    tried = ", ".join([*dict.fromkeys(kinds), VALUE_KINDS])
    return (
        f"none of the usual causes explains every output given (tried: {tried}); check that the network is in "
        "inference mode (model.eval() in PyTorch), that the maps are those at the tap, after its activation and before "
        "any pooling, that dense holds every layer behind them and all its hidden layers have one activation, and "
        "compare one output at a time, because there may be several causes"
    )


def _confirmed(
    cause: Cause, maps: Any, references: Outputs, limit: float, evaluate: Callable[[HybridHead, Any], Outputs]
) -> list[str] | None:
    """Return the causes in the values that remain for all examples, or None if an output stays unexplained."""
    outputs = evaluate(cause.head, cause.correct_maps(np.asarray(maps)))
    return _value_causes(cause.head, outputs, references, limit)


def _value_causes(head: HybridHead, outputs: Outputs, references: Outputs, limit: float) -> list[str] | None:
    """Return the cause of each output that differs, or None if one of them has none."""
    causes = []
    for name, reference in references.items():
        if relative_error(outputs[name], reference) <= limit:
            continue
        cause = value_cause(name, head.space(name), outputs[name], reference, limit)
        if cause is None:
            return None
        causes.append(cause)
    return causes


def _informative_examples(outputs: Outputs, references: Outputs) -> np.ndarray:
    """Return the indices of the examples that differ most, and of as many others."""
    errors = [
        np.abs(outputs[name] - array).max(axis=1) / (np.abs(array).max() or 1) for name, array in references.items()
    ]
    worst = np.argsort(-np.max(errors, axis=0), kind="stable")[: EXAMPLES // 2]
    others = np.setdiff1d(np.arange(len(errors[0])), worst)
    step = max(1, -(-len(others) // (EXAMPLES - len(worst))))
    return np.sort(np.concatenate([worst, others[::step]]))


class Network(NamedTuple):
    """The dense layers of a head with their own activations, and where ``x_m`` lies."""

    layers: tuple[Dense, ...]
    at: int
    before_activation: bool


def network_of(head: HybridHead) -> Network | None:
    """Return the dense layers of a head, or None if it has none or is not built from dense layers only."""
    if head.cnn is None:
        return None
    trunk, rest = list(head.dense.stages), list(head.cnn.stages if isinstance(head.cnn, Chain) else (head.cnn,))
    before = False
    first = rest[0]
    if isinstance(first, Elementwise):
        rest = rest[1:]
        if rest and trunk and isinstance(trunk[-1], Dense):
            trunk[-1], before = dataclasses.replace(trunk[-1], activation=first.name), True
        elif first.name != "identity":
            return None
    layers = [layer for layer in (*trunk, *rest) if isinstance(layer, Dense)]
    if len(layers) < len(trunk) + len(rest) or not layers:
        return None
    return Network(tuple(layers), len(trunk), before)


def rebuilt(head: HybridHead, network: Network) -> HybridHead:
    """Return the head with other dense layers."""
    dense, cnn = split_dense(network.layers, network.at, before_activation=network.before_activation)
    return dataclasses.replace(head, dense=dense, cnn=cnn)


def head_causes(head: HybridHead) -> Iterator[Cause]:
    """Yield causes in the head or its maps."""
    yield from _flattening_orders(head)
    network = network_of(head)
    if network is not None:
        yield from _positions(head, network)
        yield from _activations(head, network)
    yield Cause(
        "maps before their ReLU",
        "the network applies a ReLU to the maps: give the maps after the ReLU",
        head,
        lambda maps: np.maximum(maps, 0),
    )
    if network is not None:
        yield from _transposed_kernels(head, network)
        layers = tuple(dataclasses.replace(layer, bias=jnp.zeros_like(layer.bias)) for layer in network.layers)
        yield Cause(
            "missing biases",
            "the network has no biases, but the head has: build the head with biases of zeros",
            rebuilt(head, network._replace(layers=layers)),
        )


def _flattening_orders(head: HybridHead) -> Iterator[Cause]:
    last = head.spatial.stages[-1]
    if not isinstance(last, Flatten):
        return
    kind = "the order of flattening"

    def flattened_by(*stages: Any) -> HybridHead:
        return dataclasses.replace(head, spatial=Chain((*head.spatial.stages[:-1], *stages)))

    if last.channels_first:
        other = flattened_by(Flatten(last.shape))
        yield Cause(
            kind, 'the maps are flattened with channels last: build the head with flattened="channels_last"', other
        )
        return
    reader = "estimators expect" if head.cnn is None else "first kernel expects"
    yield Cause(
        kind,
        f'the {reader} maps flattened channel by channel: build the head with flattened="channels_first"',
        flattened_by(Flatten(last.shape, "channels_first")),
    )
    places = np.arange(np.prod(last.shape)).reshape(last.shape).transpose(2, 0, 1).reshape(-1)
    yield Cause(
        kind,
        "the first kernel expects channels last, because it was converted twice: convert it once",
        flattened_by(last, Take(tuple(np.argsort(places).tolist()), len(places))),
    )


def _positions(head: HybridHead, network: Network) -> Iterator[Cause]:
    """Yield heads whose estimators read another layer of the same width, or the other side of its activation."""
    if head.pca is None and not head.svms:
        return
    hidden = network.layers[:-1]
    if 1 <= network.at <= len(hidden) and hidden[network.at - 1].activation != "identity":
        before = not network.before_activation
        yield Cause(
            "estimators fitted before or after the activation",
            f"the estimators were fitted {'before' if before else 'after'} the activation of layer {network.at}: build "
            f"the head with before_activation={before}",
            rebuilt(head, network._replace(before_activation=before)),
        )
    if network.at == 0:
        return
    width = len(network.layers[network.at - 1].bias)
    for at, layer in enumerate(network.layers, start=1):
        if at == network.at or len(layer.bias) != width:
            continue
        for before in (False, True) if at <= len(hidden) and layer.activation != "identity" else (False,):
            yield Cause(
                "another layer at",
                f"the estimators were fitted on layer {at}: build the head with at={at}, before_activation={before}",
                rebuilt(head, network._replace(at=at, before_activation=before)),
            )


def _activations(head: HybridHead, network: Network) -> Iterator[Cause]:
    *hidden, last = network.layers
    reads_hidden = (head.pca is not None or head.svms) and 1 <= network.at <= len(hidden)
    kind = f"the activations {' '.join(TRIED_ACTIVATIONS)}"
    for name in TRIED_ACTIVATIONS if hidden else ():
        layers = (*(dataclasses.replace(layer, activation=name) for layer in hidden), last)
        advice = f'the activation is "{name}": build the head with activation="{name}"'
        yield Cause(kind, advice, rebuilt(head, network._replace(layers=layers)))
        if reads_hidden and not network.before_activation:
            advice = (
                f'the activation is "{name}" and the estimators were fitted before it: build the head with '
                f'activation="{name}", before_activation=True'
            )
            yield Cause(kind, advice, rebuilt(head, network._replace(layers=layers, before_activation=True)))


def _transposed_kernels(head: HybridHead, network: Network) -> Iterator[Cause]:
    square = [n for n, layer in enumerate(network.layers) if layer.kernel.shape[0] == layer.kernel.shape[1]]
    for chosen in (square, *([n] for n in square)) if len(square) > 1 else (square,) if square else ():
        which = "the square kernels are" if len(chosen) > 1 else "a square kernel is"
        layers = tuple(
            dataclasses.replace(layer, kernel=layer.kernel.T) if n in chosen else layer
            for n, layer in enumerate(network.layers)
        )
        advice = f"{which} transposed: PyTorch's weights are (out, in), convert them with dense_from_torch"
        yield Cause("transposed square kernels", advice, rebuilt(head, network._replace(layers=layers)))
