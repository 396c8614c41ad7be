"""Figures saved as PNG files."""

from pathlib import Path

from matplotlib.figure import Figure

from pcacam_jax.core.checks import InputError, check_flag
from pcacam_jax.core.files import atomic_write
from pcacam_jax.core.paths import user_path
from pcacam_jax.core.written import OVERWRITE, check_output, seal_png
from pcacam_jax.plots.inputs import positive_number


def save(figure: Figure, path: Path | str, *, dpi: float = 150, overwrite: bool = False) -> Path:
    """Save a figure as a PNG file.

    The file is written completely or not at all. The page is resized to everything that is drawn, so nothing is
    clipped. The file contains no date and no software version, so equal figures give equal bytes. It contains a digest
    of its content, by which ``save`` recognises an earlier figure at the same path and replaces it. Any other file at
    this path is kept, and so is a figure that was edited.

    Args:
        figure: the figure to save.
        path: a path that ends in ``.png``; ``~`` is expanded.
        dpi: resolution in dots per inch.
        overwrite: replace any file at this path.

    Returns:
        The path.

    Raises:
        InputError: the suffix is not ``.png``, the folder cannot be written to, ``dpi`` is not above 0, or ``path`` is
            a file that ``save`` did not write.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(plots.save(Figure(), Path(folder) / "figure.png").name)
        figure.png
    """
    path, overwrite = user_path(path), check_flag("overwrite", overwrite)
    if not callable(getattr(type(figure), "savefig", None)):
        raise TypeError(f"figure must be a matplotlib Figure; got {type(figure).__name__}.")
    if path.suffix.lower() != ".png":
        raise InputError(f"figures are written as PNG: the path must end in .png; got {path.name!r}.")
    dpi = positive_number("dpi", dpi)
    check_output(path, "figure", overwrite=overwrite, remedy=OVERWRITE)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
        seal_png(temporary)
    return path
