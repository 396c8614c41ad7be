"""Claim: what the maps say: an SVM map is like a component's map where the SVM decides by that component.

Command: pcacam reproduce maps --data-root DIR --scale full
         (or --scale sample)
Paper:   Section 6.2.2: where SVM and PCA maps are similar, the SVM "probably" classified by that component only. No
         numbers.
Ours:    on the samples, the map most like an RBF-SVM's is that of the component with the largest share on 70 to 85 % of
         the images; the mixture is exact to 1e-6 of the largest value.
"""

from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import CLASSIFIERS, SETS
from pcacam_jax.reproduce.seed_statistics import (
    SVMS,
    depth,
    mean,
    mean_percent,
    of_component,
    over_seeds,
    share_of,
    side_read,
    text,
)


def of_svm(outcome: Outcome, svm: str, key: str) -> list[float]:
    return over_seeds(outcome, lambda own: own["classifiers"][svm][key])


def measure(outcomes: Outcomes) -> Finding:
    pairs = [(outcome, svm) for outcome in outcomes.values() for svm in SVMS]
    most = max(depth(outcome) for outcome in outcomes.values())
    likeness = [
        (
            o.title,
            CLASSIFIERS[svm],
            *(text(side_read(o, svm, r)) for r in range(depth(o))),
            mean_percent(of_svm(o, svm, "alike_a_component")),
        )
        for o, svm in pairs
    ]
    shares = [
        (
            o.title,
            CLASSIFIERS[svm],
            *(text(of_component(o, svm, r, "share")) for r in range(depth(o))),
            mean_percent(of_svm(o, svm, "dominated")),
            mean_percent(of_svm(o, svm, "dominant_is_most_alike")),
        )
        for o, svm in pairs
    ]
    components = [f"v{r + 1}" for r in range(most)]
    return Finding(
        tables=(
            Table(
                ("set", "SVM", *components, "alike any"),
                tuple(likeness),
                "correlation of SVM maps with the side of each component that they read",
            ),
            Table(
                ("set", "SVM", *components, "one dominates", "it is the most alike"),
                tuple(shares),
                "exact share of each component in a decision's map",
            ),
        ),
        verdicts=tuple(verdicts(outcomes)),
        data={
            name: {svm: [own["classifiers"][svm] for own in outcome.statements()] for svm in SVMS}
            for name, outcome in outcomes.items()
        },
    )


def verdicts(outcomes: Outcomes) -> list[str]:
    dominated, right = (
        {o.title: mean(of_svm(o, "svm_rbf", key)) for o in outcomes.values()}
        for key in ("dominated", "dominant_is_most_alike")
    )
    errors = [error for o in outcomes.values() for svm in SVMS for error in of_svm(o, svm, "mixture_error")]
    return [
        "One component gives more than half of an RBF-SVM decision's map on " + of_images(dominated),
        "The map most like the decision's is that of the component with the largest share on " + of_images(right),
        "So a look at the maps is a hint; the exact shares are the answer.",
        f"Each SVM map is the sum of the components' maps by their exact weights, to {max(errors):.0e} of the largest."
        if errors
        else "Every SVM map is zero everywhere.",
    ]


def of_images(shares: dict[str, float | None]) -> str:
    return ", ".join(f"{share_of(share)} of {title}" for title, share in shares.items()) + "."


def draw(outcomes: Outcomes) -> dict:
    from pcacam_jax.reproduce.figures import cards

    return {f"cards_{name}": cards(outcome) for name, outcome in outcomes.items()}


CLAIM = Claim(
    name="maps",
    title="what the maps say",
    paper="Section 6.2.2",
    statement="where an SVM map is similar to a component's map, the SVM probably classifies by that component.",
    sets=SETS,
    measure=measure,
    draw=draw,
    first_seed=True,
)
