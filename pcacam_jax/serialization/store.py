"""Stages and heads on disk: one safetensors file of arrays, the structure as JSON, and a digest over both.

No pickle anywhere, so a file from a stranger can do no harm.
"""

import contextlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from pcacam_jax.core.array_file import read_arrays, write_arrays
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.text import plain
from pcacam_jax.serialization.codec import decode, encode

SCHEMA = "2"
EARLIER = ("1",)
"""Schema versions that are read too; in them, fields that have a default may be absent."""
LIBRARIES = ("pcacam_jax", "jax", "numpy", "scikit-learn")
"""Those whose versions a file names."""


def save(path: str | Path, stage: Any) -> None:
    """Write a stage or a head to the safetensors file ``path``; whole or not at all.

    The same stage gives the same bytes under the same library versions. What could not be read back is not written.

    Raises:
        InputError: a part of ``stage`` is not in :data:`pcacam_jax.serialization.schema.PARTS`, holds NaN or infinity,
            or does not fit the others; or ``path`` is a folder, or lies in one that cannot be written to.
    """
    structure, arrays = encode(stage)
    decode(structure, arrays)
    versions = json.dumps({name: _version(name) for name in LIBRARIES})
    write_arrays(Path(path), arrays, {"schema": SCHEMA, "structure": structure, "versions": versions})


def restore(path: str | Path, *, dtype: Any = None) -> Any:
    """Read what :func:`save` wrote; needs neither scikit-learn nor Flax.

    Args:
        path: the file.
        dtype: of the stage that comes back, such as "float32"; by default each array's own. As everywhere in JAX,
            float64 stays float64 only where x64 is switched on.

    Raises:
        InputError: absent, truncated, altered, of a schema version that is not known, or not a stage at all.
    """
    if dtype is not None and not _is_floating(dtype):
        raise InputError(f"dtype must be a floating-point dtype such as 'float32'; got {plain(repr(dtype), 40)}.")
    arrays, metadata = read_arrays(Path(path))
    schema = metadata.get("schema")
    if schema not in (SCHEMA, *EARLIER):
        raise InputError(_other_schema(path, schema, metadata))
    try:
        return decode(metadata.get("structure", ""), arrays, dtype=dtype, absent=schema in EARLIER)
    except InputError as error:
        raise InputError(
            f"{path} does not hold a stage that this version knows ({plain(error, 400)}); write it again with save."
        ) from error


def _other_schema(path: str | Path, schema: str | None, metadata: Mapping[str, str]) -> str:
    known = ", ".join((*EARLIER, SCHEMA))
    came = f"{path} has schema version {plain(schema, 20)}, but this version of pcacam_jax reads {known}"
    if not (schema or "").isdecimal() or int(schema or 0) < int(SCHEMA):
        return f"{came}; write it again with save."
    with contextlib.suppress(ValueError, KeyError, TypeError):
        writer = plain(json.loads(metadata["versions"])["pcacam_jax"], 20)
        return f"{came}; it was written by pcacam_jax {writer}, so install that version or a later one."
    return f"{came}; install a later version of pcacam_jax."


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:  # run from a folder of sources
        return "unknown"


def _is_floating(dtype: Any) -> bool:
    try:
        return jnp.issubdtype(jax.dtypes.canonicalize_dtype(dtype), jnp.floating)
    except TypeError:
        return False
