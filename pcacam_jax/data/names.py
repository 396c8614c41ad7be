"""Names of files and folders as text that can be written anywhere, and paths as users write them."""

import os
import unicodedata
from pathlib import Path

from pcacam_jax.core.checks import InputError


def readable(path: str | Path) -> str:
    r"""Return the text of a path; bytes that are not UTF-8 become escapes such as ``\xe9``.

    Python represents such bytes by lone surrogates, which can be neither printed nor encoded.
    """
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def composed(name: str) -> str:
    """Return a class name in Unicode's composed normal form (NFC).

    File systems, archives and keyboards write the same accented letter in different normal forms.
    """
    return unicodedata.normalize("NFC", name)


def class_name(folder: Path) -> str:
    """Return the name of the class of a folder, in Unicode's composed normal form."""
    return composed(readable(folder.name))


def user_path(path: str | Path) -> Path:
    """Return a path in which a leading ``~`` stands for the home folder, unless an entry of this name exists.

    Raises:
        InputError: if it is not a path, or the home folder is not known.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"a path must be text or a Path, but it is a {type(path).__name__}; name a file or folder.")
    try:
        path = Path(path)
        return path if path.exists() else path.expanduser()
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"{readable(str(path))!r} cannot be used as a path ({error}); write it in full.") from error


def existing_file(path: str | Path, what: str) -> Path:
    """Return the path of an existing file; error messages call it ``what``.

    Raises:
        InputError: if there is no file at this path.
    """
    file = user_path(path)
    if file.is_dir():
        raise InputError(f"{what} {readable(path)} must be a file, but it is a folder; name the files in it.")
    if not file.is_file():
        raise InputError(f"{what} {readable(path)} must be a file, but there is none at this path; check the spelling.")
    return file
