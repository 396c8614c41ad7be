"""Figures on disk."""

from pathlib import Path

from matplotlib.figure import Figure

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import written_whole
from pcacam_jax.plots.inputs import positive_number


def save(figure: Figure, path: Path | str, *, dpi: float = 150) -> Path:
    """Write ``figure`` as the PNG file ``path``, whole or not at all, and return the path.

    The sheet is cut to what is drawn, so nothing is clipped. The file names no software and no date, so figures drawn
    alike give equal bytes.

    Raises:
        InputError: the suffix is not .png, the folder cannot be written to, or ``dpi`` is not above 0.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(f"figures are written as PNG: the path must end in .png; got {path.name!r}.")
    dpi = positive_number("dpi", dpi)
    with written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    return path
