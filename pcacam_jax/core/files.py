"""Files that are whole or absent: written beside their place, then renamed; arrays named by a digest of their bytes."""

import contextlib
import glob
import hashlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pcacam_jax.core.checks import InputError

TORN_SECONDS = 3600.0
"""Age from which an unfinished file belongs to no living process."""


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends well, remove it otherwise.

    The temporary file keeps the suffix of ``path``, so writers that look at the suffix work unchanged; whatever mode
    they give the file, it ends with the one that the umask asks for.
    """
    path = Path(path)
    writable_folder(path.parent)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    temporary.touch()
    mode = temporary.stat().st_mode
    temporary.unlink()
    try:
        yield temporary
        if temporary.stat().st_mode != mode:
            temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_torn(path: Path) -> None:
    """Remove what killed processes left of ``path`` unfinished; what is younger may belong to a living one."""
    for torn in _siblings(path, path.stem, path.suffix):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - torn.stat().st_mtime > TORN_SECONDS:
                torn.unlink()


@contextlib.contextmanager
def folder_written_whole(folder: Path, *, marker: str) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder``; move it there when the block ends well, remove it otherwise.

    A folder that is there already is replaced if it is empty or holds the file ``marker``. A lock file beside the
    temporary folder tells that its process lives; what killed processes left is cleared away first.

    Raises:
        InputError: ``folder`` is a file, holds something else, or its parent cannot be written to.
    """
    folder = Path(folder).resolve()
    _check_replaceable(folder, marker)
    writable_folder(folder.parent)
    with _locked(folder.parent):
        _clear_away(folder)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    lock = temporary.with_name(f"{temporary.name}.lock")
    try:
        with _locked(lock):
            temporary.mkdir()
            try:
                yield temporary
                with _locked(folder.parent):
                    _check_replaceable(folder, marker)
                    _swap(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    finally:
        lock.unlink(missing_ok=True)


def _check_replaceable(folder: Path, marker: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; choose a folder to write to.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / marker).is_file():
        raise InputError(f"the folder {folder} holds other files (no {marker}); choose a new or empty folder.")
    if folder.is_mount():
        raise InputError(f"{folder} is a mount point, which cannot be replaced; choose a folder inside it.")


def _swap(new: Path, folder: Path) -> None:
    """Move ``new`` to ``folder``; what is there is moved aside first, so that one remains, and gets its name then."""
    if not folder.exists():
        new.replace(folder)
        return
    aside = new.with_name(f"{new.name}.earlier")
    folder.replace(aside)
    try:
        new.replace(folder)
    except BaseException:
        aside.replace(folder)
        raise
    aside.replace(new)


def _clear_away(folder: Path) -> None:
    """Remove what killed processes left of ``folder`` unfinished; put back what they moved aside, if it is missing."""
    for lock in _siblings(folder, folder.name, ".lock"):
        temporary, aside = lock.with_suffix(""), lock.with_suffix(".earlier")
        with _locked(lock, wait=False) as dead, contextlib.suppress(OSError):
            if dead:
                shutil.rmtree(temporary, ignore_errors=True)
                if aside.exists():
                    aside.replace(temporary if folder.exists() else folder)
                    shutil.rmtree(temporary, ignore_errors=True)
                lock.unlink(missing_ok=True)


def _siblings(path: Path, stem: str, suffix: str) -> Iterator[Path]:
    """Return what has a temporary name beside ``path``."""
    return path.parent.glob(f".{glob.escape(stem)}.{'[0-9a-f]' * 8}{glob.escape(suffix)}")


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a folder or file, which the kernel frees when the process dies; yield whether it was to be had.

    Where there are no locks, as on Windows and some network drives, it never is, so no process counts as dead.
    """
    with contextlib.ExitStack() as opened:
        locked = False
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
            opened.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        yield locked


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
            f"the folder {folder} cannot be written to ({error.strerror}); choose another or change its permissions."
        ) from error
    return folder


def cache_folder() -> Path:
    """Return the folder for converted weights and extracted features.

    ``PCACAM_CACHE`` if set, else ``pcacam_jax`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
    """
    if chosen := os.environ.get("PCACAM_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pcacam_jax"


def write_json(path: Path, value: Any) -> None:
    """Write plain data as indented JSON; whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: absent or not JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except OSError as error:
        raise InputError(f"the file {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"the file {path} is not JSON ({error}); write it again.") from error


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of named arrays: of every name, dtype, shape and little-endian bytes, in order of name."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name]).reshape(np.shape(arrays[name]))
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        total.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()
