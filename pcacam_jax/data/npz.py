"""The npz files of NumPy: named arrays in a zip archive, read without ever unpickling."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from pcacam_jax.core.checks import InputError

CLASS_NAMES = "class_names"


def read_npz(path: Path, *layouts: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the arrays of the first layout that the file holds in full, and its class names where it has any.

    Raises:
        InputError: the file is damaged or no npz, holds pickled objects among these arrays, or fits no layout.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            held = set(archive.files)
            for layout in layouts:
                if held.issuperset(layout):
                    return {name: archive[name] for name in (*layout, CLASS_NAMES) if name in held}
    # A lone array or a pickle instead of an archive fails as TypeError or ValueError
    except (OSError, EOFError, ValueError, TypeError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path} must be a whole npz file of plain arrays, but it cannot be read ({error}); write it again with "
            "numpy.savez_compressed and without object arrays."
        ) from error
    raise InputError(
        f"{path} must hold the arrays {' or '.join(', '.join(layout) for layout in layouts)}, but it holds "
        f"{', '.join(sorted(held)) or 'nothing'}; rename or add arrays."
    )
