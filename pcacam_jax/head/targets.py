"""Targets by name: "pca", "pca:0", "cnn:3", "svm_rbf:predicted", "svm_rbf:<class name>"."""

import re
from collections.abc import Iterable, Sequence
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
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,4})?", re.ASCII | re.IGNORECASE)


class Target(NamedTuple):
    """One entry of one output; ``column`` is None for the class that the classifier predicts at each example."""

    output: str
    column: int | None
    name: str


def parse_targets(head: HybridHead, targets: str | Sequence[str]) -> tuple[Target, ...]:
    """Return the targets that the names stand for; a bare output name stands for all its entries.

    Raises:
        InputError: an unknown output, component or class, one that could mean two things, or no target at all.
        TypeError: a target that is not a string.
    """
    if not isinstance(targets, Iterable):
        raise TypeError(f"targets must be a string such as 'pca:0' or a list of them; got {type(targets).__name__}.")
    names = [targets] if isinstance(targets, str) else list(targets)
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
            f"target {name!r} must mean one thing, but that output has a class named {PREDICTED!r}; rename that class, "
            f"or name single classes and take that one by its index, '{output}:{entries.index(PREDICTED)}'."
        )
    if not colon:
        return [Target(output, column, f"{output}:{own}") for column, own in enumerate(entries)]
    if entry == PREDICTED and output in head.classifiers:
        return [Target(output, None, name)]
    return [Target(output, _column(name, entry, entries), name)]


def _column(name: str, entry: str, entries: tuple[str, ...]) -> int:
    if entry in entries:
        return entries.index(entry)
    # An index serves where classes have names; names that are numbers always win over it.
    wanted, numbers = _number(entry), [_number(own) for own in entries]
    if any(own is not None for own in numbers):
        found = [place for place, own in enumerate(numbers) if own is not None and own == wanted]
    else:
        found = [place for place in range(len(entries)) if entry == str(place)]
    if len(found) != 1:
        what = "names more than one entry" if found else "names no entry"
        raise InputError(f"target {name!r} {what} of that output, which has {', '.join(entries)}.")
    return found[0]


def _number(text: str) -> Decimal | None:
    return Decimal(text) if NUMBER.fullmatch(text) else None


def columns_of(head: HybridHead, maps: Maps, targets: tuple[Target, ...]) -> Int[Array, " T"]:
    """Return the entry of its output that each target means at one example, where it may be the predicted class."""
    columns = jnp.asarray(np.array([0 if target.column is None else target.column for target in targets]))
    moving = [t for t, target in enumerate(targets) if target.column is None]
    if not moving:
        return columns
    predicted = head.predict(maps)
    return columns.at[np.array(moving)].set(
        jnp.stack([predicted[targets[t].output] for t in moving]).astype(columns.dtype)
    )


@pytree
class Selection:
    """T targets, each an entry of one output of a head."""

    columns: Int[Array, " T"]
    """The entry of each target, which may be a predicted class and so depend on the example."""
    outputs: tuple[str, ...] = static()
    """The output of each target."""

    def values(self, values: dict[str, Vector]) -> Float[Array, " T"]:
        """Return the targets' values, given every output's."""
        starts, start = {}, 0
        for output, value in values.items():
            starts[output], start = start, start + len(value)
        return jnp.concatenate(list(values.values()))[
            np.array([starts[output] for output in self.outputs]) + self.columns
        ]

    def rows(self, head: HybridHead) -> dict[str, Rows]:
        """Return one unit row per target, by output: what the pull-backs of a head take."""
        return {
            output: jax.nn.one_hot(self.columns[self._members(output)], len(names), dtype=head.dtype)
            for output, names in head.names
            if output in self.outputs
        }

    def in_order(self, head: HybridHead, stacked: Float[Array, "T ..."]) -> Float[Array, "T ..."]:
        """Return rows stacked in the order of the head's outputs in the order of the targets."""
        stacking = np.concatenate([self._members(output) for output in head.outputs if output in self.outputs])
        return stacked[np.argsort(stacking)]

    def _members(self, output: str) -> np.ndarray:
        return np.flatnonzero([own == output for own in self.outputs])
