"""The parts of which a stage or a head may be made, and whether one is sound: nothing runs that is not.

A part from a file is held against its own fields: types, ranks, dimensions that share a letter, names, and shapes that
fit together. The numbers are not looked at.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, jaxtyped

from pcacam_jax import stages
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.text import plain
from pcacam_jax.core.types import Stage
from pcacam_jax.head.hybrid import HybridHead

PARTS: dict[str, type] = {
    name: part
    for name, part in sorted(vars(stages).items())
    if isinstance(part, type) and dataclasses.is_dataclass(part)
} | {"HybridHead": HybridHead}
"""Every part that a file may hold, by the name it has there: all stages, what joins them, and the head."""

MOST_CLASSES = 600
"""Beyond this the signs of all pairs of classes alone fill a gigabyte."""
LARGEST = 2**31
"""Whole numbers, and the entries of an input, must be fewer than this."""


def check_part(part: Any) -> None:
    """Refuse a stage or a head whose fields are of the wrong types or shapes, or whose parts do not fit together.

    Raises:
        InputError: naming the field.
    """
    _check_fields(part, type(part).__name__)
    _check_shapes(part)


def _check_fields(part: Any, name: str) -> None:
    """Check the types of a part's fields; dimensions of one letter must be of one size within the part."""
    hints = typing.get_type_hints(type(part))
    with jaxtyped("context"):
        for field in dataclasses.fields(part):
            _check(getattr(part, field.name), hints[field.name], f"{name}.{field.name}")
    classes = vars(part).get("classes", 2)
    if not 2 <= classes <= MOST_CLASSES:
        raise InputError(f"{name}.classes must be 2 to {MOST_CLASSES}; got {classes}.")


def _check(value: Any, hint: Any, name: str) -> None:
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    fitting = [option for option in options if _fits(value, option)]
    if not fitting:
        wanted = " or ".join(getattr(option, "__name__", str(option)) for option in options)
        shape = f" of {value.dtype} and shape {value.shape}" if isinstance(value, jax.Array) else ""
        raise InputError(f"{name} must be {wanted}, in shapes as its neighbours; got {_shown(value)}{shape}.")
    for key, own, inner in _inside(value, fitting[0]):
        _check(own, inner, f"{name}.{key}")
    if type(value) in PARTS.values():
        _check_fields(value, name)


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of a type; what tuples and dictionaries hold is checked one by one."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return value in inner
    if origin is tuple:
        return isinstance(value, tuple) and (inner[-1] is Ellipsis or len(inner) == len(value))
    if origin is dict:
        return isinstance(value, dict)
    if hint in (str, bool, float):
        return type(value) is hint
    if hint is int:
        return type(value) is int and 0 <= value < LARGEST
    if hint is Stage:
        return type(value) in PARTS.values() and not isinstance(value, HybridHead)
    return isinstance(value, hint)


def _inside(value: Any, hint: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield (key, value, type) of what a tuple or a dictionary holds."""
    inner = typing.get_args(hint)
    if isinstance(value, tuple):
        of = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        yield from zip(range(len(value)), value, of, strict=True)
    elif isinstance(value, dict):
        yield from ((key, own, inner[1]) for key, own in value.items())


def _check_shapes(stage: Any) -> None:
    """Run a stage on shapes alone: the value, the derivative and the predicted class, without computing any.

    Raises:
        InputError: its parts do not fit together, or its input is absurdly large.
    """
    try:
        shape = tuple(stage.in_shape)
    except Exception as error:  # whatever a part makes of parts that do not fit
        raise InputError(f"its parts do not fit together ({plain(error)}).") from error
    if min(shape, default=1) < 1 or math.prod(shape) >= LARGEST:
        raise InputError(f"its input has shape {shape}, which must be 1 to {LARGEST - 1} numbers.")
    leaves = jax.tree.leaves(stage)
    x = jax.ShapeDtypeStruct(shape, leaves[0].dtype if leaves else jnp.float32)
    try:
        value = jax.eval_shape(_whole, stage, x)
    except Exception as error:
        raise InputError(f"its parts do not fit together ({plain(error)}).") from error
    if isinstance(stage, HybridHead):
        _check_names(stage, value)
    elif not isinstance(value, jax.ShapeDtypeStruct) or value.size < 1:
        raise InputError("its output is empty.")


def _whole(stage: Any, x: jax.Array) -> Any:
    """Use everything that a stage or a head has."""
    value, saved = stage.forward(x)
    stage.pull_back(saved, jax.tree.map(lambda own: jnp.ones((1, *own.shape), own.dtype), value))
    if hasattr(stage, "predict"):
        stage.predict(x)
    return value


def _check_names(head: HybridHead, values: Mapping[str, Float[Any, " out"]]) -> None:
    sizes = {name: own.size for name, own in values.items()}
    named = {name: len(set(own)) for name, own in head.names}
    twice = len(named) < len(head.names) or any(len(own) > named[name] for name, own in head.names)
    if twice or sizes != named or not {*head.svms, *dict(head.spaces)} <= set(named):
        raise InputError(f"its outputs have {sizes} entries, but their different names are {named}.")
    first = [name for name in ("cnn", "pca") if name in sizes]
    if list(named)[: len(first)] != first:
        raise InputError(f"its outputs must begin with {' and '.join(first)}; got {', '.join(named)}.")


def _shown(value: Any) -> str:
    return plain(repr(value), 60) if isinstance(value, str | int | float | None) else type(value).__name__
