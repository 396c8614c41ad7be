"""Many maps on one set of axes.

Matplotlib takes about 10 ms to make a set of axes and as long to draw it, which is too slow for hundreds of targets.
"""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps

from pcacam_jax.core.checks import check_choice, check_flag
from pcacam_jax.plots.heatmaps import COLOUR_MAP, INTERPOLATIONS, LUMINANCE
from pcacam_jax.plots.inputs import shrunk
from pcacam_jax.plots.marks import cell_borders, label_at, label_of
from pcacam_jax.plots.pairs import Pair
from pcacam_jax.plots.sheet import Sheet

PIXELS = 180
"""The largest number of pixels per side of a small map."""


class Canvas:
    """Axes over a whole :class:`Sheet`, with inches from the upper left corner of its body as coordinates."""

    def __init__(self, sheet: Sheet, image: np.ndarray, *, interpolation: str, cells: bool) -> None:
        self.interpolation = check_choice("interpolation", interpolation, INTERPOLATIONS)
        self.cells = check_flag("cells", cells)
        self.grey = (shrunk(image, PIXELS) @ LUMINANCE)[..., None].repeat(3, axis=2)
        self.axes = sheet.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.limits = {"xlim": (0, sheet.width), "ylim": (sheet.height - sheet.top, -sheet.top), "aspect": "auto"}

    def draw(self, pair: Pair, places: list[tuple[float, float]], size: tuple[float, float], maximum: float) -> None:
        """Draw the two maps of a pair; ``places`` are the upper left corners in inches."""
        for (x, y), heat in zip(places, (pair.positive, pair.negative), strict=True):
            blended = self.grey if pair.vanished else self._blended(heat, maximum or 1, pair.alpha)
            extent = (x, x + size[0], y + size[1], y)
            pixels = blended.round().astype(np.uint8)
            self.axes.imshow(pixels, extent=extent, origin="upper", interpolation="antialiased", aspect="auto")
            if label := label_of(heat, pair.vanished):
                label_at(self.axes, x + size[0] / 2, y + size[1] / 2, label, self.axes.transData)
            elif self.cells:
                cell_borders(self.axes, extent, heat.shape)
        self.axes.set(**self.limits)

    def _blended(self, heat: np.ndarray, maximum: float, alpha: float) -> np.ndarray:
        colours = 255 * colormaps[COLOUR_MAP](upsampled(heat, self.grey.shape[:2], self.interpolation) / maximum)
        return alpha * colours[..., :3] + (1 - alpha) * self.grey


def upsampled(heat: np.ndarray, shape: tuple[int, ...], interpolation: str) -> np.ndarray:
    """Return a map stretched to ``shape``.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.plots.canvas import upsampled
        >>> upsampled(np.array([[0.0, 1.0]]), (1, 4), "nearest").tolist()
        [[0.0, 0.0, 1.0, 1.0]]
    """
    for axis, size in enumerate(shape):
        centres = (np.arange(size) + 0.5) / size * heat.shape[axis]
        if interpolation == "nearest":
            heat = heat.take(centres.astype(int), axis=axis)
        else:
            known = np.arange(heat.shape[axis]) + 0.5
            heat = np.apply_along_axis(lambda line, c=centres, k=known: np.interp(c, k, line), axis, heat)
    return heat
