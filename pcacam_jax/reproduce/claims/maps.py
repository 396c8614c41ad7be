"""Claim: an SVM map is similar to a component's map where the SVM decides by that component.

Command: pcacam reproduce maps --data-root DIR --scale full
         (or --scale sample)
Paper:   Section 6.2.2: where SVM and PCA maps are similar, the SVM "probably" classified by that component only. No
         numbers.
Ours:    on the samples, the component with the most similar map has the largest share in an RBF-SVM's decision on 76
         to 85 % of the images; the mixture is exact to 1e-6 of the largest value.
"""

from pcacam_jax.core.explanation import component_names
from pcacam_jax.core.text import listed
from pcacam_jax.reports.class_table import CLASSIFIERS
from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import SETS
from pcacam_jax.reproduce.seed_statistics import (
    SVMS,
    component_count,
    component_statistic,
    image_share,
    mean,
    mean_percent,
    over_seeds,
    side_comparison,
    text,
)


def svm_statistic(outcome: Outcome, svm: str, key: str) -> list[float]:
    """Return for each seed a number about an SVM's maps, such as "dominated"."""
    return over_seeds(outcome, lambda statements: statements["classifiers"][svm][key])


def measure(outcomes: Outcomes) -> Finding:
    pairs = [(outcome, svm) for outcome in outcomes.values() for svm in SVMS]
    most = max(component_count(outcome) for outcome in outcomes.values())
    likeness = [
        (
            o.title,
            CLASSIFIERS[svm],
            *(text(side_comparison(o, svm, r)) for r in range(component_count(o))),
            mean_percent(svm_statistic(o, svm, "alike_a_component")),
        )
        for o, svm in pairs
    ]
    shares = [
        (
            o.title,
            CLASSIFIERS[svm],
            *(text(component_statistic(o, svm, r, "share")) for r in range(component_count(o))),
            mean_percent(svm_statistic(o, svm, "dominated")),
            mean_percent(svm_statistic(o, svm, "dominant_is_most_alike")),
        )
        for o, svm in pairs
    ]
    components = component_names(most)
    return Finding(
        tables=(
            Table(
                ("dataset", "SVM", *components, "images alike any of them"),
                tuple(likeness),
                "correlation of SVM maps with the side of each component that enters them",
            ),
            Table(
                ("dataset", "SVM", *components, "one dominates", "largest share is most similar"),
                tuple(shares),
                "exact share of each component in a decision's map",
            ),
        ),
        verdicts=tuple(verdicts(outcomes)),
        data={
            name: {svm: [statements["classifiers"][svm] for statements in outcome.statements()] for svm in SVMS}
            for name, outcome in outcomes.items()
        },
    )


def verdicts(outcomes: Outcomes) -> list[str]:
    dominated, largest_is_most_similar = (
        {o.title: mean(svm_statistic(o, "svm_rbf", key)) for o in outcomes.values()}
        for key in ("dominated", "dominant_is_most_alike")
    )
    errors = [error for o in outcomes.values() for svm in SVMS for error in svm_statistic(o, svm, "mixture_error")]
    return [
        "One component contributes more than half of the map of an RBF-SVM's decision on " + of_images(dominated),
        "The component with the largest share in an RBF-SVM's decision has the most similar map on "
        + of_images(largest_is_most_similar),
        "So a similar map is only a hint of the component that decides; the shares are exact.",
        f"Each SVM map is the weighted sum of the components' maps, to {max(errors):.0e} of its largest value."
        if errors
        else "Every SVM map is zero everywhere.",
    ]


def of_images(shares: dict[str, float | None]) -> str:
    """Return the shares of images by dataset as the end of a sentence."""
    return listed(f"{image_share(share)} of {title}" for title, share in shares.items()) + "."


def draw(outcomes: Outcomes) -> dict:
    from pcacam_jax.reproduce.figures import cards

    return {f"cards_{name}": cards(outcome) for name, outcome in outcomes.items()}


CLAIM = Claim(
    name="maps",
    title="maps and the components that decide",
    paper="Section 6.2.2",
    statement="where an SVM map is similar to a component's map, the SVM probably classifies by that component.",
    sets=SETS,
    measure=measure,
    draw=draw,
    first_seed=True,
)
