"""Claim: where only the first component counts, SVM maps are highly similar to its map.

Command: pcacam reproduce figure9 --data-root DIR --scale full
         (or --scale sample)
Paper:   Figure 9, grids for Chest X-ray and Dog vs. Cat with L1+ and L1-: SVM maps "highly similar" to them, so the SVM
         probably decides by v1 alone; L1+ belongs to COVID-19 and cats, L1- to pneumonia and dogs. No numbers.
Ours:    on the samples, holds for Dog vs. Cat (correlation .99 linear, .75 RBF), not for Chest X-ray (.43, .50), whose
         v2 has 31 % of the variance.
"""

import numpy as np

from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import CLASSIFIERS, ONE_COMPONENT
from pcacam_jax.reproduce.seed_statistics import (
    SVMS,
    cells,
    likeness_to_side,
    mean,
    mean_percent,
    of_component,
    share_of,
    side_read,
    text,
)

ENDS = {"chest_xray": ("COVID-19", "pneumonia"), "dog_cat": ("cat", "dog")}
"""The classes at the two ends of the paper's first component."""
APART = 1.0
"""Two classes lie apart where their means differ by more than this many standard deviations within classes."""


def measure(outcomes: Outcomes) -> Finding:
    rows = [
        (
            outcome.title,
            CLASSIFIERS[svm],
            cells(outcome),
            text(side_read(outcome, svm, 0)),
            text(side_read(outcome, svm, 0, "chance")),
            mean_percent(side_read(outcome, svm, 0, "read", "alike")),
            text(of_component(outcome, svm, 0, "share")),
            mean_percent(of_component(outcome, svm, 0, "dominates")),
        )
        for outcome in outcomes.values()
        for svm in SVMS
    ]
    columns = ("set", "SVM", "map", "like L1", "by chance", "images alike", "share of v1", "v1 dominates")
    return Finding(
        tables=(Table(columns, tuple(rows), "SVM maps and the side of L1 that they read"),),
        verdicts=tuple(text for name, outcome in outcomes.items() for text in verdicts(name, outcome)),
        data={
            name: {
                svm: {"read": side_read(outcome, svm, 0), "share": of_component(outcome, svm, 0, "share")}
                for svm in SVMS
            }
            for name, outcome in outcomes.items()
        },
    )


def verdicts(name: str, outcome: Outcome) -> list[str]:
    known = set(ENDS[name]) <= set(outcome.class_names)
    return [*(similar(outcome, svm) for svm in SVMS), *([ends(outcome, ENDS[name])] if known else [])]


def similar(outcome: Outcome, svm: str) -> str:
    """Return whether an SVM's maps are like the side of L1 that they read."""
    own, dominant = likeness_to_side(outcome, svm, 0), mean(of_component(outcome, svm, 0, "dominates"))
    return (
        f"{outcome.title}: that {CLASSIFIERS[svm]} maps are highly similar to one side of L1 "
        f"{'holds' if own.holds else 'does not hold'}: {own.words()}; v1 gives more than half of the decision's map on "
        f"{share_of(dominant)}."
    )


def ends(outcome: Outcome, expected: tuple[str, str]) -> str:
    """Return whether two classes lie at the two ends of v1; of only two classes, whether they lie apart at all."""
    distance, pair = separation(outcome, expected), " and ".join(expected)
    apart = (
        f"their means differ by {distance:.1f} standard deviations within classes (test images of seed "
        f"{outcome.seeds[0]})"
    )
    if len(outcome.class_names) == 2:
        held = "lie apart on v1, as in the paper" if distance > APART else "do not lie apart on v1"
        return f"{outcome.title}: {pair} {held}: {apart}; apart is more than {APART:g}."
    orders = [ordered(own["classes"]) for own in outcome.statements()]
    number = sum({own[0], own[-1]} == set(expected) for own in orders)
    return (
        f"{outcome.title}: {pair} lie at the two ends of v1, as in the paper, in {number} of {len(orders)} seeds "
        f"(which end is which is arbitrary); {apart}."
    )


def separation(outcome: Outcome, pair: tuple[str, str]) -> float:
    """Return how far the means of v1 of two classes lie apart, in standard deviations within them; test images."""
    test = outcome.group("test")
    v = np.asarray(test["features"][:, 0], np.float64)
    first, second = (v[test["labels"] == outcome.class_names.index(name)] for name in pair)
    distance, within = abs(first.mean() - second.mean()), np.sqrt((first.var() + second.var()) / 2)
    return float(distance / within) if within else float("inf" if distance else 0)


def ordered(classes: list[dict]) -> list[str]:
    """Return the classes by their mean first component."""
    return [own["name"] for own in sorted(classes, key=lambda own: own["mean"][0])]


def draw(outcomes: Outcomes) -> dict:
    from pcacam_jax.reproduce.figures import map_grid

    return {f"figure9_{name}": map_grid(outcome, 1) for name, outcome in outcomes.items()}


CLAIM = Claim(
    name="figure9",
    title="maps where only the first component counts",
    paper="Figure 9",
    statement="PCA maps of the first component and SVM maps are highly similar, so the SVM probably decides by v1 "
    "alone; v1 has COVID-19 at one end and pneumonia at the other, cats and dogs likewise.",
    sets=ONE_COMPONENT,
    measure=measure,
    draw=draw,
    first_seed=True,
)
