"""Paths as users write them: ``~`` expanded, names made printable, and two paths of one file recognised."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.text import one_line


def user_path(path: Any) -> Path:
    """Return a path that a user gave, with ``~`` and ``~user`` expanded; every public path argument passes here.

    Args:
        path: a string, bytes or path.

    Returns:
        The path. Relative paths stay relative.

    Raises:
        InputError: ``path`` is no path, is empty, is too long, contains a null character, lies in a folder that cannot
            be listed, or begins with ``~`` and the home folder is unknown.

    Example:
        >>> import os
        >>> from pcacam_jax.core.paths import user_path
        >>> user_path("~/run") == user_path(os.path.expanduser("~")) / "run"
        True
    """
    try:
        text = os.fsdecode(path)
    except TypeError as error:
        raise InputError(
            f"a path must be text or a Path, but it is a {type(path).__name__}; name a file or folder."
        ) from error
    if not text:
        raise InputError("a path must name a file or folder, but it is an empty text; give a path.")
    expanded = os.path.expanduser(text)
    first, separator, _ = text.partition(os.sep)
    if expanded == text and (first == "~" or (first.startswith("~") and separator and not os.path.exists(first))):
        raise InputError(
            f"{printable(text)!r} cannot be used as a path (the home folder {first} is unknown); write it in full, or "
            "set HOME."
        )
    try:
        os.stat(expanded)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # a name that is too long, a null character
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{one_line(printable(text))!r} cannot be used as a path ({reason}); correct it.") from error
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
