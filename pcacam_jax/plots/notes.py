"""The sentences below figures of heatmaps."""

from __future__ import annotations

from collections.abc import Sequence

from pcacam_jax.plots.pairs import Pair

EFFECT = "Brighter: larger effect, computed from the gradient at this image."
BY_METHOD = "Brighter: larger effect, by the method {}."
EFFECTS = {
    "gradcam": EFFECT,
    "hirescam": "Brighter: larger effect, the gradient at this image times the features in a cell (hirescam).",
}
NO_EVIDENCE = "The signs of this method's maps are no evidence for or against."
UNIT = "A colour bar has the unit of the explained value. Its colours are blended with the grey image."
ZERO = "Zero everywhere: no region has this effect."
ZERO_OR_UNDERFLOWED = "Zero or underflowed: no region has this effect, or the gradient underflowed."
UNDERFLOWED = "Gradient underflowed: the gradient is too small for the floating-point format, so no map is drawn."
SCALE_FREE = (
    "Scale-free: maps of RBF SVMs are known up to a positive factor only. The numbers on their colour bars have no "
    "meaning."
)
FAINT = "Faint maps: the component has a negligible share of the variance, or the scale of the map is tiny."


def note_on(pairs: Sequence[Pair], zeros: bool, scale_free: bool, method: str = "gradcam") -> list[str]:
    """Return the lines that explain the drawn maps.

    Args:
        pairs: what is drawn.
        zeros: whether one of the drawn maps is zero.
        scale_free: whether maps are known up to a factor only.
        method: the CAM method.
    """
    height, width = pairs[0].positive.shape if pairs else (0, 0)
    known = all(pair.vanished is not None for pair in pairs)
    brighter = EFFECTS.get(method, BY_METHOD.format(method))
    effect = [f"Every map has {height} x {width} cells.", brighter, *[NO_EVIDENCE] * (method == "eigencam")]
    effect += [ZERO if known else ZERO_OR_UNDERFLOWED] * zeros
    return [
        " ".join(effect),
        UNIT,
        *[UNDERFLOWED] * any(pair.vanished for pair in pairs),
        *[FAINT] * any(pair.faint for pair in pairs),
        *[SCALE_FREE] * scale_free,
    ]
