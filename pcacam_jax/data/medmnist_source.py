"""The npz files of MedMNIST in the folder of the package ``medmnist``, which downloads a missing file."""

import contextlib
import functools
import hashlib
import io
import tempfile
import warnings
from pathlib import Path

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import writable_folder
from pcacam_jax.core.paths import user_path
from pcacam_jax.data.stored_arrays import DatasetUnavailableError

PUBLISHED_MD5 = {"bloodmnist": "7053d0359d879ad8a5505303e11de1dc"}
"""The MD5 of the published files, as the package ``medmnist`` gives it."""


def medmnist_folder() -> Path:
    """Return the folder in which the package ``medmnist`` stores its files."""
    return user_path("~") / ".medmnist"


def find_medmnist(name: str) -> Path:
    """Return the path of NAME.npz; if the file does not exist, the package ``medmnist`` downloads it first.

    A download that fails leaves no file. A warning is issued if an existing file is not the published one.

    Raises:
        DatasetUnavailableError: if the file does not exist, and the package is not installed or cannot download it.
        InputError: if MedMNIST has no dataset of this name.
    """
    path = medmnist_folder() / f"{name}.npz"
    if not path.is_file():
        writable_folder(path.parent)
        with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
            _download(name, Path(temporary))
            (Path(temporary) / path.name).replace(path)
    elif name in PUBLISHED_MD5:
        _check_published(path, PUBLISHED_MD5[name])
    return path


def _check_published(path: Path, md5: str) -> None:
    try:
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, functools.partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); change its permissions.") from error
    if actual != md5:
        warnings.warn(
            f"{path} is not the file that MedMNIST publishes: its MD5 should be {md5}, but it is {actual}; remove it "
            "to download it again, unless the difference is intended.",
            stacklevel=2,
        )


def _download(name: str, folder: Path) -> None:
    try:
        # The package prints a line on import if torch is not installed
        with contextlib.redirect_stdout(io.StringIO()):
            import medmnist  # pyright: ignore[reportMissingImports]

        reader = getattr(medmnist, medmnist.INFO[name]["python_class"])
    except (ImportError, AttributeError) as error:
        raise DatasetUnavailableError(
            f"{name}.npz must be in {medmnist_folder()}, but it is not, and the package medmnist, which could download "
            'it, is not installed with torch and torchvision; install "pcacam_jax[medmnist]" or download the file.'
        ) from error
    except KeyError as error:
        raise InputError(f"{name} must be a dataset of MedMNIST, but MedMNIST has no such name; check it.") from error
    try:
        # The package verifies the file's MD5
        with contextlib.redirect_stdout(io.StringIO()):
            reader(split="train", root=str(folder), download=True)
    except (RuntimeError, OSError) as error:
        raise DatasetUnavailableError(
            f"the package medmnist cannot download {name}.npz ({str(error).split('!')[0].strip()}); try again with a "
            f"network connection, or put the file into {medmnist_folder()}."
        ) from error
