"""Names of classes, and image files that a user names."""

import unicodedata
from pathlib import Path

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.paths import printable, user_path


def composed(name: str) -> str:
    """Return a class name in Unicode's composed normal form (NFC).

    File systems, archives and keyboards write the same accented letter in different normal forms.
    """
    return unicodedata.normalize("NFC", name)


def class_name(folder: Path) -> str:
    """Return the name of the class of a folder, in Unicode's composed normal form."""
    return composed(printable(folder.name))


def existing_file(path: str | Path, what: str) -> Path:
    """Return the path of an existing file; error messages call it ``what``.

    Raises:
        InputError: if there is no file at this path.
    """
    file = user_path(path)
    if file.is_dir():
        raise InputError(f"{what} {printable(path)} must be a file, but it is a folder; name the files in it.")
    if not file.is_file():
        raise InputError(
            f"{what} {printable(path)} must be a file, but there is none at this path; check the spelling."
        )
    return file
