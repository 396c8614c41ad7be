"""Claim: where only the first component matters, SVM maps are highly similar to its map.

Command: pcacam reproduce figure9 --data-root DIR --scale full
         (or --scale sample)
Paper:   Figure 9, grids for Chest X-ray and Dog vs. Cat with L1+ and L1-: SVM maps are "highly similar" to them, so
         the SVM probably decides by component 1 alone; L1+ belongs to COVID-19 and cats, L1- to pneumonia and
         dogs. No numbers.
Ours:    on the samples, holds for Dog vs. Cat (correlation .99 linear, .75 RBF), but not for Chest X-ray (.43, .50),
         where component 2 has 31 % of the variance.
"""

import numpy as np

from pcacam_jax.reports.class_table import CLASSIFIERS
from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import ONE_COMPONENT
from pcacam_jax.reproduce.seed_statistics import (
    SVMS,
    component_statistic,
    image_share,
    likeness_to_side,
    map_size,
    mean,
    mean_percent,
    side_comparison,
    text,
)

ENDS = {"chest_xray": ("COVID-19", "pneumonia"), "dog_cat": ("cat", "dog")}
"""The classes at the two ends of the paper's first component."""
APART = 1.0
"""Two classes are separated if their means differ by more than this many standard deviations within classes."""


def measure(outcomes: Outcomes) -> Finding:
    rows = [
        (
            outcome.title,
            CLASSIFIERS[svm],
            map_size(outcome),
            text(side_comparison(outcome, svm, 0)),
            text(side_comparison(outcome, svm, 0, "chance")),
            mean_percent(side_comparison(outcome, svm, 0, "read", "alike")),
            text(component_statistic(outcome, svm, 0, "share")),
            mean_percent(component_statistic(outcome, svm, 0, "dominates")),
        )
        for outcome in outcomes.values()
        for svm in SVMS
    ]
    columns = ("dataset", "SVM", "map", "correlation", "by chance", "images alike", "its share", "it dominates")
    title = (
        "correlation of SVM maps with the side of component 1's map that enters them, and share of component 1 in the "
        "decision's map"
    )
    return Finding(
        tables=(Table(columns, tuple(rows), title),),
        verdicts=tuple(text for name, outcome in outcomes.items() for text in verdicts(name, outcome)),
        data={
            name: {
                svm: {"read": side_comparison(outcome, svm, 0), "share": component_statistic(outcome, svm, 0, "share")}
                for svm in SVMS
            }
            for name, outcome in outcomes.items()
        },
    )


def verdicts(name: str, outcome: Outcome) -> list[str]:
    known = set(ENDS[name]) <= set(outcome.class_names)
    return [*(similar(outcome, svm) for svm in SVMS), *([ends(outcome, ENDS[name])] if known else [])]


def similar(outcome: Outcome, svm: str) -> str:
    """Return a sentence about the similarity of an SVM's maps and the side of component 1's map that enters them."""
    result, dominant = likeness_to_side(outcome, svm, 0), mean(component_statistic(outcome, svm, 0, "dominates"))
    return (
        f"{outcome.title}: {CLASSIFIERS[svm]} maps {'are' if result.holds else 'are not'} highly similar to one side "
        f"of component 1's map: {result.describe()}; component 1 contributes more than half of the decision's map on "
        f"{image_share(dominant)}."
    )


def ends(outcome: Outcome, expected: tuple[str, str]) -> str:
    """Return a sentence about two classes at the ends of component 1, or, of only two classes, their separation."""
    distance, pair = separation(outcome, expected), " and ".join(expected)
    difference = (
        f"their means differ by {distance:.1f} standard deviations within classes (test images of seed "
        f"{outcome.seeds[0]})"
    )
    if len(outcome.class_names) == 2:
        verdict = (
            "are separated on component 1, as in the paper" if distance > APART else "are not separated on component 1"
        )
        return f"{outcome.title}: {pair} {verdict}: {difference}; separated means more than {APART:g}."
    orders = [ordered(statements["classes"]) for statements in outcome.statements()]
    number = sum({order[0], order[-1]} == set(expected) for order in orders)
    return (
        f"{outcome.title}: {pair} are at the two ends of component 1, as in the paper, in {number} of {len(orders)} "
        f"seeds (the sign of a component is arbitrary); {difference}."
    )


def separation(outcome: Outcome, pair: tuple[str, str]) -> float:
    """Return the distance of the means of two classes on component 1, in standard deviations within the classes."""
    test = outcome.group("test")
    v = np.asarray(test["features"][:, 0], np.float64)
    first, second = (v[test["labels"] == outcome.class_names.index(name)] for name in pair)
    distance, within = abs(first.mean() - second.mean()), np.sqrt((first.var() + second.var()) / 2)
    return float(distance / within) if within else float("inf" if distance else 0)


def ordered(classes: list[dict]) -> list[str]:
    """Return the class names in the order of their mean first component."""
    return [statement["name"] for statement in sorted(classes, key=lambda statement: statement["mean"][0])]


def draw(outcomes: Outcomes) -> dict:
    from pcacam_jax.reproduce.figures import map_grid

    return {f"figure9_{name}": map_grid(outcome, 1) for name, outcome in outcomes.items()}


CLAIM = Claim(
    name="figure9",
    title="maps of datasets on which only the first component matters",
    paper="Figure 9",
    statement="PCA maps of the first component and SVM maps are highly similar, so the SVM probably decides by "
    "component 1 alone; COVID-19 is at one end of it and pneumonia at the other, and likewise cats and dogs.",
    sets=ONE_COMPONENT,
    measure=measure,
    draw=draw,
    first_seed=True,
)
