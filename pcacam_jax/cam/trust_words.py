"""The numbers of :class:`pcacam_jax.cam.trust.Trust` in one line of plain words."""

from typing import Any

import numpy as np

from pcacam_jax.core.text import percentile

FAR = 99.0
"""An example is called unlike the training examples if it is farther away than this percentage of them."""
FAITHFUL = 0.95
"""A map is called faithful if removing its cells lowers the value more than for this share of random maps."""
STABLE, AGREEING = 0.8, 0.5
"""Correlations below which a map is called unstable, or at odds with other methods."""


def summary(trust: Any, b: int, t: int) -> str:
    """Return one line about the map of target t at example b."""
    if trust.vanished[b, t]:
        return "no meaning: the gradient underflowed, so this map is rounding noise (scale_free recovers RBF maps)"
    parts = [*_distance(trust, b, t), _faithfulness(trust, b, t)]
    if trust.stability[b, t] < STABLE:
        parts.append(f"unstable: with 10 % noise its correlation falls to {trust.stability[b, t]:.2f}")
    if trust.agreement[b, t] < AGREEING:
        parts.append(f"other methods mark other regions (correlation {trust.agreement[b, t]:.2f})")
    return "; ".join(parts)


def is_far(trust: Any, b: int) -> bool:
    """Return whether example b is unlike the training examples."""
    return bool(_distance(trust, b, None))


def _distance(trust: Any, b: int, t: int | None) -> list[str]:
    error = None if trust.reconstruction_percentile is None else trust.reconstruction_percentile[b]
    if error is not None and error >= FAR:
        return [
            f"unlike the training images: the components miss more of it than of {percentile(float(error))} of them"
        ]
    nearest = trust.support_percentile or {}
    chosen = nearest if t is None else {n: nearest[n] for n in nearest if trust.targets[t].startswith(f"{n}:")}
    farthest = max((float(values[b]) for values in chosen.values()), default=0.0)
    if farthest >= FAR:
        return [f"unlike the training images: farther from the support vectors than {percentile(farthest)} of them"]
    return []


def _faithfulness(trust: Any, b: int, t: int) -> str:
    if not trust.evidence:
        return "no evidence: this method does not depend on the target"
    fall, random = trust.drop[b, t], trust.drop_random[b, t]
    numbers = f"without its strongest cells the value falls by {fall:.2g}, without random cells by {random:.2g}"
    if fall == 0 and not np.any(trust.rise[b, t]):
        return "empty: the map marks no region"
    return f"{'faithful' if trust.above_random[b, t] >= FAITHFUL else 'hardly better than chance'}: {numbers}"
