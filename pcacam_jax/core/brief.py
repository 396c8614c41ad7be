"""Short representations of objects that hold arrays: one line per field, with shapes in place of numbers."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

WIDTH = 100
"""Values that fit into this number of characters stay on one line."""
MOST_LINES = 24
"""The largest number of lines, about one screen; nested objects are shortened until the whole fits."""
MOST_ENTRIES = 8
"""The largest number of entries that are written out of a sequence or a dictionary."""
MOST_SCALARS = 4
"""The largest number of strings or numbers that are written out of a sequence."""
MOST_CHARACTERS = 60
"""Texts are cut after this number of characters."""
SCALARS = (str, bytes, int, float, complex, type(None))

Entries = list[tuple[str, Any]]


@dataclasses.dataclass
class _More:
    """The number of entries that are left out."""

    count: int


def brief(value: Any) -> str:
    """Return a representation of at most :data:`MOST_LINES` lines, with shapes in place of arrays.

    Args:
        value: a dataclass, a named tuple, or any other object.

    Returns:
        The text. Arrays are written as ``dtype[sizes]``, and arrays of booleans with the number of true entries.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.core.brief import brief
        >>> brief({"maps": np.zeros((8, 3, 3), np.float32), "vanished": np.array([True, False])})
        "{'maps': float32[8, 3, 3], 'vanished': bool[2] with 1 true}"
    """
    candidates = (_lines(value, depth) for depth in (4, 3, 2, 1))
    lines = next((lines for lines in candidates if len(lines) <= MOST_LINES), _lines(value, 1))
    return "\n".join(lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], "..."])


def brief_repr(self: Any) -> str:
    """The method ``__repr__`` of classes whose objects hold arrays."""
    return brief(self)


def _lines(value: Any, depth: int) -> list[str]:
    """Return the lines of a value; containers deeper than ``depth`` are written without their entries."""
    if isinstance(value, tuple | list) and all(isinstance(each, SCALARS) for each in value):
        return [_scalars(value)]
    container = _container(value)
    if container is None:
        return [_text(value)]
    opening, entries, closing = container
    if depth == 0 and entries:
        return [f"{opening}...{closing}"]
    blocks = [[name + first, *others] for name, (first, *others) in ((n, _lines(v, depth - 1)) for n, v in entries)]
    one_line = ", ".join(line for block in blocks for line in block)
    if all(len(block) == 1 for block in blocks) and len(opening + one_line + closing) <= WIDTH:
        return [opening + one_line + closing]
    inner = [f"  {line}" for *lines, last in blocks for line in (*lines, f"{last},")]
    return [opening, *inner, closing]


def _container(value: Any) -> tuple[str, Entries, str] | None:
    """Return (opening, named entries, closing) of a container, None for anything else."""
    name = type(value).__name__
    if dataclasses.is_dataclass(value) and not isinstance(value, type | _More):
        return f"{name}(", [(f"{f.name}=", getattr(value, f.name)) for f in dataclasses.fields(value) if f.repr], ")"
    if isinstance(value, tuple) and (keys := getattr(value, "_fields", ())):
        return f"{name}(", [(f"{key}=", each) for key, each in zip(keys, value, strict=True)], ")"
    if isinstance(value, Mapping):
        return "{", _some([(f"{key!r}: ", each) for key, each in value.items()]), "}"
    if isinstance(value, tuple | list):
        opening, closing = "[]" if isinstance(value, list) else "()"
        return opening, _some([("", each) for each in value]), closing
    return None


def _some(entries: Entries) -> Entries:
    more = len(entries) - MOST_ENTRIES
    return entries if more <= 0 else [*entries[:MOST_ENTRIES], ("", _More(more))]


def _scalars(values: tuple | list) -> str:
    """Return a sequence of strings and numbers on one line, and how many there are if some are left out."""
    texts = [_text(value) for value in values[:MOST_SCALARS]]
    if len(texts) < len(values):
        texts.append(f"... {len(values)} in all")
    opening, closing = "[]" if isinstance(values, list) else "()"
    return opening + ", ".join(texts) + ("," if isinstance(values, tuple) and len(values) == 1 else "") + closing


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray | jax.Array):
        return _array(value)
    text = f"... and {value.count} more" if isinstance(value, _More) else " ".join(repr(value).split())
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."


def _array(array: np.ndarray | jax.Array) -> str:
    text = f"{array.dtype}[{', '.join(map(str, array.shape))}]"
    if isinstance(array, Tracer) or (array.ndim and array.dtype != bool):
        return text
    return f"{text} with {int(np.asarray(array).sum())} true" if array.ndim else repr(np.asarray(array).item())
