"""Claim: three components separate the classes, and components of low variance hardly improve classification.

Command: pcacam reproduce figure7 --data-root DIR --scale full
         (or --scale sample)
Paper:   Figure 7, the PCA feature spaces of six models: "somewhat separated"; for Dog vs. Cat, components 2 and 3 do
         not seem to help classification. No numbers.
Ours:    on the samples, classes are separated in 6 of 6 (silhouette .22 to .73); components 2 and 3 change Dog vs. Cat
         by -.004.
"""

import numpy as np

from pcacam_jax.core.text import listed
from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import SETS

MOST_IMAGES = 2000
"""Maximum number of images of a split that are measured and drawn; they are evenly spread over its rows."""
SMALL_GAIN = 0.02
"""A gain in macro F1 below this is called small."""


def subset(outcome: Outcome, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return components (n, D), labels (n,) and row numbers (n,) of images of the "train" or "test" split."""
    from pcacam_jax.reports.figures import spread

    arrays = outcome.group(split)
    rows = spread(len(arrays["labels"]), MOST_IMAGES)
    return np.asarray(arrays["features"][rows], np.float64), arrays["labels"][rows], rows


def scores_by_components(outcome: Outcome) -> list[float]:
    """Return the test macro F1 of a linear SVM on the first 1, 2, ... components."""
    from sklearn.metrics import f1_score
    from sklearn.svm import SVC

    (v, labels, _), (v_test, truth, _) = subset(outcome, "train"), subset(outcome, "test")
    svms = (SVC(kernel="linear", C=outcome.settings["cost"]).fit(v[:, :d], labels) for d in range(1, v.shape[1] + 1))
    return [float(f1_score(truth, svm.predict(v_test[:, : svm.n_features_in_]), average="macro")) for svm in svms]


def silhouette(outcome: Outcome) -> float | None:
    """Return the silhouette of the test images; None if they have one class, or as many classes as images."""
    from sklearn.metrics import silhouette_score

    v, labels, _ = subset(outcome, "test")
    classes = len(np.unique(labels))
    return float(silhouette_score(v, labels)) if 1 < classes < len(labels) else None


def measure(outcomes: Outcomes) -> Finding:
    scores = {name: scores_by_components(outcome) for name, outcome in outcomes.items()}
    silhouettes = {name: silhouette(outcome) for name, outcome in outcomes.items()}
    defined = {name: value for name, value in silhouettes.items() if value is not None}
    rows = [
        (outcomes[name].title, *(f"{f1:.3f}" for f1 in values), f"{defined[name]:+.2f}" if name in defined else "-")
        for name, values in scores.items()
    ]
    columns = ["component 1", *(f"components 1 to {d}" for d in range(2, len(next(iter(scores.values()))) + 1))]
    small = [outcomes[name].title for name, values in scores.items() if values[-1] - values[0] < SMALL_GAIN]
    verdicts = [
        "On average, test images are closer to their own class than to the nearest other class (silhouette above 0, at "
        f"most 1) on {sum(value > 0 for value in defined.values())} of {len(defined)} datasets.",
        f"All components together raise test F1 by less than {SMALL_GAIN} over the first component alone on "
        f"{len(small)} of {len(scores)} datasets" + (f": {listed(small)}." if small else "."),
    ]
    if "dog_cat" in scores:
        gain = scores["dog_cat"][-1] - scores["dog_cat"][0]
        verdicts.append(
            f"For Dog vs. Cat, components 2 and 3 change test F1 by {gain:+.3f}; the paper sees no improvement."
        )
    return Finding(
        tables=(
            Table(
                ("dataset", *columns, "silhouette"),
                tuple(rows),
                "test macro F1 of a linear SVM on the first components, and silhouette of the test images; first seed",
            ),
        ),
        verdicts=tuple(verdicts),
        data={name: {"test_f1_by_components": scores[name], "silhouette": silhouettes[name]} for name in scores},
    )


def draw(outcomes: Outcomes) -> dict:
    from pcacam_jax import plots
    from pcacam_jax.reproduce.figures import sheet

    three = next(iter(outcomes.values())).arrays["train.features"].shape[1] >= 3
    figure, panels = sheet(outcomes, (6.4, 3.8), projection="3d" if three else None)
    for axes, outcome in panels:
        v, labels, rows = subset(outcome, "train")
        plots.feature_space(axes, v[:, :3], labels, outcome.class_names)
        axes.locator_params(nbins=5)
        total = outcome.record["images"]["train"]
        shown = f"{len(rows):,} of {total:,}" if len(rows) < total else f"{total:,}"
        axes.set_title(f"{outcome.title}: {shown} training images, seed {outcome.seeds[0]}", fontsize=10)
    return {"figure7": figure}


CLAIM = Claim(
    name="figure7",
    title="three-dimensional PCA feature spaces",
    paper="Figure 7",
    statement="the classes are somewhat separated in the space of three components; for Dog vs. Cat, the components of "
    "low contribution, 2 and 3, do not seem to improve classification.",
    sets=SETS,
    measure=measure,
    draw=draw,
    first_seed=True,
)
