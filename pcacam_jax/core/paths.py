"""Paths as users write them: ``~`` expanded, names made printable, and two paths of one file recognised."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pcacam_jax.core.checks import InputError


def user_path(path: Any) -> Path:
    """Return a path that a user gave, with ``~`` and ``~user`` expanded; every public path argument passes here.

    Args:
        path: a string, bytes or path.

    Returns:
        The path. Relative paths stay relative.

    Raises:
        InputError: ``path`` is no path, is empty, contains a null character, or begins with ``~`` and the home folder
            is unknown.

    Example:
        >>> import os
        >>> from pcacam_jax.core.paths import user_path
        >>> user_path("~/run") == user_path(os.path.expanduser("~")) / "run"
        True
    """
    try:
        text = os.fsdecode(path)
    except TypeError as error:
        raise InputError(f"a path must be a string or a pathlib.Path; got {type(path).__name__}.") from error
    if not text:
        raise InputError("a path must name a file or folder, but it is an empty text; give a path.")
    if "\0" in text:
        raise InputError(f"the path {text!r} contains a null character, which no file name can have; correct it.")
    expanded = os.path.expanduser(text)
    if text.split(os.sep)[0] == "~" and expanded == text:
        raise InputError(
            f"the path {printable(text)} begins with ~, but the home folder is unknown; set HOME or give the full path."
        )
    return Path(expanded)


def printable(path: str | Path) -> str:
    r"""Return a path as text that every output accepts: bytes that are not UTF-8 and control characters as ``\x..``.

    Example:
        >>> import os
        >>> from pcacam_jax.core.paths import printable
        >>> printable(os.fsdecode(b"caf\xe9 1.jpg"))
        'caf\\xe9 1.jpg'
    """
    text = os.fsencode(path).decode("utf-8", errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_text(path: str | Path) -> bool:
    """Return whether :func:`printable` leaves a path as it is."""
    return printable(path) == str(path)


def identities(paths: Iterable[str | Path]) -> frozenset[Any]:
    """Return what identifies files: their resolved paths and, if they exist, their device and inode numbers.

    Two paths name the same file, also through hard and symbolic links, if their identities have an element in common.
    """
    return frozenset(identity for path in paths for identity in _identities(path))


def _identities(path: str | Path) -> Iterable[Any]:
    yield os.path.realpath(path)
    try:
        status = os.stat(path)
    except OSError:
        return
    yield status.st_dev, status.st_ino
