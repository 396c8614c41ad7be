"""Saving and loading of stages and heads: a safetensors file with their arrays, their structure as JSON and a digest.

Nothing is pickled, so that loading a file from an untrusted source cannot run code.
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
from pcacam_jax.core.checks import InputError, check_device
from pcacam_jax.core.paths import user_path
from pcacam_jax.core.text import one_line, shown
from pcacam_jax.core.written import OVERWRITE, check_output
from pcacam_jax.serialization.codec import decode, encode

SCHEMA = "3"
EARLIER_SCHEMAS = ("1", "2")
"""Earlier schema versions that can be read; files of these may lack fields that have a default value."""
LIBRARIES = ("pcacam_jax", "jax", "numpy", "scikit-learn")
"""Libraries whose versions are written to a file."""


def save(path: str | Path, stage: Any, *, overwrite: bool = False) -> None:
    """Write a stage or head to a safetensors file; a failed write leaves an existing file unchanged.

    The same stage gives the same bytes under the same library versions. The stage is validated first, so that every
    file that is written can be read again. An earlier stage or head at the same path is replaced, any other file is
    kept.

    Args:
        path: the file to write, such as ``"head.safetensors"``; ``~`` is expanded.
        stage: a stage or head of the library's classes.
        overwrite: replace any file at this path.

    Raises:
        InputError: ``stage`` contains another class, NaN or infinity, or stages that do not fit together; or ``path``
            is a folder, a file that ``save`` did not write, or lies in a folder that is not writable.

    Example:
        >>> import tempfile
        >>> from pcacam_jax import Flatten, restore, save
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/stage.safetensors", Flatten((1, 2, 3)))
        ...     restore(f"{folder}/stage.safetensors")
        Flatten(shape=(1, 2, 3), order='channels_last')
    """
    path = user_path(path)
    structure, arrays = encode(stage)
    decode(structure, arrays)
    check_output(path, "stage", overwrite=overwrite, remedy=OVERWRITE)
    versions = json.dumps({name: _version(name) for name in LIBRARIES})
    write_arrays(path, arrays, {"schema": SCHEMA, "structure": structure, "versions": versions})


def restore(path: str | Path, *, dtype: Any = None) -> Any:
    """Read a stage or head from a file written by :func:`save`; neither scikit-learn nor Flax is imported.

    Args:
        path: the file.
        dtype: the dtype of the arrays in the result, such as ``"float32"``; by default each array keeps its own. As
            elsewhere in JAX, float64 arrays become float32 unless 64-bit mode is enabled.

    Returns:
        The stage or head.

    Raises:
        InputError: the file does not exist, is truncated or altered, has an unknown schema version, or does not contain
            a valid stage.

    Example:
        >>> import tempfile
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Scaling, restore, save
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/stage.safetensors", Scaling(jnp.ones(2), jnp.zeros(2)))
        ...     restore(f"{folder}/stage.safetensors", dtype="float16").scale.dtype
        dtype('float16')
    """
    if dtype is not None and not _is_floating(dtype):
        raise InputError(f"dtype must be a floating-point dtype such as 'float32'; got {shown(dtype, 40)}.")
    check_device()
    arrays, metadata = read_arrays(user_path(path))
    schema = metadata.get("schema")
    if schema not in (SCHEMA, *EARLIER_SCHEMAS):
        raise InputError(_unknown_schema(path, schema, metadata))
    try:
        return decode(metadata.get("structure", ""), arrays, dtype=dtype, allow_missing=schema in EARLIER_SCHEMAS)
    except InputError as error:
        raise InputError(
            f"{path} does not contain a valid stage of this version ({one_line(error, 400)}); write it again with save."
        ) from error


def _unknown_schema(path: str | Path, schema: str | None, metadata: Mapping[str, str]) -> str:
    known = ", ".join((*EARLIER_SCHEMAS, SCHEMA))
    problem = f"{path} has schema version {one_line(schema, 20)}, but this version of pcacam_jax reads {known}"
    if not (schema or "").isdecimal() or int(schema or 0) < int(SCHEMA):
        return f"{problem}; write it again with save."
    with contextlib.suppress(ValueError, KeyError, TypeError):
        writer = one_line(json.loads(metadata["versions"])["pcacam_jax"], 20)
        return f"{problem}; it was written by pcacam_jax {writer}, so install that version or a later one."
    return f"{problem}; install a later version of pcacam_jax."


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:  # imported from a source folder without installation
        return "unknown"


def _is_floating(dtype: Any) -> bool:
    try:
        return jnp.issubdtype(jax.dtypes.canonicalize_dtype(dtype), jnp.floating)
    except Exception:  # the conversion of the user's object may raise anything
        return False
