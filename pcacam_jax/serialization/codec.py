"""Conversion of stages to JSON for their structure and named arrays for their numbers, and back with validation."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.checks import InputError, check_finite
from pcacam_jax.core.text import one_line
from pcacam_jax.serialization.schema import STORABLE_CLASSES, check_storable

MAX_DEPTH = 64
"""Largest number of stages, tuples and dictionaries nested in one another."""


def encode(stage: Any) -> tuple[str, dict[str, np.ndarray]]:
    """Convert a stage or head to JSON and the arrays that it refers to.

    Args:
        stage: a stage or head of the library's classes.

    Returns:
        The JSON, and the arrays by name; a name is the path of fields to the array, such as ``"svms.svm.support"``.

    Raises:
        InputError: a value is not of :data:`STORABLE_CLASSES` and neither numbers nor text, is not finite, or is nested
            too deeply.
    """
    arrays: dict[str, np.ndarray] = {}
    structure = _encode(stage, "", False, 0, arrays)
    try:
        return json.dumps(structure, sort_keys=True, separators=(",", ":"), allow_nan=False), arrays
    except ValueError as error:
        raise InputError("the stage has a static field that is NaN or infinite; give it a finite number.") from error


def decode(text: str, arrays: Mapping[str, np.ndarray], *, dtype: Any = None, allow_missing: bool = False) -> Any:
    """Rebuild the stage or head from the results of :func:`encode`, and validate it.

    Args:
        text: the JSON.
        arrays: the arrays by name.
        dtype: the dtype of the arrays in the result; by default each array keeps its own.
        allow_missing: whether fields with a default value may be missing, as in files of an earlier schema.

    Returns:
        The stage or head.

    Raises:
        InputError: the text is not JSON, or a class, field or array is unknown, missing, or of the wrong type or shape.
    """
    try:
        structure = json.loads(text, object_pairs_hook=_unique, parse_constant=_reject_constant)
    except RecursionError as error:
        raise InputError("the structure is nested too deeply.") from error
    except ValueError as error:
        raise InputError(f"the structure is not JSON ({one_line(error)}).") from error
    used: dict[str, jax.Array] = {}
    stage = _Decoder(arrays, used, dtype, allow_missing).decode(structure, "", 0)
    if type(stage) not in STORABLE_CLASSES.values():
        raise InputError(f"expected a stage or a head; got {type(stage).__name__}.")
    if unused := sorted(set(arrays) - set(used)):
        raise InputError(f"no field refers to the array {one_line(unused[0])!r}.")
    check_storable(stage)
    return stage


def _encode(value: Any, name: str, static: bool, depth: int, arrays: dict[str, np.ndarray]) -> Any:
    if depth > MAX_DEPTH:
        raise InputError(f"the stage is nested more than {MAX_DEPTH} levels deep; join nested chains into one.")

    def encode_items(values: Mapping[Any, Any], static_of: Mapping[Any, bool]) -> dict[Any, Any]:
        return {key: _encode(item, _join(name, key), static_of[key], depth + 1, arrays) for key, item in values.items()}

    if type(value) in STORABLE_CLASSES.values():
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        static_fields = {f.name: bool(f.metadata.get("static")) for f in dataclasses.fields(value)}
        return {"part": type(value).__name__, "fields": encode_items(fields, static_fields)}
    if isinstance(value, dict):
        return {"dict": encode_items(value, dict.fromkeys(value, static))}
    if isinstance(value, tuple):
        items = encode_items(dict(enumerate(value)), dict.fromkeys(range(len(value)), static))
        return {"tuple": list(items.values())}
    if static and isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str) or (static and isinstance(value, bool | int | float)):
        return value
    if name in arrays:
        raise InputError(f"two arrays of the stage would both be named {name}; rename one of its outputs.")
    arrays[name] = _checked_array(value, name)
    return {"array": name}


def _checked_array(value: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except Exception:  # the conversion of the user's object may raise anything
        array = np.asarray(None)
    if array.dtype not in ("float16", "float32", "float64"):
        kind = f"an array of {array.dtype}" if array.dtype != object else type(value).__name__
        raise InputError(
            f"{name or 'the stage'} must be an array of float16, float32 or float64, or one of "
            f"{', '.join(STORABLE_CLASSES)}; got {kind}."
        )
    check_finite(name, array)
    return array


@dataclasses.dataclass(frozen=True)
class _Decoder:
    """Conversion of parsed JSON to objects; :func:`check_storable` validates the result."""

    arrays: Mapping[str, np.ndarray]
    used: dict[str, jax.Array]
    dtype: Any
    allow_missing: bool

    def decode(self, value: Any, name: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise InputError(f"the structure is nested more than {MAX_DEPTH} levels deep.")
        match value:
            case {"part": str(kind), "fields": dict(fields), **rest} if not rest:
                return self._object(kind, fields, name, depth)
            case {"dict": dict(items), **rest} if not rest:
                return {key: self.decode(item, _join(name, key), depth + 1) for key, item in items.items()}
            case {"tuple": list(items), **rest} if not rest:
                return tuple(self.decode(item, _join(name, key), depth + 1) for key, item in enumerate(items))
            case {"array": str(array_name), **rest} if not rest:
                return self._array(array_name, name)
            case dict() | list():
                raise InputError(f"{_at(name)} is neither a stage, a dictionary, a tuple nor an array.")
        return value

    def _object(self, kind: str, fields: dict[str, Any], name: str, depth: int) -> Any:
        if kind not in STORABLE_CLASSES:
            raise InputError(f"{_at(name)} has the unknown class {one_line(kind, 40)!r}.")
        known = {f.name: f for f in dataclasses.fields(STORABLE_CLASSES[kind])}
        if unknown := sorted(set(fields) - set(known)):
            raise InputError(f"{_at(name)} is a {kind}, which has no field {one_line(unknown[0], 40)!r}.")
        for missing in sorted(set(known) - set(fields)):
            if not self.allow_missing or known[missing].default is dataclasses.MISSING:
                raise InputError(f"{_at(name)} is a {kind} without the field {missing!r}.")
        values = {key: self.decode(item, _join(name, key), depth + 1) for key, item in fields.items()}
        return STORABLE_CLASSES[kind](**values)

    def _array(self, array_name: str, name: str) -> jax.Array:
        if array_name != name:
            raise InputError(f"{_at(name)} refers to {one_line(array_name, 80)!r}, but its array must have its name.")
        if name not in self.arrays:
            raise InputError(f"the array {one_line(name, 80)!r} is missing.")
        array = _checked_array(self.arrays[name], name)
        with np.errstate(over="ignore"):
            converted = jnp.asarray(array, jax.dtypes.canonicalize_dtype(self.dtype or array.dtype))
        if converted.dtype != array.dtype:
            check_finite(f"{name}, of {array.dtype} and read as {converted.dtype},", np.asarray(converted))
        return self.used.setdefault(name, converted)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    if len(items) != len(pairs):
        raise ValueError("duplicate key")
    return items


def _reject_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")


def _join(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)


def _at(name: str) -> str:
    return one_line(name, 80) or "the top level"
