"""Figures saved as PNG files."""

from pathlib import Path

from matplotlib.figure import Figure

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import atomic_write
from pcacam_jax.plots.inputs import positive_number


def save(figure: Figure, path: Path | str, *, dpi: float = 150) -> Path:
    """Save a figure as a PNG file.

    The file is written completely or not at all. The page is resized to everything that is drawn, so nothing is
    clipped. The file contains no date and no software version, so equal figures give equal bytes.

    Args:
        figure: the figure to save.
        path: a path that ends in ``.png``.
        dpi: resolution in dots per inch.

    Returns:
        The path.

    Raises:
        InputError: the suffix is not ``.png``, the folder cannot be written to, or ``dpi`` is not above 0.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from matplotlib.figure import Figure
        >>> from pcacam_jax import plots
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(plots.save(Figure(), Path(folder) / "figure.png").name)
        figure.png
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(f"figures are written as PNG: the path must end in .png; got {path.name!r}.")
    dpi = positive_number("dpi", dpi)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    return path
