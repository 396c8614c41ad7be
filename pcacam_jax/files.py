"""Files that are whole or absent: written beside their place, then renamed; arrays named by a digest of their bytes."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pcacam_jax.checks import InputError


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends well, remove it otherwise.

    The temporary file keeps the suffix of ``path``, so writers that look at the suffix work unchanged.
    """
    path = Path(path)
    writable_folder(path.parent)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def writable_folder(folder: Path) -> Path:
    """Return ``folder``, made if absent.

    Raises:
        InputError: it cannot be made or written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be written to ({error.strerror}); choose another one or change its permissions."
        ) from error
    return folder


def cache_folder() -> Path:
    """Return the folder for converted weights and extracted features.

    ``PCACAM_CACHE`` if set, else ``pcacam_jax`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
    """
    if chosen := os.environ.get("PCACAM_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pcacam_jax"


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of named arrays: of every name, dtype, shape and little-endian bytes, in order of name."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        total.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        total.update(memoryview(array).cast("B") if array.size else b"")
    return total.hexdigest()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
