"""Claim: where three components count, SVM maps are often like conventional ones, and components differ.

Command: pcacam reproduce figure8 --data-root DIR --scale full
         (or --scale sample)
Paper:   Figure 8, grids for MNIST, Fashion-MNIST, Blood-MNIST and CIFAR-10: SVM maps similar to conventional ones "in
         many cases", different for Trouser and Neutrophil; focus regions differ between components. No numbers.
Ours:    on the samples, similar for the linear SVM in 4 of 4 sets (alike on 65 to 77 % of the images), for the
         RBF-SVM in none (17 to 36 %); components differ on 65 to 68 %, those of two images on 81 to 90 %.
"""

from pcacam_jax.core.text import listed
from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import CLASSIFIERS, MANY_COMPONENTS
from pcacam_jax.reproduce.seed_statistics import (
    ABOVE_CHANCE,
    OFTEN,
    SVMS,
    cells,
    correlation,
    likeness_to_cnn,
    mean,
    mean_percent,
    over_seeds,
    share_of,
    text,
    with_cnn,
)

DIFFERENT = {"fashion_mnist": "Trouser", "blood_mnist": "neutrophil"}
"""Classes for which the paper's conventional and SVM maps differ."""


def differing(outcome: Outcome, key: str = "differ") -> list[float]:
    """Return for each seed how often two components' maps show different regions, mean over pairs; "chance": by it."""
    return over_seeds(outcome, lambda own: mean([pair[key] for pair in own["pairs"] if pair[key] is not None]))


def measure(outcomes: Outcomes) -> Finding:
    rows = [
        (
            outcome.title,
            CLASSIFIERS[svm],
            cells(outcome),
            text(with_cnn(outcome, svm, "correlation")),
            text(with_cnn(outcome, svm, "chance")),
            mean_percent(with_cnn(outcome, svm, "correlation", "alike")),
            mean_percent(differing(outcome)),
            mean_percent(differing(outcome, "chance")),
        )
        for outcome in outcomes.values()
        for svm in SVMS
    ]
    columns = ("set", "SVM", "map", "like Grad-CAM", "by chance", "images alike", "components differ", "by chance")
    return Finding(
        tables=(Table(columns, tuple(rows), "correlation of SVM maps with conventional Grad-CAM, both after ReLU"),),
        verdicts=tuple(verdicts(outcomes)),
        data={
            name: {
                "differ": differing(outcome),
                "differ_by_chance": differing(outcome, "chance"),
                **{svm: {key: with_cnn(outcome, svm, key) for key in ("correlation", "chance")} for svm in SVMS},
            }
            for name, outcome in outcomes.items()
        },
    )


def verdicts(outcomes: Outcomes) -> list[str]:
    sentences = [similar(outcomes, svm) for svm in SVMS]
    sentences.append(
        "Two components look at different regions (no side of one like any side of the other) on "
        + "; ".join(
            f"{share_of(mean(differing(o)))} of {o.title}, by chance on {share_of(mean(differing(o, 'chance')))}"
            for o in outcomes.values()
        )
        + ". Below chance means that the components of an image share regions more than two images do."
    )
    return sentences + [text for name, outcome in outcomes.items() if (text := one_image(name, outcome))]


def similar(outcomes: Outcomes, svm: str) -> str:
    """Return in which sets an SVM's maps are like the conventional ones."""
    found = {o.title: likeness_to_cnn(o, svm) for o in outcomes.values()}
    return (
        f"{CLASSIFIERS[svm]} maps are like conventional ones (correlation from 0.8 on at least {OFTEN:.0%} of the "
        f"images, on average at least {ABOVE_CHANCE} above chance) in {sum(own.holds for own in found.values())} of "
        f"{len(found)} sets: "
        + "; ".join(f"{title} {'yes' if own.holds else 'no'}, {own.words()}" for title, own in found.items())
        + "."
    )


def one_image(name: str, outcome: Outcome) -> str:
    """Return what the grid's image shows of a class that the paper singles out."""
    own = DIFFERENT.get(name)
    if own not in outcome.class_names:
        return ""
    arrays = outcome.group("grid")
    row = list(arrays["labels"]).index(outcome.class_names.index(own))
    maps = dict(zip(CLASSIFIERS, arrays["classifiers"][row], strict=True))
    values = {CLASSIFIERS[svm]: correlation(maps["cnn"], maps[svm]) for svm in SVMS}
    words = listed(
        [f"{'undefined' if value is None else format(value, '+.2f')} ({svm})" for svm, value in values.items()]
    )
    return (
        f"On the grid's {own} image of {outcome.title}, where the paper sees a difference, the correlation is {words}."
    )


def draw(outcomes: Outcomes) -> dict:
    from pcacam_jax.reproduce.figures import map_grid

    return {f"figure8_{name}": map_grid(outcome, 3) for name, outcome in outcomes.items()}


CLAIM = Claim(
    name="figure8",
    title="maps where all three components count",
    paper="Figure 8",
    statement="SVM maps are in many cases similar to conventional Grad-CAM, different for Trouser and neutrophil; the "
    "focus regions differ between components.",
    sets=MANY_COMPONENTS,
    measure=measure,
    draw=draw,
    first_seed=True,
)
