"""Target names such as "pca", "pca:0", "cnn:3", "svm_rbf:predicted" and "svm_rbf:<class name>", and their parsing."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Maps, Rows, Vector
from pcacam_jax.head.hybrid import HybridHead

PREDICTED = "predicted"
"""The entry that stands for the class that a classifier predicts at each example."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,4})?", re.ASCII | re.IGNORECASE)


class Target(NamedTuple):
    """One entry of one output of a head."""

    output: str
    column: int | None
    """The index of the entry; None for the class that the classifier predicts at each example."""
    name: str


def parse_targets(head: HybridHead, targets: str | Sequence[str]) -> tuple[Target, ...]:
    """Parse target names; the name of an output alone stands for all its entries.

    Raises:
        InputError: an output, component or class is unknown, a name is ambiguous, or there are no targets.
        TypeError: a target is not a string.
    """
    try:
        names = [targets] if isinstance(targets, str) else list(targets)
    except TypeError as error:
        raise TypeError(
            f"targets must be a string such as 'pca:0' or a list of them; got {type(targets).__name__}."
        ) from error
    if not names:
        raise InputError(f"targets must name at least one of {', '.join(head.outputs)}; got an empty list.")
    return tuple(target for name in names for target in _parse_one(head, name))


def _parse_one(head: HybridHead, name: str) -> list[Target]:
    if not isinstance(name, str):
        raise TypeError(f"a target must be a string such as 'pca:0'; got {type(name).__name__}.")
    output, colon, entry = name.partition(":")
    if output not in head.outputs:
        raise InputError(f"target {name!r} names no output of this head, which has {', '.join(head.outputs)}.")
    entries = head.outputs[output]
    if PREDICTED in entries and output in head.classifiers and (not colon or entry == PREDICTED):
        raise InputError(
            f"target {name!r} is ambiguous, because that output has a class named {PREDICTED!r}; rename that class, "
            f"or name single classes and give the index of that one, '{output}:{entries.index(PREDICTED)}'."
        )
    if not colon:
        return [Target(output, column, f"{output}:{label}") for column, label in enumerate(entries)]
    if entry == PREDICTED and output in head.classifiers:
        return [Target(output, None, name)]
    return [Target(output, _column(name, entry, entries), name)]


def _column(name: str, entry: str, entries: tuple[str, ...]) -> int:
    if entry in entries:
        return entries.index(entry)
    # A number is compared with names that are numbers. It is an index only if no name is a number.
    value, numbers = _number(entry), [_number(label) for label in entries]
    if any(number is not None for number in numbers):
        matches = [place for place, number in enumerate(numbers) if number is not None and number == value]
    else:
        matches = [place for place in range(len(entries)) if entry == str(place)]
    if len(matches) != 1:
        problem = "names more than one entry" if matches else "names no entry"
        raise InputError(f"target {name!r} {problem} of that output, which has {', '.join(entries)}.")
    return matches[0]


def _number(text: str) -> Decimal | None:
    return Decimal(text) if NUMBER.fullmatch(text) else None


def columns_of(head: HybridHead, maps: Maps, targets: tuple[Target, ...]) -> Int[Array, " T"]:
    """Return the index of each target's entry at one example, ``(T,)``; a predicted class depends on the example."""
    columns = jnp.asarray(np.array([0 if target.column is None else target.column for target in targets]))
    predicted_targets = [t for t, target in enumerate(targets) if target.column is None]
    if not predicted_targets:
        return columns
    predicted = head.predict(maps)
    return columns.at[np.array(predicted_targets)].set(
        jnp.stack([predicted[targets[t].output] for t in predicted_targets]).astype(columns.dtype)
    )


@pytree
class Selection:
    """T targets at one example, each an entry of an output of a head."""

    columns: Int[Array, " T"]
    """The index of each target's entry, see :func:`columns_of`."""
    outputs: tuple[str, ...] = static()
    """The output of each target."""

    def values(self, values: dict[str, Vector]) -> Float[Array, " T"]:
        """Select the targets' values, ``(T,)``, from the values of all outputs."""
        starts, start = {}, 0
        for output, value in values.items():
            starts[output], start = start, start + len(value)
        return jnp.concatenate(list(values.values()))[
            np.array([starts[output] for output in self.outputs]) + self.columns
        ]

    def rows(self, head: HybridHead) -> dict[str, Rows]:
        """Return one unit row per target, stacked by output, as :meth:`HybridHead.pull_back` takes them."""
        return {
            output: jax.nn.one_hot(self.columns[self._members(output)], len(names), dtype=head.dtype)
            for output, names in head.names
            if output in self.outputs
        }

    def in_order(self, head: HybridHead, stacked: Float[Array, "T ..."]) -> Float[Array, "T ..."]:
        """Sort rows from the order of the head's outputs into the order of the targets."""
        stacking = np.concatenate([self._members(output) for output in head.outputs if output in self.outputs])
        return stacked[np.argsort(stacking)]

    def _members(self, output: str) -> np.ndarray:
        """Return the indices of the targets that belong to an output."""
        return np.flatnonzero([name == output for name in self.outputs])
