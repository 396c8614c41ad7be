"""Claim: classes separate in three components, and components of little variance add little.

Command: pcacam reproduce figure7 --data-root DIR --scale full
         (or --scale sample)
Paper:   Figure 7, the PCA feature spaces of six models: "somewhat separated"; for Dog vs. Cat v2 and v3 do not seem to
         help classification. No numbers.
Ours:    on the samples, classes lie apart in 6 of 6 (silhouette .22 to .73); v2 and v3 change Dog vs. Cat by -.004.
"""

import numpy as np

from pcacam_jax.core.text import listed
from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import SETS

MOST = 2000
"""Most images of a part that are measured and drawn, evenly spread."""
LITTLE = 0.02
"""A gain in macro F1 below this is called little."""


def part(outcome: Outcome, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the components of a part, the labels, and which rows they are."""
    from pcacam_jax.reports.figures import spread

    arrays = outcome.group(name)
    rows = spread(len(arrays["labels"]), MOST)
    return np.asarray(arrays["features"][rows], np.float64), arrays["labels"][rows], rows


def scores_by_components(outcome: Outcome) -> list[float]:
    """Return the test macro F1 of a linear SVM on the first 1, 2, ... components."""
    from sklearn.metrics import f1_score
    from sklearn.svm import SVC

    (v, labels, _), (v_test, truth, _) = part(outcome, "train"), part(outcome, "test")
    svms = (SVC(kernel="linear", C=outcome.settings["cost"]).fit(v[:, :d], labels) for d in range(1, v.shape[1] + 1))
    return [float(f1_score(truth, svm.predict(v_test[:, : svm.n_features_in_]), average="macro")) for svm in svms]


def silhouette(outcome: Outcome) -> float | None:
    """Return the silhouette of the test images, None where no two of them are of one class."""
    from sklearn.metrics import silhouette_score

    v, labels, _ = part(outcome, "test")
    kinds = len(np.unique(labels))
    return float(silhouette_score(v, labels)) if 1 < kinds < len(labels) else None


def measure(outcomes: Outcomes) -> Finding:
    scores = {name: scores_by_components(outcome) for name, outcome in outcomes.items()}
    apart = {name: silhouette(outcome) for name, outcome in outcomes.items()}
    measured = {name: value for name, value in apart.items() if value is not None}
    rows = [
        (outcomes[name].title, *(f"{f1:.3f}" for f1 in own), f"{measured[name]:+.2f}" if name in measured else "-")
        for name, own in scores.items()
    ]
    columns = ["v1", *(f"v1 to v{d}" for d in range(2, len(next(iter(scores.values()))) + 1))]
    one = [outcomes[name].title for name, own in scores.items() if own[-1] - own[0] < LITTLE]
    verdicts = [
        f"Test images lie nearer to their own class than to the next (silhouette above 0; 1 is tight and far apart) in "
        f"{sum(value > 0 for value in measured.values())} of {len(measured)} sets.",
        f"The first component alone is within {LITTLE} of all of them in {len(one)} of {len(scores)} sets"
        + (f": {listed(one)}." if one else "."),
    ]
    if "dog_cat" in scores:
        gain = scores["dog_cat"][-1] - scores["dog_cat"][0]
        verdicts.append(f"For Dog vs. Cat v2 and v3 change test F1 by {gain:+.3f}; the paper sees no improvement.")
    return Finding(
        tables=(
            Table(
                ("set", *columns, "silhouette"),
                tuple(rows),
                "test macro F1 of a linear SVM on the first components; first seed",
            ),
        ),
        verdicts=tuple(verdicts),
        data={name: {"test_f1_by_components": scores[name], "silhouette": apart[name]} for name in scores},
    )


def draw(outcomes: Outcomes) -> dict:
    from pcacam_jax import plots
    from pcacam_jax.reproduce.figures import sheet

    three = next(iter(outcomes.values())).arrays["train.features"].shape[1] >= 3
    figure, panels = sheet(outcomes, (6.4, 3.8), projection="3d" if three else None)
    for axes, outcome in panels:
        v, labels, rows = part(outcome, "train")
        plots.feature_space(axes, v[:, :3], labels, outcome.class_names)
        axes.locator_params(nbins=5)
        of = f"{len(rows):,} of " if len(rows) < outcome.record["images"]["train"] else ""
        images = f"{of}{outcome.record['images']['train']:,} training images"
        axes.set_title(f"{outcome.title}: {images}, seed {outcome.seeds[0]}", fontsize=10)
    return {"figure7": figure}


CLAIM = Claim(
    name="figure7",
    title="three-dimensional PCA feature spaces",
    paper="Figure 7",
    statement="the classes are somewhat separated in the space of three components; for Dog vs. Cat the components of "
    "low contribution, v2 and v3, do not seem to improve classification.",
    sets=SETS,
    measure=measure,
    draw=draw,
    first_seed=True,
)
