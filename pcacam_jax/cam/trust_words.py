"""The numbers of :class:`pcacam_jax.cam.trust.Trust` in one line of plain words."""

from typing import Any

from pcacam_jax.core.text import percentile

FAR = 99.0
"""An example is called unlike the training examples if it is farther away than this percentage of them."""
FAITHFUL = 0.95
"""A map is called faithful if removing its cells lowers the value more than for this share of random maps."""
STABLE, AGREEING = 0.7, 0.2
"""Correlations below which a map is called unstable, or unlike those of other methods.

Even faithful maps of two methods correlate at only 0.4 to 0.6 on average, because the methods distribute evidence
differently over the cells; 3 to 22 % of the maps have a correlation below 0.2.
"""


def summary(trust: Any, b: int, t: int) -> str:
    """Return one line about the map of target t at example b."""
    if trust.vanished[b, t]:
        return "The map has no meaning: the gradient underflowed"
    parts = [*_distance(trust, b, trust.targets[t]), _faithfulness(trust, b, t)]
    if trust.stability[b, t] < STABLE:
        parts.append(f"unstable under noise (correlation {trust.stability[b, t]:.2f})")
    if trust.agreement[b, t] < AGREEING:
        parts.append(f"unlike the maps of other methods (correlation {trust.agreement[b, t]:.2f})")
    return f"The map is {'; '.join(parts)}"


def is_far(trust: Any, b: int) -> bool:
    """Return whether example b is unlike the training examples."""
    return bool(_distance(trust, b, None))


def _distance(trust: Any, b: int, target: str | None) -> list[str]:
    """Return what is said of example b if it is unlike the training examples, for one target or for any."""
    if trust.reconstruction_percentile is not None and trust.reconstruction_percentile[b] >= FAR:
        share = percentile(float(trust.reconstruction_percentile[b]))
        return [f"of an image unlike the training images (the components miss more of it than of {share})"]
    if trust.feature_percentile is not None and trust.feature_percentile[b] >= FAR:
        share = percentile(float(trust.feature_percentile[b]))
        return [
            f"of an image unlike the training images (its features are farther from their mean than those of {share})"
        ]
    nearest = trust.support_percentile or {}
    chosen = [name for name in nearest if target is None or target.startswith(f"{name}:")]
    farthest = max((float(nearest[name][b]) for name in chosen), default=0.0)
    if farthest >= FAR:
        share = percentile(farthest)
        return [f"of an image unlike the training images (farther from the support vectors than {share})"]
    return []


def _faithfulness(trust: Any, b: int, t: int) -> str:
    if not trust.evidence:
        return "no evidence, because this method does not depend on the target"
    fall, random = trust.drop[b, t], trust.drop_random[b, t]
    if fall == 0 and trust.rise[b, t] == 0:
        return "empty"
    verdict = "faithful" if trust.above_random[b, t] >= FAITHFUL else "hardly better than chance"
    return f"{verdict} (the value falls by {fall:.2g} without its strongest cells, by {random:.2g} without random ones)"
