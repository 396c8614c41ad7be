"""Claim: where only the first component counts, SVM maps are highly similar to its map.

Command: pcacam reproduce figure9 --data-root DIR --scale full
         (or --scale sample; or python experiments/figure9.py with the same options)
Paper:   Figure 9, grids for Chest X-ray and Dog vs. Cat with L1+ and L1-: SVM maps "highly similar" to them, so the SVM
         probably decides by v1 alone; L1+ belongs to COVID-19 and cats, L1- to pneumonia and dogs. No numbers.
Ours:    OURS
"""

from pcacam_jax.reproduce.alone import run_alone
from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import CLASSIFIERS, ONE_COMPONENT
from pcacam_jax.reproduce.said import SVMS, cells, mean, of_component, percent, side_read, text

ENDS = {"chest_xray": ("COVID-19", "pneumonia"), "dog_cat": ("cat", "dog")}
"""The classes at the two ends of the paper's first component."""


def measure(outcomes: Outcomes) -> Finding:
    rows = [
        (
            outcome.title,
            CLASSIFIERS[svm],
            cells(outcome),
            text(side_read(outcome, svm, 0)),
            text(side_read(outcome, svm, 0, "chance")),
            percent(side_read(outcome, svm, 0, "read", "alike")),
            text(of_component(outcome, svm, 0, "share")),
            percent(of_component(outcome, svm, 0, "dominates")),
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
    alike = mean(side_read(outcome, "svm_rbf", 0, "read", "alike")) or 0
    dominant = mean(of_component(outcome, "svm_rbf", 0, "dominates")) or 0
    held = "holds" if alike >= 0.5 else "does not hold"
    ends = [ordered(own["classes"]) for own in outcome.statements()]
    expected = sum({own[0], own[-1]} == set(ENDS[name]) for own in ends)
    return [
        f"{outcome.title}: that SVM maps are highly similar to one side of L1 {held}: RBF-SVM maps correlate by "
        f"at least 0.8 with it on {alike:.0%} of the images; v1 gives more than half of the decision's map on "
        f"{dominant:.0%}.",
        f"{outcome.title}: {ENDS[name][0]} and {ENDS[name][1]} lie at the two ends of v1, as in the paper, in "
        f"{expected} of {len(ends)} seeds (which end is which is arbitrary).",
    ]


def ordered(classes: list[dict]) -> list[str]:
    """Return the classes by their mean first component."""
    return [own["name"] for own in sorted(classes, key=lambda own: own["mean"][0])]


def draw(outcomes: Outcomes) -> dict:
    from pcacam_jax.reproduce.draw import map_grid

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
)

if __name__ == "__main__":
    run_alone(CLAIM)
