"""What the panel of one explanation draws: for every target its texts, its two maps and how boldly they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pcacam_jax.core.checks import InputError, check_items
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.core.text import ranked, shown
from pcacam_jax.plots.inputs import as_array, as_text, check_count, numbers, positive_number
from pcacam_jax.plots.names import inline, readable
from pcacam_jax.plots.words import percentage, quantity, words

BOLD, FAINT = 0.65, 0.22
"""Opacity of maps, and of those that are negligible."""
SMALL_SHARE = 0.01
"""A component is negligible with less than this share of the variance and a tenth of the largest share."""
TINY = 1e-3
"""A map is tiny if its largest value is below this multiple of the typical one in the same unit."""
TINY_ELSEWHERE = 1e-6
"""The same for maps whose unit is not known to be the same."""
LONGEST = 300
"""The largest number of characters that say how a value compares."""
TYPICAL, LARGEST = "typical scale", "largest map"


class Pair(NamedTuple):
    """The two maps of one target on one image."""

    heading: str
    """The target and its value in words."""
    positive: np.ndarray
    negative: np.ndarray
    vanished: bool | None
    """Whether the gradient underflowed; None if this is not known."""
    target: str = ""
    """The target string, if the heading does not show it."""
    share: str = ""
    """The component's share of the variance in percent, if it is known."""
    comparison: str = ""
    """How the value compares."""
    remark: str = ""
    """A remark on a tiny scale."""
    faint: bool = False
    """Whether the pair is drawn faintly."""

    @property
    def details(self) -> str:
        """All that is known about the target beside its value; may be empty."""
        target = f"target {self.target}" if self.target else ""
        variance = f"{self.share} of the variance" if self.share else ""
        return joined(target, variance, self.comparison, self.remark)

    @property
    def output(self) -> str:
        """The output of the target; maps of one output have the same unit."""
        return self.target.partition(":")[0]

    @property
    def alpha(self) -> float:
        """The opacity of the maps."""
        return FAINT if self.faint else BOLD

    @property
    def largest(self) -> float:
        """The largest value of both maps."""
        return float(max(self.positive.max(), self.negative.max()))


def flags_of(name: str, flags: ArrayLike | None, count: int, each: str) -> list[bool] | list[None]:
    """Return ``count`` booleans, or None for every target if the flags are not given."""
    if flags is None:
        return [None] * count
    array = as_array(name, flags)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must hold one bool per {each}; got {shown(flags)}.")
    checked = array.astype(bool).ravel().tolist()
    check_count(name, checked, count, each)
    return checked


def texts_of(name: str, texts: Sequence[str] | None, count: int) -> list[str]:
    """Return one text per target, empty ones if none are given."""
    if texts is None:
        return [""] * count
    texts = [as_text(f"{name}[{n}]", each) for n, each in enumerate(check_items(name, texts, "a list of texts"))]
    check_count(name, texts, count, "target")
    return [readable(each, LONGEST) if each else "" for each in texts]


def pairs_of_arrays(
    names: Sequence[str],
    positive: ArrayLike | None,
    negative: ArrayLike | None,
    values: ArrayLike | None,
    *,
    vanished: ArrayLike | None,
    comparison: Sequence[str] | None,
    typical: ArrayLike | Mapping[str, float] | None,
) -> list[Pair]:
    """Return the pairs of an explanation that is given as loose arrays."""
    given = {"positive": positive, "negative": negative, "values": values}
    if missing := [name for name, array in given.items() if array is None]:
        raise InputError(f"{missing[0]} is missing; pass an Explanation, or names, positive, negative and values.")
    positive = numbers("positive", given["positive"], ("T", "h", "w"), lowest=0)
    negative = numbers("negative", given["negative"], positive.shape, lowest=0)
    values = numbers("values", given["values"], (len(positive),))
    check_count("names", names, len(positive), "target")
    lost = flags_of("vanished", vanished, len(positive), "target")
    texts = texts_of("comparison", comparison, len(positive))
    scales = scales_of(positive[None], negative[None], np.array([[bool(flag) for flag in lost]]))[0]
    expected = typical_scales(typical, [str(name) for name in names])
    largest, limit = float(np.nanmax([0.0, *scales])), np.where(np.isfinite(expected), 0, TINY_ELSEWHERE)
    pairs = []
    for t, name in enumerate(names):
        tiny = tiny_scale(scales[t], expected[t], TINY, TYPICAL) or tiny_scale(scales[t], largest, limit[t], LARGEST)
        heading = f"{inline(name)} = {values[t]:.3g}"
        options = {"comparison": texts[t], "remark": tiny, "faint": bool(tiny)}
        pairs.append(Pair(heading, positive[t], negative[t], lost[t], **options))
    return pairs


def pairs_of(
    explanation: Explanation, example: int, comparison: Sequence[str] | None, typical: ArrayLike | Mapping | None
) -> list[Pair]:
    """Return the pairs of one example of an explanation."""
    positive, negative = np.asarray(explanation.positive), np.asarray(explanation.negative)
    values = np.asarray(explanation.values)[example]
    texts = texts_of("comparison", comparison, len(explanation.targets))
    remarks = remarks_of(explanation, example, typical)
    pairs = []
    for t, (target, space) in enumerate(zip(explanation.targets, explanation.spaces, strict=True)):
        share = share_of(explanation, example, t)
        pairs.append(
            Pair(
                heading=f"{words(target, str(explanation.labels[example, t]), space)} = {values[t]:.3g}",
                positive=numbers("positive", positive[example, t], ("h", "w"), lowest=0),
                negative=numbers("negative", negative[example, t], ("h", "w"), lowest=0),
                vanished=bool(explanation.vanished[example, t]),
                target=readable(target, 40),
                share="" if share is None else percentage(share),
                comparison=texts[t] or rank_of(explanation, example, t),
                remark=remarks[t],
                faint=bool(remarks[t]) or (share is not None and negligible(share, explanation.shares)),
            )
        )
    return pairs


def joined(*texts: str) -> str:
    """Return the texts that are not empty, separated by semicolons."""
    return "; ".join(text for text in texts if text)


def share_of(explanation: Explanation, example: int, t: int) -> float | None:
    """Return the component's share of the variance; None for other targets and where it is not known."""
    column = int(explanation.columns[example, t])
    known = explanation.spaces[t] == "component" and column < len(explanation.shares)
    return float(explanation.shares[column]) if known else None


def rank_of(explanation: Explanation, example: int, t: int) -> str:
    """Return the rank of a class among all classes of its output, if their values are known."""
    output = explanation.targets[t].partition(":")[0]
    known = (explanation.outputs or {}).get(output)
    if known is None or explanation.spaces[t] in ("component", "predict", "transform"):
        return ""
    values, column = np.asarray(known)[example], int(explanation.columns[example, t])
    if len(values) < 2:
        return ""
    rank, others = 1 + int((values > values[column]).sum()), np.delete(values, column)
    return f"rank {ranked(rank, len(values), f'{others.max():.3g}')}"


def check_left_out(given: Mapping[str, object]) -> None:
    """Raise an InputError if an argument is given although the explanation contains it."""
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name} is a part of the explanation; leave it out.")


def negligible(share: float, shares: Sequence[float]) -> bool:
    """Return whether a component has a small share of the variance, absolutely and beside the largest share."""
    return share < min(SMALL_SHARE, max(shares) / 10)


def scales_of(positive: np.ndarray, negative: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Return the largest value of each pair of maps, (B, T); NaN where the gradient underflowed."""
    return np.where(lost, np.nan, np.maximum(positive.max(axis=(2, 3)), negative.max(axis=(2, 3))).astype(float))


def typical_scales(typical: ArrayLike | Mapping | None, targets: Sequence[str]) -> np.ndarray:
    """Return the typical scale of each target, NaN where it is not known.

    Raises:
        InputError: there is not one positive number per target.
    """
    if typical is None:
        return np.full(len(targets), np.nan)
    if isinstance(typical, Mapping):
        known = {target: positive_number(f"typical[{target!r}]", scale) for target, scale in typical.items()}
        return np.array([known.get(target, np.nan) for target in targets])
    scales = numbers("typical", typical, (len(targets),), lowest=0)
    if not scales.all():
        raise InputError("typical must hold the typical scale of each target, above 0; got 0.")
    return scales


def tiny_scale(scale: float, reference: float, limit: float, kind: str) -> str:
    """Return a remark if the scale of a map is below ``limit`` times the reference."""
    return f"tiny: {scale / reference:.0e} of the {kind}" if 0 < scale < limit * reference else ""


def remarks_of(explanation: Explanation, example: int, typical: ArrayLike | Mapping | None) -> list[str]:
    """Return for each target of one example a remark on a tiny scale, or an empty text.

    Maps are compared with the typical ones, else with all maps in the same unit, and far more loosely with all others.
    Scale-free maps have no scale.
    """
    lost = np.asarray(explanation.vanished)
    scales = scales_of(np.asarray(explanation.positive), np.asarray(explanation.negative), lost)
    expected = typical_scales(typical, explanation.targets)
    anywhere = float(np.nanmax([0.0, *scales.ravel()]))
    remarks = []
    for space, scale, reference in zip(explanation.spaces, scales[example], expected, strict=True):
        if explanation.scale_free and space != "logit":
            remarks.append("")
        elif np.isfinite(reference):
            remarks.append(tiny_scale(scale, reference, TINY, TYPICAL))
        else:
            alike = scales[:, [other == space for other in explanation.spaces]]
            largest = float(np.nanmax([0.0, *alike.ravel()]))
            remark = tiny_scale(scale, largest, TINY, f"largest {quantity(space)} map")
            remarks.append(remark or tiny_scale(scale, anywhere, TINY_ELSEWHERE, LARGEST))
    return remarks
