"""The classes that a saved file may contain, and the validation of a loaded object before it is used.

The fields of each object are checked against their annotations: types, array ranks, equal sizes of dimensions with one
name, valid names, and shapes that fit together. Numbers are not checked here.
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
from pcacam_jax.core.text import one_line
from pcacam_jax.core.types import Stage
from pcacam_jax.head.hybrid import HybridHead

STORABLE_CLASSES: dict[str, type] = {
    name: cls for name, cls in sorted(vars(stages).items()) if isinstance(cls, type) and dataclasses.is_dataclass(cls)
} | {"HybridHead": HybridHead}
"""The classes that a saved file may contain, by name: all stages, their compositions and the head."""

MAX_CLASSES = 5000
"""With more classes, the indices of all class pairs alone need about a gigabyte."""
MAX_SIZE = 2**31
"""Integers and the number of entries of an input must be smaller than this."""


def check_storable(stage: Any) -> None:
    """Check that the fields of a stage or head have the annotated types and shapes, and that its stages fit together.

    Raises:
        InputError: they do not; the message names the field.
    """
    _check_fields(stage, type(stage).__name__)
    _check_shapes(stage)


def _check_fields(stage: Any, name: str) -> None:
    """Check the types of all fields; dimensions of one name must have one size within the stage."""
    hints = typing.get_type_hints(type(stage))
    with jaxtyped("context"):
        for field in dataclasses.fields(stage):
            _check_value(getattr(stage, field.name), hints[field.name], f"{name}.{field.name}")
    classes = vars(stage).get("classes", 2)
    if not 2 <= classes <= MAX_CLASSES:
        raise InputError(f"{name}.classes must be 2 to {MAX_CLASSES}; got {classes}.")


def _check_value(value: Any, hint: Any, name: str) -> None:
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    matching = [option for option in options if _matches(value, option)]
    if not matching:
        expected = " or ".join(dict.fromkeys(getattr(option, "__name__", str(option)) for option in options))
        kind = _shown(value)
        if isinstance(value, jax.Array):
            kind += f" of {value.dtype} and shape {value.shape}, but each named dimension must have one size"
        raise InputError(f"{name} must be {expected}; got {kind}.")
    for key, item, inner in _items(value, matching[0]):
        _check_value(item, inner, f"{name}.{key}")
    if type(value) in STORABLE_CLASSES.values():
        _check_fields(value, name)


def _matches(value: Any, hint: Any) -> bool:
    """Return whether a value matches a type hint; the items of tuples and dictionaries are checked separately."""
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
        return type(value) is int and 0 <= value < MAX_SIZE
    if hint is Stage:
        return type(value) in STORABLE_CLASSES.values() and not isinstance(value, HybridHead)
    return isinstance(value, hint)


def _items(value: Any, hint: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield (key, item, type hint of the item) for the items of a tuple or dictionary."""
    inner = typing.get_args(hint)
    if isinstance(value, tuple):
        hints = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        yield from zip(range(len(value)), value, hints, strict=True)
    elif isinstance(value, dict):
        yield from ((key, item, inner[1]) for key, item in value.items())


def _check_shapes(stage: Any) -> None:
    """Trace the value, the derivative and the predicted class of a stage on abstract shapes, without computing them.

    Raises:
        InputError: the stages do not fit together, or the input is too large.
    """
    try:
        shape = tuple(stage.in_shape)
    except Exception as error:  # a forged file can cause any error here
        raise InputError(f"the stages do not fit together ({one_line(error)}).") from error
    if min(shape, default=1) < 1 or math.prod(shape) >= MAX_SIZE:
        raise InputError(f"the input has shape {shape}, but must have 1 to {MAX_SIZE - 1} entries.")
    leaves = jax.tree.leaves(stage)
    x = jax.ShapeDtypeStruct(shape, leaves[0].dtype if leaves else jnp.float32)
    try:
        value = jax.eval_shape(_run_all, stage, x)
    except Exception as error:
        raise InputError(f"the stages do not fit together ({one_line(error)}).") from error
    if isinstance(stage, HybridHead):
        _check_names(stage, value)
    elif not isinstance(value, jax.ShapeDtypeStruct) or value.size < 1:
        raise InputError("the output is empty.")


def _run_all(stage: Any, x: jax.Array) -> Any:
    """Call all methods of a stage or head, and return its value."""
    if isinstance(stage, HybridHead) and stage.columns:
        stage = stage.with_columns(jnp.zeros(stage.columns))
    value, saved = stage.forward(x)
    stage.pull_back(saved, jax.tree.map(lambda array: jnp.ones((1, *array.shape), array.dtype), value))
    if hasattr(stage, "predict"):
        stage.predict(x)
    return value


def _check_names(head: HybridHead, values: Mapping[str, Float[Any, " out"]]) -> None:
    sizes = {name: value.size for name, value in values.items()}
    distinct = {name: len(set(entries)) for name, entries in head.names}
    duplicates = len(distinct) < len(head.names) or any(len(entries) > distinct[name] for name, entries in head.names)
    if duplicates or sizes != distinct or not {*head.svms, *dict(head.spaces)} <= set(distinct):
        raise InputError(f"the outputs have {sizes} entries, but the distinct names of their entries are {distinct}.")
    if head.shares is not None and len(head.shares) != sizes.get("pca"):
        raise InputError(f"shares has {len(head.shares)} entries, but the output pca has {sizes.get('pca', 'none')}.")
    if head.columns and not head.svms:
        raise InputError(f"the head has {head.columns} further columns, but no SVM that reads them.")
    first = [name for name in ("cnn", "pca") if name in sizes]
    if list(distinct)[: len(first)] != first:
        raise InputError(f"the outputs must begin with {' and '.join(first)}; got {', '.join(distinct)}.")


def _shown(value: Any) -> str:
    return one_line(repr(value), 60) if isinstance(value, str | int | float | None) else type(value).__name__
