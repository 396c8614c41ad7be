"""Atomic writes of files and folders, JSON files, the cache folder and digests of arrays.

A file or folder is written under a temporary name beside its destination and then renamed, so that a crash at any
moment leaves either the old version or the new one.
"""

import contextlib
import functools
import glob
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.paths import printable, user_path

STALE_SECONDS = 3600.0
"""Age in seconds from which a temporary file counts as a leftover of a killed process."""
LONGEST_NAME = 255
"""The largest number of bytes of a file name on common file systems."""


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` after the block, or remove it if the block raises.

    The temporary path has the suffix of ``path``, because some writers choose the format by the suffix. The finished
    file gets the mode that the umask implies, whatever mode the writer set.

    Raises:
        InputError: the folder of ``path`` cannot be created or is not writable.
    """
    path = Path(path)
    writable_folder(path.parent)
    temporary = path.with_name(f".{_start_of(path.stem)}.{secrets.token_hex(4)}{path.suffix}")
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


def remove_stale(path: Path) -> None:
    """Remove old temporary files of ``path``; those younger than ``STALE_SECONDS`` may belong to a running process."""
    for temporary in _temporary_siblings(path, path.stem, path.suffix):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - temporary.stat().st_mtime > STALE_SECONDS:
                temporary.unlink()


@contextlib.contextmanager
def atomic_folder(folder: Path, *, marker: str, check: Callable[[Path], None] = lambda folder: None) -> Iterator[Path]:
    """Yield a temporary folder; rename it to ``folder`` after the block, or remove it if the block raises.

    An existing folder is replaced if it is empty or contains the file ``marker``. A locked file beside the temporary
    folder shows that its process is running. Leftovers of killed processes are removed first.

    Args:
        folder: the folder to write.
        marker: name of a file that identifies a folder written by an earlier call, which may be replaced.
        check: raises an InputError if the existing folder contains files that must not be lost. It is called before
            the block and again before the folder is replaced.

    Raises:
        InputError: ``folder`` is a file or a mount point, contains other files, or its parent is not writable.
    """
    folder = Path(folder).resolve()
    _check_replaceable(folder, marker, check)
    writable_folder(folder.parent)
    with _locked(folder.parent):
        _remove_leftovers(folder)
    temporary = folder.with_name(f".{_start_of(folder.name)}.{secrets.token_hex(4)}")
    lock = temporary.with_name(f"{temporary.name}.lock")
    try:
        with _locked(lock):
            temporary.mkdir()
            try:
                yield temporary
                with _locked(folder.parent):
                    _check_replaceable(folder, marker, check)
                    _swap(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    finally:
        lock.unlink(missing_ok=True)


def _check_replaceable(folder: Path, marker: str, check: Callable[[Path], None]) -> None:
    name = printable(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{name} is a file; choose a folder to write to.")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / marker).is_file():
            raise InputError(f"the folder {name} holds other files (no {marker}); choose a new or empty folder.")
        check(folder)
    if folder.is_mount():
        raise InputError(f"{name} is a mount point, which cannot be replaced; choose a folder inside it.")


def _swap(new: Path, folder: Path) -> None:
    """Exchange ``new`` and ``folder``; if ``folder`` does not exist, rename ``new`` to it.

    The old folder is renamed first and restored if the second rename fails, so that one version always remains.
    """
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


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary folders of killed processes; restore the old folder if one died between its two renames."""
    for lock in _temporary_siblings(folder, folder.name, ".lock"):
        temporary, aside = lock.with_suffix(""), lock.with_suffix(".earlier")
        with _locked(lock, wait=False) as acquired, contextlib.suppress(OSError):
            if acquired:  # the process that held the lock has ended
                shutil.rmtree(temporary, ignore_errors=True)
                if aside.exists():
                    aside.replace(temporary if folder.exists() else folder)
                    shutil.rmtree(temporary, ignore_errors=True)
                lock.unlink(missing_ok=True)


def _temporary_siblings(path: Path, stem: str, suffix: str) -> Iterator[Path]:
    """Return the paths beside ``path`` that have the form of its temporary names."""
    return path.parent.glob(f".{glob.escape(_start_of(stem))}.{'[0-9a-f]' * 8}{glob.escape(suffix)}")


def _start_of(name: str) -> str:
    """Return the start of a name, to which a temporary name adds some bytes."""
    return os.fsdecode(os.fsencode(name)[: LONGEST_NAME - 55])


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Lock a folder or file; the operating system releases it if the process dies. Yields True if it was acquired.

    Without file locks, as on Windows and some network drives, it is never acquired, so no process counts as ended.
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
    """Create ``folder`` if it does not exist and check that files can be written to it.

    Returns:
        The folder as a path.

    Raises:
        InputError: it cannot be created or is not writable.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"the folder {printable(folder)} cannot be written to ({error.strerror}); choose another or change its "
            "permissions."
        ) from error
    return folder


def cache_folder() -> Path:
    """Return the folder for converted weights and extracted features.

    It is the environment variable ``PCACAM_CACHE`` if set, else ``pcacam_jax`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
    If that cannot be written to, or if there is no home folder, it is a folder of this user in the folder for temporary
    files, and a warning says so.

    Raises:
        InputError: ``PCACAM_CACHE`` is not set, and none of these folders can be used.
    """
    if chosen := os.environ.get("PCACAM_CACHE"):
        return user_path(chosen)
    default = _default_cache()
    if default and _is_writable(default):
        return default
    folder = _temporary_cache()
    problem = f"cannot be written to in {printable(default)}" if default else "needs a home folder, and there is none"
    _warn_once(f"the cache {problem}; {printable(folder)} is used instead; set PCACAM_CACHE to choose a folder for it.")
    return folder


@functools.cache
def _warn_once(text: str) -> None:
    # Python itself repeats a warning after each use of warnings.catch_warnings
    warnings.warn(text, stacklevel=3)


def cached_file(name: str) -> Path | None:
    """Return the path of a file in the cache, or in the default cache if that can only be read; None without a file."""
    folders = [cache_folder(), *([] if os.environ.get("PCACAM_CACHE") else filter(None, [_default_cache()]))]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _default_cache() -> Path | None:
    try:
        return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "pcacam_jax"
    except InputError:
        return None


def _is_writable(folder: Path) -> bool:
    """Return whether files can be written to a folder, or to the closest existing folder above it."""
    existing = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), Path())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return True
    except OSError:
        return False


def _temporary_cache() -> Path:
    """Return a folder for temporary files that only this user can write to."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    try:
        folder = Path(tempfile.gettempdir(), f"pcacam_jax-{user}")
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise InputError(f"no cache folder can be written to ({error.strerror}); set PCACAM_CACHE to one.") from error
    if stat.S_ISLNK(status.st_mode) or user not in (status.st_uid, "user"):
        raise InputError(f"the folder {folder} belongs to another user; set PCACAM_CACHE to a folder of yours.")
    return folder


def write_json(path: Path, value: Any) -> None:
    """Write plain data as indented JSON, atomically.

    Raises:
        InputError: the folder of ``path`` cannot be created or is not writable.
        TypeError: ``value`` is not plain data.
        ValueError: a number is NaN or infinite.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file cannot be read or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the file {printable(path)} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"the file {printable(path)} is not JSON ({error}); write it again.") from error


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of named arrays as hexadecimal text.

    It covers every name, dtype, shape and the values as little-endian bytes in C order, sorted by name. So it depends
    neither on the order of the arrays nor on their layout in memory.
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name]).reshape(np.shape(arrays[name]))
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        total.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()
