"""Stages as plain data: JSON for the structure and named arrays for the numbers, there and back, checked."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.checks import InputError, check_finite
from pcacam_jax.core.text import plain
from pcacam_jax.serialization.schema import PARTS, check_part

DEEPEST = 64
"""How many parts, tuples and dictionaries may lie within one another."""


def encode(stage: Any) -> tuple[str, dict[str, np.ndarray]]:
    """Return a stage as JSON and the arrays that it refers to, each named by its place.

    Raises:
        InputError: a part is not in :data:`PARTS`, or nested too deeply, or holds neither numbers nor text.
    """
    arrays: dict[str, np.ndarray] = {}
    structure = _encode(stage, "", False, 0, arrays)
    try:
        return json.dumps(structure, sort_keys=True, separators=(",", ":"), allow_nan=False), arrays
    except ValueError as error:
        raise InputError("the stage has a static field that is NaN or infinite; give it a finite number.") from error


def decode(text: str, arrays: Mapping[str, np.ndarray], *, dtype: Any = None, absent: bool = False) -> Any:
    """Return the stage that :func:`encode` wrote, checked.

    Args:
        text: the JSON.
        arrays: the arrays by name.
        dtype: of the arrays that come back; by default their own.
        absent: whether fields that have a default may be absent, as in files from before they existed.

    Raises:
        InputError: not JSON, an unknown part, fields or arrays missing, unknown, or of the wrong type or shape.
    """
    try:
        structure = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise InputError("its structure is nested too deeply.") from error
    except ValueError as error:
        raise InputError(f"its structure is not JSON ({plain(error)}).") from error
    used: dict[str, jax.Array] = {}
    stage = _Decoder(arrays, used, dtype, absent).decode(structure, "", 0)
    if type(stage) not in PARTS.values():
        raise InputError(f"it holds {type(stage).__name__}, expected a stage or a head.")
    if foreign := sorted(set(arrays) - set(used)):
        raise InputError(f"it holds arrays that no field refers to, first {plain(foreign[0])!r}.")
    check_part(stage)
    return stage


def _encode(value: Any, name: str, static: bool, depth: int, arrays: dict[str, np.ndarray]) -> Any:
    if depth > DEEPEST:
        raise InputError(f"the stage is nested more than {DEEPEST} deep; join its chains into one.")

    def each(values: Mapping[Any, Any], inner: Mapping[Any, bool]) -> dict[Any, Any]:
        return {key: _encode(own, _join(name, key), inner[key], depth + 1, arrays) for key, own in values.items()}

    if type(value) in PARTS.values():
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        marked = {f.name: bool(f.metadata.get("static")) for f in dataclasses.fields(value)}
        return {"part": type(value).__name__, "fields": each(fields, marked)}
    if isinstance(value, dict):
        return {"dict": each(value, dict.fromkeys(value, static))}
    if isinstance(value, tuple):
        return {"tuple": list(each(dict(enumerate(value)), dict.fromkeys(range(len(value)), static)).values())}
    if static and isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str) or (static and isinstance(value, bool | int | float)):
        return value
    if name in arrays:
        raise InputError(f"two arrays of the stage would both be named {name}; rename one of its outputs.")
    arrays[name] = _numbers(value, name)
    return {"array": name}


def _numbers(value: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype not in ("float16", "float32", "float64"):
        kind = f"the dtype {array.dtype}" if array.dtype != object else type(value).__name__
        raise InputError(
            f"{name or 'the stage'} cannot be stored: {kind} is neither floats (16, 32 or 64 bit) nor one of "
            f"{', '.join(PARTS)}."
        )
    check_finite(name, array)
    return array


@dataclasses.dataclass(frozen=True)
class _Decoder:
    """From JSON to parts; what is built is not yet checked."""

    arrays: Mapping[str, np.ndarray]
    used: dict[str, jax.Array]
    dtype: Any
    absent: bool

    def decode(self, value: Any, name: str, depth: int) -> Any:
        if depth > DEEPEST:
            raise InputError(f"its structure is nested more than {DEEPEST} deep.")
        match value:
            case {"part": str(kind), "fields": dict(fields), **rest} if not rest:
                return self._part(kind, fields, name, depth)
            case {"dict": dict(items), **rest} if not rest:
                return {key: self.decode(own, _join(name, key), depth + 1) for key, own in items.items()}
            case {"tuple": list(items), **rest} if not rest:
                return tuple(self.decode(own, _join(name, key), depth + 1) for key, own in enumerate(items))
            case {"array": str(given), **rest} if not rest:
                return self._array(given, name)
            case dict() | list():
                raise InputError(f"{_at(name)} is neither a part, a dictionary, a tuple nor an array.")
        return value

    def _part(self, kind: str, fields: dict[str, Any], name: str, depth: int) -> Any:
        if kind not in PARTS:
            raise InputError(f"{_at(name)} is of a kind that is not known here, {plain(kind, 40)!r}.")
        known = {f.name: f for f in dataclasses.fields(PARTS[kind])}
        if foreign := sorted(set(fields) - set(known)):
            raise InputError(f"{_at(name)}, a {kind}, has no field {plain(foreign[0], 40)!r}.")
        for missing in sorted(set(known) - set(fields)):
            if not self.absent or known[missing].default is dataclasses.MISSING:
                raise InputError(f"{_at(name)}, a {kind}, lacks its field {missing!r}.")
        return PARTS[kind](**{key: self.decode(own, _join(name, key), depth + 1) for key, own in fields.items()})

    def _array(self, given: str, name: str) -> jax.Array:
        if given != name or name not in self.arrays:
            raise InputError(f"{_at(name)} refers to {plain(given, 80)!r}, but its own array would be {name!r}.")
        array = _numbers(self.arrays[name], name)
        with np.errstate(over="ignore"):
            here = jnp.asarray(array, jax.dtypes.canonicalize_dtype(self.dtype or array.dtype))
        if here.dtype != array.dtype:
            check_finite(f"{name}, of {array.dtype} and read as {here.dtype},", np.asarray(here))
        return self.used.setdefault(name, here)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _join(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)


def _at(name: str) -> str:
    return plain(name, 80) or "the whole"
