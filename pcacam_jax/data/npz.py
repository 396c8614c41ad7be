"""The npz files of NumPy: named arrays in a zip archive, read without unpickling."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from pcacam_jax.core.checks import InputError

CLASS_NAMES = "class_names"


def read_npz(path: Path, *layouts: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the arrays of the first layout that the file contains completely, plus ``class_names`` if it is there.

    Args:
        path: the npz file.
        *layouts: alternative sets of array names, tried in this order.

    Raises:
        InputError: if the file is damaged or is not an npz file, one of these arrays is pickled, or the file contains
            no complete layout.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = set(archive.files)
            for layout in layouts:
                if names.issuperset(layout):
                    return {name: archive[name] for name in (*layout, CLASS_NAMES) if name in names}
    # A single array or a pickle in place of an archive raises TypeError or ValueError
    except (OSError, EOFError, ValueError, TypeError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path} must be a complete npz file of plain arrays, but it cannot be read ({error}); write it again with "
            "numpy.savez_compressed and without object arrays."
        ) from error
    raise InputError(
        f"{path} must hold the arrays {' or '.join(', '.join(layout) for layout in layouts)}, but it holds "
        f"{', '.join(sorted(names)) or 'nothing'}; rename or add arrays."
    )
