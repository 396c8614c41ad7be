"""Claim: on CIFAR-10's airplanes, each component looks at its own region, and its two signs at different regions.

Command: pcacam reproduce figure2 --data-root DIR --scale full
         (or --scale sample)
Paper:   Figure 2, PCA maps of three images: L1+ is slightly on the airplane, L1- strongly on the sky, L2+ strongly on
         the airplane, and L2- is almost empty; "almost the same" for all three. No numbers; the images are not named.
Ours:    on the sample, 6 of 9 maps are one-sided, and the same sign prevails on all three images only for
         component 3.
"""

import numpy as np

from pcacam_jax.core.explanation import component_names
from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.seed_statistics import correlation

ONE_SIDED = 0.8
"""A component's map is called one-sided if at least this share of it has one sign."""


def raising_share(signed: np.ndarray) -> np.ndarray:
    """Return sum L+ / sum (L+ + L-), the share of each map that raises the component.

    Maps (N, D, h, w) give shares (N, D); a map that is zero everywhere gives NaN.
    """
    total = np.abs(signed).sum(axis=(2, 3))
    return np.maximum(signed, 0).sum(axis=(2, 3)) / np.where(total > 0, total, np.nan)


def measure(outcomes: Outcomes) -> Finding:
    (outcome,) = outcomes.values()
    arrays = outcome.group("first")
    signed, name = arrays["components"], outcome.class_names[0]
    shares = raising_share(signed)
    rows = [
        (
            f"({chr(ord('a') + n)}) {name}, seed {outcome.seeds[0]}",
            *("-" if np.isnan(share) else f"{share:.2f}" for share in image_shares),
        )
        for n, image_shares in enumerate(shares)
    ]
    # Only one seed, because the sign of a component differs between seeds
    class_shares = outcome.statements()[0]["classes"][0]["positive_share"]
    mean = (f"mean over all measured {name} images, seed {outcome.seeds[0]}",)
    rows.append(mean + tuple("-" if share is None else f"{share:.2f}" for share in class_shares))
    columns = ("share of the map that raises the component", *component_names(signed.shape[1]))
    return Finding(
        tables=(Table(columns, tuple(rows)),),
        verdicts=tuple(verdicts(shares, signed, outcome)),
        data={"positive_share": [[*map(number, row)] for row in shares], "positive_share_of_class": class_shares},
    )


def number(share: float) -> float | None:
    """Return a share for JSON, which has no NaN."""
    return None if np.isnan(share) else float(share)


def verdicts(shares: np.ndarray, signed: np.ndarray, outcome: Outcome) -> list[str]:
    sided = np.maximum(shares, 1 - shares) >= ONE_SIDED
    defined = np.isfinite(shares)
    same = [r for r in range(shares.shape[1]) if defined[:, r].all() and len(set(shares[:, r] > 0.5)) == 1]
    pairs = [(r, s) for s in range(signed.shape[1]) for r in range(s)]
    correlations = [c for maps in signed for r, s in pairs if (c := correlation(maps[r], maps[s])) is not None]
    return [
        f"{sided.sum()} of {defined.sum()} maps{zero_maps(shares)} are one-sided, like the paper's L2: at least "
        f"{ONE_SIDED:.0%} of the map has one sign.",
        f"The same sign prevails in all {len(shares)} images for {len(same)} of {shares.shape[1]} components"
        + (f" ({', '.join(component_names(r + 1)[r] for r in same)})" if same else "")
        + "; the paper calls the maps of its three images almost the same.",
        "Averaged over these images and all pairs, the signed maps of two components have an absolute correlation of "
        f"{np.mean(np.abs(correlations)):.2f} (1 means the same region; the sign is arbitrary)."
        if correlations
        else "The maps are constant.",
        "Signs of components are arbitrary, so L+ and L- may be swapped compared with the paper.",
    ]


def zero_maps(shares: np.ndarray) -> str:
    """Return how many maps have no sign because they are zero everywhere, as text."""
    zero = np.isnan(shares).sum()
    return f" ({zero} more {'is' if zero == 1 else 'are'} zero everywhere)" if zero else ""


def draw(outcomes: Outcomes) -> dict:
    from pcacam_jax.reproduce.figures import component_grid

    (outcome,) = outcomes.values()
    return {"figure2": component_grid(outcome, "first")}


CLAIM = Claim(
    name="figure2",
    title="PCA maps of three CIFAR-10 images",
    paper="Figure 2",
    statement="on images of airplanes, one component has one sign on the sky; another component has one sign on the "
    "airplane and almost nothing of the other sign; the maps are almost the same on all three images.",
    sets=("cifar10",),
    measure=measure,
    draw=draw,
    first_seed=True,
)
