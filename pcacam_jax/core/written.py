"""Recognise the files that this library wrote, so that nothing else is replaced unless the user asks for it.

Each file that is written to a place of the user's choice contains a digest of its other content: a PNG in a text chunk,
an .npz file in the array ``digest``, a .json file in the key ``digest``, a Markdown page in a comment at its end. So a
file that was edited since does not count as written by this library. A .safetensors file is recognised by its header.
"""

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import LONGEST_NAME, atomic_write, digest, write_json
from pcacam_jax.core.paths import identities, printable

DIGEST = "digest"
OVERWRITE = "choose another path, or pass overwrite=True to replace it"
FORCE = "choose another --out, or replace it with --force"
KINDS = {
    "figure": "a figure",
    "maps": "a file of maps",
    "explanation": "an explanation",
    "certificate": "a certificate",
    "reproduction": "a page of results",
    "page": "a page of results",
    "stage": "a stage or head",
}
"""The kinds of files that are written to a place of the user's choice, in words."""
_JSON_KEYS = {"explanation": "mixture", "certificate": "comparisons", "reproduction": "claims"}
_AFTER_HEADER = 33  # bytes of a PNG's signature and its first chunk, which has a fixed size


def check_output(path: Path, kind: str, *, remedy: str, reads: Set[Any] = frozenset(), overwrite: bool = False) -> None:
    """Check that a file may be written: nothing that is read and nothing of the user's would be replaced.

    A file of the same kind that this library wrote and that was not changed since may be replaced, and so may an empty
    file.

    Args:
        path: the file to write.
        kind: what will be written, a key of :data:`KINDS`.
        remedy: what the user can do, for the error message: :data:`OVERWRITE` or :data:`FORCE`.
        reads: the :func:`~pcacam_jax.core.paths.identities` of the files that are read; they are never replaced.
        overwrite: whether the user allows any other file to be replaced.

    Raises:
        InputError: ``path`` is read as well, is a folder or device, is a file that this library did not write, or
            cannot be a path.
    """
    try:
        _check_output(path, kind, remedy, reads, overwrite)
    except OSError as error:
        raise InputError(f"{printable(path)} cannot be written ({error.strerror}); choose another path.") from error


def _check_output(path: Path, kind: str, remedy: str, reads: Set[Any], overwrite: bool) -> None:
    if (length := len(os.fsencode(path.name))) > LONGEST_NAME:
        raise InputError(
            f"a file name must have at most {LONGEST_NAME} bytes, but that of the output {printable(path)} has "
            f"{length}; shorten the name, or that of the file it is named after."
        )
    if not reads.isdisjoint(identities([path])):
        raise InputError(f"{printable(path)} is an input, which the output would replace; choose another output.")
    if path.is_dir():
        raise InputError(f"{printable(path)} is a folder; give the path of a file in it.")
    if path.exists() and not path.is_file():
        raise InputError(f"{printable(path)} is not a regular file; give the path of a file.")
    if not overwrite and (path.is_symlink() or path.exists()) and not is_replaceable(path, kind):
        raise InputError(
            f"{printable(path)} exists, and it is not {KINDS[kind]} that pcacam_jax wrote, or it was changed since; "
            f"{remedy}."
        )


def is_replaceable(path: Path, kind: str | None = None) -> bool:
    """Return whether a file is empty, or was written by this library, as this kind of file, and not changed since."""
    return (path.is_file() and path.stat().st_size == 0) or is_written_here(path, kind)


def is_written_here(path: Path, kind: str | None = None) -> bool:
    """Return whether this library wrote a file, as this kind of file, and it was not changed since."""
    try:
        return path.is_file() and _kind(path) in ([kind] if kind else KINDS)
    except Exception:  # whatever cannot be read was not written by this library
        return False


def _kind(path: Path) -> str | None:
    """Return the kind of a file that this library wrote; the first bytes decide, because a file can have any name."""
    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith(b"\x89PNG"):
        return "figure" if _is_sealed_png(path) else None
    if start.startswith(b"PK"):
        return "maps" if _is_sealed_npz(path) else None
    if start.startswith(b"{"):
        return _kind_of_json(json.loads(path.read_text(encoding="utf-8")))
    if start[8:] == b"{":
        return "stage" if {"schema", "structure", DIGEST} <= stored_metadata(path).keys() else None
    return "page" if _is_sealed_text(path) else None


def _kind_of_json(value: dict[str, Any]) -> str | None:
    if DIGEST not in value or value != sealed(value):
        return None
    return next((kind for kind, key in _JSON_KEYS.items() if key in value), None)


def stored_metadata(path: Path) -> dict[str, str]:
    """Return the metadata in the header of a .safetensors file; an empty dictionary if it is no such file."""
    try:
        with path.open("rb") as file:
            metadata = json.loads(file.read(int.from_bytes(file.read(8), "little")))["__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data with its digest under the key ``digest``, for a JSON file that is recognised later."""
    content = {key: item for key, item in value.items() if key != DIGEST}
    return {**content, DIGEST: hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def write_sealed_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write plain data as JSON with its digest, atomically; raises as :func:`~pcacam_jax.core.files.write_json`."""
    write_json(path, sealed(value))


def write_sealed_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays and their digest, as the array ``digest``, to a compressed .npz file, atomically.

    Raises:
        InputError: the folder of ``path`` cannot be created or is not writable.
    """
    with atomic_write(path) as temporary:
        content: dict[str, Any] = {**arrays, DIGEST: np.array(digest(arrays))}
        np.savez_compressed(temporary, **content)


def write_sealed_text(path: Path, text: str) -> None:
    """Write a Markdown page with its digest in a comment at the end, atomically.

    Raises:
        InputError: the folder of ``path`` cannot be created or is not writable.
    """
    text = text.encode(errors="backslashreplace").decode()
    with atomic_write(path) as temporary:
        temporary.write_text(text + _comment(text), encoding="utf-8")


def seal_png(path: Path) -> None:
    """Insert a chunk with the digest of all other bytes behind the header of a PNG file."""
    content = path.read_bytes()
    path.write_bytes(content[:_AFTER_HEADER] + _chunk(content) + content[_AFTER_HEADER:])


def _chunk(content: bytes) -> bytes:
    data = b"tEXtpcacam_jax\0sha256 " + hashlib.sha256(content).hexdigest().encode()
    return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


def _comment(text: str) -> str:
    return f"\n<!-- pcacam_jax sha256 {hashlib.sha256(text.encode()).hexdigest()} -->\n"


def _is_sealed_png(path: Path) -> bool:
    content, end = path.read_bytes(), _AFTER_HEADER + len(_chunk(b""))
    return content[_AFTER_HEADER:end] == _chunk(content[:_AFTER_HEADER] + content[end:])


def _is_sealed_npz(path: Path) -> bool:
    # NumPy leaves the file open if it is not a valid archive
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        if DIGEST not in archive.files:
            return False
        arrays = dict(archive)
    return str(arrays.pop(DIGEST)) == digest(arrays)


def _is_sealed_text(path: Path) -> bool:
    text = path.read_bytes().decode("utf-8")
    length = len(_comment(""))
    return text[-length:] == _comment(text[:-length])
