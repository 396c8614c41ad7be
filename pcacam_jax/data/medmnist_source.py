"""The npz files of MedMNIST: where the package ``medmnist`` keeps them, and its own download of one that is absent."""

import contextlib
import io
import tempfile
from pathlib import Path

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import writable_folder
from pcacam_jax.data.stored_arrays import NotThereError


def medmnist_folder() -> Path:
    """Return the folder in which the package keeps its files."""
    return Path.home() / ".medmnist"


def find_medmnist(name: str) -> Path:
    """Return the path of NAME.npz, downloaded by the package ``medmnist`` if it is absent; whole or not at all.

    Raises:
        NotThereError: it is absent, and the package is absent or cannot download it.
    """
    path = medmnist_folder() / f"{name}.npz"
    if not path.is_file():
        writable_folder(path.parent)
        with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
            _download(name, Path(temporary))
            (Path(temporary) / path.name).replace(path)
    return path


def _download(name: str, folder: Path) -> None:
    try:
        # It prints a line when torch is missing
        with contextlib.redirect_stdout(io.StringIO()):
            import medmnist  # pyright: ignore[reportMissingImports]

        reader = getattr(medmnist, medmnist.INFO[name]["python_class"])
    except (ImportError, AttributeError) as error:
        raise NotThereError(
            f"{name}.npz must lie in {medmnist_folder()}, but it does not, and the package medmnist, which could get "
            'it, is not installed with torch and torchvision; install "pcacam_jax[medmnist]" or get the file.'
        ) from error
    except KeyError as error:
        raise InputError(f"MedMNIST must have the dataset {name}, but it has no such one; check the name.") from error
    try:
        # The package checks the file's MD5
        with contextlib.redirect_stdout(io.StringIO()):
            reader(split="train", root=str(folder), download=True)
    except (RuntimeError, OSError) as error:
        raise NotThereError(
            f"the package medmnist cannot download {name}.npz ({str(error).split('!')[0].strip()}); try again with a "
            f"network, or get the file and put it into {medmnist_folder()}."
        ) from error
