"""Claim: where all three components matter, SVM maps often resemble Grad-CAM, and the components' maps differ.

Command: pcacam reproduce figure8 --data-root DIR --scale full
         (or --scale sample)
Paper:   Figure 8, grids for MNIST, Fashion-MNIST, Blood-MNIST and CIFAR-10: SVM maps are similar to conventional
         Grad-CAM "in many cases", but not for Trouser and Neutrophil; focus regions differ between components. No
         numbers.
Ours:    on the samples, similar for the linear SVM on 4 of 4 datasets (alike on 66 to 76 % of the images) and for the
         RBF-SVM on none (16 to 32 %). Two components look at different regions on 75 to 78 % of the images; their maps
         of different images do so on 94 to 99 %.
"""

from pcacam_jax.core.text import listed
from pcacam_jax.reports.class_table import CLASSIFIERS
from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import MANY_COMPONENTS
from pcacam_jax.reproduce.seed_statistics import (
    ABOVE_CHANCE,
    OFTEN,
    SVMS,
    cnn_comparison,
    correlation,
    image_share,
    likeness_to_cnn,
    map_size,
    mean,
    mean_percent,
    over_seeds,
    text,
)

DIFFERENT = {"fashion_mnist": "Trouser", "blood_mnist": "neutrophil"}
"""Classes for which the paper reports that the SVM maps differ from conventional Grad-CAM."""


def differing(outcome: Outcome, key: str = "differ") -> list[float]:
    """Return for each seed the share of images on which two components show different regions, averaged over pairs.

    The key "chance" gives the same share for maps of two different images.
    """
    return over_seeds(
        outcome, lambda statements: mean([pair[key] for pair in statements["pairs"] if pair[key] is not None])
    )


def measure(outcomes: Outcomes) -> Finding:
    rows = [
        (
            outcome.title,
            CLASSIFIERS[svm],
            map_size(outcome),
            text(cnn_comparison(outcome, svm, "correlation")),
            text(cnn_comparison(outcome, svm, "chance")),
            mean_percent(cnn_comparison(outcome, svm, "correlation", "alike")),
            mean_percent(differing(outcome)),
            mean_percent(differing(outcome, "chance")),
        )
        for outcome in outcomes.values()
        for svm in SVMS
    ]
    columns = ("dataset", "SVM", "map", "correlation", "by chance", "images alike", "components differ", "by chance")
    title = "correlation of SVM maps with conventional Grad-CAM, both after ReLU, and images on which components differ"
    return Finding(
        tables=(Table(columns, tuple(rows), title),),
        verdicts=tuple(verdicts(outcomes)),
        data={
            name: {
                "differ": differing(outcome),
                "differ_by_chance": differing(outcome, "chance"),
                **{svm: {key: cnn_comparison(outcome, svm, key) for key in ("correlation", "chance")} for svm in SVMS},
            }
            for name, outcome in outcomes.items()
        },
    )


def verdicts(outcomes: Outcomes) -> list[str]:
    sentences = [similar(outcomes, svm) for svm in SVMS]
    sentences.append(
        "Two components look at different regions (no side of one is alike any side of the other) on "
        + "; ".join(
            f"{image_share(mean(differing(o)))} of {o.title}, by chance on {image_share(mean(differing(o, 'chance')))}"
            for o in outcomes.values()
        )
        + ". A share below chance means that two components share regions more often on one image than on two images."
    )
    return sentences + [text for name, outcome in outcomes.items() if (text := class_example(name, outcome))]


def similar(outcomes: Outcomes, svm: str) -> str:
    """Return a sentence about the datasets on which an SVM's maps are similar to conventional Grad-CAM."""
    results = {o.title: likeness_to_cnn(o, svm) for o in outcomes.values()}
    return (
        f"{CLASSIFIERS[svm]} maps are similar to conventional Grad-CAM (correlation at least 0.8 on at least "
        f"{OFTEN:.0%} of the images, mean correlation at least {ABOVE_CHANCE} above chance) on "
        f"{sum(result.holds for result in results.values())} of {len(results)} datasets. "
        + "; ".join(
            f"{title}: {'yes' if result.holds else 'no'}, {result.describe()}" for title, result in results.items()
        )
        + "."
    )


def class_example(name: str, outcome: Outcome) -> str:
    """Return a sentence about the grid's image of the class for which the paper reports a difference."""
    class_name = DIFFERENT.get(name)
    if class_name not in outcome.class_names:
        return ""
    arrays = outcome.group("grid")
    row = list(arrays["labels"]).index(outcome.class_names.index(class_name))
    maps = dict(zip(CLASSIFIERS, arrays["classifiers"][row], strict=True))
    values = {CLASSIFIERS[svm]: correlation(maps["cnn"], maps[svm]) for svm in SVMS}
    correlations = listed(
        [f"{'undefined' if value is None else format(value, '+.2f')} ({svm})" for svm, value in values.items()]
    )
    return (
        f"On the {class_name} image of the grid of {outcome.title}, where the paper sees a difference, the correlation "
        f"with Grad-CAM is {correlations}."
    )


def draw(outcomes: Outcomes) -> dict:
    from pcacam_jax.reproduce.figures import map_grid

    return {f"figure8_{name}": map_grid(outcome, 3) for name, outcome in outcomes.items()}


CLAIM = Claim(
    name="figure8",
    title="maps of datasets on which all three components matter",
    paper="Figure 8",
    statement="SVM maps are in many cases similar to conventional Grad-CAM, but not for Trouser and neutrophil; the "
    "focus regions differ between components.",
    sets=MANY_COMPONENTS,
    measure=measure,
    draw=draw,
    first_seed=True,
)
